//! How soon can the hub read every pair again?
//!
//! The real crates on a virtual network: [`World`] is a hub, its branches and the ways between; a [`Scenario`] is a
//! fault and the bound on the time to reach; a [`Campaign`] runs one over many seeds or over one large fleet.
//! The binary prints the distribution, as a table, as JSON and as a chart.
//!
//! A *read* is the hub asking a small data service behind the branch and getting the right answer back through the
//! pair's own SAs. From the fault on, the hub asks over every pair every so often until it has an answer.

mod campaign;
mod chart;
mod command;
pub mod cost;
mod distribution;
mod not_up;
mod plan;
mod progress;
mod reader;
mod report;
mod scenario;
mod seeded;
mod site;
mod world;

pub use campaign::{Campaign, Outcome, Summary};
pub use command::{Command, Selection, run};
pub use distribution::Distribution;
pub use not_up::{NotUp, Standstill};
pub use plan::{PAIRS, PairPlan, Plan};
pub use scenario::{Bound, Scenario};
pub use site::{Fact, Site};
pub use world::{Settings, World};

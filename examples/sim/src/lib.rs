//! A virtual network for sans-IO state machines.
//!
//! Time is virtual: nothing sleeps, an hour of silence costs nothing, and one seed always gives one run. The library
//! knows no protocol. A test wraps its state machine in a [`Host`], adds it to a [`Network`] and reads the event log.
//!
//! * [`Network`]: hosts, links, NAT boxes, partitions, reboots, changes of address, a CPU model, a trace.
//! * [`Link`]: latency, jitter, loss (independent or in bursts), duplication, reordering, corruption, MTU, bandwidth.
//! * [`Nat`]: mapping and filtering behaviours of RFC 4787, expiry, rebinding, flush.
//! * [`contract`]: the contract of the state machines as one test for all of them.
//! * [`for_each_seed`]: runs a scenario over many seeds; the failing seed is in the panic message.
//!
//! It does not model IP fragmentation, ICMP or routing beyond "the owner of the destination address".
//!
//! ```
//! use std::time::{Duration, Instant};
//! use sim::{Datagram, Host, Link, Network};
//!
//! /// Sends back what it gets, once.
//! #[derive(Default)]
//! struct Echo {
//!     outgoing: Vec<Datagram>,
//!     heard: Vec<Vec<u8>>,
//! }
//!
//! impl Host for Echo {
//!     type Event = Vec<u8>;
//!
//!     fn handle_datagram(&mut self, _: Instant, datagram: &mut Datagram) {
//!         self.heard.push(datagram.contents.clone());
//!         if datagram.contents == b"ping" {
//!             self.outgoing.push(Datagram {
//!                 source: datagram.destination,
//!                 destination: datagram.source,
//!                 contents: b"pong".to_vec(),
//!             });
//!         }
//!     }
//!     fn handle_timeout(&mut self, _: Instant) {}
//!     fn poll_transmit(&mut self) -> Option<Datagram> {
//!         self.outgoing.pop()
//!     }
//!     fn poll_event(&mut self) -> Option<Vec<u8>> {
//!         self.heard.pop()
//!     }
//!     fn poll_timeout(&self) -> Option<Instant> {
//!         None
//!     }
//! }
//!
//! let mut network = Network::new(7);
//! network.set_default_link(Link::new(Duration::from_millis(25)));
//! let a = network.add_host("a", "192.0.2.1".parse().unwrap(), Echo::default());
//! let b = network.add_host("b", "192.0.2.2".parse().unwrap(), Echo::default());
//! network.act(a, |host, _| {
//!     host.outgoing.push(Datagram {
//!         source: "192.0.2.1:500".parse().unwrap(),
//!         destination: "192.0.2.2:500".parse().unwrap(),
//!         contents: b"ping".to_vec(),
//!     });
//! });
//! network.run_for(Duration::from_secs(1));
//! let log: Vec<_> = network.events().iter().map(|entry| (entry.at.as_millis(), entry.host)).collect();
//! assert_eq!(log, [(25, b), (50, a)]);
//! ```

mod clock;
pub mod contract;
pub mod errors;
mod host;
mod link;
mod nat;
mod network;
mod random;
mod seeds;
mod trace;

pub use clock::{elapsed, instant};
pub use host::{Cpu, Datagram, Host, HostId, HostStats};
pub use link::{GilbertElliott, Link, Loss, Passing, Reordering, Verdict};
pub use nat::{Dependence, Nat, NatId};
pub use network::{EventEntry, Network};
pub use random::Random;
pub use seeds::for_each_seed;
pub use trace::{DropReason, Trace, TraceEntry, TraceKind};

//! What a company is like.

use std::time::Duration;

use sim::Cpu;
use trigger::{ProbeMode, Standby};

/// How a world is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many branches there are.
    pub branches: u32,
    /// How many hubs every branch knows.
    pub hubs: u8,
    /// What becomes of the hubs that are not in use.
    pub standby: Standby,
    /// Whether each branch is behind a NAT box of its own.
    pub nat: bool,
    /// Loss in each direction, as a share.
    pub loss: f64,
    /// How the branches probe.
    pub mode: ProbeMode,
    /// Phase 1 and phase 2 proposals; the defaults of ike-core if `None`.
    pub proposals: Option<(&'static str, &'static str)>,
    /// The hub's processor.
    pub cpu: Cpu,
    /// How many times longer than usual the hub takes for everything.
    pub slowness: u32,
    /// How often the hub asks over a pair while it has no answer.
    pub read_interval: Duration,
}

impl Settings {
    /// One branch, default settings: 50 ms round trip, 1 % loss.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            branches: 1,
            hubs: 1,
            standby: Standby::default(),
            nat: false,
            loss: 0.01,
            mode: ProbeMode::Client,
            proposals: None,
            cpu: hub_cpu(),
            slowness: 1,
            read_interval: Duration::from_millis(50),
        }
    }

    /// A fleet is too large for a log of everything.
    pub(super) fn quiet(&self) -> bool {
        1 < self.branches
    }
}

/// The hub's processor. How long it takes for what, the [`Site`](crate::site::Site) says.
fn hub_cpu() -> Cpu {
    Cpu {
        queue: 8_192,
        ..Cpu::default()
    }
}

//! One pair: what a user configures, sees and pays for.

use alloc::boxed::Box;
use core::net::IpAddr;

use esp_core::Subnet;

use super::ConfigError;

/// How a branch probes one pair.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ProbeMode {
    /// NTP client, mode 3: answered at once by every server. Recommended.
    Client,
    /// NTP symmetric active, mode 1: a stateful peer answers on its own polling timer.
    Symmetric,
    /// As the case's routers do it: one 3/4 exchange, then symmetric active; every 64 to 72 s.
    H3c,
}

/// The probe that triggers and proves one pair of a branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Trigger {
    /// An own address within the pair's local subnet.
    pub source: IpAddr,
    /// An address of the hub within the pair's remote subnet.
    pub target: IpAddr,
    /// The NTP mode of the probe.
    pub mode: ProbeMode,
}

impl Trigger {
    /// A probe from `source` to `target` in client mode.
    #[must_use]
    pub const fn new(source: IpAddr, target: IpAddr) -> Self {
        Self {
            source,
            target,
            mode: ProbeMode::Client,
        }
    }

    /// The same probe in another mode.
    #[must_use]
    pub const fn with_mode(mut self, mode: ProbeMode) -> Self {
        self.mode = mode;
        self
    }
}

/// A (local subnet, remote subnet) with SAs, a probe and a proof of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PairConfig {
    name: Box<str>,
    local: Subnet,
    remote: Subnet,
    trigger: Option<Trigger>,
}

impl PairConfig {
    /// A pair as the hub sees it: without a probe of its own.
    #[must_use]
    pub fn new(name: &str, local: Subnet, remote: Subnet) -> Self {
        Self {
            name: name.into(),
            local,
            remote,
            trigger: None,
        }
    }

    /// The same pair with the branch's probe.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TriggerOutsidePair`] unless the source is in the local subnet and the
    /// target in the remote one: the probe would match another pair, or none.
    pub fn with_trigger(mut self, trigger: Trigger) -> Result<Self, ConfigError> {
        if !self.local.contains(trigger.source) || !self.remote.contains(trigger.target) {
            return Err(ConfigError::TriggerOutsidePair { pair: self.name });
        }
        self.trigger = Some(trigger);
        Ok(self)
    }

    /// The pair's name in status, metrics and logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The subnet on this side.
    #[must_use]
    pub const fn local(&self) -> Subnet {
        self.local
    }

    /// The subnet on the peer's side.
    #[must_use]
    pub const fn remote(&self) -> Subnet {
        self.remote
    }

    /// The probe, on a branch.
    #[must_use]
    pub const fn trigger(&self) -> Option<Trigger> {
        self.trigger
    }

    /// Whether one packet could match both pairs.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.local.overlaps(&other.local) && self.remote.overlaps(&other.remote)
    }
}

//! What a machine knows, for status pages and metrics.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use esp_core::Subnet;
use ike_core::{EspTransform, Identity, IkeProposal};

use crate::error::DropReason;
use crate::event::{Failure, MemberId, PairId};

/// Whether a pair can be reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PairState {
    /// A reply has come back through it, and not too long ago.
    Up,
    /// There is an SA but no reply yet, or none for too long.
    Unproven,
    /// There is no SA.
    Down,
}

impl PairState {
    /// The word in status and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unproven => "unproven",
            Self::Down => "down",
        }
    }
}

/// One pair. SA, proof and time of the proof are three facts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PairStatus<'a> {
    /// Its handle.
    pub id: PairId,
    /// Whose pair it is.
    pub member: MemberId,
    /// Its name.
    pub name: &'a str,
    /// The subnet on this side.
    pub local: Subnet,
    /// The subnet on the peer's side.
    pub remote: Subnet,
    /// The verdict.
    pub state: PairState,
    /// Whether an SA may carry traffic.
    pub sa: bool,
    /// What that SA does to its packets.
    pub transform: Option<EspTransform>,
    /// When a reply last came back through the pair.
    pub last_proof: Option<Instant>,
    /// The latest measured time there and back.
    pub rtt: Option<Duration>,
    /// The last eight probes, the latest in the lowest bit; on a hub, the last eight inbound
    /// probes of the branch that proved the way back.
    pub path_reach: u8,
    /// Octets of inner packets received.
    pub octets_in: u64,
    /// Octets of inner packets sent.
    pub octets_out: u64,
    /// Packets held now, waiting for an SA.
    pub held: usize,
    /// The latest failure since the pair was last up.
    pub last_failure: Option<&'a Failure>,
    /// The branch's probe, from and to.
    pub trigger: Option<(IpAddr, IpAddr)>,
}

impl PairStatus<'_> {
    /// Whether its SA uses an algorithm that is kept only for old peers.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.transform
            .is_some_and(|transform| transform.is_legacy())
    }
}

/// One peer: at a hub a branch, at a branch its hub.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MemberStatus<'a> {
    /// Its handle.
    pub id: MemberId,
    /// Its identity, as configured.
    pub identity: &'a Identity,
    /// Its outer address, once known.
    pub address: Option<SocketAddr>,
    /// Whether NAT lies between.
    pub nat: bool,
    /// Whether an ISAKMP SA is up.
    pub ike: bool,
    /// What that ISAKMP SA was agreed with.
    pub proposal: Option<IkeProposal>,
    /// Whether an algorithm is in use that is kept only for old peers.
    pub legacy: bool,
    /// The latest failure since the ISAKMP SA was last up.
    pub last_failure: Option<&'a Failure>,
}

impl<'a> MemberStatus<'a> {
    /// A peer of which nothing but its name is known.
    pub(crate) const fn unknown(identity: &'a Identity) -> Self {
        Self {
            id: MemberId(0),
            identity,
            address: None,
            nat: false,
            ike: false,
            proposal: None,
            legacy: false,
            last_failure: None,
        }
    }
}

/// Counters since the machine was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Phase 1 exchanges that ended with an ISAKMP SA.
    pub phase_one_succeeded: u64,
    /// Phase 1 exchanges that failed.
    pub phase_one_failed: u64,
    /// Quick modes that ended with an IPsec SA.
    pub quick_mode_succeeded: u64,
    /// Quick modes that failed.
    pub quick_mode_failed: u64,
    /// Probes sent.
    pub probes_sent: u64,
    /// Probes answered.
    pub probes_answered: u64,
    /// NTP requests of branches answered.
    pub ntp_served: u64,
    /// Inner packets that no pair matches; they never enter a tunnel.
    pub unmatched: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// How many packets were dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Counts what another machine has counted as well.
    pub fn add(&mut self, other: &Self) {
        let Self {
            phase_one_succeeded,
            phase_one_failed,
            quick_mode_succeeded,
            quick_mode_failed,
            probes_sent,
            probes_answered,
            ntp_served,
            unmatched,
            drops,
        } = self;
        for (count, more) in [
            (phase_one_succeeded, other.phase_one_succeeded),
            (phase_one_failed, other.phase_one_failed),
            (quick_mode_succeeded, other.quick_mode_succeeded),
            (quick_mode_failed, other.quick_mode_failed),
            (probes_sent, other.probes_sent),
            (probes_answered, other.probes_answered),
            (ntp_served, other.ntp_served),
            (unmatched, other.unmatched),
        ] {
            *count = count.saturating_add(more);
        }
        for (count, more) in drops.iter_mut().zip(other.drops) {
            *count = count.saturating_add(more);
        }
    }

    pub(crate) fn drop(&mut self, reason: DropReason, count: u64) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter = counter.saturating_add(count);
        }
    }
}

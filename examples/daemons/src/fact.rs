//! What has happened, for other programs: one JSON object each.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// One thing that has happened. `hub events` and the status page show these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Fact {
    /// Unix time in seconds.
    pub(crate) at: f64,
    pub(crate) event: FactKind,
    /// The peer's identity.
    pub(crate) peer: String,
    /// The pair, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pair: Option<FactPair>,
    /// More, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// The pair that a fact is about.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct FactPair {
    pub(crate) name: String,
    /// The prefix on this side.
    pub(crate) local: String,
    /// The prefix on the peer's side.
    pub(crate) remote: String,
}

/// What kind of fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FactKind {
    PeerUp,
    PeerRenewed,
    PeerDown,
    AddressChanged,
    SaUp,
    SaRekeyed,
    SaDown,
    PairUp,
    PairDown,
    NegotiationFailed,
}

impl FactKind {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::PeerUp,
        Self::PeerRenewed,
        Self::PeerDown,
        Self::AddressChanged,
        Self::SaUp,
        Self::SaRekeyed,
        Self::SaDown,
        Self::PairUp,
        Self::PairDown,
        Self::NegotiationFailed,
    ];

    /// Its name for other programs.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::PeerUp => "peer_up",
            Self::PeerRenewed => "peer_renewed",
            Self::PeerDown => "peer_down",
            Self::AddressChanged => "address_changed",
            Self::SaUp => "sa_up",
            Self::SaRekeyed => "sa_rekeyed",
            Self::SaDown => "sa_down",
            Self::PairUp => "pair_up",
            Self::PairDown => "pair_down",
            Self::NegotiationFailed => "negotiation_failed",
        }
    }

    /// Whether it tells how a negotiation ended.
    pub(crate) fn is_outcome(self) -> bool {
        match self {
            Self::PeerUp
            | Self::PeerRenewed
            | Self::SaUp
            | Self::SaRekeyed
            | Self::NegotiationFailed => true,
            Self::PeerDown
            | Self::AddressChanged
            | Self::SaDown
            | Self::PairUp
            | Self::PairDown => false,
        }
    }
}

impl Serialize for FactKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// Unix time in seconds; a clock before 1970 counts as 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

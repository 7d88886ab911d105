//! Every delay of this crate: one name, one setting, one default.

use core::time::Duration;

/// How soon, how often and how long: the delays of probing, holding and retrying.
///
/// The defaults keep a pair's darkness under a second after its link comes up and find a
/// silent black hole within half a minute. To change one, begin with the defaults:
///
/// ```
/// use core::time::Duration;
/// use trigger::Timing;
///
/// let mut timing = Timing::default();
/// timing.probe_interval = Duration::from_secs(60);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// Longest wait between a link coming up and the first probe. Default: 100 ms.
    ///
    /// One site's link concerns one site, so this is short.
    pub link_up_jitter: Duration,
    /// Added to the first probe for each pair that comes before. Default: 20 ms.
    pub pair_spacing: Duration,
    /// Longest wait before a branch comes back to a hub that had gone away. Default: 500 ms.
    ///
    /// Everybody comes back at once then, so this is the brake on the stampede.
    pub hub_back_jitter: Duration,
    /// Second probe after this long without an answer; doubles from there. Default: 1 s.
    pub retry_first: Duration,
    /// The longest wait between two probes of an unreachable pair. Default: 14 s.
    pub retry_cap: Duration,
    /// Retries are spread by this share either way, in per cent. Default: 25.
    pub retry_spread_percent: u32,
    /// The schedule is not taken back to its beginning more often than this. Default: 5 s.
    pub rearm_interval: Duration,
    /// From an SA coming up to the probe that confirms it. Default: 50 ms.
    ///
    /// Where the way is long, it is one and a half of the measured round trip: the probe that was held is
    /// on its way.
    pub confirm_delay: Duration,
    /// From the first confirming probe, or the first proof, to one more probe. Default: 1 s.
    pub confirm_again: Duration,
    /// Between probes of a reachable pair that carries no traffic. Default: 20 s.
    pub probe_interval: Duration,
    /// Probes of a reachable pair are spread by this share either way, in per cent. Default: 10.
    pub probe_spread_percent: u32,
    /// Inbound traffic puts probes off, but never for longer than this. Default: 24 s.
    ///
    /// Traffic says nothing of the way out, so this bounds how long a black hole there can hide.
    pub probe_ceiling: Duration,
    /// Traffic whose gaps are longer than this has no rhythm that could be missed. Default: 10 s.
    pub cadence_limit: Duration,
    /// Added to one and a half of the longest recent gap of inbound traffic; a pair that is silent
    /// for longer is probed at once. Default: 250 ms.
    pub cadence_slack: Duration,
    /// A hub that has been silent for this long, over every pair, is asked over the pair that is due
    /// next. Default: 7 s.
    ///
    /// This finds a dead hub or a new NAT mapping; the interval of each pair only finds what concerns
    /// that pair alone.
    pub hub_silence: Duration,
    /// How long a probe waits for its reply before the pair is suspected. Default: 1 s.
    pub reply_wait: Duration,
    /// What a stateful symmetric peer may take beyond the polling interval, as it answers on
    /// its own timer. Default: 4 s.
    pub symmetric_slack: Duration,
    /// Between the probes of a suspected pair. Default: 700 ms.
    pub suspect_interval: Duration,
    /// Unanswered probes, of a suspected pair or through a fresh SA, before the SA is given up.
    /// Default: 3.
    pub suspect_probes: u32,
    /// A proof older than this no longer shows a pair as up. Default: 75 s.
    pub proof_lifetime: Duration,
    /// The polling interval of the `h3c` profile. Default: 64 s.
    pub h3c_interval: Duration,
    /// Added at random to [`h3c_interval`](Self::h3c_interval). Default: 8 s.
    pub h3c_spread: Duration,
    /// First wait after a refused or failed negotiation; doubles from there. Default: 1 s.
    pub negotiation_retry_first: Duration,
    /// Longest wait after a refused or failed negotiation. Default: 8 s.
    pub negotiation_retry_cap: Duration,
    /// Quick modes of one branch in flight at most. Default: 2.
    pub quick_modes_in_flight: usize,
    /// How long a packet is held while its pair comes up. Default: 5 s.
    pub hold_time: Duration,
    /// Packets held per pair at most; with zero none is, and each is dropped and counted. Default: 16.
    pub hold_packets: usize,
    /// Between two reports of an SA's usage and liveness to IKE. Default: 1 s.
    pub usage_interval: Duration,
    /// Between two reactions to packets for an unknown SPI from the own hub. Default: 5 s.
    pub unknown_spi_interval: Duration,
    /// How long a better hub must have been proved without a reply missing before a branch turns back to it.
    /// Default: 60 s.
    pub failback_hold: Duration,
    /// Between two calls of a hub's roll call. Default: 1 ms.
    ///
    /// Where the endpoint knows its
    /// [`key_exchange_time`](ike_core::config::EndpointConfigBuilder::key_exchange_time), the roll is called at
    /// that pace instead, and this is not used: one branch is called while another one is served. As many as come
    /// within [`hub_back_jitter`](Self::hub_back_jitter) are called at once in the beginning.
    pub roll_call_spacing: Duration,
    /// Between the rounds in which a hub calls a branch again that has not come back.
    /// Default: 2 s.
    pub roll_call_round: Duration,
    /// How often a hub calls each branch after its restart. Default: 5.
    pub roll_call_rounds: u32,
    /// How long the embedder may look for a branch's key. Default: 10 s.
    pub key_patience: Duration,
    /// After a key that did not come, the least time until it is asked for again. Default: 5 s.
    pub key_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            link_up_jitter: Duration::from_millis(100),
            pair_spacing: Duration::from_millis(20),
            hub_back_jitter: Duration::from_millis(500),
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(14),
            retry_spread_percent: 25,
            rearm_interval: Duration::from_secs(5),
            confirm_delay: Duration::from_millis(50),
            confirm_again: Duration::from_secs(1),
            probe_interval: Duration::from_secs(20),
            probe_spread_percent: 10,
            probe_ceiling: Duration::from_secs(24),
            cadence_limit: Duration::from_secs(10),
            cadence_slack: Duration::from_millis(250),
            hub_silence: Duration::from_secs(7),
            reply_wait: Duration::from_secs(1),
            symmetric_slack: Duration::from_secs(4),
            suspect_interval: Duration::from_millis(700),
            suspect_probes: 3,
            proof_lifetime: Duration::from_secs(75),
            h3c_interval: Duration::from_secs(64),
            h3c_spread: Duration::from_secs(8),
            negotiation_retry_first: Duration::from_secs(1),
            negotiation_retry_cap: Duration::from_secs(8),
            quick_modes_in_flight: 2,
            hold_time: Duration::from_secs(5),
            hold_packets: 16,
            usage_interval: Duration::from_secs(1),
            unknown_spi_interval: Duration::from_secs(5),
            failback_hold: Duration::from_secs(60),
            roll_call_spacing: Duration::from_millis(1),
            roll_call_round: Duration::from_secs(2),
            roll_call_rounds: 5,
            key_patience: Duration::from_secs(10),
            key_retry: Duration::from_secs(5),
        }
    }
}

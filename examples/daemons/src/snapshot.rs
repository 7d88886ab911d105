//! A machine's state at one moment, for status and metrics.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use trigger::{DropReason, Failure, MemberId, MemberStatus, Stats};

use crate::failure;
use crate::status::{PairStatus, PeerStatus, Status};
use crate::timings::Distributions;

/// A copy of everything that others may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was taken, by the wall clock.
    pub(crate) taken: SystemTime,
    pub(crate) status: Status,
    /// Phase, result, count.
    pub(crate) negotiations: Vec<(&'static str, &'static str, u64)>,
    /// Reason, count.
    pub(crate) drops: Vec<(String, u64)>,
    pub(crate) distributions: Distributions,
    /// Result, count.
    pub(crate) hook_runs: Vec<(&'static str, u64)>,
    /// When it was begun, and how long that took.
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// The answer to `status`, once somebody has asked for it.
    pub(crate) line: OnceLock<Option<Vec<u8>>>,
}

/// How many times as long as it took to take a snapshot serves everybody who asks: however many ask, it takes no more
/// than a small part of the loop's time.
const LIFETIME: u32 = 10;
/// It serves for so long at least.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(5);
/// What is told is never older for want of a newer one that could be taken at once.
const LONGEST_LIFETIME: Duration = Duration::from_millis(500);

impl Snapshot {
    /// How long it is as good as a new one.
    pub(crate) fn lifetime(&self) -> Duration {
        (self.took * LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
    }

    /// The whole line that answers `status`, written once however many ask.
    pub(crate) fn status_line(&self) -> Option<&[u8]> {
        #[derive(Serialize)]
        struct Answer<'a> {
            status: &'a Status,
        }
        let write = || {
            let status = &self.status;
            let mut octets = serde_json::to_vec(&Answer { status }).ok()?;
            octets.push(b'\n');
            Some(octets)
        };
        self.line.get_or_init(write).as_deref()
    }
}

#[cfg(test)]
impl Snapshot {
    /// Of a hub without branches, which has dropped one datagram.
    pub(crate) fn example() -> Self {
        Self {
            taken: SystemTime::UNIX_EPOCH,
            status: Status {
                role: "hub".into(),
                identity: "hub".into(),
                uptime_seconds: 1.0,
                data_path: "user".to_owned(),
                peers: Vec::new(),
            },
            negotiations: Vec::new(),
            drops: vec![("late".into(), 1)],
            distributions: Distributions::default(),
            hook_runs: Vec::new(),
            began: crate::clock::now(),
            took: Duration::ZERO,
            line: OnceLock::new(),
        }
    }
}

/// What the daemon itself had to drop.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct IoDrops {
    /// Datagrams that the outer socket did not take.
    pub(crate) outer_send: u64,
    /// Packets that the TUN did not take.
    pub(crate) tun_send: u64,
    /// Inner packets of its own that the kernel did not take.
    pub(crate) inner_send: u64,
    /// What the TUN gave and no packet could be made of.
    pub(crate) tun_receive: u64,
    /// What a worker's backlog had no room for.
    pub(crate) worker_backlog: u64,
}

impl IoDrops {
    pub(crate) fn add(&mut self, other: Self) {
        self.outer_send += other.outer_send;
        self.tun_send += other.tun_send;
        self.inner_send += other.inner_send;
        self.tun_receive += other.tun_receive;
        self.worker_backlog += other.worker_backlog;
    }
}

/// `shared` counts, for identities whose pre-shared key others have too, all that have it.
pub(crate) fn peers<'m>(
    now: Instant,
    shared: &BTreeMap<String, usize>,
    members: impl Iterator<Item = MemberStatus<'m>>,
    pairs: impl Iterator<Item = trigger::PairStatus<'m>>,
) -> Vec<PeerStatus> {
    let mut by_member: BTreeMap<MemberId, Vec<PairStatus>> = BTreeMap::new();
    for pair in pairs {
        by_member
            .entry(pair.member)
            .or_default()
            .push(pair_status(now, &pair));
    }
    members
        .map(|member| {
            let pairs = by_member.remove(&member.id).unwrap_or_default();
            let mut status = peer_status(&member, pairs);
            status.key_shared_by = shared.get(&status.identity).copied().unwrap_or(1);
            status
        })
        .collect()
}

pub(crate) fn negotiations(stats: &Stats) -> Vec<(&'static str, &'static str, u64)> {
    vec![
        ("1", "success", stats.phase_one_succeeded),
        ("1", "failure", stats.phase_one_failed),
        ("2", "success", stats.quick_mode_succeeded),
        ("2", "failure", stats.quick_mode_failed),
    ]
}

pub(crate) fn drops(stats: &Stats, ike: &ike_core::Stats, io: IoDrops) -> Vec<(String, u64)> {
    let machine = DropReason::ALL
        .iter()
        .filter(|reason| **reason != DropReason::Ike);
    let machine = machine.map(|reason| (reason.label().to_owned(), stats.dropped(*reason)));
    // IKE tells its reasons apart itself.
    let ike = ike
        .drops
        .by_reason()
        .into_iter()
        .map(|(reason, count)| (format!("ike_{reason}"), count));
    let own = [
        ("no_pair", stats.unmatched),
        ("outer_send", io.outer_send),
        ("tun_send", io.tun_send),
        ("tun_receive", io.tun_receive),
        ("inner_send", io.inner_send),
        ("worker_backlog", io.worker_backlog),
    ];
    machine
        .chain(ike)
        .chain(own.map(|(reason, count)| (reason.to_owned(), count)))
        .collect()
}

fn peer_status(member: &MemberStatus<'_>, pairs: Vec<PairStatus>) -> PeerStatus {
    PeerStatus {
        identity: member.identity.to_string(),
        address: member.address,
        nat: member.nat,
        ike: if member.ike { "up" } else { "down" }.to_owned(),
        ike_proposal: member.proposal.map(|proposal| proposal.to_string()),
        legacy: member.legacy,
        key_shared_by: 1,
        last_failure: member.last_failure.map(failure::words),
        remedy: member.last_failure.and_then(remedy),
        pairs,
    }
}

fn pair_status(now: Instant, pair: &trigger::PairStatus<'_>) -> PairStatus {
    PairStatus {
        name: pair.name.to_owned(),
        local: pair.local.to_string(),
        remote: pair.remote.to_string(),
        state: pair.state.label().to_owned(),
        sa: pair.sa,
        esp: pair.transform.map(|transform| transform.to_string()),
        last_proof_seconds: pair
            .last_proof
            .map(|at| now.saturating_duration_since(at).as_secs_f64()),
        rtt_ms: pair.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        path_reach: format!("{:03o}", pair.path_reach),
        bytes_in: pair.octets_in,
        bytes_out: pair.octets_out,
        last_failure: pair.last_failure.map(failure::words),
        remedy: pair.last_failure.and_then(remedy),
    }
}

fn remedy(failure: &Failure) -> Option<String> {
    failure::remedy(failure).map(str::to_owned)
}

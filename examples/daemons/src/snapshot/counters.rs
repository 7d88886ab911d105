//! What the daemon has counted and measured up to one moment.

use trigger::{DropReason, Stats};

use crate::timings::Distributions;

/// Everything that is counted; the words for it are found when somebody asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) stats: Stats,
    pub(crate) ike: ike_core::Stats,
    pub(crate) io: IoDrops,
    pub(crate) distributions: Distributions,
    /// Result, count.
    pub(crate) hook_runs: Vec<(&'static str, u64)>,
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

impl Counters {
    /// Phase, result, count.
    pub(crate) fn negotiations(&self) -> [(&'static str, &'static str, u64); 4] {
        let stats = &self.stats;
        [
            ("1", "success", stats.phase_one_succeeded),
            ("1", "failure", stats.phase_one_failed),
            ("2", "success", stats.quick_mode_succeeded),
            ("2", "failure", stats.quick_mode_failed),
        ]
    }

    /// Reason, count.
    pub(crate) fn drops(&self) -> Vec<(String, u64)> {
        let machine = DropReason::ALL
            .iter()
            .filter(|reason| **reason != DropReason::Ike);
        let machine =
            machine.map(|reason| (reason.label().to_owned(), self.stats.dropped(*reason)));
        // IKE tells its reasons apart itself.
        let ike = self
            .ike
            .drops
            .by_reason()
            .into_iter()
            .map(|(reason, count)| (format!("ike_{reason}"), count));
        let own = [
            ("no_pair", self.stats.unmatched),
            ("outer_send", self.io.outer_send),
            ("tun_send", self.io.tun_send),
            ("tun_receive", self.io.tun_receive),
            ("inner_send", self.io.inner_send),
            ("worker_backlog", self.io.worker_backlog),
        ];
        machine
            .chain(ike)
            .chain(own.map(|(reason, count)| (reason.to_owned(), count)))
            .collect()
    }
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

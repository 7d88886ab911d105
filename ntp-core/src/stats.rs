//! Counters of an association.

use crate::association::Reply;
use crate::error::Rejection;

/// What an association has sent, accepted and dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets sent.
    pub sent: u64,
    /// Packets handed in.
    pub received: u64,
    /// Packets that proved the path.
    pub answers: u64,
    /// Answers that were measurements.
    pub samples: u64,
    /// Answers in interleaved mode.
    pub interleaved: u64,
    /// Dropped: not NTP.
    pub malformed: u64,
    /// Dropped: another's address or mode.
    pub misdirected: u64,
    /// Dropped: TEST1, duplicates and replays.
    pub duplicates: u64,
    /// Dropped: TEST2 and TEST3, answers to nothing.
    pub unmatched: u64,
    /// Dropped: TEST5, not authentic.
    pub not_authentic: u64,
    /// Dropped for any other reason.
    pub others: u64,
    /// Packets or events of our own that found their queue full.
    pub overflows: u64,
}

impl Stats {
    pub(crate) fn count(&mut self, result: &Result<Reply, Rejection>) {
        self.received += 1;
        match result {
            Ok(reply) => {
                self.answers += u64::from(reply.path);
                self.samples += u64::from(reply.sample.is_some());
            }
            Err(rejection) => *self.counter(rejection) += 1,
        }
    }

    const fn counter(&mut self, rejection: &Rejection) -> &mut u64 {
        match rejection {
            Rejection::Malformed(_) => &mut self.malformed,
            Rejection::WrongAddress | Rejection::WrongMode { .. } => &mut self.misdirected,
            Rejection::Duplicate | Rejection::Replayed => &mut self.duplicates,
            Rejection::Unmatched | Rejection::ZeroTimestamp => &mut self.unmatched,
            Rejection::NotAuthentic(_) => &mut self.not_authentic,
            Rejection::AccessDenied
            | Rejection::TooEarly
            | Rejection::PassiveToPassive
            | Rejection::QuotaReached
            | Rejection::Closed => &mut self.others,
        }
    }
}

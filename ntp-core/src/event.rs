//! Facts about an association, in the past tense.

use core::time::Duration;

use crate::filter::PeerStatistics;
use crate::kiss::KissCode;

/// What has happened to an association.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The path was dark and has answered.
    PathReached,
    /// None of the last eight requests was answered at all, or a kick said that the path is gone or another one.
    PathLost,
    /// The server was unusable as a source of time and has become usable.
    ServerReached,
    /// None of the last eight measurements gave a sample.
    ServerLost,
    /// The clock filter has a new output.
    Updated(PeerStatistics),
    /// A kiss code answered a request of ours.
    Kissed {
        /// The code.
        code: KissCode,
        /// Whether it carried a valid message authentication code.
        authenticated: bool,
    },
    /// The volley of a broadcast client has measured the delay.
    DelayMeasured {
        /// One-way delay.
        delay: Duration,
    },
    /// The association has ended and sends nothing any more.
    Ended(EndReason),
}

/// Why an association has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EndReason {
    /// [`close`](crate::Association::close) was called.
    Requested,
    /// The server denied access, and the [`DenialPolicy`](crate::config::DenialPolicy) obeys.
    Denied(KissCode),
    /// An association made on demand has not heard its peer for too long.
    Silent,
    /// An association made on demand met a peer that is passive as well.
    PassiveToPassive,
}

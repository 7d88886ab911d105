//! What keeps one pair of a lane up.

use alloc::vec::Vec;

use crate::config::ProbeMode;
use crate::event::PairId;
use crate::probe::Probe;
use crate::schedule::Schedule;

/// One pair, when it is probed, and with what.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) pair: PairId,
    pub(super) schedule: Schedule,
    pub(super) probe: Probe,
    pub(super) mode: ProbeMode,
    /// The latest probe that had to wait for an SA.
    pub(super) waiting: Option<Vec<u8>>,
}

//! The time that the associations give together.

use std::time::Instant;

use thiserror::Error;

use super::{AssociationId, System, SystemEvent};
use crate::duration::NtpDuration;
use crate::error::Unfit;
use crate::packet::{LeapIndicator, Stratum};
use crate::ref_id::ReferenceId;
use crate::select::{Candidate, NoSelection, select};
use crate::system_variables::SystemVariables;
use crate::timestamp::NtpTimestamp;

/// What the servers say together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SystemEstimate {
    /// How far true time is ahead of our clock (THETA).
    pub offset: NtpDuration,
    /// Jitter of that offset (PSI).
    pub jitter: NtpDuration,
    /// Stratum that we have while we follow these servers.
    pub stratum: Stratum,
    /// Leap indicator of the system peer.
    pub leap: LeapIndicator,
    /// The system peer as a reference identifier; none for an IPv6 address if the provider lacks MD5.
    pub reference_id: ReferenceId,
    /// Round trip to the reference clock.
    pub root_delay: NtpDuration,
    /// Greatest error relative to the reference clock, apart from half the root delay.
    pub root_dispersion: NtpDuration,
    /// The servers that were believed, best first. The first is the system peer.
    pub survivors: Vec<AssociationId>,
    /// The servers whose time cannot be right.
    pub falsetickers: Vec<AssociationId>,
}

impl SystemEstimate {
    /// Half the root delay and the root dispersion: how far the estimate may be from the reference clock.
    #[must_use]
    pub fn root_distance(&self) -> NtpDuration {
        self.root_delay.half() + self.root_dispersion
    }

    /// What to say about our clock once the embedder has set it by this estimate.
    #[must_use]
    pub const fn variables(&self, now: Instant, wall: NtpTimestamp) -> SystemVariables {
        SystemVariables {
            leap: self.leap,
            stratum: self.stratum,
            reference_id: self.reference_id,
            root_delay: self.root_delay,
            root_dispersion: self.root_dispersion,
            reference_time: Some(wall),
            as_of: Some(now),
            ..SystemVariables::UNSYNCHRONISED
        }
    }
}

/// Why there is no estimate.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NoEstimate {
    /// There are no associations.
    #[error("there are no associations")]
    NoAssociations,
    /// None of the associations is fit to be selected.
    #[error("no server is fit to be selected")]
    NoneFit {
        /// Each with the reason.
        reasons: Vec<(AssociationId, Unfit)>,
    },
    /// The servers do not agree.
    #[error("servers do not agree")]
    Disagreement(#[from] NoSelection),
}

impl System {
    /// What the servers say together.
    ///
    /// # Errors
    ///
    /// Why they say nothing.
    pub fn estimate(&self, now: Instant) -> Result<SystemEstimate, NoEstimate> {
        if self.associations.is_empty() {
            return Err(NoEstimate::NoAssociations);
        }
        let mut ids = Vec::new();
        let mut candidates = Vec::new();
        let mut reasons = Vec::new();
        for (id, entry) in &self.associations {
            match entry.association.candidate(now, &self.config.own) {
                Ok(candidate) => {
                    ids.push(*id);
                    candidates.push(candidate);
                }
                Err(unfit) => reasons.push((*id, unfit)),
            }
        }
        if candidates.is_empty() {
            return Err(NoEstimate::NoneFit { reasons });
        }
        self.combine(now, &ids, &candidates)
    }

    fn combine(
        &self,
        now: Instant,
        ids: &[AssociationId],
        candidates: &[Candidate],
    ) -> Result<SystemEstimate, NoEstimate> {
        let previous = ids.iter().position(|id| Some(*id) == self.system_peer);
        let selection = select(candidates, previous, &self.config.selection)?;
        let name = |position: &usize| ids.get(*position).copied();
        let survivors: Vec<_> = selection.survivors.iter().filter_map(name).collect();
        let peer = survivors.first().and_then(|id| self.association(*id));
        let facts = peer.and_then(|peer| Some((peer, peer.estimate()?, peer.last_sample()?)));
        let Some((peer, statistics, sample)) = facts else {
            return Err(NoSelection::NoCandidates.into());
        };
        let age = now.saturating_duration_since(statistics.at).as_secs_f64();
        let error = statistics.dispersion.as_seconds_f64()
            + crate::sample::DRIFT * age
            + selection.jitter.as_seconds_f64()
            + selection.offset.abs().as_seconds_f64();
        let error = NtpDuration::from_seconds_f64(error.max(crate::association::MIN_DISPERSION));
        Ok(SystemEstimate {
            offset: selection.offset,
            jitter: selection.jitter,
            stratum: Stratum(sample.stratum.0.saturating_add(1)),
            leap: sample.leap,
            reference_id: ReferenceId::from_address(peer.config().remote().ip(), &self.provider)
                .unwrap_or_default(),
            root_delay: sample.root_delay + statistics.delay,
            root_dispersion: sample.root_dispersion + error,
            falsetickers: selection.falsetickers.iter().filter_map(name).collect(),
            survivors,
        })
    }

    /// Selects anew.
    pub(super) fn update(&mut self, now: Instant) {
        match self.estimate(now) {
            Ok(estimate) => {
                self.has_estimate = true;
                self.system_peer = estimate.survivors.first().copied();
                self.raise(SystemEvent::Estimated(estimate));
            }
            Err(error) if self.has_estimate => {
                self.has_estimate = false;
                self.system_peer = None;
                self.raise(SystemEvent::EstimateLost(error));
            }
            Err(_) => {}
        }
    }
}

//! What a lane knows of its pairs and its hub, for status.

use core::time::Duration;

use super::Lane;
use crate::event::PairId;
use crate::status::{MemberStatus, PairStatus, Stats};

impl Lane {
    /// Every configured pair, up or not.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = PairStatus<'_>> {
        self.data_path
            .pairs()
            .map(|(id, pair)| pair.status(id, self.now, &self.config.timing))
    }

    /// The hub.
    #[must_use]
    pub(crate) fn hub(&self) -> MemberStatus<'_> {
        let sa = self.peer.and_then(|peer| self.endpoint.ike_sa(peer));
        let proposal = sa.as_ref().map(|sa| sa.proposal);
        MemberStatus {
            id: self.member,
            identity: self.config.ike.remote(),
            address: Some(sa.as_ref().map_or(self.hub, |sa| sa.remote)),
            nat: sa.as_ref().is_some_and(|sa| sa.nat.local || sa.nat.remote),
            ike: self.ike_up,
            proposal,
            legacy: proposal.is_some_and(|proposal| proposal.is_legacy())
                || self.pairs().any(|pair| pair.is_legacy()),
            last_failure: self.last_failure.as_ref(),
        }
    }

    /// Every pair, whether it is up, and how long its proof took.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (PairId, bool, Option<Duration>)> {
        let pairs = self.data_path.pairs();
        pairs.map(|(id, pair)| (id, pair.reported_up, pair.rtt))
    }

    /// Counters since the branch was made.
    #[must_use]
    pub(crate) const fn stats(&self) -> &Stats {
        &self.data_path.stats
    }

    /// Counters of ike-core.
    #[must_use]
    pub(crate) fn ike_stats(&self) -> &ike_core::Stats {
        self.endpoint.stats()
    }
}

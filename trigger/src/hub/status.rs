//! What a hub knows of its branches and their pairs, for status.

use super::Hub;
use crate::event::MemberId;
use crate::status::{MemberStatus, PairStatus, Stats};

impl Hub {
    /// Every configured branch, connected or not.
    pub fn members(&self) -> impl Iterator<Item = MemberStatus<'_>> {
        self.members.iter().map(|(number, member)| {
            let id = MemberId(number);
            let sa = member.peer.and_then(|peer| self.endpoint.ike_sa(peer));
            let proposal = sa.as_ref().map(|sa| sa.proposal);
            MemberStatus {
                id,
                identity: member.config.ike.remote(),
                address: sa.as_ref().map(|sa| sa.remote),
                nat: sa.as_ref().is_some_and(|sa| sa.nat.local || sa.nat.remote),
                ike: member.ike_up,
                proposal,
                legacy: proposal.is_some_and(|proposal| proposal.is_legacy())
                    || self.pairs_of(id).any(|pair| pair.is_legacy()),
                last_failure: member.last_failure.as_ref(),
            }
        })
    }

    /// Every configured pair of every branch, up or not.
    pub fn pairs(&self) -> impl Iterator<Item = PairStatus<'_>> {
        self.data_path
            .pairs()
            .map(|(id, pair)| pair.status(id, self.now, &self.config.timing))
    }

    /// Every configured pair of one branch.
    pub fn pairs_of(&self, member: MemberId) -> impl Iterator<Item = PairStatus<'_>> {
        let ids = self
            .members
            .get(member.0)
            .map(|member| member.pairs.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|&id| {
            Some(
                self.data_path
                    .pair(id)?
                    .status(id, self.now, &self.config.timing),
            )
        })
    }

    /// Counters since the hub was made.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.data_path.stats
    }

    /// Counters of ike-core.
    #[must_use]
    pub fn ike_stats(&self) -> &ike_core::Stats {
        self.endpoint.stats()
    }
}

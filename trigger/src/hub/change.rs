//! A branch whose settings change while it may be connected.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::time::Instant;

use ike_core::PairIndex;

use super::{Hub, MemberError};
use crate::config::{MemberConfig, PairConfig};
use crate::event::{MemberId, PairId};

impl Hub {
    /// Gives the branch of this identity other settings; one that is not there yet is
    /// [added](Self::add_member).
    ///
    /// Pairs are known by their two subnets: what is running for those that stay goes on, the others
    /// are deleted or may be asked for. Another pre-shared key counts from the branch's next
    /// negotiation of phase 1 on.
    ///
    /// # Errors
    ///
    /// [`MemberError`] where a pair's two subnets are taken by another branch; nothing has changed then.
    pub fn update_member(
        &mut self,
        now: Instant,
        config: MemberConfig,
    ) -> Result<MemberId, MemberError> {
        let Some(id) = self.member(config.ike.remote()) else {
            return self.add_member(config);
        };
        let now = self.advance(now);
        self.check_pairs(&config, Some(id))?;
        self.forget_key(id);
        self.endpoint.dismiss(config.ike.remote());
        self.expect_member(&config);
        let peer = self.members.get(id.0).and_then(|member| member.peer);
        if let Some(peer) = peer {
            self.endpoint
                .set_peer_config(now, peer, Arc::clone(&config.ike));
            // What it says of pairs that have gone names their old places.
            self.settle(now);
        }
        let pairs = self.rearrange(id, &config.pairs);
        if let Some(member) = self.members.get_mut(id.0) {
            member.pairs = pairs;
            member.config = config;
        }
        Ok(id)
    }

    /// Keeps, adds and removes pairs so that they are those of `wanted`, in that order.
    fn rearrange(&mut self, id: MemberId, wanted: &[PairConfig]) -> Vec<PairId> {
        let had = self
            .members
            .get(id.0)
            .map(|member| member.pairs.clone())
            .unwrap_or_default();
        let existing = |hub: &Self, config: &PairConfig| {
            had.iter().copied().find(|pair| {
                let pair = hub.data_path.pair(*pair);
                pair.is_some_and(|pair| {
                    pair.config.local() == config.local() && pair.config.remote() == config.remote()
                })
            })
        };
        let keep: Vec<Option<PairId>> =
            wanted.iter().map(|config| existing(self, config)).collect();
        for gone in had.iter().filter(|pair| !keep.contains(&Some(**pair))) {
            self.data_path.remove_pair(*gone);
        }
        (0_u16..)
            .zip(wanted.iter().zip(keep))
            .map(|(index, (config, kept))| {
                let index = PairIndex::new(index);
                match kept.and_then(|pair| Some((pair, self.data_path.pair_mut(pair)?))) {
                    Some((pair, state)) => {
                        state.config = config.clone();
                        state.index = index;
                        pair
                    }
                    None => self.data_path.add_pair(config.clone(), id, index),
                }
            })
            .collect()
    }
}

//! The branches that a hub serves: who they are, and whether another one may be added.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::time::Instant;

use ike_core::{Identity, PairIndex};
use thiserror::Error;

use super::Hub;
use crate::config::MemberConfig;
use crate::event::{Failure, MemberId, PairId};

/// One branch.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) config: MemberConfig,
    /// By the index of the pair within ike-core.
    pub(super) pairs: Vec<PairId>,
    pub(super) peer: Option<ike_core::PeerId>,
    pub(super) ike_up: bool,
    pub(super) last_failure: Option<Failure>,
}

/// Why a branch was not added.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum MemberError {
    /// Another branch has this identity.
    #[error("another branch is {identity}")]
    DuplicateIdentity {
        /// The identity.
        identity: Identity,
    },
    /// Another branch has a pair with the same two subnets.
    #[error("pair {pair:?} has the same subnets as pair {other:?} of {identity}")]
    DuplicatePair {
        /// The new pair's name.
        pair: Box<str>,
        /// The existing pair's name.
        other: Box<str>,
        /// Whose it is.
        identity: Identity,
    },
}

impl Hub {
    /// Adds a branch; it may connect from now on.
    ///
    /// # Errors
    ///
    /// [`MemberError`] where an identity or a pair's two subnets are taken.
    pub fn add_member(&mut self, config: MemberConfig) -> Result<MemberId, MemberError> {
        let identity = config.ike.remote().clone();
        if self.by_identity.contains_key(&identity) {
            return Err(MemberError::DuplicateIdentity { identity });
        }
        self.check_pairs(&config, None)?;
        let id = MemberId(self.members.next());
        let pairs = (0_u16..)
            .zip(&config.pairs)
            .map(|(index, pair)| {
                self.data_path
                    .add_pair(pair.clone(), id, PairIndex::new(index))
            })
            .collect();
        self.expect_member(&config);
        self.by_identity.insert(identity, id);
        self.members.push(Member {
            config,
            pairs,
            peer: None,
            ike_up: false,
            last_failure: None,
        });
        Ok(id)
    }

    /// Removes a branch: it is told, and may not come back.
    pub fn remove_member(&mut self, now: Instant, id: MemberId) {
        let now = self.advance(now);
        let Some(member) = self.members.get(id.0) else {
            return;
        };
        let identity = member.config.ike.remote().clone();
        self.endpoint.dismiss(&identity);
        self.forget_key(id);
        let Some(member) = self.members.get(id.0) else {
            return;
        };
        if let Some(peer) = member.peer {
            self.endpoint.disconnect(now, peer);
            self.settle(now);
        }
        let Some(member) = self.members.remove(id.0) else {
            return;
        };
        self.by_identity.remove(member.config.ike.remote());
        if let Some(peer) = member.peer {
            self.by_peer.remove(&peer);
        }
        for pair in member.pairs {
            self.data_path.remove_pair(pair);
        }
        self.settle(now);
    }

    /// The branch with this identity.
    #[must_use]
    pub fn member(&self, identity: &Identity) -> Option<MemberId> {
        self.by_identity.get(identity).copied()
    }

    /// Who a branch is.
    #[must_use]
    pub fn identity(&self, id: MemberId) -> Option<&Identity> {
        Some(self.members.get(id.0)?.config.identity())
    }

    /// Whether each pair is free, or that of the member that is about to change.
    pub(super) fn check_pairs(
        &self,
        config: &MemberConfig,
        changing: Option<MemberId>,
    ) -> Result<(), MemberError> {
        for pair in &config.pairs {
            let Some(owner) = self
                .data_path
                .owner(pair)
                .and_then(|id| self.data_path.pair(id))
                .filter(|owner| Some(owner.member) != changing)
            else {
                continue;
            };
            let Some(member) = self.members.get(owner.member.0) else {
                continue;
            };
            return Err(MemberError::DuplicatePair {
                pair: pair.name().into(),
                other: owner.config.name().into(),
                identity: member.config.ike.remote().clone(),
            });
        }
        Ok(())
    }

    /// Lets ike-core know whom to expect.
    pub(super) fn expect_member(&mut self, config: &MemberConfig) {
        if config.key_on_demand {
            self.endpoint.ask_for(config.ike.remote().clone());
        } else {
            self.endpoint.admit(Arc::clone(&config.ike));
        }
    }
}

//! What the main loop copies of peers and pairs: numbers and handles, no text.
//!
//! A hub has thousands of them, and no packet is taken in while it copies. What a handle is called, and how a number is
//! written, is found on the thread of whoever asks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ike_core::{EspTransform, IkeProposal};
use trigger::{Failure, MemberId, MemberStatus, PairId, PairState};

use crate::failure;
use crate::machine::Machine;
use crate::names::Names;
use crate::status::{PairStatus, PeerStatus};

/// All of them at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    now: Instant,
    peers: Vec<SeenPeer>,
    /// Those of the first peer, then those of the second, and so on.
    pairs: Vec<SeenPair>,
}

#[derive(Clone, Debug)]
struct SeenPeer {
    id: MemberId,
    /// How many of the pairs are its own.
    pairs: usize,
    address: Option<SocketAddr>,
    nat: bool,
    ike: bool,
    proposal: Option<IkeProposal>,
    legacy: bool,
    last_failure: Option<Box<Failure>>,
}

#[derive(Clone, Debug)]
struct SeenPair {
    id: PairId,
    state: PairState,
    sa: bool,
    transform: Option<EspTransform>,
    last_proof: Option<Instant>,
    rtt: Option<Duration>,
    path_reach: u8,
    octets_in: u64,
    octets_out: u64,
    last_failure: Option<Box<Failure>>,
}

/// What is the same for many of them, spelt once.
#[derive(Clone, Debug)]
pub(crate) struct Spellings {
    proposals: BTreeMap<IkeProposal, String>,
    transforms: BTreeMap<EspTransform, String>,
    reaches: BTreeMap<u8, String>,
}

impl Seen {
    /// Copies what the machine knows; `names` says how much there is.
    pub(crate) fn of(now: Instant, machine: &Machine, names: &Names) -> Self {
        let (peers, pairs) = names.count();
        let mut seen = Self {
            now,
            peers: Vec::with_capacity(peers),
            pairs: Vec::with_capacity(pairs),
        };
        machine.each_peer(&mut |peer, pairs| {
            let before = seen.pairs.len();
            seen.pairs.extend(pairs.map(SeenPair::of));
            let own = seen.pairs.len() - before;
            seen.peers.push(SeenPeer::of(peer, own));
        });
        seen
    }

    pub(crate) fn spellings(&self) -> Spellings {
        let proposals = self.peers.iter().filter_map(|peer| peer.proposal);
        let transforms = self.pairs.iter().filter_map(|pair| pair.transform);
        let reaches = self.pairs.iter().map(|pair| pair.path_reach);
        Spellings {
            proposals: spell(proposals, IkeProposal::to_string),
            transforms: spell(transforms, EspTransform::to_string),
            reaches: spell(reaches, |reach| format!("{reach:03o}")),
        }
    }

    /// Each peer with its pairs, as it is told.
    pub(crate) fn peers<'a>(
        &'a self,
        names: &'a Names,
        spellings: &'a Spellings,
    ) -> impl Iterator<Item = PeerStatus<'a>> {
        let mut pairs = self.pairs.iter();
        self.peers.iter().map(move |peer| {
            let own = pairs.by_ref().take(peer.pairs);
            let pairs = own.map(|pair| pair.told(self.now, names, spellings));
            peer.told(names, spellings, pairs.collect())
        })
    }
}

impl SeenPeer {
    fn of(peer: &MemberStatus<'_>, pairs: usize) -> Self {
        Self {
            id: peer.id,
            pairs,
            address: peer.address,
            nat: peer.nat,
            ike: peer.ike,
            proposal: peer.proposal,
            legacy: peer.legacy,
            last_failure: peer.last_failure.cloned().map(Box::new),
        }
    }

    fn told<'a>(
        &'a self,
        names: &'a Names,
        spellings: &'a Spellings,
        pairs: Vec<PairStatus<'a>>,
    ) -> PeerStatus<'a> {
        let (last_failure, remedy) = told_failure(self.last_failure.as_deref());
        let member = names.member(self.id);
        PeerStatus {
            identity: Cow::Borrowed(member.map_or("?", |member| &member.identity)),
            address: self.address,
            nat: self.nat,
            ike: Cow::Borrowed(if self.ike { "up" } else { "down" }),
            ike_proposal: spelt(&spellings.proposals, self.proposal),
            legacy: self.legacy,
            key_shared_by: member.map_or(1, |member| member.key_shared_by),
            last_failure,
            remedy,
            pairs,
        }
    }
}

impl SeenPair {
    fn of(pair: trigger::PairStatus<'_>) -> Self {
        Self {
            id: pair.id,
            state: pair.state,
            sa: pair.sa,
            transform: pair.transform,
            last_proof: pair.last_proof,
            rtt: pair.rtt,
            path_reach: pair.path_reach,
            octets_in: pair.octets_in,
            octets_out: pair.octets_out,
            last_failure: pair.last_failure.cloned().map(Box::new),
        }
    }

    fn told<'a>(
        &'a self,
        now: Instant,
        names: &'a Names,
        spellings: &'a Spellings,
    ) -> PairStatus<'a> {
        let (last_failure, remedy) = told_failure(self.last_failure.as_deref());
        let (name, local, remote) = names.pair(self.id).map_or(("?", "?", "?"), |(_, pair)| {
            (&pair.name, &pair.local, &pair.remote)
        });
        PairStatus {
            name: Cow::Borrowed(name),
            local: Cow::Borrowed(local),
            remote: Cow::Borrowed(remote),
            state: Cow::Borrowed(self.state.label()),
            sa: self.sa,
            esp: spelt(&spellings.transforms, self.transform),
            last_proof_seconds: self
                .last_proof
                .map(|at| now.saturating_duration_since(at).as_secs_f64()),
            rtt_ms: self.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            path_reach: spelt(&spellings.reaches, Some(self.path_reach)).unwrap_or_default(),
            bytes_in: self.octets_in,
            bytes_out: self.octets_out,
            last_failure,
            remedy,
        }
    }
}

#[cfg(test)]
impl Seen {
    /// Of a daemon without peers.
    pub(crate) fn nothing() -> Self {
        Self {
            now: crate::clock::now(),
            peers: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

/// In words, with what to do about it.
fn told_failure(
    failure: Option<&Failure>,
) -> (Option<Cow<'static, str>>, Option<Cow<'static, str>>) {
    let remedy = failure.and_then(failure::remedy);
    (
        failure.map(|failure| Cow::Owned(failure::words(failure))),
        remedy.map(Cow::Borrowed),
    )
}

fn spell<T: Copy + Ord>(
    values: impl Iterator<Item = T>,
    spell: impl Fn(&T) -> String,
) -> BTreeMap<T, String> {
    let mut spelt = BTreeMap::new();
    for value in values {
        spelt.entry(value).or_insert_with(|| spell(&value));
    }
    spelt
}

fn spelt<T: Ord>(spellings: &BTreeMap<T, String>, value: Option<T>) -> Option<Cow<'_, str>> {
    spellings
        .get(&value?)
        .map(|text| Cow::Borrowed(text.as_str()))
}

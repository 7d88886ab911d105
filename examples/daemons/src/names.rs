//! Names for handles, and one log line for each fact.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ipnet::IpNet;
use tracing::{info, warn};
use trigger::{Event, MemberId, PairId};

use crate::fact::{Fact, FactKind, FactPair, unix_seconds};
use crate::failure;
use crate::machine::Machine;

/// Which peer and pair a handle stands for, until other settings are in use.
#[derive(Debug, Default)]
pub(crate) struct Names {
    members: BTreeMap<MemberId, NamedMember>,
    pairs: BTreeMap<PairId, (String, FactPair)>,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct NamedMember {
    pub(crate) identity: String,
    /// How many have its pre-shared key, this one included.
    pub(crate) key_shared_by: usize,
}

impl Names {
    /// The names of everything that the machine has. `shared_keys` counts, for identities whose pre-shared key others
    /// have too, all that have it.
    pub(crate) fn of(machine: &Machine, shared_keys: &BTreeMap<String, usize>) -> Self {
        let mut names = Self::default();
        machine.each(|machine| names.add(machine, shared_keys));
        names
    }

    fn add(&mut self, machine: &Machine, shared_keys: &BTreeMap<String, usize>) {
        for member in machine.members() {
            let identity = member.identity.to_string();
            let key_shared_by = shared_keys.get(&identity).copied().unwrap_or(1);
            let named = NamedMember {
                identity,
                key_shared_by,
            };
            self.members.insert(member.id, named);
        }
        for pair in machine.pairs() {
            let named = FactPair {
                name: pair.name.to_owned(),
                local: pair.local.to_string(),
                remote: pair.remote.to_string(),
            };
            let member = self.members.get(&pair.member);
            let peer = member.map(|member| member.identity.clone());
            let peer = peer.unwrap_or_default();
            self.pairs.insert(pair.id, (peer, named));
        }
    }

    /// What has happened, for other programs; not everything is of interest to them.
    pub(crate) fn fact(&self, at: SystemTime, event: &Event) -> Option<Fact> {
        let of_peer = |kind, member: &MemberId, detail| {
            Some(Fact {
                at: unix_seconds(at),
                event: kind,
                peer: self.members.get(member)?.identity.clone(),
                pair: None,
                detail,
            })
        };
        let of_pair = |kind, pair: &PairId, detail| {
            let (peer, pair) = self.pairs.get(pair)?;
            Some(Fact {
                at: unix_seconds(at),
                event: kind,
                peer: peer.clone(),
                pair: Some(pair.clone()),
                detail,
            })
        };
        match event {
            Event::PeerUp {
                member,
                address,
                renewal,
                ..
            } => {
                let kind = if *renewal {
                    FactKind::PeerRenewed
                } else {
                    FactKind::PeerUp
                };
                of_peer(kind, member, Some(format!("at {address}")))
            }
            Event::PeerDown { member, reason } => {
                of_peer(FactKind::PeerDown, member, Some(format!("{reason:?}")))
            }
            Event::AddressChanged { member, address } => of_peer(
                FactKind::AddressChanged,
                member,
                Some(format!("now at {address}")),
            ),
            Event::SaUp { pair, rekeyed, .. } => {
                let kind = if *rekeyed {
                    FactKind::SaRekeyed
                } else {
                    FactKind::SaUp
                };
                of_pair(kind, pair, None)
            }
            Event::SaDown {
                pair,
                reason,
                replaced: false,
            } => of_pair(FactKind::SaDown, pair, Some(format!("{reason:?}"))),
            Event::PairUp { pair, .. } => of_pair(FactKind::PairUp, pair, None),
            Event::PairDown { pair, reason } => {
                of_pair(FactKind::PairDown, pair, Some(reason.to_string()))
            }
            Event::NegotiationFailed {
                pair: Some(pair),
                failure,
                ..
            } => of_pair(
                FactKind::NegotiationFailed,
                pair,
                Some(failure::words(failure)),
            ),
            Event::NegotiationFailed {
                member: Some(member),
                failure,
                ..
            } => of_peer(
                FactKind::NegotiationFailed,
                member,
                Some(failure::words(failure)),
            ),
            _ => None,
        }
    }

    /// Writes what has happened into the log.
    pub(crate) fn log(&self, event: &Event) {
        match event {
            Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::AddressChanged { .. }
            | Event::HubChanged { .. }
            | Event::Hint { .. } => self.log_peer(event),
            Event::SaUp { .. }
            | Event::SaDown { .. }
            | Event::PairUp { .. }
            | Event::PairDown { .. } => self.log_pair(event),
            Event::NegotiationFailed {
                member,
                pair,
                identity,
                address,
                failure,
            } => {
                let identity = identity.as_ref().map(ToString::to_string);
                let peer = member.map(|member| self.identity(member));
                let peer = peer.or(identity.as_deref()).unwrap_or("?");
                let pair = pair.map(|pair| self.pair_names(pair).1);
                let address = address.map(tracing::field::display);
                let remedy = failure::remedy(failure);
                let failure = failure::words(failure);
                warn!(peer, pair, address, failure, remedy, "negotiation failed");
            }
            Event::RollChanged { .. } | Event::KeyWanted { .. } | _ => {}
        }
    }

    fn log_peer(&self, event: &Event) {
        match event {
            Event::PeerUp {
                member,
                address,
                nat,
                legacy,
                renewal,
                ..
            } => {
                let peer = self.identity(*member);
                let what = if *renewal { "IKE renewed" } else { "IKE up" };
                info!(peer, %address, nat, "{what}");
                if *legacy {
                    warn!(
                        peer,
                        "algorithms for old peers are in use: DES, 3DES, MD5 or a small group"
                    );
                }
            }
            Event::PeerDown { member, reason } => {
                info!(peer = self.identity(*member), ?reason, "IKE down");
            }
            Event::AddressChanged { member, address } => {
                info!(peer = self.identity(*member), %address, "peer has another outer address");
            }
            Event::HubChanged { address } => info!(%address, "turning to another hub"),
            Event::Hint { member } => {
                let peer = self.identity(*member);
                info!(
                    peer,
                    "peer may have lost its state: asking whether it lives"
                );
            }
            _ => {}
        }
    }

    fn log_pair(&self, event: &Event) {
        match event {
            Event::SaUp {
                pair,
                inbound_spi,
                outbound_spi,
                rekeyed,
                ..
            } => {
                let (peer, pair) = self.pair_names(*pair);
                let what = if *rekeyed { "SA rekeyed" } else { "SA up" };
                let (inbound, outbound) =
                    (format!("{inbound_spi:08x}"), format!("{outbound_spi:08x}"));
                info!(peer, pair, inbound, outbound, "{what}");
            }
            Event::SaDown {
                pair,
                reason,
                replaced,
            } => {
                let (peer, pair) = self.pair_names(*pair);
                let what = if *replaced { "old SA gone" } else { "SA down" };
                info!(peer, pair, ?reason, "{what}");
            }
            Event::PairUp { pair, rtt } => {
                let (peer, pair) = self.pair_names(*pair);
                let rtt_ms = rtt.map(|rtt| 1000.0 * rtt.as_secs_f64());
                info!(peer, pair, rtt_ms, "pair up");
            }
            Event::PairDown { pair, reason } => {
                let (peer, pair) = self.pair_names(*pair);
                warn!(peer, pair, %reason, "pair down");
            }
            _ => {}
        }
    }

    /// How many peers and pairs have one.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.members.len(), self.pairs.len())
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<&NamedMember> {
        self.members.get(&id)
    }

    /// Whose it is, and the pair itself.
    pub(crate) fn pair(&self, id: PairId) -> Option<&(String, FactPair)> {
        self.pairs.get(&id)
    }

    /// Every pair.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = PairId> {
        self.pairs.keys().copied()
    }

    /// The subnets of a pair, on this side and on the peer's.
    pub(crate) fn subnets(&self, id: PairId) -> Option<(IpNet, IpNet)> {
        let (_, pair) = self.pairs.get(&id)?;
        Some((pair.local.parse().ok()?, pair.remote.parse().ok()?))
    }

    fn identity(&self, id: MemberId) -> &str {
        self.member(id).map_or("?", |member| &member.identity)
    }

    fn pair_names(&self, id: PairId) -> (&str, &str) {
        self.pairs
            .get(&id)
            .map_or(("?", "?"), |(peer, pair)| (peer, &pair.name))
    }
}

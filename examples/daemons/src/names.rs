//! Names for handles, and one log line for each fact.

use std::collections::BTreeMap;

use tracing::{info, warn};
use trigger::{Event, MemberId, PairId};

use crate::machine::Machine;

/// Which peer and pair a handle stands for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    members: BTreeMap<MemberId, String>,
    pairs: BTreeMap<PairId, (String, String)>,
}

impl Names {
    /// The names of everything that the machine has.
    pub(crate) fn of(machine: &Machine) -> Self {
        let members: BTreeMap<_, _> = machine
            .members()
            .iter()
            .map(|member| (member.id, member.identity.to_string()))
            .collect();
        let peer = |id| members.get(&id).cloned().unwrap_or_default();
        let pairs = machine
            .pairs()
            .iter()
            .map(|pair| (pair.id, (peer(pair.member), pair.name.to_owned())))
            .collect();
        Self { members, pairs }
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
                let peer = member.map(|member| self.member(member));
                let peer = peer.or(identity.as_deref()).unwrap_or("?");
                let pair = pair.map(|pair| self.pair(pair).1);
                let address = address.map(tracing::field::display);
                warn!(peer, pair, address, %failure, "negotiation failed");
            }
            Event::RollChanged { .. } | _ => {}
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
                let peer = self.member(*member);
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
                info!(peer = self.member(*member), ?reason, "IKE down");
            }
            Event::AddressChanged { member, address } => {
                info!(peer = self.member(*member), %address, "peer has another outer address");
            }
            Event::HubChanged { address } => info!(%address, "turning to another hub"),
            Event::Hint { member } => {
                let peer = self.member(*member);
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
            } => {
                let (peer, pair) = self.pair(*pair);
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
                let (peer, pair) = self.pair(*pair);
                let what = if *replaced { "old SA gone" } else { "SA down" };
                info!(peer, pair, ?reason, "{what}");
            }
            Event::PairUp { pair, rtt } => {
                let (peer, pair) = self.pair(*pair);
                info!(peer, pair, ?rtt, "pair up");
            }
            Event::PairDown { pair, reason } => {
                let (peer, pair) = self.pair(*pair);
                warn!(peer, pair, %reason, "pair down");
            }
            _ => {}
        }
    }

    fn member(&self, id: MemberId) -> &str {
        self.members.get(&id).map_or("?", String::as_str)
    }

    fn pair(&self, id: PairId) -> (&str, &str) {
        self.pairs
            .get(&id)
            .map_or(("?", "?"), |(peer, pair)| (peer, pair))
    }
}

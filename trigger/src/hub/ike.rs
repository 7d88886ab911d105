//! What becomes of what ike-core reports to a hub.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use ike_core::{Identity, PairIndex};

use super::Hub;
use crate::event::{Event, Failure, MemberId, PairDownReason, PairId};
use crate::roll_call::RollEntry;

impl Hub {
    pub(super) fn on_ike(&mut self, now: Instant, event: ike_core::Event) {
        match event {
            ike_core::Event::Established {
                peer,
                identity,
                local,
                remote,
                cookies,
                nat,
                proposal,
                renewal,
                took,
                ..
            } => {
                let entry = RollEntry::new(identity, local, remote, cookies);
                let legacy = proposal.is_legacy();
                self.established(
                    now,
                    peer,
                    entry,
                    Arrangement {
                        nat: nat.any(),
                        legacy,
                        renewal,
                        took,
                    },
                );
            }
            ike_core::Event::PhaseOneFailed {
                identity,
                remote,
                error,
                ..
            } => {
                self.phase_one_failed(identity, remote, error);
            }
            ike_core::Event::SaInstalled { peer, sa } => self.sa_installed(now, peer, &sa),
            ike_core::Event::SaConfirmed {
                peer,
                pair,
                inbound_spi,
                took,
            } => {
                self.sa_confirmed(now, peer, pair, inbound_spi, took);
            }
            ike_core::Event::SaClosed {
                peer,
                pair,
                inbound_spi,
                reason,
                ..
            } => {
                self.sa_closed(peer, pair, inbound_spi, reason);
            }
            ike_core::Event::QuickModeFailed { peer, pair, error } => {
                self.quick_mode_failed(peer, pair, error)
            }
            ike_core::Event::Disconnected { peer, reason } => self.disconnected(peer, reason),
            ike_core::Event::AddressChanged {
                peer,
                local,
                remote,
            } => self.address_changed(peer, local, remote),
            ike_core::Event::Hinted { peer, .. } => {
                if let Some(&member) = self.by_peer.get(&peer) {
                    self.event(Event::Hint { member });
                }
            }
            ike_core::Event::CredentialsWanted {
                request,
                identity,
                source,
            } => self.credentials_wanted(now, request, &identity, source),
            ike_core::Event::Alive { .. } | _ => {}
        }
    }

    fn established(
        &mut self,
        now: Instant,
        peer: ike_core::PeerId,
        entry: RollEntry,
        arrangement: Arrangement,
    ) {
        let Some(&id) = self.by_identity.get(entry.identity()) else {
            // It was removed while its messages were on their way.
            self.endpoint.disconnect(now, peer);
            return;
        };
        let Some(member) = self.members.get_mut(id.0) else {
            return;
        };
        if let Some(former) = member.peer.replace(peer).filter(|former| *former != peer) {
            self.by_peer.remove(&former);
        }
        member.ike_up = true;
        member.last_failure = None;
        self.by_peer.insert(peer, id);
        self.data_path.stats.phase_one_succeeded += 1;
        self.roll_call.present(entry.identity());
        self.event(Event::PeerUp {
            member: id,
            identity: entry.identity().clone(),
            address: entry.remote(),
            nat: arrangement.nat,
            legacy: arrangement.legacy,
            renewal: arrangement.renewal,
            took: arrangement.took,
        });
        self.event(Event::RollChanged {
            entry: Box::new(entry),
        });
    }

    fn phase_one_failed(
        &mut self,
        identity: Option<Identity>,
        remote: SocketAddr,
        error: ike_core::PhaseOneError,
    ) {
        self.data_path.stats.phase_one_failed += 1;
        let member = identity
            .as_ref()
            .and_then(|identity| self.by_identity.get(identity))
            .copied();
        let failure = Failure::PhaseOne(error);
        if let Some(member) = member.and_then(|id| self.members.get_mut(id.0)) {
            member.last_failure = Some(failure.clone());
        }
        self.event(Event::NegotiationFailed {
            member,
            pair: None,
            identity,
            address: Some(remote),
            failure,
        });
    }

    fn pair_of(&self, peer: ike_core::PeerId, pair: PairIndex) -> Option<(MemberId, PairId)> {
        let id = *self.by_peer.get(&peer)?;
        let pair = self.members.get(id.0)?.pairs.get(pair.index())?;
        Some((id, *pair))
    }

    fn sa_installed(&mut self, now: Instant, peer: ike_core::PeerId, sa: &ike_core::IpsecSa) {
        let Some((_, pair)) = self.pair_of(peer, sa.pair) else {
            return;
        };
        if let Err(error) = self.data_path.install(pair, sa) {
            self.negotiation_failed(peer, Some(pair), Failure::Sa(error));
            self.endpoint.delete_pair(now, peer, sa.pair);
        }
    }

    fn sa_confirmed(
        &mut self,
        now: Instant,
        peer: ike_core::PeerId,
        pair: PairIndex,
        inbound_spi: ike_core::Spi,
        took: Duration,
    ) {
        let Some((_, id)) = self.pair_of(peer, pair) else {
            return;
        };
        let Ok(spi) = esp_core::Spi::new(inbound_spi.get()) else {
            return;
        };
        let rekeyed = self.data_path.pair(id).is_some_and(|pair| pair.has_sa());
        let Some(outbound_spi) = self.data_path.confirm(now, id, spi) else {
            return;
        };
        self.data_path.stats.quick_mode_succeeded += 1;
        self.event(Event::SaUp {
            pair: id,
            inbound_spi: spi.get(),
            outbound_spi: outbound_spi.get(),
            rekeyed,
            took,
        });
    }

    fn sa_closed(
        &mut self,
        peer: ike_core::PeerId,
        pair: PairIndex,
        inbound_spi: ike_core::Spi,
        reason: ike_core::CloseReason,
    ) {
        let Some((_, id)) = self.pair_of(peer, pair) else {
            return;
        };
        let Ok(spi) = esp_core::Spi::new(inbound_spi.get()) else {
            return;
        };
        let Some(replaced) = self.data_path.close(id, spi) else {
            return;
        };
        self.event(Event::SaDown {
            pair: id,
            reason,
            replaced,
        });
        if !replaced {
            if let Some(pair) = self.data_path.pair_mut(id) {
                pair.disprove();
            }
            self.pair_down(id, PairDownReason::NoSa);
        }
    }

    fn quick_mode_failed(
        &mut self,
        peer: ike_core::PeerId,
        pair: Option<PairIndex>,
        error: ike_core::QuickModeError,
    ) {
        self.data_path.stats.quick_mode_failed += 1;
        let pair = pair
            .and_then(|pair| self.pair_of(peer, pair))
            .map(|(_, pair)| pair);
        self.negotiation_failed(peer, pair, Failure::QuickMode(error));
    }

    fn negotiation_failed(&mut self, peer: ike_core::PeerId, id: Option<PairId>, failure: Failure) {
        let member = self.by_peer.get(&peer).copied();
        if let Some(pair) = id.and_then(|id| self.data_path.pair_mut(id)) {
            pair.last_failure = Some(failure.clone());
        } else if let Some(member) = member.and_then(|member| self.members.get_mut(member.0)) {
            member.last_failure = Some(failure.clone());
        }
        let address = self.endpoint.ike_sa(peer).map(|sa| sa.remote);
        self.event(Event::NegotiationFailed {
            member,
            pair: id,
            identity: None,
            address,
            failure,
        });
    }

    fn disconnected(&mut self, peer: ike_core::PeerId, reason: ike_core::DisconnectReason) {
        let Some(id) = self.by_peer.remove(&peer) else {
            return;
        };
        if let Some(member) = self.members.get_mut(id.0) {
            member.ike_up = false;
            member.peer = None;
        }
        self.event(Event::PeerDown { member: id, reason });
    }

    fn address_changed(&mut self, peer: ike_core::PeerId, local: SocketAddr, remote: SocketAddr) {
        let Some(&id) = self.by_peer.get(&peer) else {
            return;
        };
        let Some(member) = self.members.get(id.0) else {
            return;
        };
        let identity = member.config.ike.remote().clone();
        self.data_path.move_path(&member.pairs, local, remote);
        self.event(Event::AddressChanged {
            member: id,
            address: remote,
        });
        if let Some(sa) = self.endpoint.ike_sa(peer) {
            let entry = RollEntry::new(identity, local, remote, sa.cookies);
            self.event(Event::RollChanged {
                entry: Box::new(entry),
            });
        }
    }
}

/// How an ISAKMP SA came about.
struct Arrangement {
    nat: bool,
    legacy: bool,
    renewal: bool,
    took: Duration,
}

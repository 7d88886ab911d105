//! What becomes of what ike-core reports to a branch.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use alloc::vec::Vec;

use ike_core::{CloseReason, DisconnectReason, Hint, PairIndex, PhaseOneError};

use super::{Lane, Loss};
use crate::event::{Event, Failure, PairDownReason, PairId};

impl Lane {
    pub(super) fn on_ike(&mut self, now: Instant, event: ike_core::Event) {
        match event {
            ike_core::Event::Established {
                identity,
                remote,
                nat,
                proposal,
                renewal,
                took,
                ..
            } => {
                self.ike_up = true;
                self.last_failure = None;
                self.data_path.stats.phase_one_succeeded += 1;
                self.event(Event::PeerUp {
                    member: self.member,
                    identity,
                    address: remote,
                    nat: nat.any(),
                    legacy: proposal.is_legacy(),
                    renewal,
                    took,
                });
                if !renewal {
                    self.hope(now, true);
                }
            }
            ike_core::Event::PhaseOneFailed {
                identity,
                remote,
                error,
                ..
            } => {
                self.phase_one_failed(now, identity, remote, error);
            }
            ike_core::Event::SaInstalled { sa, .. } => self.sa_installed(now, &sa),
            ike_core::Event::SaConfirmed {
                pair,
                inbound_spi,
                took,
                ..
            } => self.sa_confirmed(now, pair, inbound_spi, took),
            ike_core::Event::SaClosed {
                pair,
                inbound_spi,
                reason,
                ..
            } => {
                self.sa_closed(now, pair, inbound_spi, reason);
            }
            ike_core::Event::QuickModeFailed { pair, error, .. } => {
                self.quick_mode_failed(now, pair, error)
            }
            ike_core::Event::Disconnected { reason, .. } => self.disconnected(now, reason),
            ike_core::Event::AddressChanged { local, remote, .. } => {
                let pairs: Vec<PairId> = self.lines.iter().map(|line| line.pair).collect();
                self.data_path.move_path(&pairs, local, remote);
                self.event(Event::AddressChanged {
                    member: self.member,
                    address: remote,
                });
            }
            ike_core::Event::Hinted { hint, .. } => {
                self.event(Event::Hint {
                    member: self.member,
                });
                if hint == Hint::InvalidCookie && !self.ike_up {
                    self.hope(now, false);
                }
            }
            ike_core::Event::CredentialsWanted { .. } | ike_core::Event::Alive { .. } | _ => {}
        }
    }

    fn phase_one_failed(
        &mut self,
        now: Instant,
        identity: Option<ike_core::Identity>,
        remote: SocketAddr,
        error: PhaseOneError,
    ) {
        self.data_path.stats.phase_one_failed += 1;
        self.negotiations
            .all_failed(now, &self.config.timing, &self.jitter);
        let unanswered = matches!(error, PhaseOneError::TimedOut { .. });
        let failure = Failure::PhaseOne(error);
        self.last_failure = Some(failure.clone());
        for (index, line) in (0..).zip(&mut self.lines) {
            if let Some(at) = self.negotiations.not_before(index).filter(|at| now < *at) {
                line.schedule.retry_at(at);
            }
            if let Some(pair) = self.data_path.pair_mut(line.pair) {
                pair.last_failure = Some(failure.clone());
            }
        }
        self.event(Event::NegotiationFailed {
            member: Some(self.member),
            pair: None,
            identity,
            address: Some(remote),
            failure,
        });
        if !self.ike_up {
            self.standing.set_loss(Some(if unanswered {
                Loss::Silent
            } else {
                Loss::Refused
            }));
        }
    }

    fn sa_installed(&mut self, now: Instant, sa: &ike_core::IpsecSa) {
        let index = sa.pair.index();
        let Some(pair) = self.lines.get(index).map(|line| line.pair) else {
            return;
        };
        if let Err(error) = self.data_path.install(pair, sa) {
            self.negotiations
                .failed(now, index, &self.config.timing, &self.jitter);
            self.negotiation_failed(pair, Failure::Sa(error));
            if let Some(peer) = self.peer {
                self.endpoint.delete_pair(now, peer, sa.pair);
            }
        }
    }

    fn sa_confirmed(
        &mut self,
        now: Instant,
        pair: PairIndex,
        inbound_spi: ike_core::Spi,
        took: Duration,
    ) {
        let index = pair.index();
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        let id = line.pair;
        let Ok(spi) = esp_core::Spi::new(inbound_spi.get()) else {
            return;
        };
        let rekeyed = self.data_path.pair(id).is_some_and(|pair| pair.has_sa());
        let Some(outbound_spi) = self.data_path.confirm(now, id, spi) else {
            return;
        };
        // What was held goes out now, the first probe with it: there is no need for another before that can be answered.
        let srtt = self.peer.and_then(|peer| self.endpoint.ike_sa(peer)?.srtt);
        line.schedule
            .sa_up(now, srtt.unwrap_or_default() * 3 / 2, &self.config.timing);
        self.negotiations.succeeded(now, index);
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
        now: Instant,
        pair: PairIndex,
        inbound_spi: ike_core::Spi,
        reason: CloseReason,
    ) {
        let index = pair.index();
        let Some(id) = self.lines.get(index).map(|line| line.pair) else {
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
        if replaced {
            return;
        }
        // A peer that deletes what has just come up is not to be asked again at once.
        if reason == CloseReason::DeletedByPeer {
            self.negotiations
                .sent_away(now, index, &self.config.timing, &self.jitter);
        }
        self.pair_down(id, PairDownReason::NoSa);
        if let Some(line) = self.lines.get_mut(index) {
            line.schedule.sa_down(now, Duration::ZERO);
        }
    }

    fn quick_mode_failed(
        &mut self,
        now: Instant,
        pair: Option<PairIndex>,
        error: ike_core::QuickModeError,
    ) {
        self.data_path.stats.quick_mode_failed += 1;
        let Some(index) = pair.map(PairIndex::index) else {
            return;
        };
        let Some(id) = self.lines.get(index).map(|line| line.pair) else {
            return;
        };
        self.negotiations
            .failed(now, index, &self.config.timing, &self.jitter);
        let retry = self.negotiations.not_before(index);
        if let Some((line, at)) = self.lines.get_mut(index).zip(retry) {
            line.schedule.retry_at(at);
        }
        self.negotiation_failed(id, Failure::QuickMode(error));
    }

    fn negotiation_failed(&mut self, id: PairId, failure: Failure) {
        if let Some(pair) = self.data_path.pair_mut(id) {
            pair.last_failure = Some(failure.clone());
        }
        self.event(Event::NegotiationFailed {
            member: Some(self.member),
            pair: Some(id),
            identity: None,
            address: Some(self.hub),
            failure,
        });
    }

    /// The hub is gone, or has sent us away: come back, but not all branches in one instant.
    fn disconnected(&mut self, now: Instant, reason: DisconnectReason) {
        self.ike_up = false;
        self.negotiations.abandoned();
        self.event(Event::PeerDown {
            member: self.member,
            reason,
        });
        self.standing.set_loss(match reason {
            DisconnectReason::PeerDead { .. } => Some(Loss::Silent),
            DisconnectReason::DeletedByPeer | DisconnectReason::Expired => Some(Loss::Refused),
            DisconnectReason::PathChanged | DisconnectReason::Requested | _ => None,
        });
        let first = self.jitter.up_to(self.config.timing.hub_back_jitter);
        self.arm(now, first);
    }
}

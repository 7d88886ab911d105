//! Phase 1 with initiators that are not known yet.

use alloc::sync::Arc;

use bytes::Bytes;

use super::Endpoint;
use super::unauthenticated::Received;
use crate::config::{Identity, PeerConfig};
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::error::{DatagramError, Mismatch, PhaseOneError};
use crate::event::{Event, PeerId, Role};
use crate::isakmp_sa::{Fingerprint, IsakmpSa, Path};
use crate::limits::REMEMBERED_REFUSALS;
use crate::phase_one::aggressive_responder::{
    Answer, AwaitingHashI, FirstMessage, Initiator, Verified,
};
use crate::phase_one::held::{HeldMessage, HeldMessages};
use crate::wire::numbers::ProtocolId;
use crate::wire::{Message, Notification};

impl Endpoint {
    pub(super) fn receive_first(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookie = message.header().cookies().initiator();
        let fingerprint = Fingerprint::of(contents);
        let repeated = (fingerprint, contents.len());
        let source = path.remote.ip();
        if let Some(answer) = self.half_open.repeat(self.now, cookie, source, repeated) {
            let (path, second) = answer?;
            self.output.repeats(&second);
            self.output.send_framed(path.local, path.remote, second);
            return Err(DatagramError::Duplicate);
        }
        if self.has_established(cookie) {
            return Err(DatagramError::Duplicate);
        }
        let first = FirstMessage::decode(message, fingerprint)?;
        if let Some(config) = self.credentials.get(&first.identity).map(Arc::clone) {
            return self.answer_first(&first, contents, config, path, Initiator::Known);
        }
        if let Some((peer, config)) = self.renewing_peer(&first.identity, path) {
            let initiator = Initiator::Renewing(peer);
            return self.answer_first(&first, contents, config, path, initiator);
        }
        match self.credentials.decoy().map(Arc::clone) {
            Some(decoy) if !self.is_asked_for(&first.identity) => {
                self.answer_first(&first, contents, decoy, path, Initiator::Unknown)
            }
            _ => self.ask_for_credentials(first.identity, contents, path),
        }
    }

    /// Whether an ISAKMP SA was begun by this cookie: a first message with it is late.
    fn has_established(&self, cookie: InitiatorCookie) -> bool {
        let lowest = CookiePair::new(cookie, ResponderCookie::ZERO);
        let highest = CookiePair::new(cookie, ResponderCookie::new([0xff; 8]));
        self.index
            .isakmp_sas
            .range(lowest..=highest)
            .next()
            .is_some()
    }

    /// A peer that we initiated to may renew the ISAKMP SA from its side, while there is one, from where it is.
    fn renewing_peer(&self, identity: &Identity, path: Path) -> Option<(PeerId, Arc<PeerConfig>)> {
        let named = self
            .added
            .range((identity.clone(), PeerId(0))..=(identity.clone(), PeerId(u64::MAX)));
        let peers = named.filter_map(|(_, id)| self.peers.get(id));
        let mut connected = peers.filter(|peer| {
            !peer.isakmp_sas.is_empty() && peer.current_path().remote.ip() == path.remote.ip()
        });
        connected
            .next()
            .map(|peer| (peer.id, Arc::clone(&peer.config)))
    }

    /// Whether the embedder is to be asked about an identity that the table lacks.
    fn is_asked_for(&self, identity: &Identity) -> bool {
        self.config.asks_for_credentials() || self.credentials.asks_for(identity)
    }

    fn ask_for_credentials(
        &mut self,
        identity: Identity,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        if !self.is_asked_for(&identity) {
            return Err(DatagramError::UnknownIdentity);
        }
        let request = self
            .questions
            .ask(self.now, identity.clone(), contents, path)?;
        self.output.event_of_stranger(Event::CredentialsWanted {
            request,
            identity,
            source: path.remote,
        });
        Ok(())
    }

    /// Answers message 1 of an identity that is known. No exponentiation takes place, unless the pool was never filled
    /// for the group.
    pub(super) fn answer_first(
        &mut self,
        first: &FirstMessage<'_>,
        contents: &[u8],
        config: Arc<PeerConfig>,
        path: Path,
        initiator: Initiator,
    ) -> Result<(), DatagramError> {
        let choice = match first.choose(&self.config, &config) {
            Ok(choice) => choice,
            Err(mismatch) => {
                return self.refuse_proposal((first, contents), initiator, mismatch, path);
            }
        };
        let group = choice.proposal.group();
        if !first.fits(self.config.provider(), &choice.proposal) {
            let octets = first.public_len();
            let error = PhaseOneError::WrongGroup { group, octets };
            self.report_refusal(first, initiator, path, error);
            return Err(DatagramError::InvalidKeyExchange);
        }
        if self.pool.stock(self.config.provider(), group) {
            self.output.stats.exponentiations += 1;
        }
        let private = self
            .pool
            .take(group)
            .ok_or(DatagramError::InvalidKeyExchange)?;
        let others = self.peers.len().max(self.credentials.len());
        let slot = self
            .half_open
            .slot_for(self.now, &first.identity, path.remote.ip(), others);
        let answer = Answer {
            endpoint: &self.config,
            config,
            choice,
            private,
            path,
            initiator,
            slot,
            now: self.now,
        };
        let (mut awaiting, second) =
            AwaitingHashI::begin(first, answer).ok_or(DatagramError::NoProposalChosen)?;
        let second = self.output.frame(path.local, second);
        let (received, source) = (contents.len(), path.remote.ip());
        let admitted = self.half_open.admit(source, received, second.len());
        if !admitted && !self.is_connected_from(&first.identity, source) {
            return Err(DatagramError::LimitReached);
        }
        self.output
            .send_framed(path.local, path.remote, second.clone());
        awaiting.sent(second);
        self.output.stats.slots_given += u64::from(awaiting.told);
        tracing::debug!(identity = %awaiting.identity, cookies = %awaiting.cookies, "message 1 answered");
        let evicted = self.half_open.insert(&self.config, awaiting, received);
        self.output.stats.half_open_evicted += evicted;
        Ok(())
    }

    /// Whether who has this name is at this address already, and is beginning anew.
    fn is_connected_from(&self, identity: &Identity, source: core::net::IpAddr) -> bool {
        let peer = self.by_identity.get(identity);
        let peer = peer.and_then(|id| self.peers.get(id));
        peer.is_some_and(|peer| peer.current_path().remote.ip() == source)
    }

    fn refuse_proposal(
        &mut self,
        (first, contents): (&FirstMessage<'_>, &[u8]),
        initiator: Initiator,
        mismatch: Option<Mismatch>,
        path: Path,
    ) -> Result<(), DatagramError> {
        let error = PhaseOneError::NoProposalChosen { mismatch };
        if let Some(notify) = error.notify_type() {
            // There is no exchange: the responder cookie is zero, whatever a peer may make of another one.
            let cookies = CookiePair::new(first.cookie(), ResponderCookie::ZERO);
            self.answer_stranger(
                path,
                Received::of(contents),
                cookies,
                &Notification::new(ProtocolId::ISAKMP, notify, &[], &[]),
            );
        }
        self.report_refusal(first, initiator, path, error);
        Err(DatagramError::NoProposalChosen)
    }

    /// Reports why message 1 cannot be answered, once however often it comes.
    fn report_refusal(
        &mut self,
        first: &FirstMessage<'_>,
        initiator: Initiator,
        path: Path,
        error: PhaseOneError,
    ) {
        let known = self.refused.contains(&first.fingerprint);
        if initiator == Initiator::Unknown || known {
            return;
        }
        if REMEMBERED_REFUSALS <= self.refused.len() {
            self.refused.pop_front();
        }
        self.refused.push_back(first.fingerprint);
        self.report_stranger(first.identity.clone(), path, error);
    }

    /// Takes in message 3. Where key exchanges take time that others wait for, it waits for its turn: whatever costs less
    /// is not kept waiting by those that have come together.
    pub(super) fn receive_third(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let awaiting = self.half_open.get(cookies);
        if self.half_open.turns().slots().busy().is_zero()
            || awaiting.is_some_and(AwaitingHashI::has_keys)
        {
            return self.serve_third(message, contents, path);
        }
        let contents = Bytes::copy_from_slice(contents);
        self.half_open.wait(cookies, HeldMessage { path, contents })
    }

    /// Serves the exchange whose turn it is.
    pub(super) fn serve(&mut self, cookies: CookiePair, thirds: HeldMessages) {
        for HeldMessage { path, contents } in thirds {
            let served = Message::decode(&contents).map_err(DatagramError::from);
            let served = served.and_then(|message| {
                if self.half_open.get(cookies).is_some() {
                    self.serve_third(&message, &contents, path)
                } else {
                    self.receive_aggressive(&message, &contents, path)
                }
            });
            if let Err(error) = served {
                self.output.stats.drops.count(&error);
                tracing::debug!(source = %path.remote, %error, "message 3 dropped");
            }
        }
        self.gauge();
    }

    fn serve_third(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let awaiting = self
            .half_open
            .get(cookies)
            .ok_or(DatagramError::UnknownCookies)?;
        let had_keys = awaiting.has_keys();
        let verified = awaiting.verify(&self.config, message, contents, path);
        self.output.stats.exponentiations += u64::from(!had_keys && awaiting.has_keys());
        match verified {
            // Not even who has the decoy's key connects by it.
            Ok(_) if awaiting.initiator == Initiator::Unknown => {
                Err(DatagramError::AuthenticationFailed)
            }
            Ok(verified) => self.establish_responder(cookies, verified),
            Err(error) => {
                self.report_third(cookies, path, &error);
                Err(error)
            }
        }
    }

    /// A third message that does not verify is reported once: it tells the hub's operator which key is wrong.
    fn report_third(&mut self, cookies: CookiePair, path: Path, error: &DatagramError) {
        let reason = if *error == DatagramError::Undecryptable {
            PhaseOneError::UndecryptableMessage3
        } else if *error == DatagramError::AuthenticationFailed {
            PhaseOneError::AuthenticationFailed
        } else {
            return;
        };
        let Some(awaiting) = self
            .half_open
            .get_mut(cookies)
            .filter(|awaiting| !awaiting.reported && awaiting.initiator != Initiator::Unknown)
        else {
            return;
        };
        awaiting.reported = true;
        let identity = awaiting.identity.clone();
        self.output.stats.phase_one_failed += 1;
        self.report_stranger(identity, path, reason);
    }

    fn report_stranger(&mut self, identity: Identity, path: Path, error: PhaseOneError) {
        tracing::debug!(%identity, %error, "phase 1 failed");
        if self.reports.admit(self.now, path.remote.ip()) {
            let identity = Some(identity);
            self.output.event_of_stranger(Event::PhaseOneFailed {
                peer: None,
                identity,
                remote: path.remote,
                error,
            });
        }
    }

    /// The initiator has proved who it is. A peer is known by that, never by its address.
    fn establish_responder(
        &mut self,
        cookies: CookiePair,
        verified: Verified,
    ) -> Result<(), DatagramError> {
        let taken = self.half_open.complete(cookies);
        let (awaiting, held) = taken.ok_or(DatagramError::UnknownCookies)?;
        let config = Arc::clone(&awaiting.config);
        let initial_contact = verified.initial_contact;
        let (identity, initiator) = (awaiting.identity.clone(), awaiting.initiator);
        let negotiated = awaiting.establish(verified);
        let (path, group) = (negotiated.path, negotiated.proposal.group());
        let id = match initiator {
            // The embedder may have removed it since message 1.
            Initiator::Renewing(id) if !self.peers.contains_key(&id) => {
                return Err(DatagramError::UnknownCookies);
            }
            Initiator::Renewing(id) => id,
            Initiator::Known | Initiator::Unknown => {
                self.responder_peer(identity.clone(), &config, path)
            }
        };
        // The embedder may have changed its settings since message 1.
        let config = self.credentials.get(&identity).map_or(config, Arc::clone);
        self.with_peer(self.now, id, |peer, context| {
            if peer.role == Role::Responder {
                peer.config = config;
            }
            let isakmp = IsakmpSa::new(context, negotiated);
            peer.install_isakmp_sa(context, isakmp, initial_contact);
        });
        if self.pool.replace(self.config.provider(), group) {
            self.output.stats.exponents_prepared += 1;
        }
        for HeldMessage { path, contents } in held {
            let handled = Message::decode(&contents).map_err(DatagramError::from);
            let handled =
                handled.and_then(|message| self.receive_quick_mode(&message, &contents, path));
            if let Err(error) = handled {
                self.output.stats.drops.count(&error);
            }
        }
        Ok(())
    }

    fn responder_peer(
        &mut self,
        identity: Identity,
        config: &Arc<PeerConfig>,
        path: Path,
    ) -> PeerId {
        if let Some(id) = self.by_identity.get(&identity) {
            return *id;
        }
        let id = self.insert_peer(Arc::clone(config), Role::Responder, path);
        self.by_identity.insert(identity, id);
        id
    }

    /// Prepares a value for each group that a peer may negotiate.
    pub(super) fn stock(&mut self, config: &PeerConfig) {
        for group in config.groups() {
            if self.pool.stock(self.config.provider(), group) {
                self.output.stats.exponents_prepared += 1;
            }
        }
    }
}

//! Messages that prove nothing: hints at most, answered within limits or not at all.

use super::Endpoint;
use crate::cookie::{CookiePair, ResponderCookie};
use crate::error::DatagramError;
use crate::event::{Hint, PeerId};
use crate::isakmp_sa::Path;
use crate::message_id::MessageId;
use crate::spi::Spi;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use crate::wire::{Header, Message, Notification, PayloadChain};

/// What an unauthenticated notification answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Received {
    /// So many octets, whose sender may not be who it says.
    Message { len: usize },
    /// Nothing: it is of the embedder's own accord.
    Nothing,
}

/// The Response flag of IKEv2, RFC 7296 section 3.1.
const IKEV2_RESPONSE: u8 = 0x20;

impl Received {
    pub(super) fn of(contents: &[u8]) -> Self {
        Self::Message {
            len: contents.len(),
        }
    }
}

impl Endpoint {
    pub(super) fn receive_hint(
        &mut self,
        message: &Message<'_>,
        path: Path,
    ) -> Result<(), DatagramError> {
        let payloads = message.payloads()?;
        trace::received(message.header(), &payloads, Place::First);
        let cookies = message.header().cookies();
        let source = path.remote.ip();
        for payload in payloads.of_type(PayloadType::NOTIFICATION) {
            let notification = Notification::decode(payload.body())?;
            let notify = notification.notify_type();
            if let Some(peer) = self.index.initiating.get(&cookies.initiator()).copied() {
                self.with_peer(self.now, peer, |peer, _| {
                    peer.suspect_phase_one(source, notify)
                });
            }
            match notify {
                NotifyType::INVALID_SPI => self.hint_invalid_spi(&notification, source),
                NotifyType::INVALID_COOKIE => self.hint_invalid_cookie(cookies, source),
                _ => {}
            }
        }
        Err(DatagramError::UnauthenticatedNotify)
    }

    fn hint_invalid_spi(&mut self, notification: &Notification<'_>, source: core::net::IpAddr) {
        // Some put the SPI where it belongs, some into the data.
        let named =
            Spi::from_slice(notification.spi()).or_else(|| Spi::from_slice(notification.data()));
        let Some(spi) = named else {
            return;
        };
        let at_source = |id: &PeerId| {
            self.peers
                .get(id)
                .is_some_and(|peer| peer.current_path().remote.ip() == source)
        };
        let peer = self.index.peers_sending_to(spi).find(at_source);
        if let Some(peer) = peer {
            self.with_peer(self.now, peer, |peer, context| {
                peer.on_hint(context, Hint::InvalidSpi, Some(spi))
            });
        }
    }

    fn hint_invalid_cookie(&mut self, cookies: CookiePair, source: core::net::IpAddr) {
        let Some(id) = self.index.isakmp_sas.get(&cookies).copied() else {
            self.called(cookies, source);
            return;
        };
        let newest_there = self.peers.get(&id).and_then(|peer| peer.status());
        if newest_there
            .is_some_and(|status| status.cookies == cookies && status.remote.ip() == source)
        {
            self.with_peer(self.now, id, |peer, context| {
                peer.on_hint(context, Hint::InvalidCookie, None)
            });
        }
    }

    /// A peer that was dead calls by the cookies of the last ISAKMP SA, which only it and who saw them knows.
    fn called(&mut self, cookies: CookiePair, source: core::net::IpAddr) {
        let from_there = |id: &PeerId| {
            self.peers
                .get(id)
                .is_some_and(|peer| peer.path.remote.ip() == source)
        };
        let former = self.index.former_sas.get(&cookies).copied();
        if let Some(id) = former.filter(from_there) {
            self.with_peer(self.now, id, |peer, context| peer.on_call(context));
        }
    }

    pub(super) fn send_invalid_cookie(
        &mut self,
        path: Path,
        received: Received,
        cookies: CookiePair,
    ) {
        let spi = cookies.octets();
        let notification =
            Notification::new(ProtocolId::ISAKMP, NotifyType::INVALID_COOKIE, &spi, &[]);
        self.answer_stranger(path, received, cookies, &notification);
    }

    /// Sends an unauthenticated notification, within limits, and never one that is longer than what it answers.
    pub(super) fn answer_stranger(
        &mut self,
        path: Path,
        received: Received,
        cookies: CookiePair,
        notification: &Notification<'_>,
    ) {
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &notification.encode());
        let header = Header::new(
            cookies,
            ExchangeType::INFORMATIONAL,
            MessageId::generate(self.random()),
        );
        let answer = header.encode_clear(&payloads);
        let refused = match received {
            Received::Message { len } => {
                len < answer.len() || !self.strangers.admit(self.now, path.remote.ip())
            }
            Received::Nothing => false,
        };
        if refused {
            self.output.stats.stranger_answers_suppressed += 1;
            return;
        }
        self.output.stats.stranger_answers_out += 1;
        trace::sent(&header, &payloads, || Place::First);
        self.output.send(path.local, path.remote, answer);
    }

    pub(super) fn refuse_version(
        &mut self,
        path: Path,
        contents: &[u8],
        major: u8,
    ) -> Result<(), DatagramError> {
        // Who answers answers would talk for ever with one that does the same in IKEv2.
        let is_question = |header: &Header| header.flags().0 & IKEV2_RESPONSE == 0;
        if let Ok((header, _)) = Header::decode(contents)
            && is_question(&header)
        {
            let notification = Notification::new(
                ProtocolId::ISAKMP,
                NotifyType::INVALID_MAJOR_VERSION,
                &[],
                &[],
            );
            let received = Received::of(contents);
            self.answer_stranger(path, received, header.cookies(), &notification);
        }
        Err(DatagramError::UnsupportedVersion { major })
    }

    pub(super) fn refuse_exchange(
        &mut self,
        path: Path,
        contents: &[u8],
        header: &Header,
    ) -> Result<(), DatagramError> {
        let exchange = header.exchange_type();
        let cookies = CookiePair::new(header.cookies().initiator(), ResponderCookie::ZERO);
        let notification = Notification::new(
            ProtocolId::ISAKMP,
            NotifyType::INVALID_EXCHANGE_TYPE,
            &[],
            &[],
        );
        self.answer_stranger(path, Received::of(contents), cookies, &notification);
        Err(DatagramError::UnsupportedExchange { exchange })
    }

    /// An encrypted message under cookies that nobody knows: the sender may not know yet that we have started anew.
    pub(super) fn reject_unknown(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let responder = cookies.responder().octets();
        let ours = self
            .config
            .shard()
            .is_none_or(|shard| responder.first() == Some(&shard));
        let plausible = message.header().flags().is_encrypted() && !cookies.responder().is_zero();
        if ours && plausible && self.half_open.get(cookies).is_none() {
            self.send_invalid_cookie(path, Received::of(contents), cookies);
        }
        Err(DatagramError::UnknownCookies)
    }
}

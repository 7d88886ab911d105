//! What comes in: which exchange or SA a datagram belongs to, and which peer has that.

use core::net::IpAddr;

use bytes::Bytes;

use super::Endpoint;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::error::DatagramError;
use crate::event::PeerId;
use crate::fragments::Sender;
use crate::isakmp_sa::Path;
use crate::output::NON_ESP_MARKER;
use crate::peer::Peer;
use crate::phase_one::held::HeldMessage;
use crate::transmit::Datagram;
use crate::wire::numbers::ExchangeType;
use crate::wire::{DecodeError, Message};

impl Endpoint {
    pub(super) fn receive(&mut self, datagram: Datagram<'_>) -> Result<(), DatagramError> {
        if self.closed {
            return Err(DatagramError::Closed);
        }
        let path = Path {
            local: datagram.destination,
            remote: datagram.source,
        };
        let Some(contents) = self.unframe(&datagram)? else {
            return Ok(());
        };
        self.pool.disturb(self.now, self.half_open.turns().slots());
        let message = match Message::decode(contents) {
            Ok(message) => message,
            Err(DecodeError::UnsupportedVersion { major }) => {
                return self.refuse_version(path, contents, major);
            }
            Err(error) => return Err(error.into()),
        };
        if message.is_fragment() {
            return match self.reassemble(&message, path)? {
                Some(whole) => self.receive_whole(&Message::decode(&whole)?, &whole, path),
                None => Ok(()),
            };
        }
        self.receive_message(&message, contents, path)
    }

    fn receive_message(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        match message.header().exchange_type() {
            ExchangeType::AGGRESSIVE => self.receive_aggressive(message, contents, path),
            ExchangeType::QUICK_MODE => self.receive_quick_mode(message, contents, path),
            ExchangeType::INFORMATIONAL => self.receive_informational(message, contents, path),
            ExchangeType::TRANSACTION => self.receive_transaction(message, contents, path),
            _ => self.refuse_exchange(path, contents, message.header()),
        }
    }

    /// Takes in a fragment and returns the message that it completes.
    fn reassemble(
        &mut self,
        message: &Message<'_>,
        path: Path,
    ) -> Result<Option<Vec<u8>>, DatagramError> {
        self.output.stats.fragments_in += 1;
        let fragment = message.fragment()?;
        let cookies = message.header().cookies();
        let source = path.remote.ip();
        let sender = if self.expects(cookies, source) {
            Sender::Plausible
        } else {
            Sender::Stranger
        };
        let origin = (cookies, source);
        let whole = self.fragments.accept(self.now, sender, origin, &fragment)?;
        self.output.stats.reassembled += u64::from(whole.is_some());
        Ok(whole)
    }

    /// Whether an exchange or an SA of ours has these cookies, with a peer at this address.
    fn expects(&self, cookies: CookiePair, source: IpAddr) -> bool {
        let initiating = self.index.initiating.get(&cookies.initiator());
        let established = self.index.isakmp_sas.get(&cookies);
        let is_at_source = |id: &PeerId| {
            let peer = self.peers.get(id);
            peer.is_some_and(|peer| {
                peer.path.remote.ip() == source || peer.current_path().remote.ip() == source
            })
        };
        let half_open = self.half_open.get(cookies);
        established.or(initiating).is_some_and(is_at_source)
            || half_open.is_some_and(|awaiting| awaiting.path.remote.ip() == source)
    }

    /// Takes in a message that came in fragments, as if it had come in one piece. It is no fragment itself.
    fn receive_whole(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        if message.is_fragment() {
            return Err(DatagramError::Unexpected);
        }
        self.receive_message(message, contents, path)
    }

    /// Has the peer take it in whose cookies a message has.
    fn received_by(
        &mut self,
        peer: Option<PeerId>,
        receive: impl FnOnce(&mut Peer, &mut Context<'_>) -> Result<(), DatagramError>,
    ) -> Result<(), DatagramError> {
        peer.and_then(|peer| self.with_peer(self.now, peer, receive))
            .unwrap_or(Err(DatagramError::UnknownCookies))
    }

    fn receive_transaction(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        // Strangers get no answer: who asks for it has an ISAKMP SA.
        let cookies = message.header().cookies();
        let peer = self.index.isakmp_sas.get(&cookies).copied();
        self.received_by(peer, |peer, context| {
            peer.receive_transaction(context, message, contents, path)
        })
    }

    /// Takes the non-ESP marker off. `None` for a keepalive.
    fn unframe<'a>(&self, datagram: &Datagram<'a>) -> Result<Option<&'a [u8]>, DatagramError> {
        if datagram.destination.port() != self.config.nat_port() {
            return Ok(Some(datagram.contents));
        }
        match datagram.contents {
            // RFC 3948 section 2.3.
            [0xff] => Ok(None),
            contents => contents
                .strip_prefix(&NON_ESP_MARKER)
                .map(Some)
                .ok_or(DatagramError::NotIke),
        }
    }

    pub(super) fn receive_aggressive(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        let cookies = header.cookies();
        if !header.message_id().is_zero() {
            return Err(DecodeError::BadValue { what: "Message ID" }.into());
        }
        if cookies.responder().is_zero() {
            return self.receive_first(message, contents, path);
        }
        if let Some(peer) = self.index.isakmp_sas.get(&cookies).copied() {
            return self.received_by(Some(peer), |peer, context| {
                peer.receive_aggressive_again(context, message, contents)
            });
        }
        if self.half_open.get(cookies).is_some() {
            return self.receive_third(message, contents, path);
        }
        match self.index.initiating.get(&cookies.initiator()).copied() {
            Some(peer) => self.receive_second(peer, message, contents, path),
            None => Err(DatagramError::UnknownCookies),
        }
    }

    fn receive_second(
        &mut self,
        peer: PeerId,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        self.received_by(Some(peer), |peer, context| {
            peer.receive_second(context, message, contents, path)
        })
    }

    pub(super) fn receive_quick_mode(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        if let Some(peer) = self.index.isakmp_sas.get(&cookies).copied() {
            return self.received_by(Some(peer), |peer, context| {
                peer.receive_quick_mode(context, message, contents, path)
            });
        }
        if self.half_open.get(cookies).is_some() {
            // It has overtaken message 3.
            let held = HeldMessage {
                path,
                contents: Bytes::copy_from_slice(contents),
            };
            if !self.half_open.hold(cookies, held) {
                return Err(DatagramError::LimitReached);
            }
            self.output.stats.held += 1;
            return Ok(());
        }
        self.reject_unknown(message, contents, path)
    }

    fn receive_informational(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        if !header.flags().is_encrypted() {
            return self.receive_hint(message, path);
        }
        match self.index.isakmp_sas.get(&header.cookies()).copied() {
            Some(peer) => self.received_by(Some(peer), |peer, context| {
                peer.receive_informational(context, message, path)
            }),
            None => self.reject_unknown(message, contents, path),
        }
    }
}

//! Client mode: requests in mode 3, answers in mode 4. Also the prelude of a symmetric association and the
//! volley of a broadcast client.

use std::time::Instant;

use super::requests::{Interleaved, Previous};
use super::{Association, Matched, Role};
use crate::config::{Interleaving, Purpose, RequestHeader, SourcePort};
use crate::crypto::random_u64;
use crate::datagram::Datagram;
use crate::error::{AuthenticationError, Rejection};
use crate::message::{Authenticator, Message};
use crate::packet::{Mode, Packet};
use crate::poll_interval::Precision;
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// After this many unanswered requests the server has forgotten what it would tell in interleaved mode.
const MAX_INTERLEAVED_LOSSES: usize = 4;
/// The precision that minimal requests claim, so that they tell nothing.
const UNTOLD_PRECISION: Precision = Precision(32);

impl Association {
    /// Queues one mode 3 request.
    pub(super) fn send_request(&mut self, now: Instant, wall: NtpTimestamp, purpose: Purpose) {
        let mut packet = Packet::new(self.config.version, Mode::Client);
        packet.poll = self.poller.announced();
        match self.config.request_header {
            RequestHeader::Minimal => {
                packet.precision = UNTOLD_PRECISION;
                packet.transmit = self.nonce();
                if let Some(previous) = self.previous_to_complete() {
                    packet.origin = previous.t2;
                    packet.receive = self.nonce();
                }
            }
            RequestHeader::Full => {
                self.system.describe(&mut packet, now, wall);
                if let Some(echo) = self.last_heard {
                    packet.origin = echo.transmit;
                    packet.receive = echo.received;
                }
                packet.transmit = self.fuzzed(wall);
            }
        }
        let source_port = self.request_port();
        self.enqueue(now, wall, purpose, &packet, source_port);
    }

    /// Checks a mode 4 packet and changes nothing.
    pub(super) fn verify_reply(
        &self,
        now: Instant,
        message: &Message<'_>,
        datagram: &Datagram<'_>,
    ) -> Result<Matched, Rejection> {
        let packet = message.packet();
        let request = self
            .requests
            .find_recent(Mode::Client, packet.origin, now, self.config.reply_timeout)
            .filter(|request| {
                request.source_port == 0 || request.source_port == datagram.destination.port()
            })
            .ok_or(Rejection::Unmatched)?;
        if request.answered {
            return Err(Rejection::Duplicate);
        }
        let authenticated = self.authenticate(message)?;
        if packet.kiss().is_none() && (packet.receive.is_zero() || packet.transmit.is_zero()) {
            return Err(Rejection::ZeroTimestamp);
        }
        Ok(Matched {
            request: *request,
            authenticated,
        })
    }

    /// TEST5 of RFC 5905 section 8. Says whether the packet carries a proof of its origin.
    pub(super) fn authenticate(&self, message: &Message<'_>) -> Result<bool, Rejection> {
        match (&self.config.key, message.authenticator()) {
            (Some(key), _) => message.verify(key).map(|()| true).map_err(Rejection::from),
            (None, Authenticator::CryptoNak) => Err(AuthenticationError::CryptoNak.into()),
            (None, _) => Ok(false),
        }
    }

    /// The exchange that the next answer may complete in interleaved mode.
    fn previous_to_complete(&self) -> Option<Previous> {
        let is_wanted = self.config.interleaving == Interleaving::Interleaved;
        let is_recent = self.requests.unanswered() < MAX_INTERLEAVED_LOSSES;
        self.previous.filter(|_| is_wanted && is_recent)
    }

    /// What makes a packet that is about to be sent an interleaved request, if it is one.
    pub(super) fn interleaved(&self, packet: &Packet) -> Option<Interleaved> {
        if packet.mode != Mode::Client {
            return None;
        }
        let previous = self.previous_to_complete()?;
        Some(Interleaved {
            origin: packet.receive,
            previous,
        })
    }

    /// A random transmit timestamp: unpredictable, and never zero.
    fn nonce(&self) -> WireTimestamp {
        WireTimestamp(random_u64(self.random.as_ref()).max(1))
    }

    /// The time with random bits below the clock's precision, so that it cannot be guessed either.
    pub(super) fn fuzzed(&self, wall: NtpTimestamp) -> WireTimestamp {
        let idle = self.config.precision.idle_bits();
        let mask = 1_u64.checked_shl(idle).map_or(u64::MAX, |bit| bit - 1);
        let bits = (wall.bits() & !mask) | (random_u64(self.random.as_ref()) & mask);
        WireTimestamp(bits.max(1))
    }

    fn request_port(&self) -> u16 {
        match self.config.source_port {
            SourcePort::Random { lowest, highest } if matches!(self.role, Role::Client) => {
                let span = u64::from(highest - lowest) + 1;
                let offset = u16::try_from(random_u64(self.random.as_ref()) % span).unwrap_or(0);
                lowest.saturating_add(offset)
            }
            SourcePort::Random { .. } | SourcePort::Fixed => self.config.local.port(),
        }
    }
}

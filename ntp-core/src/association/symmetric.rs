//! Symmetric modes 1 and 2, and how two peers find each other again after losses.
//!
//! Each packet carries the transmit timestamp of a packet of the other side, and when that one arrived.
//! Which one matters: a peer drops what does not echo its own last packet. Echoing only packets that
//! passed the origin test would lock both sides up once a packet is lost at the wrong moment (each waits
//! for an echo that the other no longer sends); echoing whatever comes last would let a forger with a
//! guessed address break the association. So there are two pairs: that of the last packet which passed,
//! and that of the last which did not. The latter is echoed only when nothing has passed since our own
//! last packet.

use std::time::Instant;

use super::{Association, Echo, Matched, Role};
use crate::config::{AssociationMode, Prelude, Purpose};
use crate::error::Rejection;
use crate::message::Message;
use crate::packet::{Mode, Packet};
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// Of the packets of a prelude that goes unanswered, each one of this many is a mode 1.
const PRELUDE_PERIOD: u8 = 4;

/// State of a symmetric association.
#[derive(Clone, Debug, Default)]
pub(super) struct Symmetric {
    /// The last packet that answered one of ours.
    valid: Option<Echo>,
    /// The last packet since then that did not.
    restart: Option<Echo>,
    /// Whether `valid` is newer than our own last packet.
    is_valid_fresh: bool,
    /// Packets of the prelude since the path last answered.
    prelude_sent: u8,
}

/// What the origin test says of a symmetric packet.
#[derive(Debug)]
pub(super) enum Origin {
    /// It answers that packet of ours.
    Matched(Matched),
    /// It answers none: kept for a restart only.
    Unknown,
}

impl Symmetric {
    /// Whether the next packet of an association with a prelude is a mode 3.
    pub(super) fn is_prelude_due(&mut self, path_is_reached: bool) -> bool {
        if path_is_reached {
            self.prelude_sent = 0;
            return false;
        }
        self.prelude_sent = (self.prelude_sent + 1) % PRELUDE_PERIOD;
        self.prelude_sent != 0
    }

    pub(super) fn restart_prelude(&mut self) {
        self.prelude_sent = 0;
    }

    fn echo(&self) -> Option<Echo> {
        if self.is_valid_fresh {
            self.valid
        } else {
            self.restart.or(self.valid)
        }
    }

    fn has_seen(&self, transmit: WireTimestamp) -> bool {
        [self.valid, self.restart]
            .iter()
            .flatten()
            .any(|echo| echo.transmit == transmit)
    }

    /// Whether the peer sent this before the last packet that passed: a replay, if that answered the same packet of ours.
    fn is_older(&self, transmit: WireTimestamp) -> bool {
        self.valid
            .is_some_and(|valid| transmit.since(valid.transmit).is_negative())
    }

    fn accept(&mut self, echo: Echo) {
        self.valid = Some(echo);
        self.restart = None;
        self.is_valid_fresh = true;
    }

    fn keep_for_restart(&mut self, echo: Echo) {
        self.restart = Some(echo);
    }
}

impl Association {
    /// Queues one packet of a symmetric association: of the prelude, or mode 1 or 2.
    pub(super) fn send_symmetric(&mut self, now: Instant, wall: NtpTimestamp, purpose: Purpose) {
        let path_is_reached = self.path_reach.is_reachable();
        let Role::Symmetric(symmetric) = &mut self.role else {
            return;
        };
        if self.config.prelude == Prelude::ClientServer && symmetric.is_prelude_due(path_is_reached)
        {
            self.send_request(now, wall, purpose);
            return;
        }
        let echo = symmetric.echo();
        symmetric.is_valid_fresh = false;
        let mut packet = Packet::new(self.config.version, self.symmetric_mode());
        packet.poll = self.poller.announced();
        self.system.describe(&mut packet, now, wall);
        if let Some(echo) = echo {
            packet.origin = echo.transmit;
            packet.receive = echo.received;
        }
        packet.transmit = self.fuzzed(wall);
        self.enqueue(now, wall, purpose, &packet, self.config.local.port());
    }

    /// Checks a mode 1 or 2 packet and changes nothing.
    pub(super) fn verify_symmetric(&self, message: &Message<'_>) -> Result<Origin, Rejection> {
        let Role::Symmetric(symmetric) = &self.role else {
            return Err(Rejection::WrongMode {
                mode: message.packet().mode,
            });
        };
        let packet = message.packet();
        if packet.transmit.is_zero() {
            return Err(Rejection::ZeroTimestamp);
        }
        if symmetric.has_seen(packet.transmit) {
            return Err(Rejection::Duplicate);
        }
        let authenticated = self.authenticate(message)?;
        let Some(request) = self.requests.find(self.symmetric_mode(), packet.origin) else {
            return Ok(Origin::Unknown);
        };
        if packet.receive.is_zero() {
            return Err(Rejection::ZeroTimestamp);
        }
        if request.answered && symmetric.is_older(packet.transmit) {
            return Err(Rejection::Duplicate);
        }
        Ok(Origin::Matched(Matched {
            request: *request,
            authenticated,
        }))
    }

    /// Takes in a packet that answers one of ours.
    pub(super) fn note_symmetric_match(&mut self, packet: &Packet, wall: NtpTimestamp) {
        if let Role::Symmetric(symmetric) = &mut self.role {
            symmetric.accept(Echo {
                transmit: packet.transmit,
                received: wall.wire(),
            });
        }
    }

    /// Takes in a packet that answers nothing: its timestamps may serve to start again.
    pub(super) fn note_symmetric_start(&mut self, packet: &Packet, wall: NtpTimestamp) {
        if let Role::Symmetric(symmetric) = &mut self.role {
            symmetric.keep_for_restart(Echo {
                transmit: packet.transmit,
                received: wall.wire(),
            });
        }
    }

    fn symmetric_mode(&self) -> Mode {
        match self.config.mode {
            AssociationMode::SymmetricPassive => Mode::SymmetricPassive,
            AssociationMode::Client
            | AssociationMode::SymmetricActive
            | AssociationMode::BroadcastServer
            | AssociationMode::BroadcastClient => Mode::SymmetricActive,
        }
    }
}

//! What comes in: which request it answers, what is wrong with it, and the sample that it gives.

use std::time::Instant;

use super::dispatch::{Verdict, dispatch};
use super::requests::Previous;
use super::symmetric::Origin;
use super::{Association, Echo, Matched, Reply, Role};
use crate::config::{AssociationMode, DenialPolicy, Purpose, SourcePort};
use crate::datagram::Datagram;
use crate::error::{Rejection, Unusable};
use crate::event::{EndReason, Event};
use crate::kiss::KissCode;
use crate::message::Message;
use crate::packet::{Mode, Packet};
use crate::reach::Reach;
use crate::sample::{Conditions, Sample};
use crate::timestamp::NtpTimestamp;

impl Association {
    pub(super) fn accept(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Reply, Rejection> {
        if self.is_closed {
            return Err(Rejection::Closed);
        }
        self.check_addresses(datagram)?;
        let message = Message::decode(datagram.contents)?;
        let packet = message.packet();
        match dispatch(self.config.mode, packet.mode) {
            Verdict::Process => {}
            Verdict::Discard => return Err(Rejection::WrongMode { mode: packet.mode }),
            Verdict::Demobilise => {
                self.authenticate(&message)?;
                self.end(EndReason::PassiveToPassive);
                return Err(Rejection::PassiveToPassive);
            }
        }
        match packet.mode {
            Mode::Broadcast => self.accept_broadcast(now, wall, &message),
            Mode::SymmetricActive | Mode::SymmetricPassive => {
                self.accept_symmetric(now, wall, &message)
            }
            Mode::Reserved | Mode::Client | Mode::Server | Mode::Control | Mode::Private => {
                let matched = self.verify_reply(now, &message, datagram)?;
                Ok(self.accept_match(now, wall, packet, matched))
            }
        }
    }

    /// A broadcast goes to another address than our own; anything else must be for us.
    pub(super) fn check_addresses(&self, datagram: &Datagram<'_>) -> Result<(), Rejection> {
        let config = &self.config;
        if datagram.source != config.remote {
            return Err(Rejection::WrongAddress);
        }
        if config.mode == AssociationMode::BroadcastClient {
            return Ok(());
        }
        let is_any_port = config.local.port() == 0 || config.source_port != SourcePort::Fixed;
        let is_ours = (config.local.ip().is_unspecified()
            || config.local.ip() == datagram.destination.ip())
            && (is_any_port || config.local.port() == datagram.destination.port());
        if is_ours {
            Ok(())
        } else {
            Err(Rejection::WrongAddress)
        }
    }

    fn accept_broadcast(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        message: &Message<'_>,
    ) -> Result<Reply, Rejection> {
        self.verify_broadcast(now, message)?;
        let outcome = self.note_broadcast(now, wall, message.packet());
        self.note_clock(message.packet());
        if let Ok(sample) = &outcome {
            self.shift_reach(now);
            self.take_sample(now, *sample);
        }
        Ok(Reply {
            path: false,
            rtt: None,
            sample: outcome.ok(),
            unusable: outcome.err(),
        })
    }

    fn accept_symmetric(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        message: &Message<'_>,
    ) -> Result<Reply, Rejection> {
        let packet = message.packet();
        let origin = self.verify_symmetric(message)?;
        self.silent_polls = 0;
        match origin {
            Origin::Matched(matched) => {
                self.note_symmetric_match(packet, wall);
                self.poller.note_peer(packet);
                Ok(self.accept_match(now, wall, packet, matched))
            }
            Origin::Unknown => {
                self.note_symmetric_start(packet, wall);
                if packet.origin.is_zero() {
                    return Ok(Reply {
                        path: false,
                        rtt: None,
                        sample: None,
                        unusable: Some(Unusable::NotHeard),
                    });
                }
                Err(Rejection::Unmatched)
            }
        }
    }

    /// Takes in an answer to one of our packets; cannot fail any more.
    fn accept_match(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        packet: &Packet,
        matched: Matched,
    ) -> Reply {
        let Matched {
            request,
            authenticated,
        } = matched;
        let current = Previous {
            t1: request.wall,
            t2: packet.receive,
            t4: wall,
            sent_at: request.at,
            received_at: now,
            purpose: request.purpose,
        };
        // An interleaved answer completes the exchange before, any other its own.
        let completed = request.completes(packet.origin).copied();
        self.stats.interleaved += u64::from(completed.is_some());
        self.previous = (packet.mode == Mode::Server && packet.kiss().is_none()).then_some(current);
        self.requests.mark_answered(request.origin);
        self.last_heard = Some(Echo {
            transmit: packet.transmit,
            received: wall.wire(),
        });
        self.mark_path();
        let outcome = self.judge(packet, completed.unwrap_or(current), completed.is_some());
        self.note_clock(packet);
        match &outcome {
            Ok(sample) => {
                self.note_volley_sample(now, sample);
                self.take_sample(now, *sample);
            }
            Err(Unusable::Kiss(code)) => self.note_kiss(now, packet, *code, authenticated),
            Err(_) => {}
        }
        let rtt = match completed {
            None if packet.kiss().is_none() => current.exchange(packet.transmit).round_trip(),
            _ => now.saturating_duration_since(request.at),
        };
        Reply {
            path: true,
            rtt: Some(rtt),
            sample: outcome.ok(),
            unusable: outcome.err(),
        }
    }

    /// Makes a sample of an answer and the exchange that it completes, or says why it is none.
    fn judge(
        &self,
        packet: &Packet,
        completed: Previous,
        is_interleaved: bool,
    ) -> Result<Sample, Unusable> {
        // A kiss is heard whatever the request was for.
        if let Some(code) = packet.kiss() {
            return Err(Unusable::Kiss(code));
        }
        if completed.purpose == Purpose::Trigger {
            return Err(Unusable::Trigger);
        }
        let conditions = Conditions {
            precision: self.config.precision,
            pivot: self.config.pivot,
            max_delay: self.config.max_delay,
            // The transmit timestamp of an interleaved answer is older than its header.
            header_time: if is_interleaved {
                packet.receive
            } else {
                packet.transmit
            },
        };
        let exchange = completed.exchange(packet.transmit);
        Sample::measure(packet, &exchange, completed.received_at, conditions)
    }

    fn take_sample(&mut self, now: Instant, sample: Sample) {
        self.last_sample = Some(sample);
        if !self.reach.is_reachable() {
            self.raise(Event::ServerReached);
        }
        self.reach.answer();
        if !matches!(self.role, Role::BroadcastClient(_)) {
            self.poller.note_sample(now, self.random.as_ref());
        }
        if self.filter.add(&sample, self.poller.announced().duration())
            && let Some(statistics) = self.filter.output()
        {
            self.poller.note_statistics(&statistics);
            self.raise(Event::Updated(statistics));
        }
    }

    fn note_kiss(&mut self, now: Instant, packet: &Packet, code: KissCode, authenticated: bool) {
        self.raise(Event::Kissed {
            code,
            authenticated,
        });
        if code == KissCode::RATE {
            self.poller
                .note_rate_kiss(packet, now, self.random.as_ref());
        }
        let obeys = match self.config.denial {
            DenialPolicy::Obey => true,
            DenialPolicy::ObeyAuthenticated => authenticated,
            DenialPolicy::Ignore => false,
        };
        if code.is_denial() && obeys {
            self.end(EndReason::Denied(code));
        }
    }

    /// Remembers whether the server's clock is set. A server that only wants to be left alone says nothing about it.
    fn note_clock(&mut self, packet: &Packet) {
        let is_refusal = |code: KissCode| code == KissCode::RATE || code.is_denial();
        if !packet.kiss().is_some_and(is_refusal) {
            self.is_lost = !packet.is_synchronised();
        }
    }

    fn mark_path(&mut self) {
        if !self.path_reach.is_reachable() {
            self.raise(Event::PathReached);
        }
        self.path_reach.answer();
    }

    /// The path is another one now, or none: it has to be proved anew.
    pub(super) fn forget_path(&mut self) {
        if self.path_reach.is_reachable() {
            self.path_reach = Reach::default();
            self.raise(Event::PathLost);
        }
    }
}

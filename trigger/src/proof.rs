//! What proves that a pair can be reached: a reply that came back through it.
//!
//! A hub cannot take a branch's request as proof, for it says nothing of the way back. Two
//! things do: a packet that answers one which the hub sent of its own accord, and an NTP
//! request whose origin timestamp echoes the transmit timestamp of the hub's last reply.

use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use esp_core::ip::InnerPacket;

/// How long an answer may take to count as one.
const PATIENCE: Duration = Duration::from_secs(30);
/// A flow under observation makes room for another after this long.
const OBSERVED: Duration = Duration::from_secs(2);

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// One direction of a conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Flow {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Ports; for an echo its identifier and whether it is the reply.
    ports: (u16, u16),
}

impl Flow {
    fn of(inner: &InnerPacket, packet: &[u8]) -> Option<Self> {
        let protocol = inner.protocol().0;
        let payload = packet
            .get(inner.payload())
            .filter(|_| inner.has_upper_layer_header())?;
        let word = |at: usize| {
            let octets = payload.get(at..at + 2)?;
            octets
                .first_chunk()
                .map(|octets| u16::from_be_bytes(*octets))
        };
        let ports = match protocol {
            TCP | UDP => (word(0)?, word(2)?),
            ICMP | ICMP_V6 => {
                let reply = match payload.first()? {
                    0 | 129 => 1,
                    8 | 128 => 0,
                    _ => return None,
                };
                (word(4)?, reply)
            }
            _ => return None,
        };
        Some(Self {
            source: inner.source(),
            destination: inner.destination(),
            protocol,
            ports,
        })
    }

    /// The flow of an answer to this one; an echo reply has none.
    fn answer(self) -> Option<Self> {
        let ports = match (self.protocol, self.ports) {
            (ICMP | ICMP_V6, (identifier, 0)) => (identifier, 1),
            (ICMP | ICMP_V6, _) => return None,
            (_, (source, destination)) => (destination, source),
        };
        Some(Self {
            source: self.destination,
            destination: self.source,
            ports,
            ..self
        })
    }
}

/// Watches one pair for answers.
#[derive(Debug, Default)]
pub(crate) struct AnswerWatch {
    expected: Option<(Instant, Flow)>,
    /// The latest flow that the peer began: what we send along it answers, and asks nothing.
    theirs: Option<Flow>,
    /// Transmit timestamps of the NTP replies sent last, as on the wire, the latest first; zero
    /// stands for none. Several probes may be on their way at once.
    ntp_replies: [u64; 4],
}

impl AnswerWatch {
    /// Whether a flow is under observation, so that what is sent now need not be shown.
    pub(crate) fn is_observing(&self, now: Instant) -> bool {
        self.expected
            .is_some_and(|(since, _)| now < since + OBSERVED)
    }

    /// An inner packet has gone out through the pair.
    pub(crate) fn sent(&mut self, now: Instant, inner: &InnerPacket, packet: &[u8]) {
        if self.is_observing(now) {
            return;
        }
        let Some(answer) = Flow::of(inner, packet).and_then(Flow::answer) else {
            return;
        };
        if self.theirs != Some(answer) {
            self.expected = Some((now, answer));
        }
    }

    /// An inner packet has come in through the pair. Returns whether it is an answer.
    pub(crate) fn received(&mut self, now: Instant, inner: &InnerPacket, packet: &[u8]) -> bool {
        let Some(flow) = Flow::of(inner, packet) else {
            return false;
        };
        match self.expected {
            Some((since, expected)) if expected == flow => {
                self.expected = None;
                now < since + PATIENCE
            }
            _ => {
                self.theirs = Some(flow);
                false
            }
        }
    }

    /// A reply with this transmit timestamp has gone out.
    pub(crate) fn ntp_replied(&mut self, transmit: u64) {
        let [first, second, third, _] = self.ntp_replies;
        self.ntp_replies = [transmit, first, second, third];
    }

    /// A request with this origin timestamp has come in. Returns whether it echoes one of the
    /// replies sent last, which has then arrived.
    pub(crate) fn ntp_echoed(&mut self, origin: u64) -> bool {
        let echoed = self
            .ntp_replies
            .iter_mut()
            .find(|reply| origin != 0 && **reply == origin);
        echoed.map(core::mem::take).is_some()
    }
}

/// The port of NTP, on both sides of a probe.
pub(crate) const NTP_PORT: u16 = 123;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    use esp_core::ip::{Dscp, udp_packet};

    use super::*;
    use crate::testing::epoch;

    const HUB: ([u8; 4], u16) = ([10, 61, 3, 26], 9000);
    const BRANCH: ([u8; 4], u16) = ([10, 61, 1, 10], 7000);

    fn packet(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut packet = Vec::new();
        udp_packet(
            SocketAddr::from(from),
            SocketAddr::from(to),
            Dscp::default(),
            b"data",
            &mut packet,
        )
        .unwrap();
        packet
    }

    fn sent(watch: &mut AnswerWatch, at: Instant, packet: &[u8]) {
        watch.sent(at, &InnerPacket::parse(packet).unwrap(), packet);
    }

    fn received(watch: &mut AnswerWatch, at: Instant, packet: &[u8]) -> bool {
        watch.received(at, &InnerPacket::parse(packet).unwrap(), packet)
    }

    #[test]
    fn an_answer_to_what_the_hub_asked_is_proof_once() {
        let (mut watch, now) = (AnswerWatch::default(), epoch());
        sent(&mut watch, now, &packet(HUB, BRANCH));
        assert!(received(&mut watch, now, &packet(BRANCH, HUB)));
        assert!(!received(&mut watch, now, &packet(BRANCH, HUB)));
    }

    #[test]
    fn what_the_branch_asks_again_and_again_is_no_proof() {
        let (mut watch, now) = (AnswerWatch::default(), epoch());
        for _ in 0..5 {
            assert!(!received(&mut watch, now, &packet(BRANCH, HUB)));
            sent(&mut watch, now, &packet(HUB, BRANCH));
        }
    }

    #[test]
    fn an_answer_that_comes_too_late_is_no_proof() {
        let (mut watch, now) = (AnswerWatch::default(), epoch());
        sent(&mut watch, now, &packet(HUB, BRANCH));
        assert!(!received(&mut watch, now + PATIENCE, &packet(BRANCH, HUB)));
    }

    #[test]
    fn an_echoed_transmit_timestamp_is_proof_once_and_zero_never_is() {
        let mut watch = AnswerWatch::default();
        assert!(!watch.ntp_echoed(0));
        watch.ntp_replied(0xE000_0000_0000_0001);
        assert!(!watch.ntp_echoed(0xE000_0000_0000_0002));
        watch.ntp_replied(0xE000_0000_0000_0003);
        assert!(watch.ntp_echoed(0xE000_0000_0000_0001));
        assert!(!watch.ntp_echoed(0xE000_0000_0000_0001));
        assert!(watch.ntp_echoed(0xE000_0000_0000_0003));
    }
}

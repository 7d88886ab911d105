//! The hub's business: it reads from the data service behind each branch, over each pair.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use trigger::esp_core::ip::{Dscp, UdpDatagram, udp_packet};

/// Port of the data service.
const SERVICE_PORT: u16 = 7_000;
/// Port that the hub asks from.
const READER_PORT: u16 = 9_000;

/// A pair by the number of its branch and its own.
pub(crate) type PairKey = (u32, u8);

/// What is asked over a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// The hub's private address that asks.
    pub(crate) reader: IpAddr,
    /// The data service behind the branch.
    pub(crate) service: IpAddr,
    /// How often.
    pub(crate) interval: Duration,
    /// Whether it is asked until it has been answered, or for ever.
    pub(crate) once: bool,
}

/// Asks over every pair it is told to.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The key of a pair is part of each question.
    asked: BTreeMap<PairKey, Question>,
    due: BTreeSet<(Instant, PairKey)>,
}

impl Reader {
    /// Begins to ask over a pair, first at `at`; what was asked there before is forgotten.
    pub(crate) fn begin(&mut self, at: Instant, key: PairKey, question: Question) {
        self.end(key);
        self.asked.insert(key, question);
        self.due.insert((at, key));
    }

    fn end(&mut self, key: PairKey) {
        if self.asked.remove(&key).is_some() {
            self.due.retain(|(_, other)| *other != key);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next question that is due, as an inner packet.
    pub(crate) fn question(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (at, key) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, key));
        let Question {
            reader,
            service,
            interval,
            ..
        } = *self.asked.get(&key)?;
        self.due
            .insert((now + interval.max(Duration::from_micros(1)), key));
        let mut packet = Vec::new();
        let (branch, pair) = key;
        let question = [&branch.to_be_bytes()[..], &[pair]].concat();
        let source = SocketAddr::new(reader, READER_PORT);
        udp_packet(
            source,
            SocketAddr::new(service, SERVICE_PORT),
            Dscp::DEFAULT,
            &question,
            &mut packet,
        )
        .ok()?;
        Some(packet)
    }

    /// The pair that an inner packet answers the question of, rightly and as the first, if it is asked once only.
    pub(crate) fn answered(&mut self, packet: &[u8]) -> Option<PairKey> {
        let answer = UdpDatagram::parse(packet).ok()?;
        let (key, reading) = answer.payload.split_first_chunk::<5>()?;
        let [b0, b1, b2, b3, pair] = *key;
        let key = (u32::from_be_bytes([b0, b1, b2, b3]), pair);
        let Question {
            reader,
            service,
            once,
            ..
        } = *self.asked.get(&key)?;
        let is_right = answer.source == SocketAddr::new(service, SERVICE_PORT)
            && answer.destination == SocketAddr::new(reader, READER_PORT)
            && reading == b"21.5";
        if !is_right || !once {
            return None;
        }
        self.end(key);
        Some(key)
    }
}

/// A branch's business of its own: a syslog line now and then.
#[derive(Debug)]
pub(crate) struct Chatter {
    /// From where to where.
    pub(crate) flow: (IpAddr, IpAddr),
    pub(crate) interval: Duration,
    pub(crate) due: Instant,
}

impl Chatter {
    /// The next line that is due, as an inner packet.
    pub(crate) fn line(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + self.interval.max(Duration::from_micros(1));
        let (source, target) = self.flow;
        let mut packet = Vec::new();
        let (source, target) = (
            SocketAddr::new(source, 40_000),
            SocketAddr::new(target, 514),
        );
        udp_packet(
            source,
            target,
            Dscp::DEFAULT,
            b"<14>branch: all is well",
            &mut packet,
        )
        .ok()?;
        Some(packet)
    }
}

/// The data service: what the branch answers to an inner packet, if it is a question.
pub(crate) fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let question = UdpDatagram::parse(packet)
        .ok()
        .filter(|udp| udp.destination.port() == SERVICE_PORT)?;
    let reading = [question.payload, b"21.5"].concat();
    let mut answer = Vec::new();
    udp_packet(
        question.destination,
        question.source,
        Dscp::DEFAULT,
        &reading,
        &mut answer,
    )
    .ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(now: Instant) -> Reader {
        let mut reader = Reader::default();
        let question = Question {
            reader: [10, 61, 3, 26].into(),
            service: [10, 128, 0, 10].into(),
            interval: Duration::from_millis(50),
            once: true,
        };
        reader.begin(now, (3, 1), question);
        reader
    }

    #[test]
    fn a_question_is_repeated_until_it_is_answered() {
        let now = sim::instant(Duration::ZERO);
        let mut reader = reader(now);
        let question = reader.question(now).unwrap();
        assert_eq!(reader.question(now), None);
        assert_eq!(reader.next(), Some(now + Duration::from_millis(50)));
        let answer = answer(&question).unwrap();
        assert_eq!(reader.answered(&answer), Some((3, 1)));
        assert_eq!(reader.answered(&answer), None);
        assert_eq!(reader.next(), None);
    }

    #[test]
    fn a_question_for_ever_goes_on_after_its_answer() {
        let now = sim::instant(Duration::ZERO);
        let mut reader = reader(now);
        let question = Question {
            once: false,
            ..reader.asked[&(3, 1)]
        };
        reader.begin(now, (3, 1), question);
        let answer = answer(&reader.question(now).unwrap()).unwrap();
        assert_eq!(reader.answered(&answer), None);
        assert_eq!(reader.next(), Some(now + Duration::from_millis(50)));
    }

    #[test]
    fn the_question_itself_is_no_answer() {
        let now = sim::instant(Duration::ZERO);
        let mut reader = reader(now);
        let question = reader.question(now).unwrap();
        assert_eq!(reader.answered(&question), None);
        assert_eq!(answer(&answer(&question).unwrap()), None);
    }
}

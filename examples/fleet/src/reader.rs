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

/// How soon a question is repeated over a pair that has an SA, the first time; each further one waits twice as long.
const PATIENCE: Duration = Duration::from_millis(500);

/// How a question stands.
#[derive(Clone, Copy, Debug)]
struct Asked {
    question: Question,
    next: Instant,
    /// It has been asked at least once.
    begun: bool,
    /// The pair has come up.
    hurried: bool,
}

/// Asks over every pair it is told to.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The key of a pair is part of each question.
    asked: BTreeMap<PairKey, Asked>,
    due: BTreeSet<(Instant, PairKey)>,
}

impl Reader {
    /// Begins to ask over a pair, first at `at`; what was asked there before is forgotten.
    pub(crate) fn begin(&mut self, at: Instant, key: PairKey, question: Question) {
        self.end(key);
        let asked = Asked {
            question,
            next: at,
            begun: false,
            hurried: false,
        };
        self.asked.insert(key, asked);
        self.due.insert((at, key));
    }

    fn end(&mut self, key: PairKey) {
        if let Some(asked) = self.asked.remove(&key) {
            self.due.remove(&(asked.next, key));
        }
    }

    /// The pair has an SA, and the hub has sent what it held: whoever waits for an answer asks again soon.
    pub(crate) fn is_up(&mut self, now: Instant, key: PairKey) {
        let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.question.once) else {
            return;
        };
        if PATIENCE < asked.question.interval {
            asked.question.interval = PATIENCE;
            asked.hurried = true;
        }
        let soon = if asked.begun { now + PATIENCE } else { now };
        if soon < asked.next {
            self.due.remove(&(asked.next, key));
            asked.next = soon;
            self.due.insert((soon, key));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next question that is due, as an inner packet.
    pub(crate) fn question(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (at, key) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, key));
        let asked = self.asked.get_mut(&key)?;
        let Question {
            reader, service, ..
        } = asked.question;
        if asked.begun && asked.hurried {
            asked.question.interval *= 2;
        }
        asked.begun = true;
        asked.next = now + asked.question.interval.max(Duration::from_micros(1));
        self.due.insert((asked.next, key));
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
        } = self.asked.get(&key)?.question;
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
    fn a_pair_that_comes_up_is_asked_soon() {
        let now = sim::instant(Duration::ZERO);
        let later = now + Duration::from_secs(9);
        let mut slow = reader(now);
        let question = Question {
            interval: Duration::from_secs(4),
            ..slow.asked[&(3, 1)].question
        };
        slow.begin(later, (3, 1), question);
        slow.is_up(now, (3, 1));
        assert!(slow.question(now).is_some());
        assert_eq!(slow.next(), Some(now + PATIENCE));

        // One that was asked before is on its way with what the hub has held.
        slow.begin(now, (3, 1), question);
        assert!(slow.question(now).is_some());
        slow.is_up(now + PATIENCE, (3, 1));
        assert_eq!(slow.next(), Some(now + PATIENCE * 2));
        assert!(slow.question(now + PATIENCE * 2).is_some());
        assert_eq!(slow.next(), Some(now + PATIENCE * 4));
    }

    #[test]
    fn a_question_for_ever_goes_on_after_its_answer() {
        let now = sim::instant(Duration::ZERO);
        let mut reader = reader(now);
        let question = Question {
            once: false,
            ..reader.asked[&(3, 1)].question
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

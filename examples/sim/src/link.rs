//! One direction between two hosts.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Random;
use crate::trace::DropReason;

/// How one direction of a path treats datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Time that each datagram takes, at least.
    pub latency: Duration,
    /// A uniform extra in `[0, jitter]`. It does not reorder: a datagram waits for the one before it.
    pub jitter: Duration,
    /// Which datagrams are lost.
    pub loss: Loss,
    /// Probability that a second copy arrives.
    pub duplication: f64,
    /// Datagrams that are overtaken.
    pub reordering: Reordering,
    /// Probability that one bit of the payload is flipped.
    pub corruption: f64,
    /// Largest IP packet, headers included; a larger one is lost, as with DF set. `None`: no limit.
    pub mtu: Option<usize>,
    /// Rate in bits per second at which packets are put on the wire. `None`: no limit.
    pub bits_per_second: Option<u64>,
    /// Longest wait for the wire before a packet is lost. Matters only with a rate.
    pub queue: Duration,
}

impl Link {
    /// A perfect link with some latency.
    #[must_use]
    pub const fn new(latency: Duration) -> Self {
        Self {
            latency,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplication: 0.0,
            reordering: Reordering::NONE,
            corruption: 0.0,
            mtu: None,
            bits_per_second: None,
            queue: Duration::from_millis(200),
        }
    }

    /// Sets the jitter.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Loses each datagram independently with this probability.
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = Loss::Independent(probability);
        self
    }

    /// Loses datagrams in bursts.
    #[must_use]
    pub const fn bursts(mut self, bursts: GilbertElliott) -> Self {
        self.loss = Loss::Bursts(bursts);
        self
    }

    /// Duplicates with this probability.
    #[must_use]
    pub const fn duplication(mut self, probability: f64) -> Self {
        self.duplication = probability;
        self
    }

    /// Holds datagrams back so that later ones overtake them.
    #[must_use]
    pub const fn reordering(mut self, probability: f64, hold: Duration) -> Self {
        self.reordering = Reordering { probability, hold };
        self
    }

    /// Flips a bit with this probability.
    #[must_use]
    pub const fn corruption(mut self, probability: f64) -> Self {
        self.corruption = probability;
        self
    }

    /// Sets the MTU.
    #[must_use]
    pub const fn mtu(mut self, octets: usize) -> Self {
        self.mtu = Some(octets);
        self
    }

    /// Sets the rate.
    #[must_use]
    pub const fn bits_per_second(mut self, rate: u64) -> Self {
        self.bits_per_second = Some(rate);
        self
    }
}

impl Default for Link {
    /// 10 ms, perfect.
    fn default() -> Self {
        Self::new(Duration::from_millis(10))
    }
}

/// Which datagrams a link loses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability, independently.
    Independent(f64),
    /// In bursts.
    Bursts(GilbertElliott),
}

/// Loss by the Gilbert-Elliott model: a good and a bad state, each with its own loss, and a chance to change with every
/// datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// Probability to go from good to bad.
    pub good_to_bad: f64,
    /// Probability to go from bad to good.
    pub bad_to_good: f64,
    /// Loss in the good state.
    pub loss_good: f64,
    /// Loss in the bad state.
    pub loss_bad: f64,
}

impl GilbertElliott {
    /// Bursts in which everything is lost, by mean loss (below 1) and mean burst length in datagrams (at least 1).
    #[must_use]
    pub fn new(mean_loss: f64, mean_burst: f64) -> Self {
        let bad_to_good = 1.0 / mean_burst.max(1.0);
        let good_to_bad = (bad_to_good * mean_loss / (1.0 - mean_loss)).min(1.0);
        Self {
            good_to_bad,
            bad_to_good,
            loss_good: 0.0,
            loss_bad: 1.0,
        }
    }
}

/// Datagrams that are held back so that later ones overtake them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reordering {
    /// Probability for each datagram.
    pub probability: f64,
    /// How long it is held back.
    pub hold: Duration,
}

impl Reordering {
    /// No reordering.
    pub const NONE: Self = Self {
        probability: 0.0,
        hold: Duration::ZERO,
    };
}

/// A datagram as a test's filter sees it.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// How many datagrams this direction has been given before this one.
    pub index: u64,
    /// When it is sent.
    pub now: Instant,
    /// Its source, after address translation.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// Its payload.
    pub contents: &'a [u8],
}

/// What a test's filter does with a datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The link decides.
    Pass,
    /// It is lost.
    Lose,
    /// It arrives this much later and is overtaken meanwhile.
    Delay(Duration),
    /// It arrives twice, the second copy this much later.
    Duplicate(Duration),
    /// It arrives with other contents.
    Replace(Vec<u8>),
}

type Filter = Box<dyn FnMut(&Passing<'_>) -> Verdict>;

/// A link in use: its settings, its generator and what it remembers.
pub(crate) struct Direction {
    pub(crate) link: Link,
    pub(crate) follows_default: bool,
    pub(crate) cut: bool,
    pub(crate) filter: Option<Filter>,
    random: Random,
    index: u64,
    bad: bool,
    wire_free: Duration,
    last_arrival: Duration,
}

/// One copy that a link lets through.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) contents: Vec<u8>,
    pub(crate) corrupted: bool,
}

impl Direction {
    pub(crate) fn new(link: Link, random: Random) -> Self {
        Self {
            link,
            follows_default: true,
            cut: false,
            filter: None,
            random,
            index: 0,
            bad: false,
            wire_free: Duration::ZERO,
            last_arrival: Duration::ZERO,
        }
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Decides what becomes of a datagram: the copies that arrive, or why none does.
    pub(crate) fn pass(
        &mut self,
        passing: &Passing<'_>,
        now: Duration,
    ) -> Result<Vec<Arrival>, DropReason> {
        self.index += 1;
        let verdict = self
            .filter
            .as_mut()
            .map_or(Verdict::Pass, |filter| filter(passing));
        if self.cut {
            return Err(DropReason::Partition);
        }
        let packet_len = passing.contents.len() + header_len(passing.destination);
        if self.link.mtu.is_some_and(|mtu| mtu < packet_len) {
            return Err(DropReason::TooBig);
        }
        let departure = self.departure(packet_len, now)?;
        if verdict == Verdict::Lose {
            return Err(DropReason::Script);
        }
        if self.loses() {
            return Err(DropReason::Loss);
        }
        let mut copies = vec![self.copy(departure, passing.contents)];
        if self.random.chance(self.link.duplication) {
            copies.push(self.copy(departure, passing.contents));
        }
        amend(&mut copies, verdict);
        Ok(copies)
    }

    /// When the last bit has left, at the link's rate.
    fn departure(&mut self, packet_len: usize, now: Duration) -> Result<Duration, DropReason> {
        let Some(rate) = self.link.bits_per_second else {
            return Ok(now);
        };
        let start = self.wire_free.max(now);
        if self.link.queue < start - now {
            return Err(DropReason::QueueFull);
        }
        let bits = u64::try_from(packet_len)
            .unwrap_or(u64::MAX)
            .saturating_mul(8);
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(rate.max(1));
        self.wire_free = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Ok(self.wire_free)
    }

    fn loses(&mut self) -> bool {
        match self.link.loss {
            Loss::None => false,
            Loss::Independent(probability) => self.random.chance(probability),
            Loss::Bursts(bursts) => {
                let change = if self.bad {
                    bursts.bad_to_good
                } else {
                    bursts.good_to_bad
                };
                self.bad ^= self.random.chance(change);
                self.random.chance(if self.bad {
                    bursts.loss_bad
                } else {
                    bursts.loss_good
                })
            }
        }
    }

    fn copy(&mut self, departure: Duration, contents: &[u8]) -> Arrival {
        let undisturbed = departure + self.link.latency + self.random.duration(self.link.jitter);
        let at = if self.random.chance(self.link.reordering.probability) {
            undisturbed + self.link.reordering.hold
        } else {
            self.last_arrival = self.last_arrival.max(undisturbed);
            self.last_arrival
        };
        let mut contents = contents.to_vec();
        let corrupted = self.random.chance(self.link.corruption) && self.flip_bit(&mut contents);
        Arrival {
            at,
            contents,
            corrupted,
        }
    }

    fn flip_bit(&mut self, contents: &mut [u8]) -> bool {
        let at = self
            .random
            .below(u64::try_from(contents.len()).unwrap_or(0));
        let bit = self.random.below(8);
        let Some(octet) = usize::try_from(at).ok().and_then(|at| contents.get_mut(at)) else {
            return false;
        };
        *octet ^= 1 << bit;
        true
    }
}

impl fmt::Debug for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Direction")
            .field("link", &self.link)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

fn amend(copies: &mut Vec<Arrival>, verdict: Verdict) {
    let Some(first) = copies.first_mut() else {
        return;
    };
    match verdict {
        Verdict::Pass | Verdict::Lose => {}
        Verdict::Delay(extra) => first.at += extra,
        Verdict::Duplicate(extra) => {
            let second = Arrival {
                at: first.at + extra,
                contents: first.contents.clone(),
                ..*first
            };
            copies.push(second);
        }
        Verdict::Replace(contents) => {
            for copy in copies {
                copy.contents.clone_from(&contents);
                copy.corrupted = true;
            }
        }
    }
}

/// IP and UDP headers in front of the payload.
fn header_len(destination: SocketAddr) -> usize {
    let ip = if destination.is_ipv4() { 20 } else { 40 };
    let udp = if destination.port() == 0 { 0 } else { 8 };
    ip + udp
}

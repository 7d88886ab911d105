//! Requests per address, bounded in rate and in memory.

use core::hash::Hasher;
use core::net::IpAddr;
use core::time::Duration;
use std::hash::DefaultHasher;
use std::time::Instant;

/// Addresses that share one place of the table.
const WAYS: usize = 4;

/// How many requests one address may make. IPv6 addresses count by their /64 network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct RateLimit {
    interval: Duration,
    burst: u16,
    places: u32,
    kiss_period: u16,
}

impl RateLimit {
    /// One request per `interval` in the long run, and up to `burst` of them at once.
    pub const fn new(interval: Duration, burst: u16) -> Self {
        Self {
            interval,
            burst,
            places: 16_384,
            kiss_period: 4,
        }
    }

    /// How many addresses are remembered, rounded up to a power of two; the idlest is forgotten first.
    /// Default: 16384, half a megabyte.
    pub const fn places(mut self, places: u32) -> Self {
        self.places = places;
        self
    }

    /// The first refused request of an address and then one out of this many is answered with the kiss code RATE;
    /// 0 means none. Default: 4.
    pub const fn kiss_period(mut self, requests: u16) -> Self {
        self.kiss_period = requests;
        self
    }
}

impl Default for RateLimit {
    /// Eight requests per second, up to 64 at once.
    fn default() -> Self {
        Self::new(Duration::from_millis(125), 64)
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Serve,
    Kiss,
    Drop,
}

/// The table of recent addresses.
#[derive(Clone, Debug)]
pub(crate) struct RateLimiter {
    interval: u64,
    tolerance: u64,
    kiss_period: u16,
    secret: u64,
    epoch: Instant,
    sets: Vec<[Slot; WAYS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u64,
    /// When the address will have used up its due, in nanoseconds since the epoch: the virtual scheduling form of a token bucket.
    due: u64,
    refused: u16,
}

impl RateLimiter {
    pub(crate) fn new(limit: &RateLimit, secret: u64, now: Instant) -> Self {
        let interval = nanoseconds(limit.interval);
        let sets = usize::try_from(limit.places)
            .unwrap_or(usize::MAX)
            .div_ceil(WAYS)
            .next_power_of_two();
        Self {
            interval,
            tolerance: interval.saturating_mul(u64::from(limit.burst.max(1)) - 1),
            kiss_period: limit.kiss_period,
            secret,
            epoch: now,
            sets: vec![[Slot::default(); WAYS]; sets],
        }
    }

    /// Counts one request.
    pub(crate) fn admit(&mut self, now: Instant, address: IpAddr) -> Verdict {
        let tag = self.tag(address);
        let now = nanoseconds(now.saturating_duration_since(self.epoch));
        let (interval, tolerance, kiss_period) = (self.interval, self.tolerance, self.kiss_period);
        let Some(slot) = self.slot(tag) else {
            return Verdict::Serve;
        };
        let due = slot.due.max(now);
        if due - now <= tolerance {
            slot.due = due.saturating_add(interval);
            slot.refused = 0;
            return Verdict::Serve;
        }
        let is_kiss = slot.refused.checked_rem(kiss_period) == Some(0);
        slot.refused = slot.refused.wrapping_add(1);
        if is_kiss {
            Verdict::Kiss
        } else {
            Verdict::Drop
        }
    }

    /// The slot of an address; that of the idlest other one if it has none.
    fn slot(&mut self, tag: u64) -> Option<&mut Slot> {
        let mask = self.sets.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let set = self.sets.get_mut(tag as usize & mask)?;
        if let Some(known) = set.iter().position(|slot| slot.tag == tag) {
            return set.get_mut(known);
        }
        let idlest = set.iter_mut().min_by_key(|slot| slot.due)?;
        *idlest = Slot {
            tag,
            ..Slot::default()
        };
        Some(idlest)
    }

    /// A keyed hash, so that nobody can aim at another address's slot. Never zero, which marks an empty slot.
    fn tag(&self, address: IpAddr) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret);
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
            IpAddr::V6(address) => hasher.write_u128(address.to_bits() >> 64),
        }
        hasher.finish().max(1)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any origin will do")]
    fn limiter(limit: &RateLimit) -> (RateLimiter, Instant) {
        let now = Instant::now();
        (RateLimiter::new(limit, 7, now), now)
    }

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 61, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 61, 0, 2));

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let (mut limiter, now) = limiter(&RateLimit::new(Duration::from_secs(1), 3));
        let verdicts: Vec<_> = (0..9).map(|_| limiter.admit(now, ONE)).collect();
        assert_eq!(verdicts[..3], [Verdict::Serve; 3]);
        assert_eq!(verdicts[3], Verdict::Kiss);
        assert_eq!(verdicts[4..7], [Verdict::Drop; 3]);
        assert_eq!(verdicts[7], Verdict::Kiss);
        assert_eq!(limiter.admit(now, OTHER), Verdict::Serve);
        let later = now + Duration::from_secs(1);
        assert_eq!(limiter.admit(later, ONE), Verdict::Serve);
        assert_eq!(limiter.admit(later, ONE), Verdict::Kiss);
    }

    #[test]
    fn a_rested_address_gets_its_whole_burst_again() {
        let (mut limiter, now) = limiter(&RateLimit::new(Duration::from_secs(1), 2));
        for _ in 0..5 {
            limiter.admit(now, ONE);
        }
        let later = now + Duration::from_secs(60);
        let served = (0..5)
            .filter(|_| limiter.admit(later, ONE) == Verdict::Serve)
            .count();
        assert_eq!(served, 2);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (mut limiter, now) = limiter(&RateLimit::new(Duration::from_secs(1), 1).kiss_period(0));
        let host = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 1, 0, 0, 0, last));
        assert_eq!(limiter.admit(now, host(1)), Verdict::Serve);
        assert_eq!(limiter.admit(now, host(2)), Verdict::Drop);
        let neighbour = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 2, 0, 0, 0, 1));
        assert_eq!(limiter.admit(now, neighbour), Verdict::Serve);
    }

    #[test]
    fn the_table_does_not_grow() {
        let (mut limiter, now) = limiter(&RateLimit::new(Duration::from_secs(1), 1).places(64));
        for address in 0..10_000_u32 {
            assert_eq!(
                limiter.admit(now, Ipv4Addr::from_bits(address).into()),
                Verdict::Serve
            );
        }
        assert_eq!(limiter.sets.len() * WAYS, 64);
    }
}

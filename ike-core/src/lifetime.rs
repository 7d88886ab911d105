//! When an SA is renewed and when it ends.

use core::time::Duration;

use crate::context::Context;
use crate::event::Role;
use crate::time::Instant;
use crate::wire::Attributes;
use crate::wire::numbers::LifeType;

/// Lifetimes as attributes carry them, RFC 2409 appendix A and RFC 2407 section 4.5.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Lifetimes {
    pub(crate) duration: Option<Duration>,
    pub(crate) kilobytes: Option<u64>,
}

impl Lifetimes {
    /// Reads pairs of Life Type and Life Duration, whose attribute numbers differ between the phases.
    ///
    /// A duration of zero says nothing, as does one whose type is unknown or missing.
    pub(crate) fn read(attributes: &Attributes<'_>, life_type: u16, life_duration: u16) -> Self {
        let mut lifetimes = Self::default();
        let mut current = None;
        for attribute in attributes.iter() {
            if attribute.attribute_type() == life_type {
                current = attribute.number().map(LifeType);
            } else if attribute.attribute_type() == life_duration {
                // A value that does not fit into 64 bits is as good as no limit.
                let value = attribute.integer().filter(|value| *value != 0);
                match current.take() {
                    Some(LifeType::SECONDS) => {
                        lifetimes.duration =
                            smaller(lifetimes.duration, value.map(Duration::from_secs));
                    }
                    Some(LifeType::KILOBYTES) => {
                        lifetimes.kilobytes = smaller(lifetimes.kilobytes, value)
                    }
                    _ => {}
                }
            }
        }
        lifetimes
    }

    /// The smaller of each.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            duration: smaller(self.duration, other.duration),
            kilobytes: smaller(self.kilobytes, other.kilobytes),
        }
    }
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The shortest lifetime that a peer can impose: below it, renewals would chase each other.
const SHORTEST: Duration = Duration::from_secs(5);

/// The longest, so that adding it to any time is safe.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// RFC 2407 section 4.5: without a lifetime, eight hours are assumed.
pub(crate) const DEFAULT: Duration = Duration::from_secs(28_800);

/// When an SA with a lifetime in seconds is renewed and when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) renew: Instant,
    pub(crate) expire: Instant,
}

impl Schedule {
    /// The initiator renews first, by a margin with as much jitter; a responder only when that should have happened.
    pub(crate) fn new(context: &Context<'_>, role: Role, lifetime: Duration) -> Self {
        let lifetime = lifetime.clamp(SHORTEST, LONGEST);
        let margin = margin(lifetime);
        let early = match role {
            Role::Initiator => margin + context.jitter(margin),
            Role::Responder => margin / 4 + context.jitter(margin / 4),
        };
        Self {
            renew: context.now + lifetime.saturating_sub(early),
            expire: context.now + lifetime,
        }
    }
}

impl Schedule {
    /// Brings renewal and end forward to what a lifetime from `since` on comes to. Never puts them off, and never further
    /// back than to leave the time for a renewal.
    pub(crate) fn shorten(&mut self, now: Instant, since: Instant, lifetime: Duration) {
        let lifetime = lifetime.clamp(SHORTEST, LONGEST);
        let expire = (since + lifetime).max(now + SHORTEST);
        if expire < self.expire {
            self.expire = expire;
            let renew = expire.checked_sub(margin(lifetime)).unwrap_or(now);
            self.renew = self.renew.min(renew.max(now));
        }
    }
}

/// A tenth of the lifetime, at most nine minutes.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 10).min(Duration::from_secs(540))
}

/// Whether so much of a lifetime in kilobytes is used that a renewal is due: 15/16 of it.
pub(crate) fn nearly_used(kilobytes: u64, octets: u64) -> bool {
    kilobytes.saturating_sub(kilobytes / 16) <= octets / 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::AttributeList;

    fn read(list: &AttributeList) -> Lifetimes {
        Lifetimes::read(&Attributes::decode(list.octets()).unwrap(), 11, 12)
    }

    #[test]
    fn attributes_of_each_width_are_read() {
        let short = AttributeList::new().short(11, 1).short(12, 3600);
        assert_eq!(read(&short).duration, Some(Duration::from_secs(3600)));
        let long = AttributeList::new()
            .short(11, 1)
            .long(12, &86_400_u32.to_be_bytes());
        assert_eq!(read(&long).duration, Some(Duration::from_secs(86_400)));
        let odd = AttributeList::new()
            .long(11, &[0, 0, 2])
            .long(12, &[1, 0, 0]);
        assert_eq!(read(&odd).kilobytes, Some(65_536));
    }

    #[test]
    fn the_smallest_counts_and_zero_does_not() {
        let list = AttributeList::new()
            .short(11, 1)
            .short(12, 0)
            .short(11, 1)
            .short(12, 600)
            .short(11, 1)
            .short(12, 700);
        assert_eq!(read(&list).duration, Some(Duration::from_secs(600)));
        assert_eq!(
            read(&AttributeList::new().short(11, 1).short(12, 0)),
            Lifetimes::default()
        );
        assert_eq!(
            read(&AttributeList::new().short(12, 9)),
            Lifetimes::default()
        );
        let huge = AttributeList::new().short(11, 1).long(12, &[0xff; 12]);
        assert_eq!(read(&huge), Lifetimes::default());
    }

    #[test]
    fn kilobytes_are_nearly_used_before_they_are_used_up() {
        assert!(!nearly_used(1000, 900 * 1024));
        assert!(nearly_used(1000, 938 * 1024));
        assert!(nearly_used(1, 1024));
    }
}

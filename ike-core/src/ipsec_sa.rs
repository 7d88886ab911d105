//! An IPsec SA from the point of view of IKE: names and times. Its keys are with whoever processes ESP.

use core::time::Duration;

use crate::config::PairIndex;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::event::{CloseReason, Role};
use crate::lifetime::{Lifetimes, Schedule, nearly_used};
use crate::limits::{OVERLAP, PASSIVE_OVERLAP};
use crate::quick_mode::NewSa;
use crate::spi::Spi;
use crate::time::Instant;

/// Two IPsec SAs, one for each direction.
#[derive(Debug)]
pub(crate) struct InstalledSa {
    pub(crate) pair: PairIndex,
    pub(crate) inbound_spi: Spi,
    pub(crate) outbound_spi: Spi,
    /// The ISAKMP SA they were negotiated under, which they may outlive.
    pub(crate) isakmp: CookiePair,
    pub(crate) role: Role,
    pub(crate) state: SaState,
    pub(crate) installed: Instant,
    /// When to take it for confirmed without any sign from the peer.
    pub(crate) confirm: Option<Instant>,
    /// When to negotiate a successor; `None` if that is not ours to do, or under way.
    pub(crate) renew: Option<Instant>,
    pub(crate) expire: Instant,
    kilobytes: Option<u64>,
    /// How long a negotiation of ours took.
    took: Option<Duration>,
    /// Whether running out of kilobytes is ours to prevent.
    may_renew: bool,
}

/// Whether an SA is in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SaState {
    /// We may receive on it; whether the peer has it is not known.
    Unconfirmed,
    /// The one to send on.
    Current,
    /// A newer one has taken over; what is still under way may arrive.
    Superseded { until: Instant, reason: CloseReason },
}

impl InstalledSa {
    /// `side` is ours in the relationship with the peer: whoever began phase 1 is first to renew.
    pub(crate) fn new(
        context: &Context<'_>,
        sa: &NewSa,
        isakmp: CookiePair,
        role: Role,
        side: Role,
        may_renew: bool,
    ) -> Self {
        let lifetime = sa.lifetimes.duration.unwrap_or(crate::lifetime::DEFAULT);
        let schedule = Schedule::new(context, side, lifetime);
        Self {
            pair: sa.pair,
            inbound_spi: sa.inbound_spi,
            outbound_spi: sa.outbound_spi,
            isakmp,
            role,
            state: SaState::Unconfirmed,
            installed: context.now,
            confirm: None,
            renew: may_renew.then_some(schedule.renew),
            expire: schedule.expire,
            kilobytes: sa.lifetimes.kilobytes,
            took: sa.took,
            may_renew,
        }
    }

    /// How long the negotiation took, if the SA is confirmed now.
    pub(crate) fn took(&self, now: Instant) -> Duration {
        self.took
            .unwrap_or_else(|| now.saturating_duration_since(self.installed))
    }

    /// Gives way to a newer SA. The side that began the replacement deletes; the other one waits for that.
    pub(crate) fn supersede(&mut self, now: Instant, replaced_by_us: bool) {
        let reason = if replaced_by_us || self.is_half_way(now) {
            CloseReason::Rekeyed
        } else {
            CloseReason::Replaced
        };
        let overlap = if replaced_by_us {
            OVERLAP
        } else {
            PASSIVE_OVERLAP
        };
        self.state = SaState::Superseded {
            until: now + overlap,
            reason,
        };
        self.renew = None;
    }

    /// Takes note of lifetimes that the peer keeps to, where they are shorter.
    pub(crate) fn shorten(&mut self, now: Instant, lifetimes: Lifetimes) {
        if let Some(duration) = lifetimes.duration {
            let renew = self.renew.unwrap_or(self.expire);
            let mut schedule = Schedule {
                renew,
                expire: self.expire,
            };
            schedule.shorten(now, self.installed, duration);
            self.expire = schedule.expire;
            self.renew = self.renew.map(|_| schedule.renew);
        }
        let shorter = Lifetimes {
            duration: None,
            kilobytes: self.kilobytes,
        };
        self.kilobytes = shorter.min(lifetimes).kilobytes;
    }

    fn is_half_way(&self, now: Instant) -> bool {
        self.expire.saturating_duration_since(now) <= now.saturating_duration_since(self.installed)
    }

    /// When something is due.
    pub(crate) fn next_deadline(&self) -> Instant {
        let end = match self.state {
            SaState::Superseded { until, .. } => until.min(self.expire),
            SaState::Unconfirmed | SaState::Current => self.expire,
        };
        match (self.state, self.renew) {
            (SaState::Current, Some(renew)) => renew.min(end),
            (SaState::Unconfirmed, _) => self.confirm.map_or(end, |confirm| confirm.min(end)),
            _ => end,
        }
    }

    /// Takes note of the octets carried so far. `true` if they are all that the SA may carry.
    pub(crate) fn use_up(&mut self, now: Instant, octets: u64) -> bool {
        let Some(kilobytes) = self.kilobytes else {
            return false;
        };
        if self.may_renew && nearly_used(kilobytes, octets) && self.renew.is_some() {
            self.renew = Some(now);
        }
        kilobytes <= octets / 1024
    }
}

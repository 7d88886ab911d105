//! Diffie-Hellman values prepared in quiet time, so that message 2 costs no exponentiation.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::slot::Slots;
use crate::crypto::{CryptoProvider, PrivateValue};
use crate::limits::{
    POOL_PATIENCE, POOL_PATIENCE_EXCHANGES, POOL_PAUSE, QUIET_EXCHANGES, QUIET_TIME,
};
use crate::time::Instant;
use crate::wire::numbers::GroupNumber;

/// A prepared value. It stays where it was made: an `Arc` of its own would be a move, which leaves a copy behind.
pub(crate) type Prepared = Arc<Box<dyn PrivateValue>>;

/// Prepared values by group.
#[derive(Debug)]
pub(crate) struct ExponentPool {
    target: usize,
    groups: BTreeMap<GroupNumber, Stock>,
    /// When the next value may be made.
    due: Instant,
    /// When the last one was.
    filled: Instant,
}

/// The values of a group. There always is one: the last is shared among exchanges until there are new ones, RFC 2409
/// section 5 notwithstanding a loss of forward secrecy between those.
#[derive(Debug)]
struct Stock {
    /// Each for one exchange.
    unused: Vec<Prepared>,
    /// For all others.
    shared: Prepared,
    /// `shared` was given away.
    is_shared: bool,
}

impl Stock {
    fn len(&self) -> usize {
        self.unused.len() + usize::from(!self.is_shared)
    }
}

impl ExponentPool {
    pub(crate) fn new(target: usize, now: Instant) -> Self {
        Self {
            target: target.max(1),
            groups: BTreeMap::new(),
            due: now,
            filled: now,
        }
    }

    /// Makes sure that a group has a value. `true` if one had to be made; nothing happens for a group that the
    /// provider lacks.
    pub(crate) fn stock(&mut self, provider: &CryptoProvider, number: GroupNumber) -> bool {
        if self.groups.contains_key(&number) {
            return false;
        }
        let Some(group) = provider.group(number) else {
            return false;
        };
        let stock = Stock {
            unused: Vec::new(),
            shared: Arc::new(group.generate_reusable(&*provider.secure_random)),
            is_shared: false,
        };
        self.groups.insert(number, stock);
        true
    }

    /// Takes a value of a stocked group.
    pub(crate) fn take(&mut self, number: GroupNumber) -> Option<Prepared> {
        let stock = self.groups.get_mut(&number)?;
        stock.unused.pop().or_else(|| {
            stock.is_shared = true;
            Some(Arc::clone(&stock.shared))
        })
    }

    /// When the next value is to be made, if a stocked group has fewer than it should.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_short = self.groups.values().any(|stock| stock.len() < self.target);
        is_short.then_some(self.due)
    }

    /// Puts off what is made in quiet time: a datagram has come. What has been given away as slots is no quiet time, and
    /// a slow machine needs longer than others to see that nobody comes.
    pub(crate) fn disturb(&mut self, now: Instant, slots: &Slots) {
        let served = slots.busy();
        let quiet = now + QUIET_TIME.max(served * QUIET_EXCHANGES);
        let quiet = quiet.max(slots.free());
        // Without end, a busy hub would share one value for ever.
        let patience = POOL_PATIENCE.max(served * POOL_PATIENCE_EXCHANGES);
        self.due = self.due.max(quiet.min(self.filled + patience));
    }

    /// Makes one value, if it is time, for the group that is shortest of them. `false` if none is.
    pub(crate) fn refill(&mut self, now: Instant, provider: &CryptoProvider) -> bool {
        if now < self.due {
            return false;
        }
        let shortest = self.groups.iter_mut().min_by_key(|(_, stock)| stock.len());
        let Some((number, stock)) = shortest.filter(|(_, stock)| stock.len() < self.target) else {
            return false;
        };
        let Some(group) = provider.group(*number) else {
            return false;
        };
        let random = &*provider.secure_random;
        if stock.is_shared {
            // The sooner it goes, the fewer exchanges share it.
            stock.shared = Arc::new(group.generate_reusable(random));
            stock.is_shared = false;
        } else {
            stock.unused.push(Arc::new(group.generate(random)));
        }
        self.filled = now;
        self.due = now + POOL_PAUSE;
        true
    }

    /// Makes a value because an initiator has proved itself, if the group has none left but the shared one and others
    /// are for one exchange only: these may well be cheaper to use than the shared one. `true` if it has made one.
    pub(crate) fn replace(&mut self, provider: &CryptoProvider, number: GroupNumber) -> bool {
        let (Some(stock), Some(group)) = (self.groups.get_mut(&number), provider.group(number))
        else {
            return false;
        };
        if group.values_are_reusable() || !stock.unused.is_empty() {
            return false;
        }
        let value = group.generate(&*provider.secure_random);
        stock.unused.push(Arc::new(value));
        true
    }
}

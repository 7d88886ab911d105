//! Diffie-Hellman values prepared in quiet time, so that message 2 costs no exponentiation.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::crypto::{CryptoProvider, PrivateValue};
use crate::wire::numbers::GroupNumber;

/// A prepared value. It stays where it was made: an `Arc` of its own would be a move, which leaves a copy behind.
pub(crate) type Prepared = Arc<Box<dyn PrivateValue>>;

/// Prepared values by group.
#[derive(Debug)]
pub(crate) struct ExponentPool {
    target: usize,
    groups: BTreeMap<GroupNumber, Stock>,
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
    pub(crate) fn new(target: usize) -> Self {
        Self {
            target: target.max(1),
            groups: BTreeMap::new(),
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

    /// Whether a stocked group has fewer values than it should.
    pub(crate) fn is_short(&self) -> bool {
        self.groups.values().any(|stock| stock.len() < self.target)
    }

    /// Makes one value for the group that is shortest of them. `false` if none is.
    pub(crate) fn refill(&mut self, provider: &CryptoProvider) -> bool {
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

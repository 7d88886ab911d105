//! Diffie-Hellman values prepared in quiet time, so that message 2 costs no exponentiation.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::crypto::{CryptoProvider, PrivateValue};
use crate::wire::numbers::GroupNumber;

/// Prepared values by group. A group that was stocked once is never empty again: its last value is shared among
/// exchanges until there are new ones, RFC 2409 section 5 notwithstanding a loss of forward secrecy between those.
#[derive(Debug)]
pub(crate) struct ExponentPool {
    target: usize,
    groups: BTreeMap<GroupNumber, Vec<Arc<dyn PrivateValue>>>,
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
        if self
            .groups
            .get(&number)
            .is_some_and(|values| !values.is_empty())
        {
            return false;
        }
        let Some(group) = provider.group(number) else {
            return false;
        };
        let value = Arc::from(group.generate(&*provider.secure_random));
        self.groups.entry(number).or_default().push(value);
        true
    }

    /// Takes a value of a stocked group.
    pub(crate) fn take(&mut self, number: GroupNumber) -> Option<Arc<dyn PrivateValue>> {
        let values = self.groups.get_mut(&number)?;
        if 1 < values.len() {
            values.pop()
        } else {
            values.last().map(Arc::clone)
        }
    }

    /// Whether a stocked group has fewer values than it should.
    pub(crate) fn is_short(&self) -> bool {
        self.groups
            .values()
            .any(|values| values.len() < self.target)
    }

    /// Makes one value for the group that is shortest of them. `false` if none is.
    pub(crate) fn refill(&mut self, provider: &CryptoProvider) -> bool {
        let shortest = self
            .groups
            .iter_mut()
            .min_by_key(|(_, values)| values.len());
        let Some((number, values)) = shortest.filter(|(_, values)| values.len() < self.target)
        else {
            return false;
        };
        let Some(group) = provider.group(*number) else {
            return false;
        };
        // The oldest value may have been shared: it goes as soon as there is another.
        values.insert(0, Arc::from(group.generate(&*provider.secure_random)));
        true
    }
}

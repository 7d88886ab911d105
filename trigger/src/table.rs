//! What is found by the number that it was given when it was added.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Entries by number. A number is never given twice; what was removed leaves room for a pointer.
///
/// Finding an entry costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// The number of the first entry.
    first: u32,
    entries: Vec<Option<Box<T>>>,
}

impl<T> Table<T> {
    /// Without entries; the first one gets this number.
    pub(crate) const fn starting_at(first: u32) -> Self {
        Self {
            first,
            entries: Vec::new(),
        }
    }

    /// The number that the next entry gets.
    pub(crate) fn next(&self) -> u32 {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(count)
    }

    /// Adds an entry under [`next`](Self::next).
    pub(crate) fn push(&mut self, entry: T) {
        self.entries.push(Some(Box::new(entry)));
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(self.position(number)?)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let position = self.position(number)?;
        self.entries.get_mut(position)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let position = self.position(number)?;
        let entry = self.entries.get_mut(position)?.take();
        entry.map(|entry| *entry)
    }

    fn position(&self, number: u32) -> Option<usize> {
        number
            .checked_sub(self.first)
            .map(|position| position as usize)
    }

    /// All entries, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let entries = (self.first..).zip(&self.entries);
        entries.filter_map(|(number, entry)| Some((number, entry.as_deref()?)))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().flatten().map(|entry| &mut **entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_given_twice() {
        let mut table = Table::starting_at(7);
        for entry in ["a", "b", "c"] {
            table.push(entry);
        }
        assert_eq!(table.remove(9), Some("c"));
        assert_eq!(table.remove(9), None);
        assert_eq!(table.next(), 10);
        table.push("d");
        assert_eq!((table.get(9), table.get(6)), (None, None));
        let all: Vec<(u32, &str)> = table
            .iter()
            .map(|(number, entry)| (number, *entry))
            .collect();
        assert_eq!(all, [(7, "a"), (8, "b"), (10, "d")]);
    }
}

//! The SA database, RFC 4301 section 4.4.2: inbound SAs by SPI.

use std::collections::HashMap;

use crate::hash::AddressHasher;
use crate::spi::Spi;

/// Inbound SAs, or whatever the embedder keeps for one, by SPI.
///
/// We choose our own SPIs, so that the SPI alone names an SA whatever address its packets come from
/// (RFC 4301 section 4.1, unicast).
#[derive(Clone, Debug)]
pub struct Sad<T> {
    entries: HashMap<Spi, T, AddressHasher>,
}

impl<T> Sad<T> {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: HashMap::default(),
        }
    }

    /// Adds an entry and returns the one that it displaces, if any.
    pub fn insert(&mut self, spi: Spi, entry: T) -> Option<T> {
        self.entries.insert(spi, entry)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, spi: Spi) -> Option<T> {
        self.entries.remove(&spi)
    }

    /// The entry of that SPI.
    #[must_use]
    pub fn get(&self, spi: Spi) -> Option<&T> {
        self.entries.get(&spi)
    }

    /// The entry of that SPI, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, spi: Spi) -> Option<&mut T> {
        self.entries.get_mut(&spi)
    }

    /// Whether there is an entry of that SPI.
    #[must_use]
    pub fn contains(&self, spi: Spi) -> bool {
        self.entries.contains_key(&spi)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T> Default for Sad<T> {
    fn default() -> Self {
        Self::new()
    }
}

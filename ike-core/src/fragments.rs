//! Fragments that wait for the rest of their messages, \[MS-IKEE\] section 2.2.2.
//!
//! They travel in clear and prove nothing. Those that name an exchange of ours and come from where its peer is have their
//! own room, so that a flood of others cannot push them out.

use alloc::collections::VecDeque;
use core::net::IpAddr;

use crate::cookie::CookiePair;
use crate::limits::{FRAGMENT_LIFETIME, REASSEMBLIES, STRANGERS_REASSEMBLIES};
use crate::time::Instant;
use crate::wire::{DecodeError, Fragment, Reassembly};

/// Who may have sent a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sender {
    /// Its cookies and its source are those of an exchange or an SA of ours.
    Plausible,
    /// Anybody.
    Stranger,
}

/// All fragments of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    plausible: Shelf,
    strangers: Shelf,
}

impl Fragments {
    /// Takes in a fragment and returns its message if that is complete now.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        sender: Sender,
        origin: (CookiePair, IpAddr),
        fragment: &Fragment<'_>,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        let (shelf, limit) = match sender {
            Sender::Plausible => (&mut self.plausible, REASSEMBLIES),
            Sender::Stranger => (&mut self.strangers, STRANGERS_REASSEMBLIES),
        };
        shelf.accept(now, limit, origin, fragment)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// One reassembly for each pair of cookies and each source, the oldest first.
#[derive(Debug, Default)]
struct Shelf(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    origin: (CookiePair, IpAddr),
    since: Instant,
    reassembly: Reassembly,
}

impl Shelf {
    fn accept(
        &mut self,
        now: Instant,
        limit: usize,
        origin: (CookiePair, IpAddr),
        fragment: &Fragment<'_>,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        self.0
            .retain(|waiting| now.saturating_duration_since(waiting.since) < FRAGMENT_LIFETIME);
        let known = self.0.iter().position(|waiting| waiting.origin == origin);
        let mut waiting = known
            .and_then(|position| self.0.remove(position))
            .unwrap_or_else(|| Waiting {
                origin,
                since: now,
                reassembly: Reassembly::new(),
            });
        let accepted = waiting.reassembly.accept(fragment);
        if !waiting.reassembly.is_empty() {
            let position = known.unwrap_or(self.0.len());
            self.0.insert(position, waiting);
            if limit < self.0.len() {
                self.0.pop_front();
            }
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_little_room_and_it_is_given_up_in_time() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let origin = Instant::now();
        let mut fragments = Fragments::default();
        let piece = Fragment::decode(&[0, 1, 1, 0, 9]).unwrap();
        for number in 0..10_000_u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let cookies = CookiePair::from_octets([a, b, c, d, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
            for sender in [Sender::Plausible, Sender::Stranger] {
                let from = (cookies, [192, 0, 2, d].into());
                assert_eq!(fragments.accept(origin, sender, from, &piece), Ok(None));
            }
        }
        assert_eq!(fragments.plausible.0.len(), REASSEMBLIES);
        assert_eq!(fragments.strangers.0.len(), STRANGERS_REASSEMBLIES);
        let from = (CookiePair::from_octets([7; 16]), [192, 0, 2, 1].into());
        let later = origin + FRAGMENT_LIFETIME;
        assert_eq!(
            fragments.accept(later, Sender::Stranger, from, &piece),
            Ok(None)
        );
        assert_eq!(fragments.strangers.0.len(), 1);
    }
}

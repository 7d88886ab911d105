//! Messages put together again from Fragment payloads.

use std::collections::{BTreeMap, VecDeque};

use super::limits::{MAX_FRAGMENTS, MAX_PARTIAL_MESSAGES, MAX_REASSEMBLED_LEN};
use super::{DecodeError, Fragment};

/// The fragments of one peer that wait for the rest of their messages.
///
/// Fragments travel in clear and prove nothing, so the room is small and fixed: at most
/// [`MAX_PARTIAL_MESSAGES`] messages of at most [`MAX_FRAGMENTS`] fragments and
/// [`MAX_REASSEMBLED_LEN`] octets. A further message takes the place of the oldest. There is no
/// timer: what never completes is pushed out by what comes later or goes with the peer.
///
/// Of two fragments with the same number the first is kept, so that a copy on the network changes
/// nothing. One that was forged in time spoils its message; the peer's retransmission then starts
/// afresh, since a completed message leaves nothing behind.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    /// Oldest first.
    partials: VecDeque<Partial>,
}

impl Reassembly {
    /// Room without fragments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a fragment and returns the message if it is now complete. The message is to be
    /// decoded like any datagram; it may be anything, but not a fragment again.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooMany`] for a number or a total above the limits,
    /// [`DecodeError::BadValue`] for a number past the last fragment. What waits stays as it was.
    pub fn accept(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
        if MAX_FRAGMENTS < fragment.number() {
            let limit = usize::from(MAX_FRAGMENTS);
            return Err(DecodeError::TooMany {
                what: "fragments",
                limit,
            });
        }
        let position = self
            .partials
            .iter()
            .position(|partial| partial.id == fragment.id());
        let Some(partial) = position.and_then(|position| self.partials.get_mut(position)) else {
            return self.begin(fragment);
        };
        partial.add(fragment)?;
        if !partial.is_complete() {
            return Ok(None);
        }
        Ok(position
            .and_then(|position| self.partials.remove(position))
            .map(Partial::into_message))
    }

    /// Forgets all fragments.
    pub fn clear(&mut self) {
        self.partials.clear();
    }

    /// Whether no fragment waits.
    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    fn begin(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
        let mut partial = Partial::new(fragment.id());
        partial.add(fragment)?;
        if partial.is_complete() {
            return Ok(Some(partial.into_message()));
        }
        if self.partials.len() == MAX_PARTIAL_MESSAGES {
            self.partials.pop_front();
        }
        self.partials.push_back(partial);
        Ok(None)
    }
}

/// A message of which fragments are missing.
#[derive(Clone, Debug)]
struct Partial {
    id: u16,
    pieces: BTreeMap<u8, Vec<u8>>,
    /// Number of the last fragment, once that has come.
    last: Option<u8>,
    /// Octets of all pieces.
    len: usize,
}

impl Partial {
    const fn new(id: u16) -> Self {
        Self {
            id,
            pieces: BTreeMap::new(),
            last: None,
            len: 0,
        }
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> Result<(), DecodeError> {
        let number = fragment.number();
        if self.pieces.contains_key(&number) {
            return Ok(());
        }
        let highest = self.pieces.keys().next_back().copied().unwrap_or(0);
        let past_the_end = self.last.is_some_and(|last| last < number);
        let ends_too_early = fragment.is_last() && number < highest;
        let two_ends = fragment.is_last() && self.last.is_some();
        if past_the_end || ends_too_early || two_ends {
            return Err(DecodeError::BadValue {
                what: "Fragment number",
            });
        }
        let len = self.len + fragment.data().len();
        if MAX_REASSEMBLED_LEN < len {
            let limit = MAX_REASSEMBLED_LEN;
            return Err(DecodeError::TooMany {
                what: "octets in fragments",
                limit,
            });
        }
        self.len = len;
        self.pieces.insert(number, fragment.data().to_vec());
        if fragment.is_last() {
            self.last = Some(number);
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.last
            .is_some_and(|last| self.pieces.len() == usize::from(last))
    }

    fn into_message(self) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.len);
        for piece in self.pieces.into_values() {
            message.extend_from_slice(&piece);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(id: u16, number: u8, last: bool, data: &[u8]) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        [&[high, low, number, u8::from(last)], data].concat()
    }

    fn accept(
        reassembly: &mut Reassembly,
        id: u16,
        number: u8,
        last: bool,
        data: &[u8],
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        reassembly.accept(&Fragment::decode(&body(id, number, last, data)).unwrap())
    }

    #[test]
    fn fragments_join_in_any_order() {
        for order in [
            [1, 2, 3],
            [3, 2, 1],
            [2, 3, 1],
            [2, 1, 3],
            [1, 3, 2],
            [3, 1, 2],
        ] {
            let mut reassembly = Reassembly::new();
            let mut done = None;
            for number in order {
                assert_eq!(done, None);
                done = accept(&mut reassembly, 5, number, number == 3, &[number; 4]).unwrap();
            }
            assert_eq!(done.unwrap(), [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
            assert!(reassembly.is_empty());
        }
    }

    #[test]
    fn a_single_fragment_is_a_whole_message() {
        let mut reassembly = Reassembly::new();
        assert_eq!(accept(&mut reassembly, 5, 1, true, &[9]), Ok(Some(vec![9])));
        assert!(reassembly.is_empty());
    }

    #[test]
    fn of_two_with_the_same_number_the_first_is_kept() {
        let mut reassembly = Reassembly::new();
        assert_eq!(accept(&mut reassembly, 5, 1, false, &[1]), Ok(None));
        assert_eq!(accept(&mut reassembly, 5, 1, false, &[7]), Ok(None));
        assert_eq!(
            accept(&mut reassembly, 5, 2, true, &[2]),
            Ok(Some(vec![1, 2]))
        );
    }

    #[test]
    fn contradictions_about_the_end_are_refused() {
        let refused = Err(DecodeError::BadValue {
            what: "Fragment number",
        });
        let mut reassembly = Reassembly::new();
        accept(&mut reassembly, 5, 3, true, &[3]).unwrap();
        assert_eq!(accept(&mut reassembly, 5, 4, false, &[4]), refused);
        assert_eq!(accept(&mut reassembly, 5, 2, true, &[2]), refused);
        let mut reassembly = Reassembly::new();
        accept(&mut reassembly, 5, 3, false, &[3]).unwrap();
        assert_eq!(accept(&mut reassembly, 5, 2, true, &[2]), refused);
        // What waited is not lost by it.
        accept(&mut reassembly, 5, 1, false, &[1]).unwrap();
        accept(&mut reassembly, 5, 2, false, &[2]).unwrap();
        assert_eq!(
            accept(&mut reassembly, 5, 4, true, &[4]),
            Ok(Some(vec![1, 2, 3, 4]))
        );
    }

    #[test]
    fn a_third_message_pushes_out_the_oldest() {
        let mut reassembly = Reassembly::new();
        for id in 0..3 {
            accept(&mut reassembly, id, 1, false, &[1]).unwrap();
        }
        assert_eq!(reassembly.partials.len(), MAX_PARTIAL_MESSAGES);
        assert_eq!(
            accept(&mut reassembly, 1, 2, true, &[2]),
            Ok(Some(vec![1, 2]))
        );
        assert_eq!(
            accept(&mut reassembly, 2, 2, true, &[2]),
            Ok(Some(vec![1, 2]))
        );
        assert_eq!(accept(&mut reassembly, 0, 2, true, &[2]), Ok(None));
    }

    #[test]
    fn number_and_octets_are_limited() {
        let mut reassembly = Reassembly::new();
        assert!(accept(&mut reassembly, 5, MAX_FRAGMENTS, false, &[1]).is_ok());
        assert_eq!(
            accept(&mut reassembly, 5, MAX_FRAGMENTS + 1, false, &[1]),
            Err(DecodeError::TooMany {
                what: "fragments",
                limit: 64
            })
        );
        let half = vec![0; MAX_REASSEMBLED_LEN / 2];
        assert!(accept(&mut reassembly, 6, 1, false, &half).is_ok());
        assert!(accept(&mut reassembly, 6, 2, false, &half).is_ok());
        assert_eq!(
            accept(&mut reassembly, 6, 3, true, &[1]),
            Err(DecodeError::TooMany {
                what: "octets in fragments",
                limit: MAX_REASSEMBLED_LEN
            })
        );
    }
}

//! What an interleaving server remembers, RFC 9769 section 2: when each of its last replies really left.

use crate::timestamp::WireTimestamp;

/// Spreads receive timestamps, which differ little, over the table (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// How often a receive timestamp is moved on by the smallest unit to make it unique.
const MAX_MOVES: u64 = 16;

/// A table of fixed size; the receive timestamp names a reply, and newer replies push older ones out.
#[derive(Clone, Debug)]
pub(crate) struct TransmitTimes {
    places: Vec<Place>,
    shift: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    receive: WireTimestamp,
    transmit: WireTimestamp,
}

impl TransmitTimes {
    /// A table with room for that many replies, rounded up to a power of two.
    pub(crate) fn new(replies: u32) -> Self {
        let bits = replies.max(2).next_power_of_two().trailing_zeros();
        Self {
            places: vec![Place::default(); 1 << bits],
            shift: 64 - bits,
        }
    }

    /// The receive timestamp nearest to this one that names no other reply.
    pub(crate) fn unique(&self, receive: WireTimestamp) -> WireTimestamp {
        let candidates = (0..MAX_MOVES).map(|moved| WireTimestamp(receive.0.wrapping_add(moved)));
        let is_free = |candidate: &WireTimestamp| self.transmit(*candidate).is_none();
        candidates.into_iter().find(is_free).unwrap_or(receive)
    }

    /// Remembers when the reply with that receive timestamp left, or will leave.
    pub(crate) fn remember(&mut self, receive: WireTimestamp, transmit: WireTimestamp) {
        let index = self.index(receive);
        if let Some(place) = self.places.get_mut(index) {
            *place = Place { receive, transmit };
        }
    }

    /// When the reply with that receive timestamp left, if it is still known.
    pub(crate) fn transmit(&self, receive: WireTimestamp) -> Option<WireTimestamp> {
        let place = self.places.get(self.index(receive))?;
        (place.receive == receive && !place.transmit.is_zero()).then_some(place.transmit)
    }

    fn index(&self, receive: WireTimestamp) -> usize {
        let hash = receive.0.wrapping_mul(SPREAD) >> self.shift;
        usize::try_from(hash).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_remembered_by_its_receive_timestamp() {
        let mut times = TransmitTimes::new(1000);
        times.remember(WireTimestamp(10), WireTimestamp(20));
        assert_eq!(times.transmit(WireTimestamp(10)), Some(WireTimestamp(20)));
        assert_eq!(times.transmit(WireTimestamp(11)), None);
        times.remember(WireTimestamp(10), WireTimestamp(21));
        assert_eq!(times.transmit(WireTimestamp(10)), Some(WireTimestamp(21)));
    }

    #[test]
    fn requests_of_the_same_instant_get_different_names() {
        let mut times = TransmitTimes::new(1000);
        let first = times.unique(WireTimestamp(10));
        times.remember(first, WireTimestamp(20));
        let second = times.unique(WireTimestamp(10));
        assert_eq!((first, second), (WireTimestamp(10), WireTimestamp(11)));
    }

    #[test]
    fn the_table_does_not_grow() {
        let mut times = TransmitTimes::new(50);
        for time in 1..10_000 {
            times.remember(WireTimestamp(time), WireTimestamp(time));
        }
        assert_eq!(times.places.len(), 64);
        assert_eq!(
            times.transmit(WireTimestamp(9_999)),
            Some(WireTimestamp(9_999))
        );
        assert_eq!(times.transmit(WireTimestamp(1)), None);
    }
}

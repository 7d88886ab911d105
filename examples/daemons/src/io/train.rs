//! ESP packets that leave in one call: laid out one behind the other, as a segmented send wants them.

use core::ops::Range;

use esp_core::SealSlot;
use trigger::{Carrier, Outlet};

/// The most that one segmented send may hold: a UDP datagram's payload.
const MAX_OCTETS: usize = 65_507;
/// Packets of one call at most, which is also the most segments that older kernels take.
const MAX_PACKETS: usize = 64;

/// Packets of one pair that go along one path. Over UDP all but the last are of equal length.
#[derive(Debug)]
pub struct Train {
    octets: Vec<u8>,
    outlet: Option<Outlet>,
    /// Lengths of the inner packets, and of the ESP packets.
    packets: Vec<(usize, usize)>,
    end: usize,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            octets: vec![0; MAX_OCTETS],
            outlet: None,
            packets: Vec::with_capacity(MAX_PACKETS),
            end: 0,
        }
    }
}

impl Train {
    /// Whether nothing is to leave.
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether a packet may go with those that are in it already.
    pub(crate) fn takes(&self, outlet: &Outlet, packet_len: usize) -> bool {
        let len = outlet.suite.sealed_len(packet_len);
        let (Some(own), Some(&(_, first))) = (self.outlet, self.packets.first()) else {
            return len <= MAX_OCTETS;
        };
        let last = self.packets.last().map_or(first, |(_, len)| *len);
        let follows = may_follow(own.path.carrier, first, last, len);
        own == *outlet
            && follows
            && self.packets.len() < MAX_PACKETS
            && self.end + len <= MAX_OCTETS
    }

    /// Appends a packet, which `write` puts into its place. It must be one that the train takes.
    pub(crate) fn append(
        &mut self,
        outlet: Outlet,
        packet_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<()> {
        let start = self.end + outlet.suite.header_len();
        let place = self.octets.get_mut(start..start + packet_len)?;
        write(place)?;
        let len = outlet.suite.sealed_len(packet_len);
        self.outlet = Some(outlet);
        self.packets.push((packet_len, len));
        self.end += len;
        Some(())
    }

    /// What the packets go through, and a slot for each, to be sealed.
    pub(crate) fn slots(&mut self) -> Option<(Outlet, Vec<SealSlot<'_>>)> {
        let outlet = self.outlet?;
        let header = outlet.suite.header_len();
        let mut rest = self.octets.as_mut_slice();
        let mut slots = Vec::with_capacity(self.packets.len());
        for &(packet_len, len) in &self.packets {
            let (place, behind) = rest.split_at_mut_checked(len)?;
            slots.push(SealSlot::new(place, header..header + packet_len));
            rest = behind;
        }
        Some((outlet, slots))
    }

    /// The ESP packets, once they are sealed.
    pub(super) fn contents(&self) -> &[u8] {
        self.octets.get(..self.end).unwrap_or_default()
    }

    /// Where in [`contents`](Self::contents) each of them lies.
    pub(super) fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let mut end = 0;
        self.packets.iter().map(move |(_, len)| {
            let start = end;
            end += len;
            start..end
        })
    }

    /// A train of ESP packets that are sealed already.
    #[cfg(test)]
    pub(super) fn of(packets: &[Vec<u8>]) -> Self {
        let mut train = Self::default();
        for packet in packets {
            let end = train.end + packet.len();
            train.octets[train.end..end].copy_from_slice(packet);
            train.packets.push((packet.len(), packet.len()));
            train.end = end;
        }
        train
    }

    /// How many packets are in it.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Makes room for others.
    pub(crate) fn clear(&mut self) {
        self.outlet = None;
        self.packets.clear();
        self.end = 0;
    }
}

/// Whether a packet of `len` octets may leave behind others, of which `first` and `last` are the lengths: the kernel cuts at equal
/// distances, so that a shorter one ends a train over UDP.
fn may_follow(carrier: Carrier, first: usize, last: usize, len: usize) -> bool {
    carrier != Carrier::Udp || last == first && len <= first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_udp_only_the_last_is_shorter() {
        let udp = |first, last, len| may_follow(Carrier::Udp, first, last, len);
        assert!(udp(1000, 1000, 1000) && udp(1000, 1000, 80));
        assert!(!udp(1000, 1000, 1004), "a longer one");
        assert!(
            !udp(1000, 80, 80) && !udp(1000, 80, 1000),
            "behind a shorter one"
        );
        assert!(
            may_follow(Carrier::Esp, 1000, 80, 1004),
            "a list of datagrams"
        );
    }

    #[test]
    fn packets_lie_one_behind_the_other_in_their_order() {
        let train = Train::of(&[vec![1; 3], vec![2; 5], vec![3; 1]]);
        let parts: Vec<_> = train
            .ranges()
            .map(|range| &train.contents()[range])
            .collect();
        assert_eq!(parts, [&[1; 3][..], &[2; 5], &[3; 1]]);
    }
}

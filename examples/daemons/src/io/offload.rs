//! What the kernel and we say of a packet at the TUN device: `struct virtio_net_hdr`.

/// A packet whose checksum has yet to be completed, and which may be several in one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct OffloadHeader {
    /// What lies behind the header is to be cut into packets of this kind.
    pub(super) kind: Option<Kind>,
    /// Octets of all headers.
    pub(super) header_len: u16,
    /// Octets of payload in each packet but the last.
    pub(super) segment_len: u16,
    /// Where the checksum begins and where in there it goes, if only the pseudo-header is in it yet.
    pub(super) partial_checksum: Option<(u16, u16)>,
}

/// What a packet may be cut into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    TcpV4,
    TcpV6,
    Udp,
}

const NEEDS_CHECKSUM: u8 = 1;
/// Set beside the kind by senders that speak ECN.
const ECN: u8 = 0x80;

impl OffloadHeader {
    pub(super) const LEN: usize = 10;

    /// `None` for a kind that was not asked for.
    pub(super) fn decode(octets: [u8; Self::LEN]) -> Option<Self> {
        let [flags, kind, h0, h1, g0, g1, s0, s1, o0, o1] = octets;
        let word = |low, high| u16::from_ne_bytes([low, high]);
        let kind = match kind & !ECN {
            0 => None,
            1 => Some(Kind::TcpV4),
            4 => Some(Kind::TcpV6),
            5 => Some(Kind::Udp),
            _ => return None,
        };
        let partial = flags & NEEDS_CHECKSUM != 0;
        Some(Self {
            kind,
            header_len: word(h0, h1),
            segment_len: word(g0, g1),
            partial_checksum: partial.then_some((word(s0, s1), word(o0, o1))),
        })
    }

    pub(super) fn encode(self) -> [u8; Self::LEN] {
        let kind = match self.kind {
            None => 0,
            Some(Kind::TcpV4) => 1,
            Some(Kind::TcpV6) => 4,
            Some(Kind::Udp) => 5,
        };
        let flags = u8::from(self.partial_checksum.is_some()) * NEEDS_CHECKSUM;
        let (start, offset) = self.partial_checksum.unwrap_or_default();
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [g0, g1] = self.segment_len.to_ne_bytes();
        let [s0, s1] = start.to_ne_bytes();
        let [o0, o1] = offset.to_ne_bytes();
        [flags, kind, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for kind in [None, Some(Kind::TcpV4), Some(Kind::TcpV6), Some(Kind::Udp)] {
            for partial_checksum in [None, Some((20, 16))] {
                let header = OffloadHeader {
                    kind,
                    header_len: 52,
                    segment_len: 1348,
                    partial_checksum,
                };
                assert_eq!(OffloadHeader::decode(header.encode()), Some(header));
            }
        }
    }

    #[test]
    fn ecn_beside_the_kind_is_ignored_and_other_kinds_are_refused() {
        let mut octets = OffloadHeader::default().encode();
        octets[1] = 0x81;
        let header = OffloadHeader::decode(octets).unwrap();
        assert_eq!(header.kind, Some(Kind::TcpV4));
        octets[1] = 3;
        assert_eq!(OffloadHeader::decode(octets), None);
    }
}

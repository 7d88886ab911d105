//! The headers of one IP packet, RFC 791 and RFC 8200, as far as a tunnel needs them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::{ControlFlow, Range};

use super::Protocol;
use crate::error::IpError;
use crate::selector::Selector;

/// The most IPv6 extension headers that are followed; RFC 8200 section 4.1 has six kinds, one of
/// them twice.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Where an IP packet comes from, where it goes, and where its payload lies.
///
/// Invariant: every range is within the packet that was parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InnerPacket {
    addresses: Addresses,
    protocol: Protocol,
    traffic_class: u8,
    fragment: Fragment,
    payload_start: usize,
    len: usize,
}

/// Source and destination; IPv4's as numbers, which compare and copy in one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Addresses {
    V4 {
        source: u32,
        destination: u32,
    },
    V6 {
        source: Ipv6Addr,
        destination: Ipv6Addr,
    },
}

/// Whether a packet fits through a tunnel.
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fit {
    /// As it is.
    Whole,
    /// Cut by [`Fragments`](super::Fragments), or else sent whole and cut outside.
    InPieces,
    /// Not at all: the sender is told by [`packet_too_big`](super::packet_too_big).
    TooBig,
}

/// Whether a packet is whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fragment {
    /// Whole, and to stay so: IPv4 with DF, or IPv6.
    Unfragmentable,
    /// Whole.
    Whole,
    /// The first piece, with the upper-layer header.
    First,
    /// Another piece, without it.
    Later,
}

impl InnerPacket {
    /// Reads a packet that fills `octets` exactly.
    ///
    /// # Errors
    ///
    /// Any [`IpError`] about headers; [`IpError::BadLength`] when the header's length is not that
    /// of `octets`.
    pub fn parse(octets: &[u8]) -> Result<Self, IpError> {
        let packet = Self::parse_padded(octets)?;
        if packet.len == octets.len() {
            Ok(packet)
        } else {
            Err(IpError::BadLength {
                declared: packet.len,
                available: octets.len(),
            })
        }
    }

    /// Reads a packet that may be followed by padding, as traffic flow confidentiality adds it (RFC
    /// 4303 section 2.7).
    ///
    /// # Errors
    ///
    /// Any [`IpError`] about headers; [`IpError::BadLength`] when the header's length is more than
    /// `octets` holds.
    #[inline]
    pub fn parse_padded(octets: &[u8]) -> Result<Self, IpError> {
        match octets.first().ok_or(IpError::Truncated)? >> 4 {
            4 => Self::parse_v4(octets),
            6 => Self::parse_v6(octets),
            version => Err(IpError::UnknownVersion { version }),
        }
    }

    /// The source address.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        match self.addresses {
            Addresses::V4 { source, .. } => IpAddr::V4(Ipv4Addr::from_bits(source)),
            Addresses::V6 { source, .. } => IpAddr::V6(source),
        }
    }

    /// The destination address.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        match self.addresses {
            Addresses::V4 { destination, .. } => IpAddr::V4(Ipv4Addr::from_bits(destination)),
            Addresses::V6 { destination, .. } => IpAddr::V6(destination),
        }
    }

    /// Whether it is an IPv4 packet.
    #[must_use]
    #[inline]
    pub const fn is_ipv4(&self) -> bool {
        matches!(self.addresses, Addresses::V4 { .. })
    }

    /// Whether the packet goes from the selector's remote prefix to its local one.
    #[inline]
    pub(crate) fn is_selected_inbound(&self, selector: &Selector) -> bool {
        match self.addresses {
            Addresses::V4 {
                source,
                destination,
            } => selector.matches_v4(destination, source),
            Addresses::V6 {
                source,
                destination,
            } => selector.matches(destination.into(), source.into()),
        }
    }

    /// The protocol of the payload, behind any IPv6 extension headers.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Type of service or traffic class: DSCP in the upper six bits, ECN in the lower two.
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        self.traffic_class
    }

    /// Whether the packet is a piece of a larger one.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        matches!(self.fragment, Fragment::First | Fragment::Later)
    }

    /// Whether the payload starts with the upper-layer header: of a packet in pieces only the first
    /// has it.
    #[must_use]
    pub const fn has_upper_layer_header(&self) -> bool {
        !matches!(self.fragment, Fragment::Later)
    }

    /// Whether routers must not fragment the packet: IPv4 with DF set, and IPv6 always.
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        !self.is_ipv4() || matches!(self.fragment, Fragment::Unfragmentable)
    }

    /// What is to be done with the packet on a path that carries packets of at most `mtu` octets.
    #[must_use]
    pub const fn fit(&self, mtu: usize) -> Fit {
        if self.len <= mtu {
            Fit::Whole
        } else if self.dont_fragment() {
            Fit::TooBig
        } else {
            Fit::InPieces
        }
    }

    /// Length of the packet as its header has it.
    #[must_use]
    pub const fn total_len(&self) -> usize {
        self.len
    }

    /// Where the payload lies in the packet, behind all headers of IP.
    #[must_use]
    pub const fn payload(&self) -> Range<usize> {
        self.payload_start..self.len
    }

    #[inline]
    fn parse_v4(octets: &[u8]) -> Result<Self, IpError> {
        let (words, _) = octets.as_chunks::<4>();
        let [lengths, fragment, protocol, source, destination, ..] = words else {
            return Err(IpError::Truncated);
        };
        let [version_ihl, traffic_class, l0, l1] = *lengths;
        let header_len = usize::from(version_ihl & 0x0F) * 4;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if header_len < 20 || octets.len() < header_len {
            return Err(IpError::BadHeaderLength);
        }
        if len < header_len || octets.len() < len {
            return Err(IpError::BadLength {
                declared: len,
                available: octets.len(),
            });
        }
        let [_, _, f0, f1] = *fragment;
        let [_, protocol, _, _] = *protocol;
        Ok(Self {
            addresses: Addresses::V4 {
                source: u32::from_be_bytes(*source),
                destination: u32::from_be_bytes(*destination),
            },
            protocol: Protocol(protocol),
            traffic_class,
            fragment: fragment_v4(u16::from_be_bytes([f0, f1])),
            payload_start: header_len,
            len,
        })
    }

    fn parse_v6(octets: &[u8]) -> Result<Self, IpError> {
        let (header, rest) = octets.split_first_chunk::<40>().ok_or(IpError::Truncated)?;
        let [first, second, _, _, l0, l1, next_header, _, addresses @ ..] = *header;
        let ([source, destination], _) = addresses.as_chunks::<16>() else {
            return Err(IpError::Truncated);
        };
        let payload_len = usize::from(u16::from_be_bytes([l0, l1]));
        let Some(payload) = rest.get(..payload_len) else {
            return Err(IpError::BadLength {
                declared: 40 + payload_len,
                available: octets.len(),
            });
        };
        let chain = ExtensionChain::walk(Protocol(next_header), payload)?;
        Ok(Self {
            addresses: Addresses::V6 {
                source: Ipv6Addr::from(*source),
                destination: Ipv6Addr::from(*destination),
            },
            protocol: chain.protocol,
            traffic_class: (first << 4) | (second >> 4),
            fragment: chain.fragment,
            payload_start: 40 + chain.len,
            len: 40 + payload_len,
        })
    }
}

/// RFC 791 section 3.1: reserved bit, DF, MF, 13 bits of offset.
const fn fragment_v4(word: u16) -> Fragment {
    match (word & 0x1FFF, word & 0x2000 != 0, word & 0x4000 != 0) {
        (0, false, true) => Fragment::Unfragmentable,
        (0, false, false) => Fragment::Whole,
        (0, true, _) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// IPv6 extension headers up to the upper-layer header, RFC 8200 section 4.
struct ExtensionChain {
    protocol: Protocol,
    len: usize,
    fragment: Fragment,
}

impl ExtensionChain {
    fn walk(first: Protocol, payload: &[u8]) -> Result<Self, IpError> {
        let mut chain = Self {
            protocol: first,
            len: 0,
            fragment: Fragment::Unfragmentable,
        };
        for _ in 0..=MAX_EXTENSION_HEADERS {
            let rest = payload.get(chain.len..).ok_or(IpError::Truncated)?;
            if chain.step(rest)?.is_break() {
                return Ok(chain);
            }
        }
        Err(IpError::TooManyExtensionHeaders)
    }

    /// Skips the header at the start of `rest`, unless it is the upper layer's.
    fn step(&mut self, rest: &[u8]) -> Result<ControlFlow<()>, IpError> {
        // What follows the header of a later fragment is a piece of payload, whatever its first
        // octets look like.
        if self.fragment == Fragment::Later {
            return Ok(ControlFlow::Break(()));
        }
        let len = match (self.protocol, rest) {
            (
                Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS,
                [_, units, ..],
            ) => 8 + usize::from(*units) * 8,
            // The authentication header counts in words of four octets, RFC 4302 section 2.2.
            (Protocol::AH, [_, units, ..]) => 8 + usize::from(*units) * 4,
            (Protocol::FRAGMENT, [_, _, high, low, ..]) => {
                self.fragment = fragment_v6(u16::from_be_bytes([*high, *low]));
                8
            }
            (
                Protocol::HOP_BY_HOP
                | Protocol::ROUTING
                | Protocol::DESTINATION_OPTIONS
                | Protocol::AH
                | Protocol::FRAGMENT,
                _,
            ) => {
                return Err(IpError::Truncated);
            }
            _ => return Ok(ControlFlow::Break(())),
        };
        let (Some(next), Some(_)) = (rest.first(), rest.get(..len)) else {
            return Err(IpError::Truncated);
        };
        self.protocol = Protocol(*next);
        self.len += len;
        Ok(ControlFlow::Continue(()))
    }
}

/// RFC 8200 section 4.5: 13 bits of offset, two reserved, M.
const fn fragment_v6(word: u16) -> Fragment {
    match (word >> 3, word & 1) {
        // An "atomic" fragment is a whole packet, RFC 6946.
        (0, 0) => Fragment::Unfragmentable,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(len: usize) -> Vec<u8> {
        let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
        let mut packet = vec![
            0x45, 0xB9, l0, l1, 0, 0, 0, 0, 64, 17, 0, 0, 10, 61, 1, 9, 10, 61, 3, 26,
        ];
        packet.resize(len.max(20), 0);
        packet
    }

    /// An IPv6 packet with these octets behind its header.
    fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let [l0, l1] = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x6B, 0x9C, 0, 0, l0, l1, next_header, 64];
        packet.extend([[0xFD; 16], [0xFC; 16]].concat());
        packet.extend_from_slice(payload);
        packet
    }

    fn chain(headers: &[(u8, usize)], last: u8) -> (u8, Vec<u8>) {
        let nexts = headers.iter().map(|(kind, _)| *kind).skip(1).chain([last]);
        let mut octets = Vec::new();
        for ((kind, len), next) in headers.iter().zip(nexts) {
            let unit = if *kind == 51 { 4 } else { 8 };
            let mut header = vec![0; *len];
            header[0] = next;
            header[1] = if *kind == 44 {
                0
            } else {
                u8::try_from((len - 8) / unit).unwrap()
            };
            octets.append(&mut header);
        }
        (headers.first().map_or(last, |(kind, _)| *kind), octets)
    }

    #[test]
    fn ipv4_headers_are_read() {
        let packet = InnerPacket::parse(&v4(48)).unwrap();
        assert_eq!(packet.source(), IpAddr::from([10, 61, 1, 9]));
        assert_eq!(packet.destination(), IpAddr::from([10, 61, 3, 26]));
        assert_eq!(
            (packet.protocol(), packet.traffic_class()),
            (Protocol::UDP, 0xB9)
        );
        assert_eq!((packet.payload(), packet.total_len()), (20..48, 48));
        assert!(!packet.is_fragment() && !packet.dont_fragment());

        let mut options = v4(48);
        options[0] = 0x47;
        assert_eq!(InnerPacket::parse(&options).unwrap().payload(), 28..48);
    }

    #[test]
    fn lying_ipv4_lengths_are_errors() {
        let bad_length = |declared, available| {
            Err(IpError::BadLength {
                declared,
                available,
            })
        };
        for len in 1..20 {
            assert_eq!(InnerPacket::parse(&v4(48)[..len]), Err(IpError::Truncated));
        }
        assert_eq!(InnerPacket::parse(&[]), Err(IpError::Truncated));
        assert_eq!(InnerPacket::parse(&v4(48)[..47]), bad_length(48, 47));
        assert_eq!(InnerPacket::parse_padded(&v4(48)[..47]), bad_length(48, 47));
        assert_eq!(InnerPacket::parse(&v4(19)), bad_length(19, 20));
        let mut padded = v4(48);
        padded.push(0);
        assert_eq!(InnerPacket::parse(&padded), bad_length(48, 49));
        assert_eq!(InnerPacket::parse_padded(&padded).unwrap().total_len(), 48);
        for version_ihl in [0x40, 0x44, 0x4F] {
            let mut packet = v4(48);
            packet[0] = version_ihl;
            assert_eq!(InnerPacket::parse(&packet), Err(IpError::BadHeaderLength));
        }
        let mut inside = v4(48);
        [inside[0], inside[3]] = [0x47, 24];
        assert_eq!(InnerPacket::parse(&inside), bad_length(24, 48));
        for version in [0, 5, 7, 15] {
            let unknown = Err(IpError::UnknownVersion { version });
            assert_eq!(InnerPacket::parse(&[version << 4; 40]), unknown);
        }
    }

    #[test]
    fn ipv4_fragments_are_told() {
        let read = |word: u16| {
            let mut packet = v4(48);
            packet[6..8].copy_from_slice(&word.to_be_bytes());
            let packet = InnerPacket::parse(&packet).unwrap();
            (
                packet.is_fragment(),
                packet.has_upper_layer_header(),
                packet.dont_fragment(),
            )
        };
        assert_eq!(read(0), (false, true, false));
        assert_eq!(read(0x4000), (false, true, true));
        assert_eq!(read(0x2000), (true, true, false));
        assert_eq!(read(0x2001), (true, false, false));
        assert_eq!(read(0x0001), (true, false, false));
        assert_eq!(
            read(0x8000),
            (false, true, false),
            "the reserved bit says nothing"
        );
    }

    #[test]
    fn ipv6_headers_are_read() {
        let packet = InnerPacket::parse(&v6(17, &[0; 30])).unwrap();
        assert_eq!(packet.source(), IpAddr::from([0xFD; 16]));
        assert_eq!(packet.destination(), IpAddr::from([0xFC; 16]));
        assert_eq!(
            (packet.protocol(), packet.traffic_class()),
            (Protocol::UDP, 0xB9)
        );
        assert_eq!((packet.payload(), packet.total_len()), (40..70, 70));
        assert!(packet.dont_fragment() && !packet.is_fragment());
        for len in 1..40 {
            assert_eq!(
                InnerPacket::parse(&v6(17, &[])[..len]),
                Err(IpError::Truncated)
            );
        }
        let error = InnerPacket::parse(&v6(17, &[0; 30])[..69]).unwrap_err();
        assert_eq!(
            error,
            IpError::BadLength {
                declared: 70,
                available: 69
            }
        );
    }

    #[test]
    fn extension_headers_are_skipped() {
        let (first, mut octets) =
            chain(&[(0, 8), (60, 24), (43, 16), (51, 12), (44, 8), (60, 8)], 6);
        octets.extend([0; 20]);
        let packet = InnerPacket::parse(&v6(first, &octets)).unwrap();
        assert_eq!(packet.protocol(), Protocol::TCP);
        assert_eq!(packet.payload(), 40 + 76..40 + 96);
        assert!(!packet.is_fragment(), "an atomic fragment is whole");
    }

    #[test]
    fn a_chain_of_extension_headers_is_bounded() {
        for (count, expected) in [
            (MAX_EXTENSION_HEADERS, Ok(Protocol::UDP)),
            (
                MAX_EXTENSION_HEADERS + 1,
                Err(IpError::TooManyExtensionHeaders),
            ),
            (8000, Err(IpError::TooManyExtensionHeaders)),
        ] {
            let (first, octets) = chain(&vec![(60, 8); count], 17);
            let packet = InnerPacket::parse(&v6(first, &octets));
            assert_eq!(packet.map(|packet| packet.protocol()), expected, "{count}");
        }
    }

    #[test]
    fn an_extension_header_that_is_cut_off_is_an_error() {
        for kind in [0, 43, 44, 51, 60] {
            let (first, octets) = chain(&[(kind, 8)], 17);
            for len in 0..8 {
                let packet = InnerPacket::parse(&v6(first, &octets[..len]));
                assert_eq!(packet, Err(IpError::Truncated), "{kind} {len}");
            }
        }
        let (first, mut octets) = chain(&[(60, 8)], 17);
        octets[1] = 255;
        assert_eq!(
            InnerPacket::parse(&v6(first, &octets)),
            Err(IpError::Truncated)
        );
    }

    #[test]
    fn ipv6_fragments_are_told_and_their_payload_is_not_read() {
        // What follows a later fragment's header looks like a truncated extension header and is
        // none.
        let read = |word: u16, next: u8| {
            let [high, low] = word.to_be_bytes();
            let packet = v6(44, &[next, 0, high, low, 0, 0, 0, 1, 0xEE]);
            InnerPacket::parse(&packet).map(|packet| {
                (
                    packet.is_fragment(),
                    packet.has_upper_layer_header(),
                    packet.protocol(),
                )
            })
        };
        assert_eq!(read(0x0001, 17), Ok((true, true, Protocol::UDP)));
        assert_eq!(
            read(0x0008, 60),
            Ok((true, false, Protocol::DESTINATION_OPTIONS))
        );
        assert_eq!(read(0x0009, 17), Ok((true, false, Protocol::UDP)));
        assert_eq!(
            read(0x0006, 17),
            Ok((false, true, Protocol::UDP)),
            "reserved bits say nothing"
        );
    }

    #[test]
    fn packets_fit_or_say_how() {
        let mut dont = v4(100);
        dont[6] = 0x40;
        let fit = |octets: &[u8], mtu| InnerPacket::parse(octets).unwrap().fit(mtu);
        assert_eq!(
            (fit(&v4(100), 100), fit(&v4(100), 99)),
            (Fit::Whole, Fit::InPieces)
        );
        assert_eq!((fit(&dont, 100), fit(&dont, 99)), (Fit::Whole, Fit::TooBig));
        assert_eq!(fit(&v6(17, &[0; 60]), 99), Fit::TooBig);
    }
}

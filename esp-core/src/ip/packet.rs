//! The headers of one IP packet, RFC 791 and RFC 8200, as far as a tunnel needs them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::{ControlFlow, Range};

use super::Protocol;
use crate::error::IpError;

/// The most IPv6 extension headers that are followed; RFC 8200 section 4.1 has six kinds, one of them twice.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Where an IP packet comes from, where it goes, and where its payload lies.
///
/// Invariant: every range is within the packet that was parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InnerPacket {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    traffic_class: u8,
    fragment: Fragment,
    payload_start: usize,
    len: usize,
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
    /// Any [`IpError`] about headers; [`IpError::BadLength`] when the header's length is not that of `octets`.
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

    /// Reads a packet that may be followed by padding, as traffic flow confidentiality adds it (RFC 4303 section 2.7).
    ///
    /// # Errors
    ///
    /// Any [`IpError`] about headers; [`IpError::BadLength`] when the header's length is more than `octets` holds.
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
        self.source
    }

    /// The destination address.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        self.destination
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

    /// Whether the payload starts with the upper-layer header: of a packet in pieces only the first has it.
    #[must_use]
    pub const fn has_upper_layer_header(&self) -> bool {
        !matches!(self.fragment, Fragment::Later)
    }

    /// Whether routers must not fragment the packet: IPv4 with DF set, and IPv6 always.
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.source.is_ipv6() || matches!(self.fragment, Fragment::Unfragmentable)
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

    fn parse_v4(octets: &[u8]) -> Result<Self, IpError> {
        let (header, _) = octets.split_first_chunk::<20>().ok_or(IpError::Truncated)?;
        let [
            version_ihl,
            traffic_class,
            l0,
            l1,
            _,
            _,
            f0,
            f1,
            _,
            protocol,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ] = *header;
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
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
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
            source: Ipv6Addr::from(*source).into(),
            destination: Ipv6Addr::from(*destination).into(),
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
        // What follows the header of a later fragment is a piece of payload, whatever its first octets look like.
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

//! UDP datagrams in IP packets, RFC 768: built to go through the tunnel, and read when they come out of it.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::checksum::{self, Checksum};
use super::{InnerPacket, Protocol};
use crate::error::IpError;

/// Differentiated services code point, RFC 2474: six bits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Dscp(u8);

impl Dscp {
    /// Best effort.
    pub const DEFAULT: Self = Self(0);

    /// Takes the lower six bits of a number.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits & 0x3F)
    }

    /// The six bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Hops that a packet of our own may take.
const TIME_TO_LIVE: u8 = 64;

/// Replaces `out` by an IP packet that carries one UDP datagram, with both checksums.
///
/// The packet is whole, has DF set and no identification (RFC 6864 section 4.1: an atomic datagram needs none).
///
/// # Errors
///
/// [`IpError::MixedFamilies`] for two addresses of different families, [`IpError::PayloadTooLong`] above what one IP packet holds; then
/// `out` is empty.
pub fn udp_packet(
    source: SocketAddr,
    destination: SocketAddr,
    dscp: Dscp,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), IpError> {
    out.clear();
    let too_long = IpError::PayloadTooLong { len: payload.len() };
    let udp_len = u16::try_from(payload.len() + 8).map_err(|_| too_long)?;
    match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            let total_len = udp_len.checked_add(20).ok_or(too_long)?;
            write_v4_header(source, destination, dscp, total_len, out);
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            write_v6_header(source, destination, dscp, udp_len, out)
        }
        (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => {
            return Err(IpError::MixedFamilies);
        }
    }
    write_udp(source, destination, udp_len, payload, out);
    Ok(())
}

fn write_v4_header(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    dscp: Dscp,
    total_len: u16,
    out: &mut Vec<u8>,
) {
    let mut header = [0; 20];
    let (fixed, addresses) = header.split_at_mut(12);
    let [l0, l1] = total_len.to_be_bytes();
    fixed.copy_from_slice(&[
        0x45,
        dscp.0 << 2,
        l0,
        l1,
        0,
        0,
        0x40,
        0,
        TIME_TO_LIVE,
        Protocol::UDP.0,
        0,
        0,
    ]);
    let (from, to) = addresses.split_at_mut(4);
    from.copy_from_slice(&source.ip().octets());
    to.copy_from_slice(&destination.ip().octets());
    let mut checksum = Checksum::default();
    checksum.add(&header);
    let [.., c0, c1, _, _, _, _, _, _, _, _] = &mut header;
    [*c0, *c1] = checksum.finish();
    out.extend_from_slice(&header);
}

fn write_v6_header(
    source: SocketAddrV6,
    destination: SocketAddrV6,
    dscp: Dscp,
    udp_len: u16,
    out: &mut Vec<u8>,
) {
    let [l0, l1] = udp_len.to_be_bytes();
    out.extend_from_slice(&[
        0x60 | (dscp.0 >> 2),
        dscp.0 << 6,
        0,
        0,
        l0,
        l1,
        Protocol::UDP.0,
        TIME_TO_LIVE,
    ]);
    out.extend_from_slice(&source.ip().octets());
    out.extend_from_slice(&destination.ip().octets());
}

fn write_udp(
    source: SocketAddr,
    destination: SocketAddr,
    udp_len: u16,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&udp_len.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    let checksum = out
        .get(start..)
        .map(|datagram| checksum::udp(source, destination, datagram, udp_len));
    if let (Some(checksum), Some(field)) = (checksum, out.get_mut(start + 6..start + 8)) {
        field.copy_from_slice(&checksum);
    }
}

/// One UDP datagram that came in an IP packet; its checksum is right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UdpDatagram<'a> {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Reads the datagram in a whole IP packet and verifies its checksum, and that of the IPv4 header.
    ///
    /// A checksum of zero means none over IPv4 and is an error over IPv6 (RFC 768, RFC 8200 section 8.1).
    ///
    /// # Errors
    ///
    /// [`IpError::NotUdp`] or [`IpError::Fragment`] for a sound packet without a whole UDP header and payload; else what is wrong with it.
    pub fn parse(packet: &'a [u8]) -> Result<Self, IpError> {
        let inner = InnerPacket::parse(packet)?;
        if inner.is_fragment() {
            return Err(IpError::Fragment);
        }
        if inner.protocol() != Protocol::UDP {
            return Err(IpError::NotUdp {
                protocol: inner.protocol(),
            });
        }
        let (header, datagram) = packet
            .split_at_checked(inner.payload().start)
            .ok_or(IpError::Truncated)?;
        verify_header(&inner, header)?;
        Self::parse_datagram(&inner, datagram)
    }

    fn parse_datagram(inner: &InnerPacket, datagram: &'a [u8]) -> Result<Self, IpError> {
        let ([s0, s1, d0, d1, l0, l1, c0, c1], _) = datagram
            .split_first_chunk::<8>()
            .ok_or(IpError::Truncated)?;
        let len = u16::from_be_bytes([*l0, *l1]);
        let bad_length = IpError::BadLength {
            declared: len.into(),
            available: datagram.len(),
        };
        let datagram = datagram.get(..usize::from(len)).ok_or(bad_length)?;
        let payload = datagram.get(8..).ok_or(bad_length)?;
        let unchecked = [*c0, *c1] == [0; 2];
        if unchecked && inner.source().is_ipv6() {
            return Err(IpError::BadChecksum);
        }
        let mut checksum = Checksum::pseudo_header(
            inner.source(),
            inner.destination(),
            Protocol::UDP,
            len.into(),
        );
        checksum.add(datagram);
        if !unchecked && !checksum.is_valid() {
            return Err(IpError::BadChecksum);
        }
        Ok(Self {
            source: SocketAddr::new(inner.source(), u16::from_be_bytes([*s0, *s1])),
            destination: SocketAddr::new(inner.destination(), u16::from_be_bytes([*d0, *d1])),
            payload,
        })
    }
}

fn verify_header(inner: &InnerPacket, header: &[u8]) -> Result<(), IpError> {
    let mut checksum = Checksum::default();
    checksum.add(header);
    match inner.source() {
        IpAddr::V4(_) if !checksum.is_valid() => Err(IpError::BadChecksum),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

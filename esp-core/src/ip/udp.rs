//! UDP datagrams in IP packets, RFC 768: built to go through the tunnel, and read when they come
//! out of it.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::checksum::{self, Checksum};
use super::{Dscp, InnerPacket, Protocol};
use crate::error::IpError;

/// Hops that a packet of our own may take.
const TIME_TO_LIVE: u8 = 64;

/// Replaces `out` by an IP packet that carries one UDP datagram, with both checksums.
///
/// The packet is whole, has DF set and no identification (RFC 6864 section 4.1: an atomic datagram
/// needs none).
///
/// # Errors
///
/// [`IpError::MixedFamilies`] for two addresses of different families, [`IpError::PayloadTooLong`]
/// above what one IP packet holds; then `out` is empty.
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
        dscp.bits() << 2,
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
        0x60 | (dscp.bits() >> 2),
        dscp.bits() << 6,
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
    /// Reads the datagram in a whole IP packet and verifies its checksum, and that of the IPv4
    /// header.
    ///
    /// A checksum of zero means none over IPv4 and is an error over IPv6 (RFC 768, RFC 8200 section
    /// 8.1).
    ///
    /// # Errors
    ///
    /// [`IpError::NotUdp`] or [`IpError::Fragment`] for a sound packet without a whole UDP header
    /// and payload; else what is wrong with it.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn built(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        udp_packet(source, destination, Dscp::new(46), payload, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_built_reads_back() {
        for (source, destination) in [
            ("10.61.1.9:123", "10.61.3.26:124"),
            ("[fd00::9]:123", "[fd00::26]:124"),
        ] {
            for len in [0, 1, 2, 48, 49, 1400] {
                let payload: Vec<u8> = (0..len)
                    .map(|index: usize| index.to_le_bytes()[0])
                    .collect();
                let packet = built(source, destination, &payload);
                let datagram = UdpDatagram::parse(&packet).unwrap();
                assert_eq!(datagram.source, source.parse().unwrap());
                assert_eq!(datagram.destination, destination.parse().unwrap());
                assert_eq!(datagram.payload, payload);
                let inner = InnerPacket::parse(&packet).unwrap();
                assert_eq!(
                    (inner.traffic_class(), inner.dont_fragment()),
                    (46 << 2, true)
                );
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_datagram_is_noticed() {
        for (source, destination) in [
            ("10.61.1.9:123", "10.61.3.26:124"),
            ("[fd00::9]:123", "[fd00::26]:124"),
        ] {
            let packet = built(source, destination, b"read me");
            let original = UdpDatagram::parse(&packet).unwrap();
            for bit in 0..packet.len() * 8 {
                let mut altered = packet.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                // Over IPv6 no checksum covers traffic class, flow label and hop limit.
                let uncovered = packet[0] >> 4 == 6 && matches!(bit, 0..4 | 8..32 | 56..64);
                let parsed = UdpDatagram::parse(&altered);
                assert_eq!(
                    parsed == Ok(original),
                    uncovered,
                    "{source} {bit} {parsed:?}"
                );
            }
        }
    }

    #[test]
    fn a_zero_checksum_is_none_in_ipv4_and_wrong_in_ipv6() {
        let mut v4 = built("10.61.1.9:123", "10.61.3.26:124", b"read me");
        v4[26..28].fill(0);
        assert_eq!(UdpDatagram::parse(&v4).unwrap().payload, b"read me");
        let mut v6 = built("[fd00::9]:123", "[fd00::26]:124", b"read me");
        v6[46..48].fill(0);
        assert_eq!(UdpDatagram::parse(&v6), Err(IpError::BadChecksum));
    }

    #[test]
    fn a_sum_of_zero_goes_as_all_ones() {
        // The payload is chosen so that everything else sums up to all ones.
        let packet = built("10.0.0.1:1", "10.0.0.2:2", &[0, 0]);
        let rest = u16::from_be_bytes([packet[26], packet[27]]);
        let packet = built("10.0.0.1:1", "10.0.0.2:2", &rest.to_be_bytes());
        assert_eq!(packet[26..28], [0xFF, 0xFF]);
        UdpDatagram::parse(&packet).unwrap();
    }

    #[test]
    fn what_is_no_datagram_is_named() {
        let packet = built("10.61.1.9:123", "10.61.3.26:124", b"read me");
        let altered = |at: usize, octet: u8| {
            let mut packet = packet.clone();
            packet[at] = octet;
            let mut sum = Checksum::default();
            packet[10..12].fill(0);
            sum.add(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.finish());
            UdpDatagram::parse(&packet).map(|datagram| datagram.payload.len())
        };
        assert_eq!(
            altered(9, 6),
            Err(IpError::NotUdp {
                protocol: Protocol::TCP
            })
        );
        assert_eq!(altered(6, 0x20), Err(IpError::Fragment));
        assert_eq!(
            altered(25, 7),
            Err(IpError::BadLength {
                declared: 7,
                available: 15
            })
        );
        assert_eq!(
            altered(25, 16),
            Err(IpError::BadLength {
                declared: 16,
                available: 15
            })
        );
        assert_eq!(altered(25, 14), Err(IpError::BadChecksum));
    }

    #[test]
    fn what_cannot_be_built_is_an_error() {
        let (v4, v6) = (
            "10.0.0.1:1".parse().unwrap(),
            "[fd00::1]:1".parse().unwrap(),
        );
        let mut out = vec![1];
        let mut build = |source, destination, len| {
            let result = udp_packet(source, destination, Dscp::DEFAULT, &vec![0; len], &mut out);
            (result, out.len())
        };
        assert_eq!(build(v4, v6, 1), (Err(IpError::MixedFamilies), 0));
        assert_eq!(build(v4, v4, 65_507), (Ok(()), 65_535));
        assert_eq!(
            build(v4, v4, 65_508),
            (Err(IpError::PayloadTooLong { len: 65_508 }), 0)
        );
        assert_eq!(build(v6, v6, 65_527), (Ok(()), 65_575));
        assert_eq!(
            build(v6, v6, 65_528),
            (Err(IpError::PayloadTooLong { len: 65_528 }), 0)
        );
    }
}

//! The message that tells a sender inside that its packet does not fit through the tunnel: RFC 1191
//! for IPv4, RFC 8201 for IPv6.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Checksum;
use super::{InnerPacket, Protocol};
use crate::error::IcmpError;

/// The most of an ICMP message, RFC 1812 section 4.3.2.3 and RFC 4443 section 2.4(c).
const MAX_LEN_V4: usize = 576;
const MAX_LEN_V6: usize = 1280;

/// The least MTU there is, RFC 791 section 3.2 and RFC 8200 section 5.
const MIN_MTU_V4: usize = 68;
const MIN_MTU_V6: usize = 1280;

/// Hops that the message may take.
const HOP_LIMIT: u8 = 64;

/// Replaces `out` by the IP packet that tells the sender of `packet` that packets of at most `mtu`
/// octets fit: "fragmentation needed" for IPv4, "packet too big" for IPv6.
///
/// `gateway` is an address of ours, of the packet's family, that the sender can place; the packet
/// is ready to go back to where the other came from.
///
/// # Errors
///
/// [`IcmpError::NotAllowed`] for a packet that must not be answered with an error, lest two hosts
/// answer each other for ever (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4(e)): an ICMP error, a
/// later fragment, a packet that went to many or came from nobody in particular. Then `out` is
/// empty.
pub fn packet_too_big(
    packet: &[u8],
    mtu: usize,
    gateway: IpAddr,
    out: &mut Vec<u8>,
) -> Result<(), IcmpError> {
    out.clear();
    let inner = InnerPacket::parse(packet)?;
    let upper_layer = packet.get(inner.payload()).unwrap_or(&[]);
    match (gateway, inner.source(), inner.destination()) {
        (IpAddr::V4(gateway), IpAddr::V4(source), IpAddr::V4(destination)) => {
            if !is_answerable_v4(&inner, source, destination, upper_layer) {
                return Err(IcmpError::NotAllowed);
            }
            write_v4(packet, mtu, gateway, source, out);
            Ok(())
        }
        (IpAddr::V6(gateway), IpAddr::V6(source), IpAddr::V6(_)) => {
            if !is_answerable_v6(&inner, source, upper_layer) {
                return Err(IcmpError::NotAllowed);
            }
            write_v6(packet, mtu, gateway, source, out);
            Ok(())
        }
        _ => Err(IcmpError::MixedFamilies),
    }
}

fn is_answerable_v4(
    inner: &InnerPacket,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    upper_layer: &[u8],
) -> bool {
    let to_many = destination.is_multicast() || destination.is_broadcast();
    let from_nobody = source.is_unspecified()
        || source.is_multicast()
        || source.is_broadcast()
        || source.is_loopback();
    // RFC 1122 section 3.2.2: of the ICMP messages only queries and their replies may be answered.
    let query = matches!(upper_layer.first(), Some(0 | 8 | 9 | 10 | 13..=18));
    let error = inner.protocol() == Protocol::ICMP && !query;
    !to_many && !from_nobody && !error && inner.has_upper_layer_header()
}

fn is_answerable_v6(inner: &InnerPacket, source: Ipv6Addr, upper_layer: &[u8]) -> bool {
    let from_nobody = source.is_unspecified() || source.is_multicast() || source.is_loopback();
    // RFC 4443 section 2.1: errors have types below 128; 137 is a redirect, RFC 4861 section 4.5. A
    // packet to many may be answered, for "too big" is the exception of section 2.4(e.3).
    let error = inner.protocol() == Protocol::ICMPV6
        && !matches!(upper_layer.first(), Some(128..=136 | 138..));
    !from_nobody && !error && inner.has_upper_layer_header()
}

/// RFC 792 with RFC 1191 section 4: type 3, code 4, the MTU in the last sixteen bits.
fn write_v4(packet: &[u8], mtu: usize, gateway: Ipv4Addr, to: Ipv4Addr, out: &mut Vec<u8>) {
    let quoted = packet
        .get(..packet.len().min(MAX_LEN_V4 - 28))
        .unwrap_or(packet);
    let [l0, l1] = u16::try_from(28 + quoted.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let [m0, m1] = u16::try_from(mtu.max(MIN_MTU_V4))
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    // RFC 1812 section 4.3.2.5: precedence of internetwork control.
    out.extend_from_slice(&[
        0x45,
        0xC0,
        l0,
        l1,
        0,
        0,
        0,
        0,
        HOP_LIMIT,
        Protocol::ICMP.0,
        0,
        0,
    ]);
    out.extend_from_slice(&gateway.octets());
    out.extend_from_slice(&to.octets());
    write_checksum(out, 0, 10, Checksum::default());
    out.extend_from_slice(&[3, 4, 0, 0, 0, 0, m0, m1]);
    out.extend_from_slice(quoted);
    write_checksum(out, 20, 22, Checksum::default());
}

/// RFC 4443 section 3.2: type 2, code 0, the MTU in 32 bits.
fn write_v6(packet: &[u8], mtu: usize, gateway: Ipv6Addr, to: Ipv6Addr, out: &mut Vec<u8>) {
    let quoted = packet
        .get(..packet.len().min(MAX_LEN_V6 - 48))
        .unwrap_or(packet);
    let len = u16::try_from(8 + quoted.len()).unwrap_or(u16::MAX);
    let [l0, l1] = len.to_be_bytes();
    out.extend_from_slice(&[0x60, 0, 0, 0, l0, l1, Protocol::ICMPV6.0, HOP_LIMIT]);
    out.extend_from_slice(&gateway.octets());
    out.extend_from_slice(&to.octets());
    out.extend_from_slice(&[2, 0, 0, 0]);
    let mtu = u32::try_from(mtu.max(MIN_MTU_V6)).unwrap_or(u32::MAX);
    out.extend_from_slice(&mtu.to_be_bytes());
    out.extend_from_slice(quoted);
    let pseudo_header =
        Checksum::pseudo_header(gateway.into(), to.into(), Protocol::ICMPV6, len.into());
    write_checksum(out, 40, 42, pseudo_header);
}

/// Writes the checksum of everything from `start` on, and of `sum`, to `at`.
fn write_checksum(out: &mut [u8], start: usize, at: usize, mut sum: Checksum) {
    sum.add(out.get(start..).unwrap_or(&[]));
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, first: u8, len: usize) -> Vec<u8> {
        let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
        let mut packet = vec![0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        packet.extend([10, 61, 1, 9, 10, 61, 3, 26, first]);
        packet.resize(len, 0xAB);
        packet
    }

    fn v6(protocol: u8, first: u8, len: usize) -> Vec<u8> {
        let [l0, l1] = u16::try_from(len - 40).unwrap().to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, l0, l1, protocol, 64];
        packet.extend("fd00:1::9".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("fd00:3::26".parse::<Ipv6Addr>().unwrap().octets());
        packet.push(first);
        packet.resize(len, 0xAB);
        packet
    }

    fn answer(packet: &[u8], mtu: usize) -> Result<Vec<u8>, IcmpError> {
        let gateway: IpAddr = if packet[0] >> 4 == 4 {
            [10, 61, 1, 1].into()
        } else {
            "fd00:1::1".parse().unwrap()
        };
        let mut out = Vec::new();
        packet_too_big(packet, mtu, gateway, &mut out).map(|()| out)
    }

    #[test]
    fn ipv4_senders_get_fragmentation_needed() {
        for len in [28, 547, 548, 549, 1500] {
            let packet = v4(17, 0, len);
            let answer = answer(&packet, 1438).unwrap();
            let inner = InnerPacket::parse(&answer).unwrap();
            assert_eq!(inner.source(), IpAddr::from([10, 61, 1, 1]));
            assert_eq!(inner.destination(), IpAddr::from([10, 61, 1, 9]));
            assert_eq!(inner.protocol(), Protocol::ICMP);
            assert_eq!(answer.len(), (28 + len).min(576));
            assert_eq!(answer[20..22], [3, 4]);
            assert_eq!(answer[26..28], 1438_u16.to_be_bytes());
            assert_eq!(answer[28..], packet[..answer.len() - 28]);
            for range in [0..20, 20..answer.len()] {
                let mut sum = Checksum::default();
                sum.add(&answer[range]);
                assert!(sum.is_valid());
            }
        }
    }

    #[test]
    fn ipv6_senders_get_packet_too_big() {
        for len in [48, 1231, 1232, 1233, 1500] {
            let packet = v6(17, 0, len);
            let answer = answer(&packet, 1400).unwrap();
            let inner = InnerPacket::parse(&answer).unwrap();
            assert_eq!(inner.protocol(), Protocol::ICMPV6);
            assert_eq!(answer.len(), (48 + len).min(1280));
            assert_eq!(answer[40..42], [2, 0]);
            assert_eq!(answer[44..48], 1400_u32.to_be_bytes());
            assert_eq!(answer[48..], packet[..answer.len() - 48]);
            let len = u32::try_from(answer.len() - 40).unwrap();
            let (source, destination) = (inner.source(), inner.destination());
            let mut sum = Checksum::pseudo_header(source, destination, Protocol::ICMPV6, len);
            sum.add(&answer[40..]);
            assert!(sum.is_valid());
        }
    }

    #[test]
    fn no_mtu_below_the_least_is_named() {
        assert_eq!(
            answer(&v4(17, 0, 100), 3).unwrap()[26..28],
            68_u16.to_be_bytes()
        );
        assert_eq!(
            answer(&v6(17, 0, 100), 1000).unwrap()[44..48],
            1280_u32.to_be_bytes()
        );
    }

    #[test]
    fn errors_are_never_answered_with_errors() {
        let not_allowed = Err(IcmpError::NotAllowed);
        for kind in [3, 4, 5, 11, 12, 200] {
            assert_eq!(answer(&v4(1, kind, 100), 50), not_allowed, "{kind}");
        }
        for kind in [1, 2, 3, 4, 127, 137] {
            assert_eq!(answer(&v6(58, kind, 100), 50), not_allowed, "{kind}");
        }
        answer(&v4(1, 8, 100), 50).unwrap();
        answer(&v6(58, 128, 100), 50).unwrap();
        let with = |at: usize, octets: &[u8]| {
            let mut packet = v4(17, 0, 100);
            packet[at..at + octets.len()].copy_from_slice(octets);
            answer(&packet, 50)
        };
        assert_eq!(with(7, &[1]), not_allowed, "a later fragment");
        assert_eq!(with(12, &[0, 0, 0, 0]), not_allowed, "from nobody");
        assert_eq!(with(12, &[127, 0, 0, 1]), not_allowed);
        assert_eq!(with(16, &[224, 0, 0, 1]), not_allowed, "to many");
        assert_eq!(with(16, &[255, 255, 255, 255]), not_allowed);
        let mut out = vec![1];
        let mixed = packet_too_big(&v4(17, 0, 100), 50, "fd00::1".parse().unwrap(), &mut out);
        assert_eq!((mixed, out), (Err(IcmpError::MixedFamilies), vec![]));
    }
}

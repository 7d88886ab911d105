//! The outer header, RFC 4301 section 5.1.2: what it takes over from the inner one.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use super::checksum::{self, Checksum};
use super::{Dscp, Ecn, InnerPacket, Protocol};
use crate::encapsulation::Encapsulation;
use crate::error::SealError;

/// What becomes of the don't-fragment bit, RFC 4301 section 8.1.
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 4301 section 8.1 names these three"
)]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DontFragment {
    /// As the inner packet has it, so that it learns of the path.
    #[default]
    Copy,
    /// Always set: ESP packets are never fragmented on the way.
    Set,
    /// Never set: a path that is narrower than was thought fragments ESP packets.
    Clear,
}

/// What becomes of the code point, RFC 4301 section 5.1.2.
#[expect(clippy::exhaustive_enums, reason = "RFC 2983 knows these two ways")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DscpPolicy {
    /// As the inner packet has it. It shows on the outside, and a network that treats code points
    /// differently reorders packets; the replay window must be wide enough for that.
    #[default]
    Copy,
    /// Always this one.
    Fixed(Dscp),
}

/// What becomes of congestion marks on the way in, RFC 6040 section 4.3.
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6040 section 4.3 names these two"
)]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum EcnMode {
    /// Copied to the outer header; the peer's decapsulator knows what to do with marks.
    #[default]
    Normal,
    /// Not shown outside, for a peer that would lose them.
    Compatibility,
}

/// How outer headers are made from inner ones; by default all is copied.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct OuterPolicy {
    /// The don't-fragment bit.
    pub dont_fragment: DontFragment,
    /// The code point.
    pub dscp: DscpPolicy,
    /// Congestion marks.
    pub ecn: EcnMode,
}

/// The fields of an outer header that depend on the inner packet; a socket takes them as options.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct OuterFields {
    /// Type of service or traffic class: code point and congestion marks.
    pub traffic_class: u8,
    /// The don't-fragment bit of IPv4.
    pub dont_fragment: bool,
}

impl OuterPolicy {
    /// The fields for one packet.
    #[must_use]
    pub const fn fields(&self, inner: &InnerPacket) -> OuterFields {
        let dscp = match self.dscp {
            DscpPolicy::Copy => Dscp::new(inner.traffic_class() >> 2),
            DscpPolicy::Fixed(dscp) => dscp,
        };
        let ecn = match self.ecn {
            EcnMode::Normal => Ecn::of_traffic_class(inner.traffic_class()),
            EcnMode::Compatibility => Ecn::NotCapable,
        };
        let dont_fragment = match self.dont_fragment {
            DontFragment::Copy => inner.dont_fragment(),
            DontFragment::Set => true,
            DontFragment::Clear => false,
        };
        OuterFields {
            traffic_class: dscp.bits() << 2 | ecn.bits(),
            dont_fragment,
        }
    }
}

/// The rest of an outer header, the same for every packet of an SA; for senders that write whole IP
/// packets. Who sends through a socket needs [`OuterPolicy`] alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OuterHeader {
    /// Invariant: of one family.
    source: SocketAddr,
    destination: SocketAddr,
    encapsulation: Encapsulation,
}

impl OuterHeader {
    /// Hops that an ESP packet may take.
    pub const HOP_LIMIT: u8 = 64;

    /// A header for packets between two gateways; `None` for addresses of different families. Ports
    /// count in UDP only.
    #[must_use]
    pub const fn new(
        source: SocketAddr,
        destination: SocketAddr,
        encapsulation: Encapsulation,
    ) -> Option<Self> {
        if source.is_ipv4() == destination.is_ipv4() {
            Some(Self {
                source,
                destination,
                encapsulation,
            })
        } else {
            None
        }
    }

    /// Octets in front of the ESP packet: IP and, in UDP, eight more.
    #[must_use]
    pub const fn len(&self) -> usize {
        let ip = if self.source.is_ipv4() { 20 } else { 40 };
        ip + self.encapsulation.header_len()
    }

    /// Never; a header has a length.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the header in front of the ESP packet at `esp` and gives the range of the IP packet.
    ///
    /// `identification` must differ from that of other packets as long as one may be under way in
    /// pieces; it counts where fragmenting is allowed (RFC 6864). Over IPv4 the UDP checksum is
    /// zero (RFC 3948 section 2.1), over IPv6 it is computed.
    ///
    /// # Errors
    ///
    /// [`SealError::OutOfBounds`] if `esp` is not within the buffer, [`SealError::BufferTooShort`]
    /// if there is no room before it, [`SealError::Refused`] if it is longer than IP can carry.
    pub fn write(
        &self,
        fields: OuterFields,
        identification: u16,
        buffer: &mut [u8],
        esp: Range<usize>,
    ) -> Result<Range<usize>, SealError> {
        let needed = esp.len().saturating_add(self.len());
        let esp_len = u16::try_from(needed).map_err(|_| SealError::Refused)?;
        let start = esp
            .start
            .checked_sub(self.len())
            .ok_or(SealError::BufferTooShort { needed })?;
        let packet = start..esp.end;
        let octets = buffer
            .get_mut(packet.clone())
            .ok_or(SealError::OutOfBounds)?;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (header, rest) = octets
                    .split_first_chunk_mut::<20>()
                    .ok_or(SealError::OutOfBounds)?;
                let protocol = self.protocol();
                *header = v4(
                    fields,
                    identification,
                    esp_len,
                    protocol,
                    source.octets(),
                    destination.octets(),
                );
                self.write_udp(rest)?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (header, rest) = octets
                    .split_first_chunk_mut::<40>()
                    .ok_or(SealError::OutOfBounds)?;
                let payload_len = esp_len.checked_sub(40).ok_or(SealError::OutOfBounds)?;
                *header = v6(
                    fields,
                    payload_len,
                    self.protocol(),
                    source.octets(),
                    destination.octets(),
                );
                self.write_udp(rest)?;
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(SealError::Refused);
            }
        }
        Ok(packet)
    }

    const fn protocol(&self) -> Protocol {
        match self.encapsulation {
            Encapsulation::None => Protocol::ESP,
            Encapsulation::Udp => Protocol::UDP,
        }
    }

    /// Writes the UDP header at the start of what follows the IP header, if there is one.
    fn write_udp(&self, datagram: &mut [u8]) -> Result<(), SealError> {
        if self.encapsulation == Encapsulation::None {
            return Ok(());
        }
        let len = u16::try_from(datagram.len()).map_err(|_| SealError::Refused)?;
        let ([s0, s1], [d0, d1], [l0, l1]) = (
            self.source.port().to_be_bytes(),
            self.destination.port().to_be_bytes(),
            len.to_be_bytes(),
        );
        let header = datagram
            .first_chunk_mut::<8>()
            .ok_or(SealError::OutOfBounds)?;
        *header = [s0, s1, d0, d1, l0, l1, 0, 0];
        if self.source.is_ipv6() {
            let [c0, c1] = checksum::udp(self.source, self.destination, datagram, len);
            let header = datagram
                .first_chunk_mut::<8>()
                .ok_or(SealError::OutOfBounds)?;
            *header = [s0, s1, d0, d1, l0, l1, c0, c1];
        }
        Ok(())
    }
}

fn v4(
    fields: OuterFields,
    identification: u16,
    total_len: u16,
    protocol: Protocol,
    [s0, s1, s2, s3]: [u8; 4],
    [d0, d1, d2, d3]: [u8; 4],
) -> [u8; 20] {
    let ([l0, l1], [i0, i1]) = (total_len.to_be_bytes(), identification.to_be_bytes());
    let flags = if fields.dont_fragment { 0x40 } else { 0 };
    let with_checksum = |[c0, c1]: [u8; 2]| {
        let ttl = OuterHeader::HOP_LIMIT;
        [
            0x45,
            fields.traffic_class,
            l0,
            l1,
            i0,
            i1,
            flags,
            0,
            ttl,
            protocol.0,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    };
    let mut checksum = Checksum::default();
    checksum.add(&with_checksum([0, 0]));
    with_checksum(checksum.finish())
}

fn v6(
    fields: OuterFields,
    payload_len: u16,
    protocol: Protocol,
    source: [u8; 16],
    destination: [u8; 16],
) -> [u8; 40] {
    let [l0, l1] = payload_len.to_be_bytes();
    let traffic_class = fields.traffic_class;
    let mut header = [0; 40];
    let (fixed, addresses) = header.split_at_mut(8);
    fixed.copy_from_slice(&[
        0x60 | traffic_class >> 4,
        traffic_class << 4,
        0,
        0,
        l0,
        l1,
        protocol.0,
        OuterHeader::HOP_LIMIT,
    ]);
    let (from, to) = addresses.split_at_mut(16);
    from.copy_from_slice(&source);
    to.copy_from_slice(&destination);
    header
}

#[cfg(test)]
mod tests {
    use super::super::UdpDatagram;
    use super::*;

    fn inner(traffic_class: u8, dont_fragment: bool) -> InnerPacket {
        let flags = if dont_fragment { 0x40 } else { 0 };
        let octets = [
            0x45,
            traffic_class,
            0,
            20,
            0,
            0,
            flags,
            0,
            64,
            17,
            0,
            0,
            10,
            0,
            0,
            1,
            10,
            0,
            0,
            2,
        ];
        InnerPacket::parse(&octets).unwrap()
    }

    #[test]
    fn fields_follow_the_policy() {
        let mut policy = OuterPolicy::default();
        let fields = policy.fields(&inner(0xB9, true));
        assert_eq!((fields.traffic_class, fields.dont_fragment), (0xB9, true));
        assert!(!policy.fields(&inner(0, false)).dont_fragment);

        policy.ecn = EcnMode::Compatibility;
        assert_eq!(policy.fields(&inner(0xBB, false)).traffic_class, 0xB8);
        policy.dscp = DscpPolicy::Fixed(Dscp::new(10));
        policy.ecn = EcnMode::Normal;
        assert_eq!(
            policy.fields(&inner(0xBB, false)).traffic_class,
            10 << 2 | 3
        );
        policy.dont_fragment = DontFragment::Set;
        assert!(policy.fields(&inner(0, false)).dont_fragment);
        policy.dont_fragment = DontFragment::Clear;
        assert!(!policy.fields(&inner(0, true)).dont_fragment);
    }

    #[test]
    fn a_written_header_reads_back() {
        let v4: [SocketAddr; 2] = [
            "192.0.2.1:4500".parse().unwrap(),
            "198.51.100.7:61000".parse().unwrap(),
        ];
        let v6: [SocketAddr; 2] = [
            "[2001:db8::1]:4500".parse().unwrap(),
            "[2001:db8::2]:4500".parse().unwrap(),
        ];
        for [source, destination] in [v4, v6] {
            for encapsulation in [Encapsulation::None, Encapsulation::Udp] {
                let header = OuterHeader::new(source, destination, encapsulation).unwrap();
                let fields = OuterFields {
                    traffic_class: 0xB9,
                    dont_fragment: true,
                };
                let mut buffer = [0xEE; 200];
                let packet = header.write(fields, 7, &mut buffer, 60..160).unwrap();
                assert_eq!(packet, 60 - header.len()..160);
                let octets = &buffer[packet];
                let read = InnerPacket::parse(octets).unwrap();
                assert_eq!(
                    (read.source(), read.destination()),
                    (source.ip(), destination.ip())
                );
                assert_eq!((read.traffic_class(), read.dont_fragment()), (0xB9, true));
                match encapsulation {
                    Encapsulation::None => assert_eq!(read.protocol(), Protocol::ESP),
                    Encapsulation::Udp => {
                        let datagram = UdpDatagram::parse(octets).unwrap();
                        assert_eq!(
                            (datagram.source, datagram.destination),
                            (source, destination)
                        );
                        assert_eq!(datagram.payload, [0xEE; 100]);
                    }
                }
            }
        }
        assert_eq!(OuterHeader::new(v4[0], v6[0], Encapsulation::None), None);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let address = "192.0.2.1:4500".parse().unwrap();
        let header = OuterHeader::new(address, address, Encapsulation::Udp).unwrap();
        let fields = OuterFields::default();
        let write = |buffer: &mut [u8], esp| header.write(fields, 0, buffer, esp);
        let needed = 28 + 10;
        assert_eq!(
            write(&mut [0; 100], 27..37),
            Err(SealError::BufferTooShort { needed })
        );
        assert_eq!(write(&mut [0; 100], 91..101), Err(SealError::OutOfBounds));
        assert_eq!(write(&mut [0; 100], 28..70_000), Err(SealError::Refused));
    }
}

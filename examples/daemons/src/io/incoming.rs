//! Packets for the TUN, put together where the kernel may take them as one.
//!
//! Put together are only neighbours in a flow that differ in nothing but what the kernel makes anew
//! when it cuts them again: of TCP those that continue each other, of UDP those of equal length. The
//! kernel computes the checksums anew as well, so they are verified before, and a packet whose own
//! is wrong stays as it is.

use std::io::IoSlice;

use esp_core::ip::Checksum;

use super::offload::{Kind, OffloadHeader};
use super::transport::{self, Transport};

/// The longest packet of IP.
const MAX_LEN: usize = 65_535;
/// Packets in one at most; the kernel cuts UDP into no more than 64, and takes 1024 pieces of memory.
const MAX_PARTS: usize = 64;
/// How many groups back a packet's flow is looked for.
const OPEN_GROUPS: usize = 8;
/// The longest headers: IPv6 without extensions, TCP with all its options.
const MAX_HEADER: usize = 40 + 60;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Packets that are written one after the other, in the order in which they came within each flow.
#[derive(Debug)]
pub struct Incoming<'a> {
    groups: Vec<Group<'a>>,
    /// What the kernel takes together.
    tcp: bool,
    udp: bool,
}

/// One packet, or several of one flow.
#[derive(Debug)]
pub(super) struct Group<'a> {
    first: &'a [u8],
    /// Payload of the packets that follow.
    rest: Vec<&'a [u8]>,
    /// What the first is, if others may follow.
    shape: Option<Shape>,
    /// Octets of all together.
    len: usize,
    next_sequence: u32,
    /// The flags of the last.
    push: bool,
    verified: bool,
    closed: bool,
}

/// How a packet of TCP or UDP is made up.
#[derive(Clone, Copy, Debug)]
struct Shape {
    transport: Transport,
    /// Octets of the IP header.
    start: usize,
    header_len: usize,
    /// Whether it may be put together with others at all.
    mergeable: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(tcp: bool, udp: bool) -> Self {
        Self {
            groups: Vec::new(),
            tcp,
            udp,
        }
    }

    /// Takes the next packet.
    pub(crate) fn push(&mut self, packet: &'a [u8]) {
        let shape = Shape::of(packet).filter(|_| self.tcp);
        let Some(shape) = shape else {
            // A fragment, or a protocol unknown here: nothing of these hosts may overtake it.
            for group in self.groups.iter_mut().rev().take(OPEN_GROUPS) {
                group.closed |= hosts(group.first) == hosts(packet);
            }
            self.groups.push(Group::new(packet, None));
            return;
        };
        let flow = shape.flow(packet);
        let former = self
            .groups
            .iter_mut()
            .rev()
            .take(OPEN_GROUPS)
            .find(|group| {
                group
                    .shape
                    .is_some_and(|shape| shape.flow(group.first) == flow)
            });
        let allowed = shape.transport == Transport::Tcp || self.udp;
        if let Some(group) = former {
            if allowed && group.join(packet, shape).is_some() {
                return;
            }
            group.closed = true;
        }
        self.groups.push(Group::new(packet, Some(shape)));
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter()
    }
}

impl<'a> Group<'a> {
    fn new(packet: &'a [u8], shape: Option<Shape>) -> Self {
        let tcp = shape.filter(|shape| shape.transport == Transport::Tcp);
        let payload = shape.map_or(0, |shape| packet.len() - shape.header_len);
        let push = tcp.is_some_and(|shape| flags(packet, shape) & PSH != 0);
        Self {
            first: packet,
            rest: Vec::new(),
            shape,
            len: packet.len(),
            next_sequence: tcp
                .and_then(|shape| sequence(packet, shape))
                .unwrap_or(0)
                .wrapping_add(u32::try_from(payload).unwrap_or(0)),
            push,
            verified: false,
            closed: push || shape.is_none_or(|shape| !shape.mergeable),
        }
    }

    /// How many packets it is.
    pub(super) fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// Appends a packet, unless that would hide something of it.
    fn join(&mut self, packet: &'a [u8], shape: Shape) -> Option<()> {
        let own = self.shape.filter(|_| !self.closed && shape.mergeable)?;
        let (first, segment) = (self.first, self.first.len() - own.header_len);
        let payload = packet.get(shape.header_len..)?;
        let fits = payload.len() <= segment
            && self.len + payload.len() <= MAX_LEN
            && self.count() < MAX_PARTS
            && own.is_like(first, shape, packet);
        let continues = shape.transport == Transport::Udp
            || sequence(packet, shape) == Some(self.next_sequence);
        if !fits || !continues || !shape.is_sound(packet) {
            return None;
        }
        if !self.verified && !own.is_sound(first) {
            return None;
        }
        self.verified = true;
        self.push = shape.transport == Transport::Tcp && flags(packet, shape) & PSH != 0;
        self.closed = self.push || payload.len() < segment;
        self.next_sequence = self
            .next_sequence
            .wrapping_add(u32::try_from(payload.len()).ok()?);
        self.len += payload.len();
        self.rest.push(payload);
        Some(())
    }

    /// What to write, piece by piece; `headers` is room for those of a packet put together.
    pub(super) fn pieces<'s>(&'s self, headers: &'s mut Headers) -> Vec<IoSlice<'s>> {
        let merged = self.shape.filter(|_| !self.rest.is_empty());
        let made = merged.and_then(|shape| Some((shape, headers.fill(self, shape)?)));
        let Some((shape, len)) = made else {
            return vec![IoSlice::new(&EMPTY_HEADER), IoSlice::new(self.first)];
        };
        let mut pieces = Vec::with_capacity(2 + self.count());
        pieces.push(IoSlice::new(headers.octets.get(..len).unwrap_or_default()));
        pieces.push(IoSlice::new(
            self.first.get(shape.header_len..).unwrap_or_default(),
        ));
        pieces.extend(self.rest.iter().map(|payload| IoSlice::new(payload)));
        pieces
    }

    /// The one packet that it is, where the device has no offload.
    pub(super) fn packet(&self) -> &[u8] {
        self.first
    }
}

/// The header of a packet that needs nothing.
static EMPTY_HEADER: [u8; OffloadHeader::LEN] = [0; OffloadHeader::LEN];

/// Room for the headers of a packet put together.
pub(super) struct Headers {
    octets: [u8; OffloadHeader::LEN + MAX_HEADER],
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            octets: [0; OffloadHeader::LEN + MAX_HEADER],
        }
    }
}

impl Headers {
    /// Makes the headers of a group; their length.
    fn fill(&mut self, group: &Group<'_>, shape: Shape) -> Option<usize> {
        let Shape {
            transport,
            start,
            header_len,
            ..
        } = shape;
        let ipv4 = is_ipv4(group.first);
        let header = OffloadHeader {
            kind: Some(match (transport, ipv4) {
                (Transport::Tcp, true) => Kind::TcpV4,
                (Transport::Tcp, false) => Kind::TcpV6,
                (Transport::Udp, _) => Kind::Udp,
            }),
            header_len: u16::try_from(header_len).ok()?,
            segment_len: u16::try_from(group.first.len() - header_len).ok()?,
            partial_checksum: Some((
                u16::try_from(start).ok()?,
                u16::try_from(transport.checksum_offset()).ok()?,
            )),
        };
        let (offload, headers) = self.octets.split_at_mut_checked(OffloadHeader::LEN)?;
        offload.copy_from_slice(&header.encode());
        let headers = headers.get_mut(..header_len)?;
        headers.copy_from_slice(group.first.get(..header_len)?);
        set_merged_len(headers, group.len, start)?;
        let len = group.len - start;
        let sum = transport::pseudo_header(headers, transport, len)?;
        let datagram = headers.get_mut(start..)?;
        match transport {
            Transport::Tcp => *datagram.get_mut(13)? |= if group.push { PSH } else { 0 },
            Transport::Udp => {
                let len = u16::try_from(len).ok()?;
                datagram.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
            }
        }
        // The sum itself, where otherwise its complement stands.
        let partial = sum.finish().map(|octet| !octet);
        let at = transport.checksum_offset();
        datagram.get_mut(at..at + 2)?.copy_from_slice(&partial);
        Some(OffloadHeader::LEN + header_len)
    }
}

/// The length in an IP header whose payload lies elsewhere.
fn set_merged_len(headers: &mut [u8], len: usize, start: usize) -> Option<()> {
    if is_ipv4(headers) {
        let len = u16::try_from(len).ok()?;
        headers.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
        headers.get_mut(10..12)?.fill(0);
        let mut sum = Checksum::default();
        sum.add(headers.get(..start)?);
        headers.get_mut(10..12)?.copy_from_slice(&sum.finish());
    } else {
        let len = u16::try_from(len - start).ok()?;
        headers.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
    }
    Some(())
}

impl Shape {
    /// `None` for anything but an unfragmented packet of TCP or UDP without IP options.
    fn of(packet: &[u8]) -> Option<Self> {
        let (start, protocol) = match packet {
            // No options; of the fragment fields only DF.
            [0x45, _, l0, l1, _, _, f0, 0, _, protocol, ..]
                if f0 & 0xBF == 0
                    && usize::from(u16::from_be_bytes([*l0, *l1])) == packet.len() =>
            {
                (20, *protocol)
            }
            [first, _, _, _, l0, l1, protocol, ..]
                if first >> 4 == 6
                    && usize::from(u16::from_be_bytes([*l0, *l1])) + 40 == packet.len() =>
            {
                (40, *protocol)
            }
            _ => return None,
        };
        let transport = Transport::of_protocol(protocol)?;
        let datagram = packet.get(start..)?;
        let header_len = start + transport.header_len(datagram)?;
        let payload = packet.len().checked_sub(header_len)?;
        let plain = match transport {
            Transport::Tcp => datagram.get(13)? & !PSH == ACK,
            // The length that UDP has itself, and a checksum.
            Transport::Udp => {
                let len = datagram.get(4..6)?.first_chunk::<2>()?;
                usize::from(u16::from_be_bytes(*len)) == datagram.len()
                    && datagram.get(6..8)? != [0, 0]
            }
        };
        Some(Self {
            transport,
            start,
            header_len,
            mergeable: plain && payload != 0,
        })
    }

    /// Protocol, addresses and ports.
    fn flow(self, packet: &[u8]) -> (Transport, Option<&[u8]>, Option<&[u8]>) {
        (
            self.transport,
            hosts(packet),
            packet.get(self.start..self.start + 4),
        )
    }

    /// Whether the headers differ only where those of neighbours in a flow do.
    fn is_like(self, first: &[u8], other: Self, packet: &[u8]) -> bool {
        let alike = |range: core::ops::Range<usize>| first.get(range.clone()) == packet.get(range);
        let start = self.start;
        let ip = if is_ipv4(first) {
            // Version, type of service; DF; time to live. Identification and checksum are made anew.
            alike(0..2) && alike(6..9)
        } else {
            // Traffic class, flow label; hop limit.
            alike(0..4) && alike(7..8)
        };
        let transport = match self.transport {
            // Acknowledgement, length; window; urgent pointer and options.
            Transport::Tcp => {
                alike(start + 8..start + 13)
                    && alike(start + 14..start + 16)
                    && alike(start + 18..self.header_len)
            }
            Transport::Udp => true,
        };
        self.header_len == other.header_len && ip && transport
    }

    /// Whether all checksums are right.
    fn is_sound(self, packet: &[u8]) -> bool {
        let header = !is_ipv4(packet)
            || packet.get(..self.start).is_some_and(|header| {
                let mut sum = Checksum::default();
                sum.add(header);
                sum.is_valid()
            });
        header
            && packet.get(self.start..).is_some_and(|datagram| {
                transport::pseudo_header(packet, self.transport, datagram.len()).is_some_and(
                    |mut sum| {
                        sum.add(datagram);
                        sum.is_valid()
                    },
                )
            })
    }
}

fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

/// Source and destination address.
fn hosts(packet: &[u8]) -> Option<&[u8]> {
    if is_ipv4(packet) {
        packet.get(12..20)
    } else {
        packet.get(8..40)
    }
}

fn flags(packet: &[u8], shape: Shape) -> u8 {
    packet.get(shape.start + 13).copied().unwrap_or(0)
}

fn sequence(packet: &[u8], shape: Shape) -> Option<u32> {
    let octets = packet.get(shape.start + 4..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::super::outgoing::Outgoing;
    use super::*;
    use crate::io::packets::{self, Ip};

    /// How packets are grouped, by how many are in each group; and that they come out of the kernel
    /// as they went in.
    fn grouped(packets: &[Vec<u8>]) -> Vec<usize> {
        let mut incoming = Incoming::new(true, true);
        for packet in packets {
            incoming.push(packet);
        }
        let mut out: Vec<Vec<u8>> = Vec::new();
        for group in incoming.groups() {
            let mut headers = Headers::default();
            let mut written: Vec<u8> = Vec::new();
            for piece in group.pieces(&mut headers) {
                written.extend_from_slice(&piece);
            }
            let (header, packet) = written.split_first_chunk_mut().unwrap();
            let header = OffloadHeader::decode(*header).unwrap();
            let outgoing = Outgoing::new(header, packet).unwrap();
            assert_eq!(outgoing.count(), group.count());
            for index in 0..outgoing.count() {
                let mut packet = vec![0; outgoing.packet_len(index)];
                outgoing.write(index, &mut packet).unwrap();
                out.push(packet);
            }
        }
        let (mut sent, mut came) = (packets.to_vec(), out);
        // Between flows the order may change.
        sent.sort();
        came.sort();
        assert_eq!(sent, came);
        incoming.groups().map(Group::count).collect()
    }

    fn tcp(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        packets::tcp(Ip::V4, sequence, flags, payload)
    }

    /// A stream of three segments, the last of them shorter and pushed.
    fn stream(ip: Ip) -> Vec<Vec<u8>> {
        [(0, 0x10, 100), (100, 0x10, 100), (200, 0x18, 60)]
            .into_iter()
            .zip(0..)
            .map(|((at, flags, len), index)| {
                let payload = vec![u8::try_from(at).unwrap(); len];
                packets::numbered(packets::tcp(ip, 5000 + at, flags, &payload), index)
            })
            .collect()
    }

    #[test]
    fn a_stream_is_one_and_comes_out_as_it_was() {
        for ip in [Ip::V4, Ip::V6] {
            assert_eq!(grouped(&stream(ip)), [3], "{ip:?}");
        }
    }

    #[test]
    fn datagrams_of_equal_length_are_one() {
        for ip in [Ip::V4, Ip::V6] {
            let packets: Vec<Vec<u8>> = [50, 50, 50, 20, 50]
                .into_iter()
                .zip([0, 1, 2, 3, 0])
                .map(|(len, index)| packets::numbered(packets::udp(ip, &vec![1; len]), index))
                .collect();
            assert_eq!(grouped(&packets), [4, 1], "{ip:?}");
        }
    }

    #[test]
    fn sequence_numbers_may_wrap() {
        let first = u32::MAX - 49;
        let second = packets::numbered(tcp(first.wrapping_add(100), 0x10, &[2; 100]), 1);
        assert_eq!(grouped(&[tcp(first, 0x10, &[1; 100]), second]), [2]);
    }

    #[test]
    fn what_differs_in_anything_stays_apart() {
        let [first, second, _] = stream(Ip::V4).try_into().unwrap();
        let apart = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut second = second.clone();
            change(&mut second);
            let mut incoming = Incoming::new(true, true);
            incoming.push(&first);
            incoming.push(&second);
            incoming.groups().count() == 2
        };
        assert!(!apart(&|_| {}), "else this test shows nothing");
        let sound = |change: &'static dyn Fn(&mut Vec<u8>)| {
            move |packet: &mut Vec<u8>| {
                change(packet);
                packets::seal(packet);
            }
        };
        assert!(apart(&sound(&|packet| packet[1] = 4)), "type of service");
        assert!(apart(&sound(&|packet| packet[6] = 0)), "DF");
        assert!(apart(&sound(&|packet| packet[6] = 0x20)), "a fragment");
        assert!(apart(&sound(&|packet| packet[8] = 63)), "time to live");
        assert!(apart(&sound(&|packet| packet[15] = 9)), "address");
        assert!(apart(&sound(&|packet| packet[21] ^= 1)), "port");
        assert!(apart(&sound(&|packet| packet[27] ^= 1)), "sequence number");
        assert!(apart(&sound(&|packet| packet[31] ^= 1)), "acknowledgement");
        assert!(apart(&sound(&|packet| packet[35] ^= 1)), "window");
        assert!(apart(&sound(&|packet| packet[39] ^= 1)), "urgent pointer");
        for flags in [0x11, 0x12, 0x14, 0x30, 0x50, 0x90, 0x00] {
            let changed = apart(&move |packet: &mut Vec<u8>| {
                packet[33] = flags;
                packets::seal(packet);
            });
            assert!(changed, "flags {flags:#x}");
        }
        assert!(apart(&|packet| packet[36] ^= 1), "the checksum is wrong");
        assert!(apart(&|packet| packet[60] ^= 1), "the payload is damaged");
        assert!(apart(&|packet| packet[10] ^= 1), "the IP checksum is wrong");
    }

    #[test]
    fn a_first_packet_that_is_damaged_stays_apart_and_as_it_is() {
        let [mut first, second, third] = stream(Ip::V4).try_into().unwrap();
        first[50] ^= 1;
        let mut incoming = Incoming::new(true, true);
        for packet in [&first, &second, &third] {
            incoming.push(packet);
        }
        let groups: Vec<_> = incoming.groups().collect();
        assert_eq!(groups.len(), 2);
        let mut headers = Headers::default();
        let pieces = groups[0].pieces(&mut headers);
        assert_eq!(*pieces[0], [0; OffloadHeader::LEN]);
        assert_eq!(*pieces[1], *first);
    }

    #[test]
    fn nothing_of_a_flow_overtakes_anything_of_it() {
        let data = |index: u16| {
            packets::numbered(tcp(5000 + u32::from(index) * 100, 0x10, &[1; 100]), index)
        };
        // A pure acknowledgement between the first and the second; a ping before the third.
        let mut ping = tcp(0, 0x10, b"");
        ping[9] = 1;
        packets::seal(&mut ping);
        let packets = [data(0), tcp(5100, 0x10, b""), data(1), ping, data(2)];
        let mut incoming = Incoming::new(true, true);
        for packet in &packets {
            incoming.push(packet);
        }
        let firsts: Vec<&[u8]> = incoming.groups().map(|group| group.first).collect();
        assert_eq!(firsts, packets);
    }

    #[test]
    fn streams_that_alternate_are_each_one() {
        let other = |mut packet: Vec<u8>| {
            packet[21] ^= 1;
            packets::seal(&mut packet);
            packet
        };
        let packets: Vec<Vec<u8>> = stream(Ip::V4)
            .into_iter()
            .flat_map(|packet| [packet.clone(), other(packet)])
            .collect();
        assert_eq!(grouped(&packets), [3, 3]);
    }

    #[test]
    fn no_more_is_put_together_than_a_packet_may_hold() {
        let packets: Vec<Vec<u8>> = (0..100)
            .map(|index: u16| {
                let packet = tcp(u32::from(index) * 1348, 0x10, &[7; 1348]);
                packets::numbered(packet, index % 48)
            })
            .collect();
        assert_eq!(grouped(&packets), [48, 48, 4]);
    }

    #[test]
    fn without_offload_nothing_is_put_together() {
        let packets = stream(Ip::V4);
        let mut incoming = Incoming::new(false, false);
        packets.iter().for_each(|packet| incoming.push(packet));
        assert_eq!(incoming.groups().count(), 3);
    }

    #[test]
    fn garbage_goes_through_as_it_is() {
        for len in 0..60 {
            for first in [0x00, 0x45, 0x4F, 0x60, 0xFF] {
                let mut packet = vec![first; len];
                if let Some(protocol) = packet.get_mut(9) {
                    *protocol = 6;
                }
                let mut incoming = Incoming::new(true, true);
                incoming.push(&packet);
                incoming.push(&packet);
                assert_eq!(incoming.groups().count(), 2);
            }
        }
    }
}

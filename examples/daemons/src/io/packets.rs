//! Packets for tests.

use super::transport::{self, Transport};

/// Which IP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ip {
    V4,
    V6,
}

impl Ip {
    pub(super) fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    fn packet(self, protocol: u8, datagram: &[u8]) -> Vec<u8> {
        let mut packet = match self {
            // Identification 7, DF.
            Self::V4 => vec![
                0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0, 10, 61, 1, 1, 10, 61, 3, 26,
            ],
            Self::V6 => {
                let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
                header.extend([0xFD; 16]);
                header.extend([0xFC; 16]);
                header
            }
        };
        packet.extend_from_slice(datagram);
        seal(&mut packet);
        packet
    }
}

pub(super) fn tcp(ip: Ip, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x9C, 0x40, 0x14, 0x51];
    datagram.extend(sequence.to_be_bytes());
    datagram.extend([0, 0, 0, 9, 0x50, flags, 0x02, 0x00, 0, 0, 0, 0]);
    datagram.extend_from_slice(payload);
    ip.packet(6, &datagram)
}

pub(super) fn udp(ip: Ip, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = vec![0x9C, 0x40, 0x02, 0x02];
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend_from_slice(payload);
    ip.packet(17, &datagram)
}

/// The same with an identification that is so much higher.
pub(super) fn numbered(mut packet: Vec<u8>, index: u16) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[4..6].copy_from_slice(&(7 + index).to_be_bytes());
        seal(&mut packet);
    }
    packet
}

/// Makes length and checksums right.
pub(super) fn seal(packet: &mut [u8]) {
    transport::set_ip_len(packet).unwrap();
    let (start, protocol) = match packet[0] >> 4 {
        4 => (20, packet[9]),
        _ => (40, packet[6]),
    };
    let Some(transport) = Transport::of_protocol(protocol) else {
        return;
    };
    let at = start + transport.checksum_offset();
    packet[at..at + 2].fill(0);
    let mut sum = transport::pseudo_header(packet, transport, packet.len() - start).unwrap();
    sum.add(&packet[start..]);
    let checksum = transport.finish(sum);
    packet[at..at + 2].copy_from_slice(&checksum);
}

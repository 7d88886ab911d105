//! What one read of the TUN gives: one packet, or the payload of many behind one header, to be cut.

use esp_core::ip::Checksum;

use super::offload::{Kind, OffloadHeader};
use super::transport::{self, Transport};

/// TCP flags that only the last, and only the first, of a cut packet keeps.
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// Packets of one flow that have not been cut yet.
#[derive(Debug)]
pub struct Outgoing<'a> {
    octets: &'a [u8],
    cut: Option<Cut>,
}

/// How one long packet is to be cut into those that it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    transport: Transport,
    /// Where the transport header begins, and where it ends.
    start: usize,
    header_len: usize,
    segment_len: usize,
}

impl<'a> Outgoing<'a> {
    /// A packet as it came where the device has no offload.
    pub(super) fn whole(octets: &'a [u8]) -> Self {
        Self { octets, cut: None }
    }

    /// What came behind `header`; `None` if that does not fit it.
    pub(super) fn new(header: OffloadHeader, octets: &'a mut [u8]) -> Option<Self> {
        let Some(kind) = header.kind.filter(|_| header.segment_len != 0) else {
            if let Some((start, offset)) = header.partial_checksum {
                complete(octets, start.into(), offset.into())?;
            }
            return Some(Self::whole(octets));
        };
        // The kernel's own figure for the length of the headers is a hint only.
        let (start, _) = header.partial_checksum?;
        let (start, transport) = match kind {
            Kind::TcpV4 | Kind::TcpV6 => (usize::from(start), Transport::Tcp),
            Kind::Udp => (usize::from(start), Transport::Udp),
        };
        let least = if octets.first()? >> 4 == 4 { 20 } else { 40 };
        let header_len = start + transport.header_len(octets.get(start..)?)?;
        if start < least || octets.len() < header_len {
            return None;
        }
        let cut = Cut {
            transport,
            start,
            header_len,
            segment_len: header.segment_len.into(),
        };
        Some(Self {
            octets,
            cut: Some(cut),
        })
    }

    /// The same as before, when its octets have been somewhere else.
    pub(crate) fn again(octets: &'a [u8], cut: Option<Cut>) -> Self {
        Self { octets, cut }
    }

    /// How it is cut, if it is more than one packet.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Everything as it was read: the headers in it are those of the flow.
    pub(crate) fn octets(&self) -> &[u8] {
        self.octets
    }

    /// How many packets it is.
    pub(crate) fn count(&self) -> usize {
        self.cut.map_or(1, |cut| {
            let payload = self.octets.len() - cut.header_len;
            payload.div_ceil(cut.segment_len).max(1)
        })
    }

    /// Length of one of them.
    pub(crate) fn packet_len(&self, index: usize) -> usize {
        self.cut.map_or(self.octets.len(), |cut| {
            let payload = self.octets.len() - cut.header_len;
            let before = cut.segment_len.saturating_mul(index).min(payload);
            cut.header_len + cut.segment_len.min(payload - before)
        })
    }

    /// Writes one of them to where it is to be, which must be as long as the packet.
    pub(crate) fn write(&self, index: usize, out: &mut [u8]) -> Option<()> {
        let Some(cut) = self.cut else {
            return copy(out, self.octets);
        };
        let from = cut.header_len + cut.segment_len.checked_mul(index)?;
        let (headers, payload) = out.split_at_mut_checked(cut.header_len)?;
        copy(headers, self.octets.get(..cut.header_len)?)?;
        copy(payload, self.octets.get(from..from + payload.len())?)?;
        cut.number(index, index + 1 == self.count(), headers)?;
        cut.measure(out)
    }
}

impl Cut {
    /// What differs from packet to packet: identification, sequence number, flags.
    fn number(&self, index: usize, last: bool, headers: &mut [u8]) -> Option<()> {
        if headers.first()? >> 4 == 4 {
            let identification = headers.get_mut(4..6)?.first_chunk_mut::<2>()?;
            let first = u16::from_be_bytes(*identification);
            let [.., high, low] = index.to_be_bytes();
            let index = u16::from_be_bytes([high, low]);
            *identification = first.wrapping_add(index).to_be_bytes();
        }
        if self.transport == Transport::Tcp {
            let header = headers.get_mut(self.start..)?;
            let sequence = header.get_mut(4..8)?.first_chunk_mut::<4>()?;
            let offset = u32::try_from(self.segment_len * index).ok()?;
            *sequence = u32::from_be_bytes(*sequence)
                .wrapping_add(offset)
                .to_be_bytes();
            let flags = header.get_mut(13)?;
            *flags &= if last { 0xFF } else { !FIN_PSH };
            *flags &= if index == 0 { 0xFF } else { !CWR };
        }
        Some(())
    }

    /// Lengths and checksums of a packet that is otherwise complete.
    fn measure(&self, packet: &mut [u8]) -> Option<()> {
        transport::set_ip_len(packet)?;
        let len = packet.len().checked_sub(self.start)?;
        let mut sum = transport::pseudo_header(packet, self.transport, len)?;
        let datagram = packet.get_mut(self.start..)?;
        if self.transport == Transport::Udp {
            copy(
                datagram.get_mut(4..6)?,
                &u16::try_from(len).ok()?.to_be_bytes(),
            )?;
        }
        let at = self.transport.checksum_offset();
        datagram.get_mut(at..at + 2)?.fill(0);
        sum.add(datagram);
        copy(datagram.get_mut(at..at + 2)?, &self.transport.finish(sum))
    }
}

fn copy(out: &mut [u8], octets: &[u8]) -> Option<()> {
    (out.len() == octets.len()).then(|| out.copy_from_slice(octets))
}

/// Completes a checksum that so far is the sum of the pseudo-header.
fn complete(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let mut sum = Checksum::default();
    let datagram = packet.get_mut(start..)?;
    sum.add(datagram);
    let checksum = match sum.finish() {
        // Zero would say that there is none (RFC 768); to TCP it is the same.
        [0, 0] if offset == Transport::Udp.checksum_offset() => [0xFF, 0xFF],
        checksum => checksum,
    };
    copy(datagram.get_mut(offset..offset + 2)?, &checksum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::packets::{self, Ip};

    fn cut(kind: Kind, packet: &mut [u8], start: usize, segment_len: u16) -> Vec<Vec<u8>> {
        let header = OffloadHeader {
            kind: Some(kind),
            header_len: 0,
            segment_len,
            partial_checksum: Some((u16::try_from(start).unwrap(), 16)),
        };
        let outgoing = Outgoing::new(header, packet).unwrap();
        (0..outgoing.count())
            .map(|index| {
                let mut packet = vec![0xEE; outgoing.packet_len(index)];
                outgoing.write(index, &mut packet).unwrap();
                packet
            })
            .collect()
    }

    #[test]
    fn tcp_is_cut_into_what_its_sender_would_have_sent() {
        for ip in [Ip::V4, Ip::V6] {
            let payload: Vec<u8> = (0..250).collect();
            // FIN, PSH, ACK and CWR: each belongs to one end of the train only.
            let mut whole = packets::tcp(ip, 1000, 0x99, &payload);
            let kind = if ip == Ip::V4 {
                Kind::TcpV4
            } else {
                Kind::TcpV6
            };
            let cut = cut(kind, &mut whole, ip.header_len(), 100);
            let expected: Vec<Vec<u8>> = [(0_u16, 0x90), (100, 0x10), (200, 0x19)]
                .into_iter()
                .map(|(at, flags)| {
                    let from = usize::from(at);
                    let part = &payload[from..payload.len().min(from + 100)];
                    packets::numbered(
                        packets::tcp(ip, 1000 + u32::from(at), flags, part),
                        at / 100,
                    )
                })
                .collect();
            assert_eq!(cut, expected, "{ip:?}");
        }
    }

    #[test]
    fn udp_is_cut_into_datagrams_of_their_own() {
        for ip in [Ip::V4, Ip::V6] {
            let payload: Vec<u8> = (0..25).collect();
            let mut whole = packets::udp(ip, &payload);
            let cut = cut(Kind::Udp, &mut whole, ip.header_len(), 10);
            let expected: Vec<Vec<u8>> = payload
                .chunks(10)
                .zip(0..)
                .map(|(part, index)| packets::numbered(packets::udp(ip, part), index))
                .collect();
            assert_eq!(cut, expected, "{ip:?}");
        }
    }

    #[test]
    fn a_checksum_that_is_partial_is_completed() {
        let whole = packets::tcp(Ip::V4, 7, 0x10, b"data");
        let mut partial = whole.clone();
        let sum = transport::pseudo_header(&whole, Transport::Tcp, whole.len() - 20).unwrap();
        partial[36..38].copy_from_slice(&sum.finish().map(|octet| !octet));
        let header = OffloadHeader {
            partial_checksum: Some((20, 16)),
            ..OffloadHeader::default()
        };
        let outgoing = Outgoing::new(header, &mut partial).unwrap();
        assert_eq!(outgoing.octets(), whole);
    }

    #[test]
    fn what_lies_about_itself_is_refused() {
        let header = |kind, start| OffloadHeader {
            kind: Some(kind),
            header_len: 40,
            segment_len: 10,
            partial_checksum: Some((start, 16)),
        };
        let mut packet = packets::tcp(Ip::V4, 7, 0x10, b"data");
        for start in [0, 8, 19, 39, 44, u16::MAX] {
            assert!(
                Outgoing::new(header(Kind::TcpV4, start), &mut packet).is_none(),
                "{start}"
            );
        }
        assert!(Outgoing::new(header(Kind::Udp, 40), &mut packet).is_none());
        packet[32] = 0xF0;
        assert!(Outgoing::new(header(Kind::TcpV4, 20), &mut packet).is_none());
        let partial = OffloadHeader {
            partial_checksum: Some((40, 16)),
            ..OffloadHeader::default()
        };
        assert!(Outgoing::new(partial, &mut packet).is_none());
    }
}

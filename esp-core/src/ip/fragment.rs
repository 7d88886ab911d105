//! Fragmentation before encryption, RFC 791 section 3.2 (RFC 4301 section 7): each piece becomes an
//! ESP packet of its own, and the receiving host puts them together.

use super::InnerPacket;
use super::checksum::Checksum;
use crate::error::IpError;

/// The pieces of an IPv4 packet, each at most as long as an MTU.
///
/// IPv6 packets and those with DF set are not to be cut: their senders are told
/// ([`packet_too_big`](super::packet_too_big)).
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    /// Invariant: 20 octets or more, a multiple of four.
    header: &'a [u8],
    payload: &'a [u8],
    /// Of the payload in the original packet, in units of eight octets.
    offset: u16,
    /// Whether more follow the last piece: the packet is one itself.
    more: bool,
    mtu: usize,
    first: bool,
}

impl<'a> Fragments<'a> {
    /// Prepares to cut a packet.
    ///
    /// # Errors
    ///
    /// [`IpError::DontFragment`] for a packet that must not be cut, [`IpError::MtuTooSmall`] for an
    /// MTU that has no room for headers and eight octets; else what is wrong with the packet.
    pub fn new(packet: &'a [u8], mtu: usize) -> Result<Self, IpError> {
        let inner = InnerPacket::parse(packet)?;
        if inner.dont_fragment() {
            return Err(IpError::DontFragment);
        }
        let (header, payload) = packet
            .split_at_checked(inner.payload().start)
            .ok_or(IpError::Truncated)?;
        if mtu < header.len() + 8 {
            return Err(IpError::MtuTooSmall { mtu });
        }
        let [_, _, _, _, _, _, f0, f1, ..] = *header else {
            return Err(IpError::Truncated);
        };
        let word = u16::from_be_bytes([f0, f1]);
        let (offset, more) = (word & 0x1FFF, word & 0x2000 != 0);
        // What would end behind the longest packet that there is has no offset to be written.
        let end = usize::from(offset) * 8 + payload.len();
        if usize::from(u16::MAX) < end {
            return Err(IpError::PayloadTooLong { len: end });
        }
        Ok(Self {
            header,
            payload,
            offset,
            more,
            mtu,
            first: true,
        })
    }

    /// Writes the next piece to the start of `out` and gives its length; `None` when there is none
    /// left.
    ///
    /// # Errors
    ///
    /// [`IpError::BufferTooShort`] if `out` is shorter than the MTU; then the piece is still to
    /// come.
    pub fn write_next(&mut self, out: &mut [u8]) -> Option<Result<usize, IpError>> {
        if self.payload.is_empty() && !self.first {
            return None;
        }
        Some(self.write(out))
    }

    fn write(&mut self, out: &mut [u8]) -> Result<usize, IpError> {
        let too_short = IpError::BufferTooShort { needed: self.mtu };
        let out = out.get_mut(..self.mtu).ok_or(too_short)?;
        let header_len = self.write_header(out).ok_or(too_short)?;
        let room = (self.mtu - header_len) / 8 * 8;
        let (now, later) = self.payload.split_at(self.payload.len().min(room));
        let len = header_len + now.len();
        let (header, rest) = out.split_at_mut(header_len);
        rest.get_mut(..now.len())
            .ok_or(too_short)?
            .copy_from_slice(now);
        let more = self.more || !later.is_empty();
        finish_header(header, len, self.offset, more).ok_or(too_short)?;
        self.payload = later;
        self.offset += u16::try_from(now.len() / 8).unwrap_or(0);
        self.first = false;
        Ok(len)
    }

    /// The header with all options for the first piece and, for later ones, those that say so (RFC
    /// 791 section 3.1: the copied flag).
    fn write_header(&self, out: &mut [u8]) -> Option<usize> {
        if self.first {
            out.get_mut(..self.header.len())?
                .copy_from_slice(self.header);
            return Some(self.header.len());
        }
        let (fixed, mut options) = self.header.split_at_checked(20)?;
        out.get_mut(..20)?.copy_from_slice(fixed);
        let mut len = 20;
        while let Some(option) = first_option(options) {
            if option.first()? & 0x80 != 0 {
                out.get_mut(len..len + option.len())?
                    .copy_from_slice(option);
                len += option.len();
            }
            options = options.get(option.len()..)?;
        }
        let padded = len.next_multiple_of(4);
        out.get_mut(len..padded)?.fill(0);
        Some(padded)
    }
}

/// The option that the octets start with; `None` at the end of the list, or at one that is broken.
fn first_option(options: &[u8]) -> Option<&[u8]> {
    match options {
        [] | [0, ..] => None,
        [1, ..] => options.get(..1),
        [_, len, ..] if 2 <= *len => options.get(..usize::from(*len)),
        _ => None,
    }
}

/// Writes header length, total length, offset and checksum.
fn finish_header(header: &mut [u8], total_len: usize, offset: u16, more: bool) -> Option<()> {
    let words = u8::try_from(header.len() / 4).ok()?;
    let [l0, l1] = u16::try_from(total_len).ok()?.to_be_bytes();
    let [f0, f1] = (offset | if more { 0x2000 } else { 0 }).to_be_bytes();
    let [
        version,
        _,
        len0,
        len1,
        _,
        _,
        flags0,
        flags1,
        _,
        _,
        c0,
        c1,
        ..,
    ] = header
    else {
        return None;
    };
    *version = 0x40 | words;
    [*len0, *len1] = [l0, l1];
    [*flags0, *flags1] = [f0, f1];
    [*c0, *c1] = [0, 0];
    let mut checksum = Checksum::default();
    checksum.add(header);
    header.get_mut(10..12)?.copy_from_slice(&checksum.finish());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(options: &[u8], payload_len: usize) -> Vec<u8> {
        let header_len = 20 + options.len();
        let [l0, l1] = u16::try_from(header_len + payload_len)
            .unwrap()
            .to_be_bytes();
        let words = u8::try_from(header_len / 4).unwrap();
        let mut packet = vec![0x40 | words, 0x28, l0, l1, 0x12, 0x34, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend_from_slice(options);
        packet
            .extend((0..payload_len).map(|index| index.to_le_bytes()[0] ^ index.to_le_bytes()[1]));
        packet
    }

    fn pieces(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut fragments = Fragments::new(packet, mtu).unwrap();
        let mut out = vec![0; mtu];
        let mut pieces = Vec::new();
        while let Some(len) = fragments.write_next(&mut out) {
            pieces.push(out[..len.unwrap()].to_vec());
        }
        pieces
    }

    /// Puts pieces together as a receiver does.
    fn reassembled(pieces: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let mut payload = Vec::new();
        let mut more = true;
        for piece in pieces {
            let inner = InnerPacket::parse(piece).unwrap();
            let mut sum = Checksum::default();
            sum.add(&piece[..inner.payload().start]);
            assert!(sum.is_valid());
            let word = u16::from_be_bytes([piece[6], piece[7]]);
            assert_eq!(usize::from(word & 0x1FFF) * 8, payload.len());
            more = word & 0x2000 != 0;
            payload.extend_from_slice(&piece[inner.payload()]);
        }
        (payload, more)
    }

    #[test]
    fn pieces_fit_and_make_the_whole() {
        for payload_len in [0, 1, 8, 1379, 1380, 1381, 1400, 2760, 9000, 65_515] {
            for mtu in [28, 29, 576, 1400] {
                let packet = packet(&[], payload_len);
                let pieces = pieces(&packet, mtu);
                assert!(pieces.iter().all(|piece| piece.len() <= mtu));
                assert_eq!(
                    reassembled(&pieces),
                    (packet[20..].to_vec(), false),
                    "{payload_len} {mtu}"
                );
                assert!(
                    pieces
                        .iter()
                        .all(|piece| piece[4..6] == [0x12, 0x34] && piece[1] == 0x28)
                );
            }
        }
    }

    #[test]
    fn a_piece_can_be_cut_again() {
        let whole = packet(&[], 3000);
        let again: Vec<Vec<u8>> = pieces(&whole, 1400)
            .iter()
            .flat_map(|piece| pieces(piece, 600))
            .collect();
        assert_eq!(reassembled(&again), (whole[20..].to_vec(), false));
        let first = &pieces(&whole, 1400)[0];
        assert!(
            reassembled(&pieces(first, 600)).1,
            "more follow the last piece of the first piece"
        );
    }

    #[test]
    fn options_are_copied_when_they_say_so() {
        // No-op, record route (stays with the first), security (copied), end of list.
        let options = [1, 7, 3, 4, 0x82, 4, 9, 9, 1, 1, 1, 0];
        let pieces = pieces(&packet(&options, 2000), 1000);
        assert_eq!(pieces[0][..1], [0x48]);
        assert_eq!(pieces[0][20..32], options);
        assert_eq!(pieces[1][0], 0x46);
        assert_eq!(pieces[1][20..24], [0x82, 4, 9, 9]);
    }

    #[test]
    fn what_must_not_be_cut_is_refused() {
        let mut dont = packet(&[], 2000);
        dont[6] = 0x40;
        assert_eq!(
            Fragments::new(&dont, 1400).unwrap_err(),
            IpError::DontFragment
        );
        let mut v6 = vec![0x60; 40];
        v6[4..7].copy_from_slice(&[0, 0, 59]);
        assert_eq!(
            Fragments::new(&v6, 1400).unwrap_err(),
            IpError::DontFragment
        );
        let error = Fragments::new(&packet(&[1; 8], 100), 35).unwrap_err();
        assert_eq!(error, IpError::MtuTooSmall { mtu: 35 });
        let mut beyond = packet(&[], 100);
        beyond[6..8].copy_from_slice(&0x1FFF_u16.to_be_bytes());
        let error = Fragments::new(&beyond, 60).unwrap_err();
        assert_eq!(
            error,
            IpError::PayloadTooLong {
                len: 0x1FFF * 8 + 100
            }
        );
        let packet = packet(&[], 100);
        let mut fragments = Fragments::new(&packet, 60).unwrap();
        let needed = 60;
        assert_eq!(
            fragments.write_next(&mut [0; 59]),
            Some(Err(IpError::BufferTooShort { needed }))
        );
        assert_eq!(fragments.write_next(&mut [0; 60]), Some(Ok(60)));
    }
}

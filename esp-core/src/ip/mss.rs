//! TCP's maximum segment size, RFC 9293 section 3.7.1: lowered on its way through the tunnel, so
//! that hosts which never learn of the path's MTU send segments that fit.

use super::checksum;
use super::{InnerPacket, Protocol};
use crate::error::IpError;

/// Lowers the maximum segment size that a TCP SYN offers to what a packet of `mtu` octets holds.
/// Gives the size that was there before, if it was changed.
///
/// Anything else than a SYN with the option is left as it is.
///
/// # Errors
///
/// What [`InnerPacket::parse`] says of a packet that is none.
pub fn clamp_mss(packet: &mut [u8], mtu: usize) -> Result<Option<u16>, IpError> {
    let inner = InnerPacket::parse(packet)?;
    if inner.protocol() != Protocol::TCP || !inner.has_upper_layer_header() {
        return Ok(None);
    }
    let Some(segment) = packet.get_mut(inner.payload()) else {
        return Ok(None);
    };
    // The option does not count options of IP or TCP, RFC 6691: each packet makes room for its own.
    let fixed = if inner.source().is_ipv4() { 20 } else { 40 };
    let limit = mtu.saturating_sub(fixed + TCP_HEADER_LEN);
    Ok(lower(segment, u16::try_from(limit).unwrap_or(u16::MAX)))
}

const TCP_HEADER_LEN: usize = 20;
const SYN: u8 = 0x02;

fn lower(segment: &mut [u8], limit: u16) -> Option<u16> {
    let (header, rest) = segment.split_first_chunk_mut::<TCP_HEADER_LEN>()?;
    let [.., data_offset, flags, _, _, c0, c1, _, _] = header;
    if *flags & SYN == 0 {
        return None;
    }
    let options_len = (usize::from(*data_offset >> 4) * 4).checked_sub(TCP_HEADER_LEN)?;
    let (at, value) = find(rest.get_mut(..options_len)?)?;
    let offered = u16::from_be_bytes(*value);
    if offered <= limit {
        return None;
    }
    let lowered = limit.to_be_bytes();
    // The checksum counts octets in pairs from the header's start; an option may begin at an odd
    // one.
    let (old, new) = if at.is_multiple_of(2) {
        (*value, lowered)
    } else {
        let [[v0, v1], [n0, n1]] = [*value, lowered];
        ([v1, v0], [n1, n0])
    };
    [*c0, *c1] = checksum::updated([*c0, *c1], &old, &new);
    *value = lowered;
    Some(offered)
}

/// The value of the option and where it stands among the options, RFC 9293 section 3.1.
fn find(options: &mut [u8]) -> Option<(usize, &mut [u8; 2])> {
    let mut at = 0;
    loop {
        let len = match options.get(at..)? {
            [0, ..] | [] => return None,
            [1, ..] => 1,
            [2, 4, _, _, ..] => {
                return Some((at + 2, options.get_mut(at + 2..)?.first_chunk_mut()?));
            }
            [_, len, ..] if 2 <= *len => usize::from(*len),
            _ => return None,
        };
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::super::checksum::Checksum;
    use super::*;

    /// A SYN with these options, and its checksum.
    fn syn(flags: u8, options: &[u8], v6: bool) -> Vec<u8> {
        let mut segment = vec![
            0, 80, 0x30, 0x39, 1, 2, 3, 4, 0, 0, 0, 0, 0, flags, 0xFF, 0xFF, 0, 0, 0, 0,
        ];
        segment[12] = u8::try_from((20 + options.len()) / 4).unwrap() << 4;
        segment.extend_from_slice(options);
        segment.extend_from_slice(b"data");
        let len = u8::try_from(segment.len()).unwrap();
        let mut packet = if v6 {
            let mut header = vec![0x60, 0, 0, 0, 0, len, 6, 64];
            header.extend([[0xFD; 16], [0xFC; 16]].concat());
            header
        } else {
            vec![
                0x45,
                0,
                0,
                20 + len,
                0,
                0,
                0,
                0,
                64,
                6,
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
            ]
        };
        let mut sum = checksum_of(&packet, &segment);
        [segment[16], segment[17]] = sum.finish();
        packet.append(&mut segment);
        sum = checksum_of(
            &packet[..packet.len() - usize::from(len)],
            &packet[packet.len() - usize::from(len)..],
        );
        assert!(sum.is_valid());
        packet
    }

    fn checksum_of(header: &[u8], segment: &[u8]) -> Checksum {
        let mut whole = header.to_vec();
        whole.extend_from_slice(segment);
        let inner = InnerPacket::parse(&whole).unwrap();
        let len = u32::try_from(segment.len()).unwrap();
        let mut sum =
            Checksum::pseudo_header(inner.source(), inner.destination(), Protocol::TCP, len);
        sum.add(segment);
        sum
    }

    #[test]
    fn a_syn_is_lowered_and_its_checksum_mended() {
        // Behind none, one or three octets of padding: the value at even and odd places.
        for options in [
            &[2, 4, 5, 0xB4][..],
            &[1, 2, 4, 5, 0xB4, 0, 0, 0],
            &[1, 1, 1, 2, 4, 5, 0xB4, 0],
        ] {
            for (v6, expected) in [(false, 1360), (true, 1340)] {
                let mut packet = syn(SYN, options, v6);
                assert_eq!(clamp_mss(&mut packet, 1400), Ok(Some(1460)));
                let start = if v6 { 40 } else { 20 };
                let (header, segment) = packet.split_at(start);
                assert!(checksum_of(header, segment).is_valid(), "{options:?}");
                let at = segment.windows(2).position(|pair| pair == [2, 4]).unwrap();
                assert_eq!(
                    u16::from_be_bytes([segment[at + 2], segment[at + 3]]),
                    expected
                );
                assert_eq!(clamp_mss(&mut packet, 1400), Ok(None), "once is enough");
            }
        }
    }

    #[test]
    fn whatever_else_is_left_as_it_is() {
        let untouched = |mut packet: Vec<u8>, mtu| {
            let before = packet.clone();
            assert_eq!(clamp_mss(&mut packet, mtu), Ok(None));
            assert_eq!(packet, before);
        };
        untouched(syn(0x10, &[2, 4, 5, 0xB4], false), 1400);
        untouched(syn(SYN, &[2, 4, 5, 0xB4], false), 1500);
        untouched(syn(SYN, &[], false), 1400);
        for options in [
            [3, 0, 2, 4],
            [2, 3, 5, 0xB4],
            [5, 99, 2, 4],
            [0, 2, 4, 5],
            [1, 1, 1, 2],
        ] {
            untouched(syn(SYN, &options, false), 1400);
        }
        let mut udp = syn(SYN, &[2, 4, 5, 0xB4], false);
        udp[9] = 17;
        untouched(udp, 1400);
        let mut later_fragment = syn(SYN, &[2, 4, 5, 0xB4], false);
        later_fragment[7] = 1;
        untouched(later_fragment, 1400);
        let mut short_header = syn(SYN, &[2, 4, 5, 0xB4], false);
        short_header[32] = 0x40;
        untouched(short_header, 1400);
        let mut long_header = syn(SYN, &[2, 4, 5, 0xB4], false);
        long_header[32] = 0xF0;
        untouched(long_header, 1400);
        assert_eq!(clamp_mss(&mut [0x45; 3], 1400), Err(IpError::Truncated));
    }
}

//! The octets of an ESP packet, RFC 4303 section 2: for inspection and demultiplexing.
//!
//! Sealing and opening need nothing from here; a demultiplexer needs [`EspHeader::parse`].

use crate::error::SealError;
use crate::ip::Protocol;
use crate::spi::Spi;

/// What stands in clear in front of every ESP packet, RFC 4303 sections 2.1 and 2.2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EspHeader {
    /// Names the SA.
    pub spi: Spi,
    /// The sequence number; of an extended one the low half.
    pub sequence_low: u32,
}

impl EspHeader {
    /// Octets of the header.
    pub const LEN: usize = 8;

    /// Reads the header of a packet; `None` if the packet is shorter or its SPI reserved.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (spi, sequence_low) = split(packet)?;
        Some(Self {
            spi: Spi::new(spi).ok()?,
            sequence_low,
        })
    }
}

/// The first two words of a packet.
pub(crate) fn split(packet: &[u8]) -> Option<(u32, u32)> {
    let (spi, rest) = packet.split_first_chunk::<4>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*spi), u32::from_be_bytes(*sequence)))
}

/// Writes padding, pad length and next header into all of `trailer`, RFC 4303 sections 2.4 to 2.6.
pub(crate) fn write_trailer(trailer: &mut [u8], next_header: Protocol) -> Result<(), SealError> {
    let Some((padding, [pad_length, protocol])) = trailer.split_last_chunk_mut::<2>() else {
        return Err(SealError::OutOfBounds);
    };
    // RFC 4303 section 2.4: the padding octets MUST be 1, 2, 3 and so on.
    for (octet, number) in padding.iter_mut().zip(1..=u8::MAX) {
        *octet = number;
    }
    *pad_length = u8::try_from(padding.len()).map_err(|_| SealError::OutOfBounds)?;
    *protocol = next_header.0;
    Ok(())
}

/// Splits a decrypted plaintext into the length of its payload and its next header.
///
/// `None` if the padding is longer than the plaintext or not 1, 2, 3… (RFC 4303 section 2.4).
#[inline]
pub(crate) fn read_trailer(plaintext: &[u8]) -> Option<(usize, Protocol)> {
    let (rest, [pad_length, protocol]) = plaintext.split_last_chunk::<2>()?;
    let payload_len = rest.len().checked_sub(usize::from(*pad_length))?;
    let (_, padding) = rest.split_at_checked(payload_len)?;
    let monotonic = padding
        .iter()
        .zip(1..=u8::MAX)
        .all(|(octet, number)| *octet == number);
    monotonic.then_some((payload_len, Protocol(*protocol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_read_as_they_are_written() {
        for pad_length in 0..=255_usize {
            let mut plaintext = alloc::vec![0xAA; 7 + pad_length + 2];
            write_trailer(&mut plaintext[7..], Protocol::IPV4).unwrap();
            assert_eq!(read_trailer(&plaintext), Some((7, Protocol::IPV4)));
        }
        assert_eq!(
            write_trailer(&mut [0; 258], Protocol::IPV4),
            Err(SealError::OutOfBounds)
        );
        assert_eq!(
            write_trailer(&mut [0], Protocol::IPV4),
            Err(SealError::OutOfBounds)
        );
    }

    #[test]
    fn padding_must_count_up_and_fit() {
        assert_eq!(read_trailer(&[9, 1, 2, 2, 4]), Some((1, Protocol::IPV4)));
        assert_eq!(read_trailer(&[9, 1, 3, 2, 4]), None);
        assert_eq!(read_trailer(&[9, 0, 1, 2, 4]), None);
        assert_eq!(
            read_trailer(&[1, 2, 3, 4]),
            None,
            "three octets of padding where two are"
        );
        assert_eq!(read_trailer(&[4]), None);
        assert_eq!(read_trailer(&[0, 59]), Some((0, Protocol::NO_NEXT_HEADER)));
    }

    #[test]
    fn a_header_needs_eight_octets_and_an_spi() {
        let packet = [0, 0, 0x10, 1, 0, 0, 0, 7, 0xAA];
        let header = EspHeader::parse(&packet).unwrap();
        assert_eq!((header.spi.get(), header.sequence_low), (0x1001, 7));
        assert_eq!(EspHeader::parse(&packet[..7]), None);
        assert_eq!(EspHeader::parse(&[0, 0, 0, 255, 0, 0, 0, 1]), None);
    }
}

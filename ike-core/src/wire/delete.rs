//! Delete payload, RFC 2408 section 3.15.

use super::DecodeError;
use super::numbers::{DomainOfInterpretation, ProtocolId};
use super::reader::Reader;
use super::writer::count_field;
use crate::cookie::CookiePair;
use crate::spi::Spi;

/// Delete payload body: SAs that the sender has removed. They are named by the SPIs on which the
/// sender received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delete<'a> {
    doi: DomainOfInterpretation,
    protocol: ProtocolId,
    spi_len: u8,
    count: u16,
    /// Invariant: `spi_len * count` octets, and not empty.
    spis: &'a [u8],
}

impl<'a> Delete<'a> {
    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if the fixed fields are cut short, [`DecodeError::BadLength`]
    /// unless the SPIs fill the rest exactly and there is at least one, [`DecodeError::BadValue`]
    /// if their size is not that of the protocol: 16 for ISAKMP, else 4.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Delete");
        let doi = DomainOfInterpretation(reader.u32()?);
        let protocol = ProtocolId(reader.u8()?);
        let spi_len = reader.u8()?;
        let count = reader.u16()?;
        let spis = reader.rest();
        let expected = usize::from(spi_len) * usize::from(count);
        if expected == 0 || expected != spis.len() {
            return Err(DecodeError::BadLength {
                what: "Delete SPI list",
            });
        }
        let size_is_right = match protocol {
            ProtocolId::ISAKMP => spi_len == 16,
            ProtocolId::AH | ProtocolId::ESP => spi_len == 4,
            _ => true,
        };
        if !size_is_right {
            return Err(DecodeError::BadValue {
                what: "Delete SPI size",
            });
        }
        Ok(Self {
            doi,
            protocol,
            spi_len,
            count,
            spis,
        })
    }

    /// The body that deletes an ISAKMP SA.
    pub fn encode_isakmp(cookies: CookiePair) -> Vec<u8> {
        let mut out = fixed_fields(ProtocolId::ISAKMP, 16, 1);
        out.extend_from_slice(&cookies.octets());
        out
    }

    /// The body that deletes ESP SAs. Of more than 255 SPIs, the first 255 are taken.
    pub fn encode_esp(spis: &[Spi]) -> Vec<u8> {
        let spis = spis.get(..usize::from(u8::MAX)).unwrap_or(spis);
        let mut out = fixed_fields(ProtocolId::ESP, 4, count_field(spis.len()));
        for spi in spis {
            out.extend_from_slice(&spi.octets());
        }
        out
    }

    /// The body as it goes on the wire; the inverse of [`decode`](Self::decode).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.spis.len());
        out.extend_from_slice(&self.doi.0.to_be_bytes());
        out.extend_from_slice(&[self.protocol.0, self.spi_len]);
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.spis);
        out
    }

    /// The domain of interpretation.
    pub const fn doi(&self) -> DomainOfInterpretation {
        self.doi
    }

    /// The protocol whose SAs are deleted.
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// The SPIs, each four octets for ESP and both cookies for ISAKMP.
    pub fn spis(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.spis.chunks_exact(usize::from(self.spi_len).max(1))
    }
}

fn fixed_fields(protocol: ProtocolId, spi_len: u8, count: u8) -> Vec<u8> {
    let mut out = DomainOfInterpretation::IPSEC.0.to_be_bytes().to_vec();
    out.extend_from_slice(&[protocol.0, spi_len, 0, count]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(protocol: u8, spi_len: u8, count: u16, spis: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 1, protocol, spi_len];
        body.extend_from_slice(&count.to_be_bytes());
        body.extend_from_slice(spis);
        body
    }

    #[test]
    fn several_spis_are_listed_in_order() {
        let spis = [Spi::new(0x1000).unwrap(), Spi::new(0x2000).unwrap()];
        let encoded = Delete::encode_esp(&spis);
        let delete = Delete::decode(&encoded).unwrap();
        assert_eq!(delete.protocol(), ProtocolId::ESP);
        let listed: Vec<_> = delete.spis().filter_map(Spi::from_slice).collect();
        assert_eq!(listed, spis);
        assert_eq!(delete.encode(), encoded);
    }

    #[test]
    fn an_isakmp_sa_is_named_by_both_cookies() {
        let cookies = CookiePair::from_octets([9; 16]);
        let encoded = Delete::encode_isakmp(cookies);
        let delete = Delete::decode(&encoded).unwrap();
        assert_eq!(
            delete.spis().filter_map(CookiePair::from_slice).next(),
            Some(cookies)
        );
    }

    #[test]
    fn the_list_is_exactly_as_long_as_it_says() {
        assert!(Delete::decode(&body(3, 4, 2, &[1; 8])).is_ok());
        assert!(Delete::decode(&body(3, 4, 2, &[1; 7])).is_err());
        assert!(Delete::decode(&body(3, 4, 2, &[1; 9])).is_err());
        assert!(Delete::decode(&body(3, 0, 0xffff, &[])).is_err());
        assert!(Delete::decode(&body(3, 4, 0, &[])).is_err());
    }

    #[test]
    fn the_spi_size_is_that_of_the_protocol() {
        assert_eq!(
            Delete::decode(&body(3, 16, 1, &[1; 16])),
            Err(DecodeError::BadValue {
                what: "Delete SPI size"
            })
        );
        assert!(Delete::decode(&body(1, 16, 1, &[1; 16])).is_ok());
        assert!(Delete::decode(&body(1, 4, 1, &[1; 4])).is_err());
    }
}

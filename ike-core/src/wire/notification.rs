//! Notification payload, RFC 2408 section 3.14.

use super::limits::MAX_SPI_LEN;
use super::numbers::{DomainOfInterpretation, NotifyType, ProtocolId};
use super::reader::Reader;
use super::writer::count_field;
use super::{Attributes, DecodeError};

/// Notification payload body: an error, a status or a liveness probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notification<'a> {
    doi: DomainOfInterpretation,
    protocol: ProtocolId,
    notify_type: NotifyType,
    /// Invariant: at most [`MAX_SPI_LEN`] octets.
    spi: &'a [u8],
    data: &'a [u8],
}

impl<'a> Notification<'a> {
    /// A notification of the IPsec DOI. An SPI longer than [`MAX_SPI_LEN`] is left out.
    pub fn new(
        protocol: ProtocolId,
        notify_type: NotifyType,
        spi: &'a [u8],
        data: &'a [u8],
    ) -> Self {
        let spi = if spi.len() <= MAX_SPI_LEN { spi } else { &[] };
        Self {
            doi: DomainOfInterpretation::IPSEC,
            protocol,
            notify_type,
            spi,
            data,
        }
    }

    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if the fixed fields are cut short, [`DecodeError::BadLength`] if
    /// the SPI is longer than the body or than [`MAX_SPI_LEN`].
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Notification");
        let doi = DomainOfInterpretation(reader.u32()?);
        let protocol = ProtocolId(reader.u8()?);
        let spi_len = usize::from(reader.u8()?);
        let notify_type = NotifyType(reader.u16()?);
        if MAX_SPI_LEN < spi_len {
            return Err(DecodeError::BadLength {
                what: "Notification SPI",
            });
        }
        let spi = reader.octets(spi_len)?;
        Ok(Self {
            doi,
            protocol,
            notify_type,
            spi,
            data: reader.rest(),
        })
    }

    /// The body as it goes on the wire; the inverse of [`decode`](Self::decode).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.spi.len() + self.data.len());
        out.extend_from_slice(&self.doi.0.to_be_bytes());
        out.extend_from_slice(&[self.protocol.0, count_field(self.spi.len())]);
        out.extend_from_slice(&self.notify_type.0.to_be_bytes());
        out.extend_from_slice(self.spi);
        out.extend_from_slice(self.data);
        out
    }

    /// The domain of interpretation; peers put ISAKMP's zero as well as IPsec's one.
    pub const fn doi(&self) -> DomainOfInterpretation {
        self.doi
    }

    /// The protocol that the SPI belongs to.
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// What is notified.
    pub const fn notify_type(&self) -> NotifyType {
        self.notify_type
    }

    /// The SPI: both cookies, four octets, or nothing.
    pub const fn spi(&self) -> &'a [u8] {
        self.spi
    }

    /// The data, whose form the type decides.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The sequence number of R-U-THERE and R-U-THERE-ACK, RFC 3706 section 5.3: the first four octets of the data.
    /// Some peers put more behind it, or none at all.
    pub fn sequence(&self) -> Option<u32> {
        self.data.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// The data as attributes: the form of RESPONDER-LIFETIME, RFC 2407 section 4.6.3.1.
    ///
    /// # Errors
    ///
    /// Those of [`Attributes::decode`].
    pub fn attributes(&self) -> Result<Attributes<'a>, DecodeError> {
        Attributes::decode(self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liveness_probe_survives_encoding() {
        let spi = [5; 16];
        let sequence = 0x1234_5678_u32.to_be_bytes();
        let probe = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE, &spi, &sequence);
        let body = probe.encode();
        assert_eq!(body.len(), 8 + 16 + 4);
        let decoded = Notification::decode(&body).unwrap();
        assert_eq!(decoded, probe);
        assert_eq!(decoded.sequence(), Some(0x1234_5678));
    }

    #[test]
    fn a_lying_spi_size_is_refused() {
        let body = [0, 0, 0, 1, 3, 5, 0, 11, 1, 2, 3, 4];
        assert_eq!(
            Notification::decode(&body),
            Err(DecodeError::BadLength {
                what: "Notification"
            })
        );
        let body = [[0, 0, 0, 1, 3, 17, 0, 11].as_slice(), &[0; 17]].concat();
        assert_eq!(
            Notification::decode(&body),
            Err(DecodeError::BadLength {
                what: "Notification SPI"
            })
        );
    }

    #[test]
    fn a_sequence_number_has_four_octets() {
        let short = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE, &[], &[1, 2, 3]);
        assert_eq!(short.sequence(), None);
    }
}

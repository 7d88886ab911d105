//! Attributes payload of Mode Config and XAUTH, draft-dukes-ike-mode-cfg-02 section 3.2.
//!
//! Neither is spoken here; the payload is decoded so that a request can be refused cleanly.

use super::numbers::ConfigurationType;
use super::reader::Reader;
use super::{AttributeList, Attributes, DecodeError};

/// Attributes payload body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Configuration<'a> {
    configuration_type: ConfigurationType,
    identifier: u16,
    attributes: Attributes<'a>,
}

impl<'a> Configuration<'a> {
    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] under four octets, and those of [`Attributes::decode`].
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Attributes");
        let configuration_type = ConfigurationType(reader.u8()?);
        // Reserved, ignored.
        reader.u8()?;
        let identifier = reader.u16()?;
        let attributes = Attributes::decode(reader.rest())?;
        Ok(Self {
            configuration_type,
            identifier,
            attributes,
        })
    }

    /// A body as it goes on the wire.
    pub fn encode(
        configuration_type: ConfigurationType,
        identifier: u16,
        attributes: &AttributeList,
    ) -> Vec<u8> {
        let [high, low] = identifier.to_be_bytes();
        let mut out = vec![configuration_type.0, 0, high, low];
        out.extend_from_slice(attributes.octets());
        out
    }

    /// Request, reply, set or acknowledgement.
    pub const fn configuration_type(&self) -> ConfigurationType {
        self.configuration_type
    }

    /// The number that a reply repeats.
    pub const fn identifier(&self) -> u16 {
        self.identifier
    }

    /// The attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_encoding() {
        let attributes = AttributeList::new().short(16520, 0).long(16521, b"user");
        let body = Configuration::encode(ConfigurationType::REQUEST, 7, &attributes);
        let decoded = Configuration::decode(&body).unwrap();
        assert_eq!(decoded.configuration_type(), ConfigurationType::REQUEST);
        assert_eq!(decoded.identifier(), 7);
        assert_eq!(decoded.attributes().octets(), attributes.octets());
    }

    #[test]
    fn a_cut_body_is_refused() {
        assert_eq!(
            Configuration::decode(&[1, 0, 0]),
            Err(DecodeError::Truncated { what: "Attributes" })
        );
        assert!(Configuration::decode(&[1, 0, 0, 7, 0x40, 0x88, 0, 1]).is_err());
    }
}

//! Extension fields, RFC 7822.
//!
//! This crate understands none of them: it walks over them correctly, so that a packet which carries
//! some is still read, and never sends one back.

use crate::error::DecodeError;
use crate::reader::Reader;

/// Most extension fields that a packet may carry.
pub const MAX_EXTENSION_FIELDS: usize = 16;
/// Least length of an extension field, RFC 7822 section 3.
const MIN_LEN: u16 = 16;
/// Least length of the last extension field of a packet without a message authentication code.
const MIN_LAST_LEN: u16 = 28;

/// The extension fields of a packet: checked when decoded, iterated without errors.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ExtensionFields<'a> {
    /// Invariant: whole fields, each with a valid length.
    octets: &'a [u8],
}

impl<'a> ExtensionFields<'a> {
    /// Splits what follows a version 4 header into extension fields and the message authentication code.
    ///
    /// A rest of 4, 20 or 24 octets is the code (RFC 7822 section 3); everything before it is fields.
    pub(crate) fn split(rest: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut reader = Reader::new(rest);
        for _ in 0..=MAX_EXTENSION_FIELDS {
            let left = reader.len();
            if matches!(left, 0 | 4 | 20 | 24) {
                let octets = Reader::new(rest).slice(rest.len() - left)?;
                return Ok((Self { octets }, reader.rest()));
            }
            let field = ExtensionField::read(&mut reader)?;
            let len = field.len();
            if reader.len() == 0 && len < MIN_LAST_LEN {
                return Err(DecodeError::BadExtensionLength { len });
            }
        }
        Err(DecodeError::TooManyExtensions)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = ExtensionField<'a>> + use<'a> {
        let mut reader = Reader::new(self.octets);
        core::iter::from_fn(move || ExtensionField::read(&mut reader).ok())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

/// One extension field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtensionField<'a> {
    kind: u16,
    value: &'a [u8],
}

impl<'a> ExtensionField<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (kind, len) = (reader.u16()?, reader.u16()?);
        if len < MIN_LEN || !len.is_multiple_of(4) {
            return Err(DecodeError::BadExtensionLength { len });
        }
        let value = reader
            .slice(usize::from(len) - 4)
            .map_err(|_| DecodeError::BadExtensionLength { len })?;
        Ok(Self { kind, value })
    }

    /// The field type.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.kind
    }

    /// The value, with its padding.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    fn len(&self) -> u16 {
        u16::try_from(self.value.len() + 4).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: u16, len: u16) -> Vec<u8> {
        let mut octets = kind.to_be_bytes().to_vec();
        octets.extend_from_slice(&len.to_be_bytes());
        octets.resize(usize::from(len).max(4), 0xEF);
        octets
    }

    #[test]
    fn fields_before_a_code_are_walked_over() {
        let rest = [field(0x104, 16), field(0x204, 28), vec![7; 20]].concat();
        let (fields, code) = ExtensionFields::split(&rest).unwrap();
        let kinds: Vec<_> = fields
            .iter()
            .map(|field| (field.kind(), field.value().len()))
            .collect();
        assert_eq!(kinds, [(0x104, 12), (0x204, 24)]);
        assert_eq!(code, [7; 20]);
    }

    #[test]
    fn the_last_field_of_a_packet_without_code_has_28_octets_or_more() {
        assert!(ExtensionFields::split(&field(1, 28)).is_ok());
        let rest = [field(1, 32), field(2, 16)].concat();
        assert_eq!(
            ExtensionFields::split(&rest),
            Err(DecodeError::BadExtensionLength { len: 16 })
        );
    }

    #[test]
    fn twenty_or_twenty_four_octets_are_a_code_and_not_a_field() {
        for len in [20, 24] {
            let octets = field(1, len);
            let (fields, code) = ExtensionFields::split(&octets).unwrap();
            assert!(fields.is_empty());
            assert_eq!(code, octets);
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        for len in [0, 4, 12, 15, 30, 36, 0xFFFC] {
            let mut octets = field(1, 28);
            octets[2..4].copy_from_slice(&u16::to_be_bytes(len));
            assert!(ExtensionFields::split(&octets).is_err(), "length {len}");
        }
        assert_eq!(ExtensionFields::split(&[0; 3]), Err(DecodeError::Truncated));
    }

    #[test]
    fn their_number_is_limited() {
        let most = vec![field(1, 28); MAX_EXTENSION_FIELDS].concat();
        assert!(ExtensionFields::split(&most).is_ok());
        let more = vec![field(1, 28); MAX_EXTENSION_FIELDS + 1].concat();
        assert_eq!(
            ExtensionFields::split(&more),
            Err(DecodeError::TooManyExtensions)
        );
    }
}

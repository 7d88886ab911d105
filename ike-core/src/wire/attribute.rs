//! Data attributes, RFC 2408 section 3.3.

use super::DecodeError;
use super::limits::MAX_ATTRIBUTES;
use super::reader::Reader;
use super::writer::length_field;

/// Attribute Format bit: set for the short form, type and value.
const SHORT_FORM: u16 = 0x8000;

/// The attributes of one transform, one notification or one Mode Config payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes<'a> {
    /// Invariant: at most [`MAX_ATTRIBUTES`] well-formed attributes that fill the octets.
    octets: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Checks that `octets` are attributes to the end.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] or [`DecodeError::BadLength`] if an attribute does not fit,
    /// [`DecodeError::TooMany`] above the limit.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets, "attribute");
        let mut count = 0;
        while !reader.is_empty() {
            if count == MAX_ATTRIBUTES {
                return Err(DecodeError::TooMany {
                    what: "attributes",
                    limit: MAX_ATTRIBUTES,
                });
            }
            Attribute::read(&mut reader)?;
            count += 1;
        }
        Ok(Self { octets })
    }

    pub(crate) const fn empty() -> Self {
        Self { octets: &[] }
    }

    /// The attributes in the order of the message, which matters: a Life Duration belongs to the
    /// Life Type before it.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut reader = Reader::new(self.octets, "attribute");
        // Cannot fail on checked octets.
        core::iter::from_fn(move || Attribute::read(&mut reader).ok())
    }

    /// The type of the first attribute that is neither a number among `once` nor among `repeatable`, or that
    /// contradicts an earlier one.
    pub(crate) fn foreign(&self, once: &[u16], repeatable: &[u16]) -> Option<u16> {
        let contradicts = |attribute: &Attribute<'_>| {
            let same = self
                .iter()
                .find(|other| other.attribute_type == attribute.attribute_type);
            same.and_then(|other| other.number()) != attribute.number()
        };
        let is_foreign = |attribute: &Attribute<'_>| {
            let number = once.contains(&attribute.attribute_type) && attribute.number().is_some();
            let understood = number && !contradicts(attribute);
            !understood && !repeatable.contains(&attribute.attribute_type)
        };
        self.iter()
            .find(is_foreign)
            .map(|attribute| attribute.attribute_type)
    }

    /// The attributes as received.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

/// One attribute. What its type means depends on where it stands:
/// [`IkeAttribute`](super::numbers::IkeAttribute) in phase 1,
/// [`IpsecAttribute`](super::numbers::IpsecAttribute) in phase 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attribute<'a> {
    attribute_type: u16,
    value: AttributeValue<'a>,
}

/// Value of an attribute in the form in which it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the format is one bit")]
pub enum AttributeValue<'a> {
    /// The short form: two octets.
    Short(u16),
    /// The long form: any number of octets.
    Long(&'a [u8]),
}

impl<'a> Attribute<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let head = reader.u16()?;
        let tail = reader.u16()?;
        let value = if head & SHORT_FORM == 0 {
            AttributeValue::Long(reader.octets(usize::from(tail))?)
        } else {
            AttributeValue::Short(tail)
        };
        Ok(Self {
            attribute_type: head & !SHORT_FORM,
            value,
        })
    }

    /// The attribute type without the format bit.
    pub const fn attribute_type(&self) -> u16 {
        self.attribute_type
    }

    /// The value.
    pub const fn value(&self) -> AttributeValue<'a> {
        self.value
    }

    /// The value as an unsigned integer, whichever form it was sent in.
    ///
    /// The long form may have any width, leading zeros included; `None` if it has no octets at all
    /// or a value above `u64::MAX`.
    pub fn integer(&self) -> Option<u64> {
        match self.value {
            AttributeValue::Short(value) => Some(u64::from(value)),
            AttributeValue::Long([]) => None,
            AttributeValue::Long(octets) => octets.iter().try_fold(0_u64, |value, octet| {
                Some(value.checked_mul(256)? | u64::from(*octet))
            }),
        }
    }

    /// The value as a number of an attribute that takes two octets at most, `None` if it is larger.
    pub fn number(&self) -> Option<u16> {
        self.integer().and_then(|value| u16::try_from(value).ok())
    }
}

/// Attributes being put together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AttributeList(Vec<u8>);

impl AttributeList {
    /// A list without attributes.
    pub fn new() -> Self {
        // As much as a transform usually has.
        Self(Vec::with_capacity(48))
    }

    /// Appends an attribute in the short form.
    #[must_use]
    pub fn short(mut self, attribute_type: u16, value: u16) -> Self {
        self.head(attribute_type | SHORT_FORM, value);
        self
    }

    /// Appends an integer: in the short form if it fits, else in four octets, else in eight.
    #[must_use]
    pub fn integer(self, attribute_type: u16, value: u64) -> Self {
        if let Ok(value) = u16::try_from(value) {
            self.short(attribute_type, value)
        } else if let Ok(value) = u32::try_from(value) {
            self.long(attribute_type, &value.to_be_bytes())
        } else {
            self.long(attribute_type, &value.to_be_bytes())
        }
    }

    /// Appends an attribute in the long form.
    #[must_use]
    pub fn long(mut self, attribute_type: u16, value: &[u8]) -> Self {
        self.head(attribute_type & !SHORT_FORM, length_field(value.len()));
        self.0.extend_from_slice(value);
        self
    }

    /// Appends an attribute as it was received.
    #[must_use]
    pub fn attribute(self, attribute: &Attribute<'_>) -> Self {
        match attribute.value {
            AttributeValue::Short(value) => self.short(attribute.attribute_type, value),
            AttributeValue::Long(value) => self.long(attribute.attribute_type, value),
        }
    }

    /// The attributes as they go on the wire.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    fn head(&mut self, head: u16, tail: u16) {
        self.0.extend_from_slice(&head.to_be_bytes());
        self.0.extend_from_slice(&tail.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::numbers::IkeAttribute;

    fn only(octets: &[u8]) -> Attribute<'_> {
        let attributes = Attributes::decode(octets).unwrap();
        let mut iter = attributes.iter();
        let attribute = iter.next().unwrap();
        assert_eq!(iter.next(), None);
        attribute
    }

    #[test]
    fn what_is_foreign_contradictory_or_no_number_is_found() {
        let foreign = |list: AttributeList| {
            let attributes = Attributes::decode(list.octets()).unwrap();
            attributes.foreign(&[1, 2], &[11])
        };
        let list = || AttributeList::new().short(1, 7).short(11, 1);
        assert_eq!(foreign(list().short(11, 2).short(2, 4).short(1, 7)), None);
        assert_eq!(foreign(list().short(13, 1)), Some(13));
        assert_eq!(foreign(list().short(1, 8)), Some(1));
        assert_eq!(foreign(list().long(2, &[1, 0, 0])), Some(2));
    }

    #[test]
    fn an_integer_is_read_from_either_form_and_any_width() {
        assert_eq!(only(&[0x80, 12, 0x70, 0x80]).integer(), Some(28_800));
        assert_eq!(only(&[0, 12, 0, 1, 9]).integer(), Some(9));
        assert_eq!(only(&[0, 12, 0, 3, 1, 0, 0]).integer(), Some(65_536));
        assert_eq!(
            only(&[0, 12, 0, 4, 0, 0, 0x70, 0x80]).integer(),
            Some(28_800)
        );
        assert_eq!(
            only(&[0, 12, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]).integer(),
            Some(u64::MAX)
        );
        assert_eq!(
            only(&[0, 12, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]).integer(),
            Some(258)
        );
    }

    #[test]
    fn an_integer_without_octets_or_too_large_is_none() {
        assert_eq!(only(&[0, 12, 0, 0]).integer(), None);
        assert_eq!(
            only(&[0, 12, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]).integer(),
            None
        );
        assert_eq!(only(&[0, 12, 0, 3, 1, 0, 0]).number(), None);
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        let cut = Attributes::decode(&[0, 12, 0, 5, 1, 2, 3, 4]);
        assert_eq!(cut, Err(DecodeError::BadLength { what: "attribute" }));
        let cut = Attributes::decode(&[0x80, 12, 0]);
        assert_eq!(cut, Err(DecodeError::Truncated { what: "attribute" }));
    }

    #[test]
    fn the_count_is_limited() {
        let octets = [0x80, 1, 0, 1].repeat(MAX_ATTRIBUTES + 1);
        assert!(Attributes::decode(&octets[4..]).is_ok());
        assert_eq!(
            Attributes::decode(&octets),
            Err(DecodeError::TooMany {
                what: "attributes",
                limit: MAX_ATTRIBUTES
            })
        );
    }

    #[test]
    fn an_integer_is_written_in_the_shortest_form() {
        let life = IkeAttribute::LIFE_DURATION.0;
        assert_eq!(
            AttributeList::new().integer(life, 65_535).octets(),
            [0x80, 12, 0xff, 0xff]
        );
        assert_eq!(
            AttributeList::new().integer(life, 86_400).octets(),
            [0, 12, 0, 4, 0, 1, 0x51, 0x80]
        );
        let long = AttributeList::new().integer(life, 1 << 32);
        assert_eq!(long.octets(), [0, 12, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn attributes_copy_to_equal_octets() {
        let octets = [0x80, 1, 0, 7, 0, 12, 0, 3, 1, 2, 3, 0x80, 14, 0, 128];
        let copy = Attributes::decode(&octets)
            .unwrap()
            .iter()
            .fold(AttributeList::new(), |list, attribute| {
                list.attribute(&attribute)
            });
        assert_eq!(copy.octets(), octets);
    }
}

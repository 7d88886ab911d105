//! Generic payload header and the chain it makes, RFC 2408 section 3.2.

use super::limits::MAX_PADDING;
use super::limits::MAX_PAYLOADS;
use super::numbers::PayloadType;
use super::reader::Reader;
use super::writer::{patch, push_generic};
use super::{
    Configuration, DecodeError, Delete, Fragment, Hash, Identification, KeyExchange,
    NatOriginalAddress, Nonce, Notification, SecurityAssociation, VendorId,
};

/// The payloads of one message, each length checked once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Payloads<'a> {
    first: PayloadType,
    /// Invariant: a well-formed chain of at most [`MAX_PAYLOADS`] payloads that begins with one of
    /// type `first`, ends with next payload zero, and fills the octets.
    octets: &'a [u8],
}

impl<'a> Payloads<'a> {
    /// Decodes the chain of a message in clear, which ends where the message does.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] or [`DecodeError::BadLength`] if a payload does not fit,
    /// [`DecodeError::TooMany`] above the limit, [`DecodeError::MisplacedPayload`] for a Proposal
    /// or Transform outside of an SA, and [`DecodeError::TrailingOctets`] after the last payload.
    pub fn decode(first: PayloadType, octets: &'a [u8]) -> Result<Self, DecodeError> {
        let (payloads, padding) = Self::split(first, octets)?;
        if padding.is_empty() {
            Ok(payloads)
        } else {
            Err(DecodeError::TrailingOctets {
                what: "payload chain",
            })
        }
    }

    /// Decodes the chain of a decrypted message, after which padding may follow.
    ///
    /// RFC 2409 appendix B pads with zeros and a count; peers are known that pad with random
    /// octets or by more than a block, so any padding of up to [`MAX_PADDING`] octets is accepted.
    /// It is not part of what the hashes cover.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), with [`DecodeError::TrailingOctets`] only past the limit.
    pub fn decode_padded(first: PayloadType, octets: &'a [u8]) -> Result<Self, DecodeError> {
        let (payloads, padding) = Self::split(first, octets)?;
        if padding.len() <= MAX_PADDING {
            Ok(payloads)
        } else {
            Err(DecodeError::TrailingOctets {
                what: "payload chain",
            })
        }
    }

    /// Walks the chain once and returns it with what follows its last payload.
    fn split(first: PayloadType, octets: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut next = first;
        let mut rest = octets;
        let mut count = 0;
        while next != PayloadType::NONE {
            if count == MAX_PAYLOADS {
                return Err(DecodeError::TooMany {
                    what: "payloads",
                    limit: MAX_PAYLOADS,
                });
            }
            if next == PayloadType::PROPOSAL || next == PayloadType::TRANSFORM {
                return Err(DecodeError::MisplacedPayload { payload: next });
            }
            let (payload, following, after) = Payload::split(next, rest)?;
            debug_assert_eq!(payload.payload_type, next);
            next = following;
            rest = after;
            count += 1;
        }
        let len = octets.len() - rest.len();
        let (octets, padding) = octets.split_at(len);
        Ok((Self { first, octets }, padding))
    }

    /// The payloads in the order of the message.
    pub fn iter(&self) -> PayloadIter<'a> {
        PayloadIter {
            next: self.first,
            rest: self.octets,
        }
    }

    /// Type of the first payload.
    pub const fn first(&self) -> PayloadType {
        self.first
    }

    /// The whole chain without padding.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// All payloads after the first one, with their generic headers and without padding: what
    /// HASH(1) and HASH(2) cover, since the Hash payload comes first (RFC 2409 section 5.5).
    pub fn octets_after_first(&self) -> &'a [u8] {
        let mut iter = self.iter();
        iter.next();
        iter.rest
    }

    /// The payloads of one type, in the order of the message.
    pub fn of_type(
        &self,
        payload_type: PayloadType,
    ) -> impl Iterator<Item = Payload<'a>> + use<'a> {
        self.iter()
            .filter(move |payload| payload.payload_type == payload_type)
    }

    /// The payload of a type that may be there once or not at all.
    ///
    /// # Errors
    ///
    /// [`DecodeError::DuplicatePayload`] if it is there more often.
    pub fn at_most_one(
        &self,
        payload_type: PayloadType,
    ) -> Result<Option<Payload<'a>>, DecodeError> {
        let mut found = self.of_type(payload_type);
        match (found.next(), found.next()) {
            (payload, None) => Ok(payload),
            (_, Some(_)) => Err(DecodeError::DuplicatePayload {
                payload: payload_type,
            }),
        }
    }

    /// The payload of a type that must be there once.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingPayload`] or [`DecodeError::DuplicatePayload`].
    pub fn exactly_one(&self, payload_type: PayloadType) -> Result<Payload<'a>, DecodeError> {
        self.at_most_one(payload_type)?
            .ok_or(DecodeError::MissingPayload {
                payload: payload_type,
            })
    }
}

/// Iterator over [`Payloads`].
#[derive(Clone, Debug)]
pub struct PayloadIter<'a> {
    next: PayloadType,
    rest: &'a [u8],
}

impl<'a> Iterator for PayloadIter<'a> {
    type Item = Payload<'a>;

    fn next(&mut self) -> Option<Payload<'a>> {
        if self.next == PayloadType::NONE {
            return None;
        }
        // Cannot fail on a checked chain.
        let (payload, following, after) = Payload::split(self.next, self.rest).ok()?;
        self.next = following;
        self.rest = after;
        Some(payload)
    }
}

/// One payload: its type, and its octets as received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Payload<'a> {
    payload_type: PayloadType,
    body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Takes one payload off the front and returns it with the type of the next and the rest.
    fn split(
        payload_type: PayloadType,
        octets: &'a [u8],
    ) -> Result<(Self, PayloadType, &'a [u8]), DecodeError> {
        let mut reader = Reader::new(octets, "generic payload header");
        let next = PayloadType(reader.u8()?);
        // RFC 2408 section 3.2: reserved, sent as zero. Ignored here; the hashes cover it raw.
        reader.u8()?;
        let Some(len) = usize::from(reader.u16()?).checked_sub(GENERIC_HEADER_LEN) else {
            return Err(DecodeError::BadLength {
                what: "generic payload header",
            });
        };
        let body = reader.octets(len)?;
        Ok((Self { payload_type, body }, next, reader.rest()))
    }

    /// The type, as the payload before it or the header gave it.
    pub const fn payload_type(&self) -> PayloadType {
        self.payload_type
    }

    /// The octets after the generic header: what the RFC writes with a trailing `_b`.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Decodes the body by its type.
    ///
    /// # Errors
    ///
    /// Those of the type's own decoder.
    pub fn decode(&self) -> Result<DecodedPayload<'a>, DecodeError> {
        let body = self.body;
        Ok(match self.payload_type {
            PayloadType::SECURITY_ASSOCIATION => {
                DecodedPayload::SecurityAssociation(SecurityAssociation::decode(body)?)
            }
            PayloadType::KEY_EXCHANGE => DecodedPayload::KeyExchange(KeyExchange::decode(body)?),
            PayloadType::IDENTIFICATION => {
                DecodedPayload::Identification(Identification::decode(body)?)
            }
            PayloadType::HASH => DecodedPayload::Hash(Hash::decode(body)?),
            PayloadType::NONCE => DecodedPayload::Nonce(Nonce::decode(body)?),
            PayloadType::NOTIFICATION => DecodedPayload::Notification(Notification::decode(body)?),
            PayloadType::DELETE => DecodedPayload::Delete(Delete::decode(body)?),
            PayloadType::VENDOR_ID => DecodedPayload::VendorId(VendorId::new(body)),
            PayloadType::ATTRIBUTES => DecodedPayload::Configuration(Configuration::decode(body)?),
            PayloadType::NAT_D | PayloadType::NAT_D_DRAFT => DecodedPayload::NatDetection(body),
            PayloadType::NAT_OA | PayloadType::NAT_OA_DRAFT => {
                DecodedPayload::NatOriginalAddress(NatOriginalAddress::decode(body)?)
            }
            PayloadType::FRAGMENT => DecodedPayload::Fragment(Fragment::decode(body)?),
            _ => DecodedPayload::Unknown(body),
        })
    }
}

/// A payload body decoded by its type.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DecodedPayload<'a> {
    /// Security Association.
    SecurityAssociation(SecurityAssociation<'a>),
    /// Key Exchange.
    KeyExchange(KeyExchange<'a>),
    /// Identification.
    Identification(Identification<'a>),
    /// Hash.
    Hash(Hash<'a>),
    /// Nonce.
    Nonce(Nonce<'a>),
    /// Notification.
    Notification(Notification<'a>),
    /// Delete.
    Delete(Delete<'a>),
    /// Vendor ID.
    VendorId(VendorId<'a>),
    /// Attributes of Mode Config or XAUTH.
    Configuration(Configuration<'a>),
    /// NAT-D: the hash of an address and port, RFC 3947 section 3.2.
    NatDetection(&'a [u8]),
    /// NAT-OA.
    NatOriginalAddress(NatOriginalAddress),
    /// Fragment of a message.
    Fragment(Fragment<'a>),
    /// A type that this crate does not look into.
    Unknown(&'a [u8]),
}

/// Payloads being put together, with next-payload fields and lengths kept right.
///
/// A body longer than 65,531 octets cannot be expressed; nothing this crate encodes comes near.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PayloadChain {
    octets: Vec<u8>,
    first: Option<PayloadType>,
    /// Offset of the last payload's generic header.
    last: usize,
}

impl PayloadChain {
    /// A chain without payloads.
    pub fn new() -> Self {
        Self {
            octets: Vec::with_capacity(USUAL_LEN),
            first: None,
            last: 0,
        }
    }

    /// Appends a payload.
    pub fn push(&mut self, payload_type: PayloadType, body: &[u8]) {
        if self.first.is_none() {
            self.first = Some(payload_type);
        } else {
            patch(&mut self.octets, self.last, payload_type.0);
        }
        self.last = self.octets.len();
        push_generic(&mut self.octets, body);
    }

    /// Puts a payload in front of all others: the Hash, once what it covers is known.
    pub fn prepend(&mut self, payload_type: PayloadType, body: &[u8]) {
        let mut octets = Vec::with_capacity(GENERIC_HEADER_LEN + body.len() + self.octets.len());
        push_generic(&mut octets, body);
        patch(&mut octets, 0, self.first().0);
        self.last = if self.octets.is_empty() {
            0
        } else {
            self.last + octets.len()
        };
        octets.append(&mut self.octets);
        self.octets = octets;
        self.first = Some(payload_type);
    }

    /// Type of the first payload, [`PayloadType::NONE`] if there is none.
    pub fn first(&self) -> PayloadType {
        self.first.unwrap_or(PayloadType::NONE)
    }

    /// The chain as it goes on the wire.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Gives up the chain for its octets.
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }
}

impl Default for PayloadChain {
    fn default() -> Self {
        Self::new()
    }
}

/// Octets of the generic payload header.
const GENERIC_HEADER_LEN: usize = 4;

/// Octets that few messages exceed: a chain does not grow step by step.
const USUAL_LEN: usize = 512;

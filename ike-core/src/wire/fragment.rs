//! Fragment payload of Cisco's and Microsoft's IKE fragmentation.
//!
//! A message that is too long for the path is cut, header included, and each piece travels in
//! clear as the only payload of a message of its own. There is no RFC; the payload is in
//! \[MS-IKEE\] section 2.2.2. A peer says with a vendor ID that it understands
//! ([`VendorId::FRAGMENTATION`](super::VendorId::FRAGMENTATION)). Receiving is
//! [`Reassembly`](super::Reassembly)'s work.

use super::header::HEADER_LEN;
use super::limits::MAX_FRAGMENTS;
use super::numbers::PayloadType;
use super::reader::Reader;
use super::{DecodeError, Header, PayloadChain};
use crate::message_id::MessageId;

/// Bit that marks the last fragment of a message.
const LAST_FRAGMENT: u8 = 1;

/// Octets that a fragment adds to its data: header, generic header, and the fixed fields.
const OVERHEAD: usize = HEADER_LEN + 4 + 4;

/// Fragment payload body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment<'a> {
    id: u16,
    /// Invariant: not zero; fragments count from one.
    number: u8,
    flags: u8,
    /// Invariant: not empty.
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if the fixed fields are cut short, [`DecodeError::BadValue`] for
    /// fragment number zero, [`DecodeError::BadLength`] without data.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Fragment");
        let id = reader.u16()?;
        let number = reader.u8()?;
        let flags = reader.u8()?;
        let data = reader.rest();
        if number == 0 {
            return Err(DecodeError::BadValue {
                what: "Fragment number",
            });
        }
        if data.is_empty() {
            return Err(DecodeError::BadLength { what: "Fragment" });
        }
        Ok(Self {
            id,
            number,
            flags,
            data,
        })
    }

    /// The body as it goes on the wire; the inverse of [`decode`](Self::decode).
    pub fn encode(&self) -> Vec<u8> {
        let [high, low] = self.id.to_be_bytes();
        let mut out = vec![high, low, self.number, self.flags];
        out.extend_from_slice(self.data);
        out
    }

    /// The identifier that the fragments of one message share.
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// The place of the fragment in its message, from one.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Whether this is the last fragment of its message.
    pub const fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }

    /// The piece of the message.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// Cuts a message into messages of at most `max_len` octets, each with a Fragment payload.
///
/// They carry the cookies and the exchange type of the message, no flags, and Message ID zero, as
/// others send them. `None` if there is nothing to gain: the message is short enough or is none,
/// or it would take more than [`MAX_FRAGMENTS`] of that length.
pub fn fragment_message(message: &[u8], id: u16, max_len: usize) -> Option<Vec<Vec<u8>>> {
    let (header, _) = Header::decode(message).ok()?;
    let data_len = max_len.checked_sub(OVERHEAD).filter(|len| 0 < *len)?;
    let count = u8::try_from(message.len().div_ceil(data_len)).ok()?;
    if message.len() <= max_len || MAX_FRAGMENTS < count {
        return None;
    }
    let header = Header::new(
        header.cookies(),
        header.exchange_type(),
        MessageId::PHASE_ONE,
    );
    let fragments = message
        .chunks(data_len)
        .zip(1..=count)
        .map(|(data, number)| {
            let flags = if number == count { LAST_FRAGMENT } else { 0 };
            let mut payloads = PayloadChain::new();
            payloads.push(
                PayloadType::FRAGMENT,
                &Fragment {
                    id,
                    number,
                    flags,
                    data,
                }
                .encode(),
            );
            header.encode_clear(&payloads)
        });
    Some(fragments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::CookiePair;
    use crate::wire::Message;
    use crate::wire::numbers::ExchangeType;

    fn message(len: usize) -> Vec<u8> {
        let cookies = CookiePair::from_octets([3; 16]);
        Header::new(cookies, ExchangeType::QUICK_MODE, MessageId::new(9))
            .encode_message(PayloadType::HASH, &vec![0xaa; len - HEADER_LEN])
    }

    #[test]
    fn a_message_is_cut_into_messages_of_the_given_length() {
        let message = message(1000);
        let fragments = fragment_message(&message, 7, 400).unwrap();
        assert_eq!(
            fragments.iter().map(Vec::len).collect::<Vec<_>>(),
            [400, 400, 308]
        );
        let mut joined = Vec::new();
        for (index, octets) in fragments.iter().enumerate() {
            let decoded = Message::decode(octets).unwrap();
            assert_eq!(decoded.header().cookies(), CookiePair::from_octets([3; 16]));
            assert!(decoded.header().message_id().is_zero());
            let payload = decoded
                .payloads()
                .unwrap()
                .exactly_one(PayloadType::FRAGMENT)
                .unwrap();
            let fragment = Fragment::decode(payload.body()).unwrap();
            assert_eq!(usize::from(fragment.number()), index + 1);
            assert_eq!(fragment.is_last(), index == 2);
            assert_eq!(fragment.id(), 7);
            joined.extend_from_slice(fragment.data());
        }
        assert_eq!(joined, message);
    }

    #[test]
    fn what_fits_or_never_will_is_not_cut() {
        assert_eq!(fragment_message(&message(400), 7, 400), None);
        assert_eq!(fragment_message(&message(401), 7, 400).unwrap().len(), 2);
        assert_eq!(fragment_message(&message(400), 7, OVERHEAD), None);
        assert_eq!(fragment_message(&message(65), 7, OVERHEAD + 1), None);
        assert_eq!(
            fragment_message(&message(64), 7, OVERHEAD + 1)
                .unwrap()
                .len(),
            64
        );
        assert_eq!(fragment_message(&[0; 500], 7, 400), None);
    }

    #[test]
    fn number_zero_and_missing_data_are_refused() {
        assert_eq!(
            Fragment::decode(&[0, 1, 0, 0, 9]),
            Err(DecodeError::BadValue {
                what: "Fragment number"
            })
        );
        assert_eq!(
            Fragment::decode(&[0, 1, 1, 0]),
            Err(DecodeError::BadLength { what: "Fragment" })
        );
        assert_eq!(
            Fragment::decode(&[0, 1, 1]),
            Err(DecodeError::Truncated { what: "Fragment" })
        );
    }
}

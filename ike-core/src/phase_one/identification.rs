//! Identities of phase 1 on the wire, RFC 2407 section 4.6.2.

use crate::config::Identity;
use crate::wire::numbers::{ExchangeType, IdentificationType, PayloadType};
use crate::wire::{DecodeError, Identification, Message};

impl Identity {
    /// Who the sender of a first message of aggressive mode says it is; `None` for any other message, and for one that
    /// [`Endpoint`](crate::Endpoint) would not take either.
    ///
    /// `contents` is the UDP payload, on the NAT port without its marker. Nothing is proved by it: it is for whoever
    /// distributes datagrams among several endpoints.
    pub fn claimed_by(contents: &[u8]) -> Option<Self> {
        let message = Message::decode(contents).ok()?;
        let header = message.header();
        if header.exchange_type() != ExchangeType::AGGRESSIVE
            || !header.cookies().responder().is_zero()
        {
            return None;
        }
        let payloads = message.payloads().ok()?;
        let body = payloads
            .exactly_one(PayloadType::IDENTIFICATION)
            .ok()?
            .body();
        Self::decode(body).ok()
    }

    /// The body of the Identification payload. Protocol and port are zero.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (id_type, data) = match self {
            Self::Address(address) => return Identification::address(*address).encode(),
            Self::Fqdn(name) => (IdentificationType::FQDN, name.as_bytes()),
            Self::UserFqdn(name) => (IdentificationType::USER_FQDN, name.as_bytes()),
            Self::KeyId(octets) => (IdentificationType::KEY_ID, octets.as_slice()),
        };
        let header = [id_type.0, 0, 0, 0];
        [&header[..], data].concat()
    }

    /// Reads the body of an Identification payload.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for names that are no text, for a protocol and port that phase 1 does not allow, for lengths beyond
    /// [`Identity::MAX_LEN`], and for types that are no identity here, such as a distinguished name.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let id = Identification::decode(body)?;
        if !id.is_phase_one() {
            return Err(DecodeError::BadValue {
                what: "Identification protocol and port",
            });
        }
        if let Some(address) = id.as_address() {
            return Ok(Self::Address(address));
        }
        if Self::MAX_LEN < id.data().len() {
            return Err(DecodeError::BadLength {
                what: "Identification",
            });
        }
        // RFC 2407 section 4.6.2.3 wants no terminator; some send one, and the hashes cover it as it came.
        let text = || match core::str::from_utf8(id.data()) {
            Ok(text) if !text.trim_end_matches('\0').is_empty() => {
                Ok(text.trim_end_matches('\0').to_owned())
            }
            _ => Err(DecodeError::BadValue {
                what: "Identification",
            }),
        };
        match id.id_type() {
            IdentificationType::FQDN => Ok(Self::Fqdn(text()?)),
            IdentificationType::USER_FQDN => Ok(Self::UserFqdn(text()?)),
            IdentificationType::KEY_ID => Ok(Self::KeyId(id.data().to_vec())),
            _ => Err(DecodeError::BadValue {
                what: "Identification type",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_a_round_trip() {
        for text in [
            "198.18.2.2",
            "2001:db8::1",
            "hub",
            "b@example.org",
            "keyid:0x00ff",
        ] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
        }
    }

    #[test]
    fn names_that_are_no_text_are_malformed() {
        let malformed = DecodeError::BadValue {
            what: "Identification",
        };
        assert_eq!(Identity::decode(&[2, 0, 0, 0, 0xff, 0xfe]), Err(malformed));
        assert_eq!(
            Identity::decode(&[4, 0, 0, 0, 10, 0, 0, 0, 255, 0, 0, 0]),
            Err(DecodeError::BadValue {
                what: "Identification type"
            })
        );
        assert!(Identity::decode(&[2, 17, 0x01, 0xf4, b'a']).is_ok());
        assert!(Identity::decode(&[2, 6, 0, 80, b'a']).is_err());
    }
}

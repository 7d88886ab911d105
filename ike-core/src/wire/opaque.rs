//! Payloads whose body is one string of octets: Key Exchange, Hash and Nonce, RFC 2408 sections
//! 3.7, 3.11 and 3.13.

use super::DecodeError;
use super::limits::NONCE_LEN;

/// Key Exchange payload body: a Diffie-Hellman public value. Not empty; the rest is for the group
/// to judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyExchange<'a>(&'a [u8]);

/// Hash payload body. Not empty; its length is for the negotiated hash to judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hash<'a>(&'a [u8]);

/// Nonce payload body of 8 to 256 octets, RFC 2409 section 5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nonce<'a>(&'a [u8]);

impl<'a> KeyExchange<'a> {
    /// Takes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadLength`] if it is empty.
    pub const fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Err(DecodeError::BadLength {
                what: "Key Exchange",
            });
        }
        Ok(Self(body))
    }

    /// The public value as received.
    pub const fn octets(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Hash<'a> {
    /// Takes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadLength`] if it is empty.
    pub const fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Err(DecodeError::BadLength { what: "Hash" });
        }
        Ok(Self(body))
    }

    /// The hash as received.
    pub const fn octets(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Nonce<'a> {
    /// Takes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadLength`] unless it has 8 to 256 octets.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        if !NONCE_LEN.contains(&body.len()) {
            return Err(DecodeError::BadLength { what: "Nonce" });
        }
        Ok(Self(body))
    }

    /// The nonce as received.
    pub const fn octets(&self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_8_to_256_octets() {
        let octets = [7; 257];
        assert!(Nonce::decode(&octets[..7]).is_err());
        assert!(Nonce::decode(&octets[..8]).is_ok());
        assert!(Nonce::decode(&octets[..256]).is_ok());
        assert!(Nonce::decode(&octets).is_err());
    }

    #[test]
    fn an_empty_hash_or_key_exchange_is_refused() {
        assert_eq!(
            Hash::decode(&[]),
            Err(DecodeError::BadLength { what: "Hash" })
        );
        assert_eq!(
            KeyExchange::decode(&[]),
            Err(DecodeError::BadLength {
                what: "Key Exchange"
            })
        );
    }
}

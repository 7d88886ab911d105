//! X25519, RFC 7748, with the payload formats of RFC 8031.

use core::fmt;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::crypto::{BadPublicValue, Group, PrivateValue, SecureRandom, SharedSecret};
use crate::wire::numbers::GroupNumber;

/// Octets of a public value, a private value and a shared secret.
const LEN: usize = 32;

#[derive(Debug)]
pub(super) struct Curve25519;

impl Group for Curve25519 {
    fn number(&self) -> GroupNumber {
        GroupNumber::CURVE25519
    }

    fn public_len(&self) -> usize {
        LEN
    }

    fn shared_secret_len(&self) -> usize {
        LEN
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        let mut octets = Zeroizing::new([0; LEN]);
        random.fill(&mut *octets);
        let secret = StaticSecret::from(*octets);
        let public = PublicKey::from(&secret).to_bytes();
        Box::new(X25519PrivateValue { secret, public })
    }
}

struct X25519PrivateValue {
    secret: StaticSecret,
    public: [u8; LEN],
}

impl PrivateValue for X25519PrivateValue {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        let octets = <[u8; LEN]>::try_from(peer_public).map_err(|_| BadPublicValue)?;
        let secret = self.secret.diffie_hellman(&PublicKey::from(octets));
        // RFC 7748 section 6.1: all zeros come from a point of small order, and anyone knows them.
        if !secret.was_contributory() {
            return Err(BadPublicValue);
        }
        Ok(SharedSecret::new(&secret.as_bytes()[..]))
    }
}

impl fmt::Debug for X25519PrivateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateValue(CURVE25519)")
    }
}

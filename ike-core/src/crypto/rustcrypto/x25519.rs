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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Given([u8; LEN]);

    impl SecureRandom for Given {
        fn fill(&self, octets: &mut [u8]) {
            octets.copy_from_slice(&self.0);
        }
    }

    fn octets(hex: &str) -> [u8; LEN] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    /// RFC 7748 section 6.1.
    #[test]
    fn known_answer() {
        let alice = Curve25519.generate(&Given(octets(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        )));
        let bob = Curve25519.generate(&Given(octets(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        )));
        assert_eq!(
            alice.public(),
            octets("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        );
        assert_eq!(
            bob.public(),
            octets("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        );
        let shared = octets("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(alice.agree(bob.public()).unwrap().as_slice(), shared);
        assert_eq!(bob.agree(alice.public()).unwrap().as_slice(), shared);
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let value = Curve25519.generate(&Given([9; LEN]));
        let mut one = [0; LEN];
        one[0] = 1;
        // RFC 7748 section 7; this one has order 8.
        let order_8 = octets("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        for point in [[0; LEN], one, order_8] {
            assert_eq!(value.agree(&point), Err(BadPublicValue));
        }
    }

    #[test]
    fn the_length_is_exact() {
        let value = Curve25519.generate(&Given([9; LEN]));
        assert_eq!(value.agree(&[9; 31]), Err(BadPublicValue));
        assert_eq!(value.agree(&[9; 33]), Err(BadPublicValue));
        assert_eq!(value.agree(&[]), Err(BadPublicValue));
    }
}

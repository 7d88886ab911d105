//! P-256, P-384 and X25519 by ring: P-256 several times faster than the RustCrypto crates. An X25519 value takes longer to
//! make than with `x25519-dalek`, and agrees in two thirds of the time, which is what a responder waits for.
//!
//! ring has no MODP group and none of the old hashes and ciphers, so its groups take the places of another provider's:
//! `ring::over(rustcrypto::provider())`. They differ from others in two ways.
//!
//! * ring draws private values from the operating system itself. The provider's [`SecureRandom`] is not asked, so that a
//!   seeded one does not repeat these values: simulations, and tests of whole runs, leave these groups out.
//! * A private value of ring agrees once. [`Group::generate_reusable`], with which a hub prepares the value that
//!   exchanges share during a flood, is therefore that of the RustCrypto group.
//!
//! ring's private values are not wiped when they are dropped.

use core::fmt;
use std::sync::{Mutex, PoisonError};

use ring::agreement::{
    Algorithm, ECDH_P256, ECDH_P384, EphemeralPrivateKey, PublicKey, UnparsedPublicKey, X25519,
    agree_ephemeral,
};
use ring::error::Unspecified;
use ring::rand::SystemRandom;

use super::{
    BadPublicValue, CryptoProvider, Group, PrivateValue, SecureRandom, SharedSecret, rustcrypto,
};
use crate::wire::numbers::GroupNumber;

/// First octet of an uncompressed point, SEC 1 section 2.3.3, which IKE leaves out.
const UNCOMPRESSED: &[u8] = &[4];

/// P-256, RFC 5903 section 3.1.
pub static ECP_256: &dyn Group = &RingGroup {
    algorithm: &ECDH_P256,
    prefix: UNCOMPRESSED,
    reusable: &rustcrypto::ECP_256,
};
/// P-384, RFC 5903 section 3.2.
pub static ECP_384: &dyn Group = &RingGroup {
    algorithm: &ECDH_P384,
    prefix: UNCOMPRESSED,
    reusable: &rustcrypto::ECP_384,
};
/// X25519, RFC 7748 and RFC 8031.
pub static CURVE25519: &dyn Group = &RingGroup {
    algorithm: &X25519,
    prefix: &[],
    reusable: &rustcrypto::CURVE25519,
};

/// The same provider with ring's groups in the places of its own of the same numbers. None is added.
#[must_use]
pub fn over(mut provider: CryptoProvider) -> CryptoProvider {
    for group in &mut provider.groups {
        let same = [ECP_256, ECP_384, CURVE25519]
            .into_iter()
            .find(|ours| ours.number() == group.number());
        *group = same.unwrap_or(*group);
    }
    provider
}

/// An elliptic curve.
struct RingGroup {
    algorithm: &'static Algorithm,
    /// What ring has in front of a public value, and IKE has not.
    prefix: &'static [u8],
    /// The same group by an implementation whose values agree more than once.
    reusable: &'static &'static dyn Group,
}

impl Group for RingGroup {
    fn number(&self) -> GroupNumber {
        self.reusable.number()
    }

    fn public_len(&self) -> usize {
        self.reusable.public_len()
    }

    fn shared_secret_len(&self) -> usize {
        self.reusable.shared_secret_len()
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        match RingPrivateValue::generate(self) {
            Ok(value) => Box::new(value),
            // The operating system has given no randomness; the provider's source knows what to do then.
            Err(Unspecified) => self.reusable.generate(random),
        }
    }

    fn values_are_reusable(&self) -> bool {
        false
    }

    fn generate_reusable(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        self.reusable.generate_reusable(random)
    }
}

impl fmt::Debug for RingGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.number())
    }
}

/// A private value until it has agreed.
struct RingPrivateValue {
    number: GroupNumber,
    prefix: &'static [u8],
    secret: Mutex<Option<EphemeralPrivateKey>>,
    public: PublicKey,
}

impl RingPrivateValue {
    fn generate(group: &RingGroup) -> Result<Self, Unspecified> {
        let secret = EphemeralPrivateKey::generate(group.algorithm, &SystemRandom::new())?;
        let public = secret.compute_public_key()?;
        Ok(Self {
            number: group.number(),
            prefix: group.prefix,
            secret: Mutex::new(Some(secret)),
            public,
        })
    }
}

impl PrivateValue for RingPrivateValue {
    fn public(&self) -> &[u8] {
        let public = self.public.as_ref().strip_prefix(self.prefix);
        public.unwrap_or_default()
    }

    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        if peer_public.len() != self.public().len() {
            return Err(BadPublicValue);
        }
        let secret = self
            .secret
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or(BadPublicValue)?;
        let peer = [self.prefix, peer_public].concat();
        // Refuses what is not on the curve, and for X25519 the zeros that come from a point of small order.
        agree_ephemeral(
            secret,
            &UnparsedPublicKey::new(self.public.algorithm(), peer),
            |secret| SharedSecret::new(secret),
        )
        .map_err(|Unspecified| BadPublicValue)
    }
}

impl fmt::Debug for RingPrivateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateValue({:?})", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::OsRandom;

    /// Each group with the independent implementation of it.
    fn groups() -> [(&'static dyn Group, &'static dyn Group); 3] {
        [
            (ECP_256, rustcrypto::ECP_256),
            (ECP_384, rustcrypto::ECP_384),
            (CURVE25519, rustcrypto::CURVE25519),
        ]
    }

    fn random() -> OsRandom {
        OsRandom::new()
    }

    fn value(group: &dyn Group) -> Box<dyn PrivateValue> {
        group.generate(&random())
    }

    fn octets(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    #[test]
    fn both_implementations_agree_whoever_begins() {
        for (ours, theirs) in groups() {
            for _ in 0..8 {
                let (one, other) = (value(ours), value(theirs));
                let secret = one.agree(other.public()).unwrap();
                assert_eq!(other.agree(one.public()), Ok(secret.clone()), "{ours:?}");
                assert_eq!(secret.as_slice().len(), ours.shared_secret_len());
                assert_eq!(one.public().len(), ours.public_len());
            }
            let (one, other) = (value(ours), value(ours));
            assert_eq!(one.agree(other.public()), other.agree(one.public()));
        }
    }

    #[test]
    fn the_groups_are_what_they_replace() {
        for (ours, theirs) in groups() {
            assert_eq!(ours.number(), theirs.number());
            assert_eq!(ours.public_len(), theirs.public_len());
            assert_eq!(ours.shared_secret_len(), theirs.shared_secret_len());
            assert_eq!(format!("{ours:?}"), format!("{:?}", ours.number()));
        }
    }

    /// Searches for a secret whose first octet is zero, which one in 256 is; the other end pads it by other code.
    #[test]
    fn a_shared_secret_keeps_its_leading_zeros() {
        for (ours, theirs) in [groups()[0], groups()[2]] {
            let peer = value(theirs);
            let found = (0..10_000).find_map(|_| {
                let value = value(ours);
                let secret = value.agree(peer.public()).unwrap();
                (secret.as_slice()[0] == 0).then_some((value, secret))
            });
            let (value, secret) = found.unwrap();
            assert_eq!(secret.as_slice().len(), ours.shared_secret_len());
            assert_eq!(peer.agree(value.public()), Ok(secret), "{ours:?}");
        }
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        for (ours, theirs) in [groups()[0], groups()[1]] {
            let peer = value(theirs);
            let len = ours.public_len();
            let mut off_curve = peer.public().to_vec();
            off_curve[len - 1] ^= 1;
            let compressed = [&[2], &peer.public()[..len / 2]].concat();
            let with_format = [&[4], peer.public()].concat();
            for bad in [
                off_curve,
                vec![0; len],
                vec![0xff; len],
                compressed,
                with_format,
            ] {
                assert_eq!(value(ours).agree(&bad), Err(BadPublicValue), "{ours:?}");
            }
        }
    }

    /// RFC 7748 sections 6.1 and 7.
    #[test]
    fn points_of_small_order_are_refused() {
        let mut one = vec![0; 32];
        one[0] = 1;
        let order_8 = octets("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        let minus_one = octets("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        for point in [vec![0; 32], one, order_8, minus_one] {
            assert_eq!(value(CURVE25519).agree(&point), Err(BadPublicValue));
        }
    }

    #[test]
    fn a_value_of_a_wrong_length_does_not_use_ours_up() {
        for (ours, theirs) in groups() {
            let (value, peer) = (value(ours), value(theirs));
            for len in [0, 1, ours.public_len() - 1, ours.public_len() + 1] {
                assert_eq!(value.agree(&vec![9; len]), Err(BadPublicValue));
            }
            assert_eq!(value.agree(peer.public()), peer.agree(value.public()));
        }
    }

    #[test]
    fn a_value_agrees_once_and_a_reusable_one_again() {
        for (ours, theirs) in groups() {
            let (once, peer) = (value(ours), value(theirs));
            assert!(!ours.values_are_reusable());
            assert!(once.agree(peer.public()).is_ok());
            assert_eq!(once.agree(peer.public()), Err(BadPublicValue));
            let again = ours.generate_reusable(&random());
            assert_eq!(again.agree(peer.public()), peer.agree(again.public()));
            assert_eq!(again.agree(peer.public()), peer.agree(again.public()));
        }
    }

    #[test]
    fn only_groups_that_are_there_are_replaced() {
        let provider = over(rustcrypto::provider());
        assert_eq!(provider.groups.len(), rustcrypto::provider().groups.len());
        for group in [
            GroupNumber::ECP_256,
            GroupNumber::ECP_384,
            GroupNumber::CURVE25519,
        ] {
            let group = provider.group(group).unwrap();
            assert!(!group.values_are_reusable(), "{group:?}");
        }
        let modp = provider.group(GroupNumber::MODP_2048).unwrap();
        assert!(modp.values_are_reusable());
        let few = over(rustcrypto::provider().with_groups(vec![rustcrypto::ECP_384]));
        assert!(few.group(GroupNumber::ECP_256).is_none());
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", value(ECP_256)), "PrivateValue(ECP_256)");
    }
}

//! MODP groups with secret exponents in constant time.

use core::fmt;
use std::sync::LazyLock;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::Zeroizing;

use super::comb::Comb;
use super::modp_primes;
use crate::crypto::{BadPublicValue, Group, PrivateValue, SecureRandom, SharedSecret};
use crate::wire::numbers::GroupNumber;

/// A group of integers modulo a safe prime, with generator 2.
pub(super) struct ModpGroup {
    number: GroupNumber,
    /// Octets of the prime.
    len: usize,
    arithmetic: LazyLock<Arithmetic>,
}

/// What is computed from the prime once.
struct Arithmetic {
    /// Octets of a private exponent: twice the lower of the two strengths in RFC 3526 section 8, and
    /// never under 256 bits.
    exponent_len: usize,
    parameters: BoxedMontyParams,
    generator: Comb,
}

const fn group(number: GroupNumber, len: usize, arithmetic: fn() -> Arithmetic) -> ModpGroup {
    ModpGroup {
        number,
        len,
        arithmetic: LazyLock::new(arithmetic),
    }
}

#[cfg(feature = "legacy")]
pub(super) static MODP_768: ModpGroup = group(GroupNumber::MODP_768, 96, || {
    Arithmetic::new(modp_primes::MODP_768.into(), 32)
});
#[cfg(feature = "legacy")]
pub(super) static MODP_1024: ModpGroup = group(GroupNumber::MODP_1024, 128, || {
    Arithmetic::new(modp_primes::MODP_1024.into(), 32)
});
#[cfg(feature = "legacy")]
pub(super) static MODP_1536: ModpGroup = group(GroupNumber::MODP_1536, 192, || {
    Arithmetic::new(modp_primes::MODP_1536.into(), 32)
});
pub(super) static MODP_2048: ModpGroup = group(GroupNumber::MODP_2048, 256, || {
    Arithmetic::new(modp_primes::MODP_2048.into(), 32)
});
pub(super) static MODP_3072: ModpGroup = group(GroupNumber::MODP_3072, 384, || {
    Arithmetic::new(modp_primes::MODP_3072.into(), 33)
});
pub(super) static MODP_4096: ModpGroup = group(GroupNumber::MODP_4096, 512, || {
    Arithmetic::new(modp_primes::MODP_4096.into(), 38)
});

impl Arithmetic {
    fn new(prime: Odd<BoxedUint>, exponent_len: usize) -> Self {
        let parameters = BoxedMontyParams::new_vartime(prime);
        let two = BoxedUint::from_be_slice_truncated(&[2], parameters.bits_precision());
        let generator = Comb::new(&parameters, two, exponent_len);
        Self {
            exponent_len,
            parameters,
            generator,
        }
    }
}

impl ModpGroup {
    /// `base ^ exponent` modulo the prime, as many octets as the prime has.
    fn power(&self, base: BoxedUint, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let bits = u32::try_from(exponent.len() * 8).unwrap_or(u32::MAX);
        let exponent = Zeroizing::new(BoxedUint::from_be_slice_truncated(exponent, bits));
        let base = BoxedMontyForm::new(base, &self.arithmetic.parameters);
        octets(&Zeroizing::new(base.pow_bounded_exp(&exponent, bits)))
    }

    fn integer(&self, octets: &[u8]) -> BoxedUint {
        let bits = self.arithmetic.parameters.bits_precision();
        BoxedUint::from_be_slice_truncated(octets, bits)
    }

    /// RFC 2409 section 5 wants the value padded to the length of the prime. A shorter one, from a
    /// peer that drops leading zeros, means the same number and is taken as that; the hashes cover
    /// the octets as received in either case. A longer one is refused even if it begins with zeros.
    ///
    /// Of the numbers, 0, 1 and p - 1 and all from p on are refused: `1 < y < p - 1`.
    fn checked(&self, public: &[u8]) -> Result<BoxedUint, BadPublicValue> {
        if public.is_empty() || self.len < public.len() {
            return Err(BadPublicValue);
        }
        let value = self.integer(public);
        let one = BoxedUint::one_with_precision(value.bits_precision());
        let last = self
            .arithmetic
            .parameters
            .modulus()
            .as_ref()
            .wrapping_sub(&one);
        if one < value && value < last {
            Ok(value)
        } else {
            Err(BadPublicValue)
        }
    }
}

impl Group for &'static ModpGroup {
    fn number(&self) -> GroupNumber {
        self.number
    }

    fn public_len(&self) -> usize {
        self.len
    }

    fn shared_secret_len(&self) -> usize {
        self.len
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        let mut exponent = Zeroizing::new(vec![0; self.arithmetic.exponent_len]);
        random.fill(&mut exponent);
        let public = octets(&self.arithmetic.generator.power(&exponent)).to_vec();
        Box::new(ModpPrivateValue {
            group: self,
            exponent,
            public,
        })
    }
}

impl fmt::Debug for ModpGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.number)
    }
}

struct ModpPrivateValue {
    group: &'static ModpGroup,
    exponent: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl PrivateValue for ModpPrivateValue {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        let base = self.group.checked(peer_public)?;
        let mut secret = self.group.power(base, &self.exponent);
        Ok(SharedSecret::new(core::mem::take(&mut *secret)))
    }
}

impl fmt::Debug for ModpPrivateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateValue({:?})", self.group)
    }
}

/// As many octets as the prime has.
fn octets(value: &BoxedMontyForm) -> Zeroizing<Vec<u8>> {
    let value = Zeroizing::new(value.retrieve());
    Zeroizing::new(value.to_be_bytes().into_vec())
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;
    use crate::crypto::rustcrypto::OsRandom;

    /// The same octets again and again.
    #[derive(Debug)]
    struct Repeated(u8);

    impl SecureRandom for Repeated {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(self.0);
        }
    }

    fn groups() -> Vec<&'static ModpGroup> {
        vec![
            #[cfg(feature = "legacy")]
            &MODP_768,
            #[cfg(feature = "legacy")]
            &MODP_1024,
            #[cfg(feature = "legacy")]
            &MODP_1536,
            &MODP_2048,
            &MODP_3072,
            &MODP_4096,
        ]
    }

    fn prime(group: &ModpGroup) -> BigUint {
        BigUint::from_bytes_be(&group.arithmetic.parameters.modulus().as_ref().to_be_bytes())
    }

    /// A number as a Key Exchange payload has it.
    fn padded(value: &BigUint, len: usize) -> Vec<u8> {
        let octets = value.to_bytes_be();
        let mut padded = vec![0; len - octets.len()];
        padded.extend_from_slice(&octets);
        padded
    }

    fn private_value(group: &'static ModpGroup, exponent: &[u8]) -> ModpPrivateValue {
        let public = group.power(group.integer(&[2]), exponent).to_vec();
        let exponent = Zeroizing::new(exponent.to_vec());
        ModpPrivateValue {
            group,
            exponent,
            public,
        }
    }

    #[test]
    fn exchanges_agree_with_an_independent_implementation() {
        let two = BigUint::from(2_u8);
        for group in groups() {
            for seed in [0x01, 0x5a, 0xff] {
                let ours = vec![seed; group.arithmetic.exponent_len];
                let theirs = vec![seed ^ 0x33; group.arithmetic.exponent_len];
                let (x, y) = (
                    BigUint::from_bytes_be(&ours),
                    BigUint::from_bytes_be(&theirs),
                );
                let prime = prime(group);
                let value = group.generate(&Repeated(seed));
                assert_eq!(value.public(), padded(&two.modpow(&x, &prime), group.len));
                let peer = padded(&two.modpow(&y, &prime), group.len);
                let shared = value.agree(&peer).unwrap();
                let expected = two.modpow(&(x * y), &prime);
                assert_eq!(shared.as_slice(), padded(&expected, group.len), "{group:?}");
            }
        }
    }

    #[test]
    fn one_value_serves_two_exchanges() {
        let group = &MODP_2048;
        let value = group.generate(&OsRandom::new());
        for _ in 0..2 {
            let peer = group.generate(&OsRandom::new());
            assert_eq!(value.agree(peer.public()), peer.agree(value.public()));
        }
    }

    #[test]
    fn values_outside_of_the_group_are_refused() {
        for group in groups() {
            let value = group.generate(&Repeated(7));
            let prime = prime(group);
            let one = BigUint::from(1_u8);
            let refused = [
                BigUint::default(),
                one.clone(),
                &prime - &one,
                prime.clone(),
                &prime + &one,
                (one.clone() << (group.len * 8)) - &one,
            ];
            for number in refused {
                let octets = padded(&number, group.len);
                assert_eq!(
                    value.agree(&octets),
                    Err(BadPublicValue),
                    "{group:?} {number}"
                );
            }
            assert!(
                value
                    .agree(&padded(&BigUint::from(2_u8), group.len))
                    .is_ok()
            );
            assert!(value.agree(&padded(&(&prime - 2_u8), group.len)).is_ok());
        }
    }

    #[test]
    fn a_value_may_lack_leading_zeros_but_not_have_too_many() {
        let group = &MODP_2048;
        let value = group.generate(&Repeated(7));
        let padded = padded(&BigUint::from(0x0123_4567_u32), group.len);
        let expected = value.agree(&padded).unwrap();
        assert_eq!(value.agree(&[0x01, 0x23, 0x45, 0x67]), Ok(expected));
        assert_eq!(value.agree(&[]), Err(BadPublicValue));
        assert_eq!(
            value.agree(&[&[0], &padded[..]].concat()),
            Err(BadPublicValue)
        );
    }

    #[test]
    fn a_shared_secret_keeps_its_leading_zeros() {
        // Searches for an exchange whose secret begins with a zero octet: one in 256 does.
        let group = &MODP_2048;
        let peer = group.generate(&Repeated(3));
        let secret = (1_u16..=4096).find_map(|exponent| {
            let value = private_value(group, &exponent.to_be_bytes());
            let secret = value.agree(peer.public()).unwrap();
            (secret.as_slice()[0] == 0).then_some((value, secret))
        });
        let (value, secret) = secret.unwrap();
        assert_eq!(secret.as_slice().len(), 256);
        assert_eq!(peer.agree(value.public()), Ok(secret));
    }

    #[test]
    fn debug_does_not_show_the_exponent() {
        let value = private_value(&MODP_2048, &[0xab; 32]);
        assert_eq!(format!("{value:?}"), "PrivateValue(MODP_2048)");
    }

    #[test]
    fn a_source_of_zeros_does_not_panic() {
        let value = (&MODP_2048).generate(&Repeated(0));
        assert_eq!(value.agree(value.public()), Err(BadPublicValue));
    }

    /// Exchanges recorded elsewhere: RUB-NDS/IPsec-StateMachineExtractor (Apache-2.0), the second
    /// from its IKEv1HandshakeIT and the first, whose secret begins with a zero octet, from its
    /// IKEv1HandshakeSessionSecretsTest.
    #[cfg(feature = "legacy")]
    mod recorded {
        use super::*;

        fn check(private: &str, public: &str, peer_public: &str, shared: &str) {
            let value = private_value(&MODP_1024, &hex::decode(private).unwrap());
            assert_eq!(hex::encode(value.public()), public);
            let secret = value.agree(&hex::decode(peer_public).unwrap()).unwrap();
            assert_eq!(hex::encode(secret.as_slice()), shared);
        }

        #[test]
        fn the_secret_with_a_leading_zero() {
            check(ZERO_PRIVATE, ZERO_PUBLIC, ZERO_PEER, ZERO_SHARED);
        }

        #[test]
        fn the_handshake() {
            check(PRIVATE, PUBLIC, PEER, SHARED);
        }

        const ZERO_PRIVATE: &str = "\
            357449fa7673fcf4faf97d5bd90f42f7cef89af2523d7b49c500377bfe3f8db3a55da3ad0abdd0e3\
            63fb69edea9f97539f8c9ebaba87c4056a23aa52c6ed5f866ebe68c8f7aa3c4984fe3846bf35d642\
            52daec4d52a076220487b8b098fa04f5156e6c68bdcc1d9c156ae80f4db02ed4b33840fe2c8b5c20\
            d1335cca08a53eac";
        const ZERO_PUBLIC: &str = "\
            75212bd6a675fb8764a87e119ae2f17ce5ae39f584bd202b7a38f560192f6a2ee60d74917c84d2c2\
            f73275837defbc3f1a1290c42e8e8c40786d8262f1a8774de94556916a138603ed28606c6451c52f\
            a6002a5b82b23407d525584ab12bc94970e42e0a9206ed6985a516739df996159bcb61b1718f56d0\
            5ac96446a598d31b";
        const ZERO_PEER: &str = "\
            b8c8f889d2105ec783b99a62fd792a48628ccad1d30a9bd19cb0a8d5be155a7a22f86386e8592a68\
            3ce01a8cbe77e48e45702ba82e6e73831e7400adb77d45e873a3228aa4b76ef02443681fd8cdda76\
            716a90a4c8006dcbdbd6425a1e2afc8b8c9837ffd53a69d7747a12a6231abcdf9b887742e25a86b5\
            c516bfd7cc0f29c8";
        const ZERO_SHARED: &str = "\
            001c25a7bef0ca24b6b104107d1163654750755cc75d49477ff56e33acce7d068227401d565629e5\
            1bc2a8777d47727d4a0004273311404e5cd780b96256918299948e20d191920a1926f3ebda19b5f9\
            66cf594242341439ff86f24a0880dc4cb243f148f6f4bf77df235073d283e31e0a8b334abab1aeee\
            bd169b78435281cb";
        const PRIVATE: &str = "\
            1445cc10b6fb0ab024b73a55ce8c8cb8689f5473862b337c176b8d976eb04a14f55269413fde7f88\
            752cd53aa9a4c8cc1ed8282be43db4ef6854ae45ed22cfac2213666da6d5e7323a934a19455e9d8e\
            53076d15a1c5c36259989717270e2720ae65f34881f0c8417afc4c7c984882d9864d3bc14b94c26a\
            23b0b76e1f9d7360";
        const PUBLIC: &str = "\
            375427d76a58cf3db4ab3cf2da9dd44dfef6233affc1d34d75c3aec9d93353a29fc3d6ec1fc4c343\
            e49439302cacca1a52d19877a0fa72a1ee023d67015ffc690361606ec24115655228b50d328636f4\
            fce68253d7fbd1eae905cfc6dc93194e147184279556d86ceeeb33a78b612aabdd6590ca4e609cc8\
            8906457787f13ff7";
        const PEER: &str = "\
            3af9e9bbff0c40ca81e538ccaca7dab906ae2f48f68b3f03e8c81f361b5cf514ef20d46d46b2c513\
            a342dd3ca210dd069ff995c53f363b4e05c5c4534fe566441343333b615d87efa9d55400c44d5b5a\
            02e41872790749df8aff964cf937fc3e349ec31f3b1cab032202389f87784f44ec4878adec2b974b\
            c17156238937133f";
        const SHARED: &str = "\
            259fe57c53fefa59cd0d40a938ac4a9ad9d1518eb35fc59284619c2b888c181ef771b29a33677cda\
            d5ed68d16bd18461ac09586c7bf1f70e34755bf075b43d061cbef695e5d7a0a9cfff202a325d4a11\
            5719fbedab935b5d5b3f0c1e279b004e77f3f223a229037d78bec852ca92576a744e7814d6613c4c\
            64057bc8cdabdbbc";
    }

    /// Known answers of other projects; read only where they are kept beside this repository.
    #[test]
    fn shared_known_answers() {
        if std::env::var_os("SHARED_VECTORS").is_none() {
            return;
        }
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/vectors/dh/modp_kat.json"
        );
        let file = std::fs::read_to_string(path).unwrap();
        let file: serde_json::Value = serde_json::from_str(&file).unwrap();
        let mut checked = 0;
        for case in file["cases"].as_array().unwrap() {
            let octets = |field: &str| hex::decode(case[field].as_str().unwrap()).unwrap();
            let number = GroupNumber(u16::try_from(case["group"].as_u64().unwrap()).unwrap());
            let Some(group) = groups().into_iter().find(|group| group.number == number) else {
                continue;
            };
            let initiator = private_value(group, &octets("private_i"));
            let responder = private_value(group, &octets("private_r"));
            assert_eq!(initiator.public(), octets("public_i"));
            assert_eq!(responder.public(), octets("public_r"));
            assert_eq!(
                initiator.agree(responder.public()).unwrap().as_slice(),
                octets("shared")
            );
            assert_eq!(
                responder.agree(initiator.public()).unwrap().as_slice(),
                octets("shared")
            );
            checked += 1;
        }
        assert!(2 <= checked, "only {checked} cases");
    }
}

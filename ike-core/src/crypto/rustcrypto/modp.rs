//! MODP groups with secret exponents in constant time.

use core::fmt;
use std::sync::LazyLock;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::{Zeroize as _, Zeroizing};

use super::modp_primes;
use crate::crypto::{BadPublicValue, Group, PrivateValue, SecureRandom, SharedSecret};
use crate::wire::numbers::GroupNumber;

/// A group of integers modulo a safe prime, with generator 2.
pub(super) struct ModpGroup {
    number: GroupNumber,
    /// Octets of the prime.
    len: usize,
    /// Octets of a private exponent.
    exponent_len: usize,
    parameters: LazyLock<BoxedMontyParams>,
}

/// The exponents have twice the lower of the two strengths in RFC 3526 section 8, in whole octets,
/// and never under 256 bits.
const fn group(
    number: GroupNumber,
    len: usize,
    exponent_len: usize,
    parameters: fn() -> BoxedMontyParams,
) -> ModpGroup {
    ModpGroup {
        number,
        len,
        exponent_len,
        parameters: LazyLock::new(parameters),
    }
}

#[cfg(feature = "legacy")]
pub(super) static MODP_768: ModpGroup = group(GroupNumber::MODP_768, 96, 32, || {
    parameters(modp_primes::MODP_768.into())
});
#[cfg(feature = "legacy")]
pub(super) static MODP_1024: ModpGroup = group(GroupNumber::MODP_1024, 128, 32, || {
    parameters(modp_primes::MODP_1024.into())
});
#[cfg(feature = "legacy")]
pub(super) static MODP_1536: ModpGroup = group(GroupNumber::MODP_1536, 192, 32, || {
    parameters(modp_primes::MODP_1536.into())
});
pub(super) static MODP_2048: ModpGroup = group(GroupNumber::MODP_2048, 256, 32, || {
    parameters(modp_primes::MODP_2048.into())
});
pub(super) static MODP_3072: ModpGroup = group(GroupNumber::MODP_3072, 384, 33, || {
    parameters(modp_primes::MODP_3072.into())
});
pub(super) static MODP_4096: ModpGroup = group(GroupNumber::MODP_4096, 512, 38, || {
    parameters(modp_primes::MODP_4096.into())
});

fn parameters(prime: Odd<BoxedUint>) -> BoxedMontyParams {
    BoxedMontyParams::new_vartime(prime)
}

impl ModpGroup {
    /// `base ^ exponent` modulo the prime, as many octets as the prime has.
    fn power(&self, base: BoxedUint, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let bits = u32::try_from(exponent.len() * 8).unwrap_or(u32::MAX);
        let exponent = Zeroizing::new(BoxedUint::from_be_slice_truncated(exponent, bits));
        let base = BoxedMontyForm::new(base, &self.parameters);
        let mut power = base.pow_bounded_exp(&exponent, bits);
        let value = Zeroizing::new(power.retrieve());
        power.as_montgomery_mut().zeroize();
        Zeroizing::new(value.to_be_bytes().into_vec())
    }

    fn integer(&self, octets: &[u8]) -> BoxedUint {
        let bits = self.parameters.bits_precision();
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
        let last = self.parameters.modulus().as_ref().wrapping_sub(&one);
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
        let mut exponent = Zeroizing::new(vec![0; self.exponent_len]);
        random.fill(&mut exponent);
        Box::new(ModpPrivateValue::new(self, exponent))
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

impl ModpPrivateValue {
    fn new(group: &'static ModpGroup, exponent: Zeroizing<Vec<u8>>) -> Self {
        let public = group.power(group.integer(&[2]), &exponent).to_vec();
        Self {
            group,
            exponent,
            public,
        }
    }
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

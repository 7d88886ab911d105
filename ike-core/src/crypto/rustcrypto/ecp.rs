//! Elliptic curve groups modulo a prime, RFC 5903.

use core::fmt;
use core::marker::PhantomData;

use p256::elliptic_curve::ops::ReduceNonZero;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, NonZeroScalar, PublicKey, Scalar,
    SecretKey,
};
use zeroize::Zeroize as _;

use crate::crypto::{BadPublicValue, Group, PrivateValue, SecureRandom, SharedSecret};
use crate::wire::numbers::GroupNumber;

/// First octet of an uncompressed point, SEC 1 section 2.3.3, which IKE leaves out.
const UNCOMPRESSED: u8 = 4;

/// A random curve of RFC 5903. A public value is `x | y` (section 7 there); a shared secret is x
/// alone (section 9: RFC 4753 had `x | y`, and its implementations do not interoperate).
pub(super) struct EcpGroup<C> {
    number: GroupNumber,
    /// Octets of a coordinate.
    len: usize,
    curve: PhantomData<fn() -> C>,
}

impl EcpGroup<p256::NistP256> {
    pub(super) const ECP_256: Self = Self {
        number: GroupNumber::ECP_256,
        len: 32,
        curve: PhantomData,
    };
}

impl EcpGroup<p384::NistP384> {
    pub(super) const ECP_384: Self = Self {
        number: GroupNumber::ECP_384,
        len: 48,
        curve: PhantomData,
    };
}

impl<C> Group for EcpGroup<C>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    Scalar<C>: ReduceNonZero<FieldBytes<C>>,
{
    fn number(&self) -> GroupNumber {
        self.number
    }

    fn public_len(&self) -> usize {
        2 * self.len
    }

    fn shared_secret_len(&self) -> usize {
        self.len
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        let secret = secret_key::<C>(random);
        let point = secret.public_key().to_projective().into();
        let public = ToSec1Point::<C>::to_sec1_point(&point, false);
        // The identity, whose encoding is shorter, is no multiple of the generator by a scalar
        // that is not zero.
        let public = public.as_bytes().get(1..).unwrap_or_default().to_vec();
        Box::new(EcpPrivateValue {
            number: self.number,
            secret,
            public,
        })
    }
}

impl<C> fmt::Debug for EcpGroup<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.number)
    }
}

struct EcpPrivateValue<C: CurveArithmetic> {
    number: GroupNumber,
    secret: SecretKey<C>,
    public: Vec<u8>,
}

impl<C> PrivateValue for EcpPrivateValue<C>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        // Two coordinates of fixed length: unlike an integer, a point has no shorter spelling.
        if peer_public.len() != self.public.len() {
            return Err(BadPublicValue);
        }
        // Refuses what is not on the curve, and the identity.
        let point = [&[UNCOMPRESSED], peer_public].concat();
        let peer = PublicKey::<C>::from_sec1_bytes(&point).map_err(|_| BadPublicValue)?;
        let secret = self.secret.diffie_hellman(&peer);
        Ok(SharedSecret::new(secret.raw_secret_bytes().as_slice()))
    }
}

impl<C: CurveArithmetic> fmt::Debug for EcpPrivateValue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateValue({:?})", self.number)
    }
}

/// Draws octets until they are a scalar of the curve, which the first almost always are.
fn secret_key<C>(random: &dyn SecureRandom) -> SecretKey<C>
where
    C: CurveArithmetic,
    Scalar<C>: ReduceNonZero<FieldBytes<C>>,
{
    const ATTEMPTS: usize = 8;
    let mut octets = FieldBytes::<C>::default();
    let mut secret = None;
    for _ in 0..ATTEMPTS {
        random.fill(&mut octets);
        secret = SecretKey::<C>::from_bytes(&octets).ok();
        if secret.is_some() {
            break;
        }
    }
    // Reached once in 2^256, or with a source that is not random: a fuzzer's may be all zeros.
    let secret = secret.unwrap_or_else(|| NonZeroScalar::<C>::reduce_nonzero(&octets).into());
    octets.zeroize();
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets given in advance, then zeros.
    #[derive(Debug)]
    struct Given(Vec<u8>);

    impl SecureRandom for Given {
        fn fill(&self, octets: &mut [u8]) {
            for (index, octet) in octets.iter_mut().enumerate() {
                *octet = self.0.get(index).copied().unwrap_or(0);
            }
        }
    }

    fn given(hex: &str) -> Given {
        Given(hex::decode(hex).unwrap())
    }

    fn check(group: &dyn Group, i: &str, g_xi: &str, r: &str, g_xr: &str, shared: &str) {
        let initiator = group.generate(&given(i));
        let responder = group.generate(&given(r));
        assert_eq!(hex::encode(initiator.public()), g_xi);
        assert_eq!(hex::encode(responder.public()), g_xr);
        assert_eq!(initiator.public().len(), group.public_len());
        let secret = initiator.agree(responder.public()).unwrap();
        assert_eq!(hex::encode(secret.as_slice()), shared);
        assert_eq!(secret.as_slice().len(), group.shared_secret_len());
        assert_eq!(responder.agree(initiator.public()), Ok(secret));
    }

    /// RFC 5903 section 8.1.
    #[test]
    fn known_answer_of_p_256() {
        check(
            &EcpGroup::ECP_256,
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
             5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
            "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63\
             56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
        );
    }

    /// RFC 5903 section 8.2.
    #[test]
    fn known_answer_of_p_384() {
        check(
            &EcpGroup::ECP_384,
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655\
             e35b538041e649ee3faef896783ab194",
            "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6\
             de3ac808acb4bdb4c88732aee95f41aa9482ed1fc0eeb9cafc4984625ccfc23f\
             65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942\
             e0308312916b8ed2960e4bd55a7448fc",
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d\
             0d1ac43a0336def96fda41d0774a3571dcfbec7aacf3196472169e838430367f\
             66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4\
             d603135569b9e9d09cf5d4a270f59746",
        );
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let group = EcpGroup::ECP_256;
        let value = group.generate(&Given(vec![7; 32]));
        let mut off_curve = value.public().to_vec();
        off_curve[63] ^= 1;
        assert_eq!(value.agree(&off_curve), Err(BadPublicValue));
        assert_eq!(value.agree(&[0; 64]), Err(BadPublicValue));
        assert_eq!(value.agree(&[0xff; 64]), Err(BadPublicValue));
        assert_eq!(value.agree(&value.public()[..63]), Err(BadPublicValue));
        assert_eq!(value.agree(&[]), Err(BadPublicValue));
        // A compressed point and one with the format octet that IKE leaves out.
        assert_eq!(
            value.agree(&[&[2], &value.public()[..32]].concat()),
            Err(BadPublicValue)
        );
        assert_eq!(
            value.agree(&[&[4], value.public()].concat()),
            Err(BadPublicValue)
        );
    }

    #[test]
    fn a_source_that_never_gives_a_scalar_still_ends() {
        for constant in [0, 0xff] {
            let group = EcpGroup::ECP_384;
            let value = group.generate(&Given(vec![constant; 48]));
            assert_eq!(value.public().len(), 96);
            assert!(value.agree(value.public()).is_ok());
        }
    }

    #[test]
    fn debug_does_not_show_the_scalar() {
        let value = EcpGroup::ECP_256.generate(&Given(vec![7; 32]));
        assert_eq!(format!("{value:?}"), "PrivateValue(ECP_256)");
    }
}

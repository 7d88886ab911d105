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

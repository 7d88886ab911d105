//! Keys and hashes of an ISAKMP SA, RFC 2409 section 5 and appendix B.

use alloc::sync::Arc;
use core::fmt;

use super::{Digest, Hash, KeyedPrf, SharedSecret};
use crate::cookie::CookiePair;
use crate::message_id::MessageId;
use crate::secret::SecretBytes;

/// SKEYID with pre-shared keys: `prf(pre-shared-key, Ni_b | Nr_b)`, RFC 2409 section 5.
///
/// It needs no Diffie-Hellman, and neither do [`hash_i`](Self::hash_i) and
/// [`hash_r`](Self::hash_r): a responder can answer before it has computed g^xy.
#[derive(Clone, Debug)]
pub struct Skeyid {
    hash: &'static dyn Hash,
    /// In a place of its own: what holds it is moved, and a move leaves a copy behind.
    skeyid: Box<Key>,
}

/// A key of the prf, taken in for all that is made with it.
#[derive(Clone)]
struct Key {
    octets: Digest,
    prf: Arc<dyn KeyedPrf>,
}

impl Key {
    fn new(hash: &'static dyn Hash, octets: Digest) -> Self {
        let prf = hash.keyed(&octets);
        Self { octets, prf }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.octets.fmt(f)
    }
}

/// What HASH_I and HASH_R cover, RFC 2409 section 5, as it was sent and received: the bodies of
/// the payloads without their generic headers, never encoded anew.
#[expect(
    clippy::exhaustive_structs,
    reason = "the list of RFC 2409 section 5, for ever"
)]
#[derive(Clone, Copy, Debug)]
pub struct ExchangeInputs<'a> {
    /// Body of the initiator's Key Exchange payload.
    pub g_xi: &'a [u8],
    /// Body of the responder's Key Exchange payload.
    pub g_xr: &'a [u8],
    /// Both cookies.
    pub cookies: CookiePair,
    /// Body of the initiator's SA payload: the whole offer.
    pub sai_b: &'a [u8],
    /// Body of the initiator's Identification payload.
    pub idii_b: &'a [u8],
    /// Body of the responder's Identification payload.
    pub idir_b: &'a [u8],
}

impl Skeyid {
    /// Derives SKEYID from a pre-shared key and the bodies of both Nonce payloads.
    pub fn from_pre_shared_key(
        hash: &'static dyn Hash,
        pre_shared_key: &[u8],
        ni_b: &[u8],
        nr_b: &[u8],
    ) -> Self {
        Self {
            hash,
            skeyid: Box::new(Key::new(hash, hash.prf(pre_shared_key, &[ni_b, nr_b]))),
        }
    }

    /// `HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)`.
    pub fn hash_i(&self, inputs: &ExchangeInputs<'_>) -> Digest {
        self.prf(&[
            inputs.g_xi,
            inputs.g_xr,
            &inputs.cookies.initiator().octets(),
            &inputs.cookies.responder().octets(),
            inputs.sai_b,
            inputs.idii_b,
        ])
    }

    /// `HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)`.
    pub fn hash_r(&self, inputs: &ExchangeInputs<'_>) -> Digest {
        self.prf(&[
            inputs.g_xr,
            inputs.g_xi,
            &inputs.cookies.responder().octets(),
            &inputs.cookies.initiator().octets(),
            inputs.sai_b,
            inputs.idir_b,
        ])
    }

    /// `prf(SKEYID, ..)`.
    pub(crate) fn prf(&self, parts: &[&[u8]]) -> Digest {
        self.skeyid.prf.prf(parts)
    }

    /// Derives SKEYID_d, SKEYID_a and SKEYID_e, RFC 2409 section 5.
    pub fn session_keys(&self, g_xy: &SharedSecret, cookies: CookiePair) -> SessionKeys {
        let (g_xy, cookies) = (g_xy.as_slice(), &cookies.octets()[..]);
        let prf = |parts: &[&[u8]]| self.prf(parts);
        let skeyid_d = prf(&[g_xy, cookies, &[0]]);
        let skeyid_a = prf(&[&skeyid_d, g_xy, cookies, &[1]]);
        let skeyid_e = prf(&[&skeyid_a, g_xy, cookies, &[2]]);
        SessionKeys {
            hash: self.hash,
            derived: Box::new(Derived {
                skeyid_d: Key::new(self.hash, skeyid_d),
                skeyid_a: Key::new(self.hash, skeyid_a),
                skeyid_e,
            }),
        }
    }

    /// SKEYID itself.
    pub const fn as_digest(&self) -> &Digest {
        &self.skeyid.octets
    }
}

/// The keys of an ISAKMP SA and the hashes that protect the exchanges under it.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    hash: &'static dyn Hash,
    /// In a place of their own: what holds them is moved, and a move leaves a copy behind.
    derived: Box<Derived>,
}

#[derive(Clone, Debug)]
struct Derived {
    skeyid_d: Key,
    skeyid_a: Key,
    skeyid_e: Digest,
}

impl SessionKeys {
    /// The negotiated hash.
    pub const fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    /// SKEYID_d, from which the keys of IPsec SAs are derived.
    pub const fn skeyid_d(&self) -> &Digest {
        &self.derived.skeyid_d.octets
    }

    /// SKEYID_a, which authenticates messages.
    pub const fn skeyid_a(&self) -> &Digest {
        &self.derived.skeyid_a.octets
    }

    /// SKEYID_e, from which the key for messages is derived.
    pub const fn skeyid_e(&self) -> &Digest {
        &self.derived.skeyid_e
    }

    /// The key for the cipher of messages, RFC 2409 appendix B: the first octets of SKEYID_e if it
    /// has enough, and else of `K1 | K2 | ..` with `K1 = prf(SKEYID_e, 0)` and
    /// `K2 = prf(SKEYID_e, K1)`.
    pub fn cipher_key(&self, len: usize) -> SecretBytes {
        if let Some(key) = self.skeyid_e().get(..len) {
            return SecretBytes::from(key);
        }
        let mut key = Vec::with_capacity(len + Digest::MAX_LEN);
        let mut block = self.hash.prf(self.skeyid_e(), &[&[0]]);
        key.extend_from_slice(&block);
        while key.len() < len && !block.is_empty() {
            block = self.hash.prf(self.skeyid_e(), &[&block]);
            key.extend_from_slice(&block);
        }
        key.truncate(len);
        SecretBytes::new(key)
    }

    /// `HASH(1) = prf(SKEYID_a, M-ID | SA | Ni [| KE] [| IDci | IDcr])` of quick mode, and the hash
    /// of an Informational exchange `prf(SKEYID_a, M-ID | N/D)`: in either case over all payloads
    /// after the Hash, as sent, without padding
    /// ([`Payloads::octets_after_first`](crate::wire::Payloads::octets_after_first)).
    pub fn hash_1(&self, message_id: MessageId, payloads_after_hash: &[u8]) -> Digest {
        self.prf_a(&[&message_id.octets(), payloads_after_hash])
    }

    /// `HASH(2) = prf(SKEYID_a, M-ID | Ni_b | SA | Nr [| KE] [| IDci | IDcr])`.
    pub fn hash_2(&self, message_id: MessageId, ni_b: &[u8], payloads_after_hash: &[u8]) -> Digest {
        self.prf_a(&[&message_id.octets(), ni_b, payloads_after_hash])
    }

    /// `HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)`.
    pub fn hash_3(&self, message_id: MessageId, ni_b: &[u8], nr_b: &[u8]) -> Digest {
        self.prf_a(&[&[0], &message_id.octets(), ni_b, nr_b])
    }

    fn prf_a(&self, parts: &[&[u8]]) -> Digest {
        self.derived.skeyid_a.prf.prf(parts)
    }

    /// `prf(SKEYID_d, ..)`.
    pub(super) fn prf_d(&self, parts: &[&[u8]]) -> Digest {
        self.derived.skeyid_d.prf.prf(parts)
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::{SHA1, SHA2_256};

    /// SKEYID_e of the recorded handshake in `tests/vectors_handshake.rs`.
    const SKEYID_E: &str = "d1ebdcd918d45f727d033e1e43c6a3b59c2d92ed";

    fn keys(hash: &'static dyn Hash, skeyid_e: Digest) -> SessionKeys {
        let zero = Digest::new([0; 20]);
        SessionKeys {
            hash,
            derived: Box::new(Derived {
                skeyid_d: Key::new(hash, zero.clone()),
                skeyid_a: Key::new(hash, zero),
                skeyid_e,
            }),
        }
    }

    fn recorded() -> SessionKeys {
        let octets: [u8; 20] = hex::decode(SKEYID_E).unwrap().try_into().unwrap();
        keys(SHA1, Digest::new(octets))
    }

    #[test]
    fn a_short_key_is_the_head_of_skeyid_e() {
        assert_eq!(
            hex::encode(recorded().cipher_key(16).as_slice()),
            SKEYID_E[..32]
        );
        assert_eq!(hex::encode(recorded().cipher_key(20).as_slice()), SKEYID_E);
    }

    /// Expected values by another program from the formula of RFC 2409 appendix B.
    #[test]
    fn a_long_key_is_stretched_from_the_zero_octet() {
        let expected = "d175cd3638d702a7c5962c995a607eeea0af6843217beeb0673d1b035aefd94621c6871b\
                        39f70f2b14e76d907e530ce3ac19d884f4c3088f5779607e";
        for len in [21, 24, 32, 60] {
            let key = recorded().cipher_key(len);
            assert_eq!(hex::encode(key.as_slice()), expected[..2 * len]);
        }
    }

    #[test]
    fn quick_mode_hashes_differ_by_message_id_and_place() {
        let keys = keys(SHA2_256, Digest::new([1; 32]));
        let id = MessageId::new(7);
        assert_ne!(
            keys.hash_1(id, b"payloads"),
            keys.hash_1(MessageId::new(8), b"payloads")
        );
        assert_ne!(
            keys.hash_1(id, b"payloads"),
            keys.hash_2(id, b"nonce", b"payloads")
        );
        assert_ne!(keys.hash_3(id, b"ni", b"nr"), keys.hash_2(id, b"ni", b"nr"));
    }

    #[test]
    fn debug_shows_no_key() {
        let skeyid = Skeyid::from_pre_shared_key(SHA1, b"key", b"ni", b"nr");
        let secret = SharedSecret::new(vec![0xab; 128]);
        let keys = skeyid.session_keys(&secret, CookiePair::from_octets([0; 16]));
        assert_eq!(
            format!("{skeyid:?}"),
            "Skeyid { hash: SHA1, skeyid: Digest(20 octets) }"
        );
        assert_eq!(
            format!("{keys:?}"),
            "SessionKeys { hash: SHA1, derived: Derived { skeyid_d: Digest(20 octets), \
             skeyid_a: Digest(20 octets), skeyid_e: Digest(20 octets) } }"
        );
        assert_eq!(
            format!("{secret:?}"),
            "SharedSecret(SecretBytes(128 octets))"
        );
    }
}

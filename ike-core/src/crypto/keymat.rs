//! Keys of IPsec SAs, RFC 2409 section 5.5.

use super::{Digest, SessionKeys, SharedSecret};
use crate::secret::SecretBytes;
use crate::spi::Spi;
use crate::wire::numbers::ProtocolId;

/// What the keys of one direction are made of besides SKEYID_d.
#[expect(
    clippy::exhaustive_structs,
    reason = "the list of RFC 2409 section 5.5, for ever"
)]
#[derive(Clone, Copy, Debug)]
pub struct KeymatInputs<'a> {
    /// g^xy of the quick mode exchange, if it had Key Exchange payloads (PFS).
    pub g_xy: Option<&'a SharedSecret>,
    /// The protocol of the SA.
    pub protocol: ProtocolId,
    /// The SPI that the *receiver* of this direction chose.
    pub spi: Spi,
    /// Body of the initiator's Nonce payload in quick mode.
    pub ni_b: &'a [u8],
    /// Body of the responder's Nonce payload in quick mode.
    pub nr_b: &'a [u8],
}

impl SessionKeys {
    /// `KEYMAT = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)`, expanded to `len`
    /// octets with `K2 = prf(SKEYID_d, K1 | [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)` and so on.
    pub fn keymat(&self, inputs: &KeymatInputs<'_>, len: usize) -> SecretBytes {
        let g_xy = inputs.g_xy.map_or(&[][..], SharedSecret::as_slice);
        let protocol = [inputs.protocol.0];
        let spi = inputs.spi.octets();
        let next = |previous: &[u8]| {
            let parts = [previous, g_xy, &protocol, &spi, inputs.ni_b, inputs.nr_b];
            self.prf_d(&parts)
        };
        let mut keymat = Vec::with_capacity(len + Digest::MAX_LEN);
        let mut block = next(&[]);
        keymat.extend_from_slice(&block);
        while keymat.len() < len && !block.is_empty() {
            block = next(&block);
            keymat.extend_from_slice(&block);
        }
        keymat.truncate(len);
        SecretBytes::new(keymat)
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::cookie::CookiePair;
    use crate::crypto::Skeyid;
    use crate::crypto::rustcrypto::SHA2_256;

    fn keys() -> SessionKeys {
        let skeyid = Skeyid::from_pre_shared_key(SHA2_256, b"key", b"ni", b"nr");
        skeyid.session_keys(
            &SharedSecret::new(vec![1; 32]),
            CookiePair::from_octets([2; 16]),
        )
    }

    fn inputs(g_xy: Option<&SharedSecret>) -> KeymatInputs<'_> {
        let spi = Spi::new(0x0102_0304).unwrap();
        KeymatInputs {
            g_xy,
            protocol: ProtocolId::ESP,
            spi,
            ni_b: b"ni",
            nr_b: b"nr",
        }
    }

    #[test]
    fn keymat_follows_the_formula_block_by_block() {
        let (keys, secret) = (keys(), SharedSecret::new(vec![7; 32]));
        for g_xy in [None, Some(&secret)] {
            let g_xy_octets = g_xy.map_or(&[][..], SharedSecret::as_slice);
            let seed = [g_xy_octets, &[3, 1, 2, 3, 4], b"ni", b"nr"].concat();
            let first = SHA2_256.prf(keys.skeyid_d(), &[&seed]);
            let second = SHA2_256.prf(keys.skeyid_d(), &[&first, &seed]);
            let third = SHA2_256.prf(keys.skeyid_d(), &[&second, &seed]);
            let expected = [&first[..], &second, &third].concat();
            for len in [0, 1, 20, 32, 36, 64, 68, 96] {
                assert_eq!(keys.keymat(&inputs(g_xy), len).as_slice(), &expected[..len]);
            }
        }
    }

    #[test]
    fn every_input_matters() {
        let (keys, secret) = (keys(), SharedSecret::new(vec![7; 32]));
        let base = keys.keymat(&inputs(None), 32);
        let spi = Spi::new(0x0102_0305).unwrap();
        let others = [
            inputs(Some(&secret)),
            KeymatInputs {
                spi,
                ..inputs(None)
            },
            KeymatInputs {
                protocol: ProtocolId::AH,
                ..inputs(None)
            },
            KeymatInputs {
                ni_b: b"no",
                ..inputs(None)
            },
            KeymatInputs {
                nr_b: b"no",
                ..inputs(None)
            },
        ];
        for other in others {
            assert_ne!(keys.keymat(&other, 32), base, "{other:?}");
        }
    }
}

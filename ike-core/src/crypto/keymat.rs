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
            self.hash().prf(self.skeyid_d(), &parts)
        };
        let mut keymat = Vec::with_capacity(len + Digest::MAX_LEN);
        let mut block = next(&[]);
        while keymat.len() < len && !block.is_empty() {
            keymat.extend_from_slice(&block);
            block = next(&block);
        }
        keymat.truncate(len);
        SecretBytes::new(keymat)
    }
}

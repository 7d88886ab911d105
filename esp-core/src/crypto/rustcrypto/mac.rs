//! HMAC over whole packets, RFC 2404 and RFC 4868.

use alloc::boxed::Box;
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::suite::Integrity;

/// A keyed hash that authenticates a packet and, without ever being sent, the high half of its sequence number.
pub(super) trait PacketMac: fmt::Debug + Send + Sync {
    /// Writes the ICV; it is cut to the length of `icv`.
    fn sign(&self, packet: &[u8], high_half: &[u8], icv: &mut [u8]);

    /// Whether the ICV is right, in time that does not depend on where it is wrong. `icv` is as long as the suite has it.
    fn verify(&self, packet: &[u8], high_half: &[u8], icv: &[u8]) -> bool;
}

pub(super) const fn supports(integrity: Integrity) -> bool {
    match integrity {
        Integrity::HmacMd5_96 => cfg!(feature = "legacy"),
        Integrity::HmacSha1_96
        | Integrity::HmacSha256_128
        | Integrity::HmacSha384_192
        | Integrity::HmacSha512_256 => true,
    }
}

pub(super) fn keyed(integrity: Integrity, key: &[u8]) -> Option<Box<dyn PacketMac>> {
    Some(match integrity {
        #[cfg(feature = "legacy")]
        Integrity::HmacMd5_96 => Box::new(Keyed::<Hmac<md5::Md5>>::new(key)?),
        #[cfg(not(feature = "legacy"))]
        Integrity::HmacMd5_96 => return None,
        Integrity::HmacSha1_96 => Box::new(Keyed::<Hmac<Sha1>>::new(key)?),
        Integrity::HmacSha256_128 => Box::new(Keyed::<Hmac<Sha256>>::new(key)?),
        Integrity::HmacSha384_192 => Box::new(Keyed::<Hmac<Sha384>>::new(key)?),
        Integrity::HmacSha512_256 => Box::new(Keyed::<Hmac<Sha512>>::new(key)?),
    })
}

/// A hash that has taken in its key; each packet starts from a copy, which saves hashing the key again.
struct Keyed<M> {
    mac: M,
}

impl<M: KeyInit> Keyed<M> {
    fn new(key: &[u8]) -> Option<Self> {
        M::new_from_slice(key).ok().map(|mac| Self { mac })
    }
}

impl<M: Clone + Mac> Keyed<M> {
    fn over(&self, packet: &[u8], high_half: &[u8]) -> M {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(high_half);
        mac
    }
}

impl<M: Clone + Mac + Send + Sync> PacketMac for Keyed<M> {
    fn sign(&self, packet: &[u8], high_half: &[u8], icv: &mut [u8]) {
        let full = self.over(packet, high_half).finalize().into_bytes();
        if let Some(truncated) = full.get(..icv.len()) {
            icv.copy_from_slice(truncated);
        }
    }

    fn verify(&self, packet: &[u8], high_half: &[u8], icv: &[u8]) -> bool {
        self.over(packet, high_half)
            .verify_truncated_left(icv)
            .is_ok()
    }
}

impl<M> fmt::Debug for Keyed<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyed(..)")
    }
}

//! Cryptography that proves nothing, so that a fuzzer reaches what lies behind it: every digest is zeros, every
//! ciphertext is its plaintext. Never to be used for anything else.

use ntp_core::crypto::{MacAlgorithm, MacKey};
use ntp_core::mac::{Digest, MacKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of the digest that every NTP message has.
pub(crate) const MAC_LEN: usize = 16;

/// An NTP key under which sixteen zeros authenticate everything.
#[derive(Debug)]
pub(crate) struct NullMac;

impl MacAlgorithm for NullMac {
    fn kind(&self) -> MacKind {
        MacKind::Md5
    }

    fn key(&self, _: &[u8]) -> Option<Arc<dyn MacKey>> {
        Some(Arc::new(Self))
    }
}

impl MacKey for NullMac {
    fn sign(&self, _: &[u8]) -> Digest {
        Digest::truncated(&[0; MAC_LEN])
    }
}

/// Octets that repeat from run to run and never within one.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    fn fill(&self, octets: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        sim::Random::new(count).fill(octets);
    }
}

impl esp_core::crypto::SecureRandom for Counter {
    fn fill(&self, octets: &mut [u8]) {
        Self::fill(self, octets);
    }
}

impl ntp_core::SecureRandom for Counter {
    fn fill(&self, octets: &mut [u8]) {
        Self::fill(self, octets);
    }
}

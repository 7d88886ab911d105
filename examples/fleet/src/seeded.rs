//! Randomness that repeats, for all three cores.

use std::sync::{Arc, Mutex, PoisonError};

use trigger::CryptoProvider;

/// A seeded source.
#[derive(Debug)]
struct Seeded(Mutex<sim::Random>);

impl Seeded {
    fn octets(&self, octets: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill(octets);
    }
}

impl trigger::ike_core::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

impl trigger::esp_core::crypto::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

impl trigger::ntp_core::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

/// The default algorithms with a seeded source.
pub(crate) fn crypto(seed: u64, part: &[u64]) -> CryptoProvider {
    let random = Arc::new(Seeded(Mutex::new(sim::Random::derive(seed, part))));
    let mut crypto = CryptoProvider::rustcrypto();
    crypto.ike.secure_random = Arc::clone(&random) as _;
    crypto.esp.secure_random = Arc::clone(&random) as _;
    crypto.ntp.secure_random = random;
    crypto
}

//! The cryptography of the three cores in one value.

/// What the three cores compute with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CryptoProvider {
    /// For ISAKMP.
    pub ike: ike_core::CryptoProvider,
    /// For ESP.
    pub esp: esp_core::CryptoProvider,
    /// For NTP, and for every jitter of this crate.
    pub ntp: ntp_core::CryptoProvider,
}

impl CryptoProvider {
    /// Joins three providers.
    #[must_use]
    pub const fn new(
        ike: ike_core::CryptoProvider,
        esp: esp_core::CryptoProvider,
        ntp: ntp_core::CryptoProvider,
    ) -> Self {
        Self { ike, esp, ntp }
    }

    /// The default implementations, by the RustCrypto crates and the operating system's random
    /// source.
    #[cfg(feature = "rustcrypto")]
    #[must_use]
    pub fn rustcrypto() -> Self {
        Self {
            ike: ike_core::crypto::rustcrypto::provider(),
            esp: esp_core::crypto::rustcrypto::provider(),
            ntp: ntp_core::crypto::rustcrypto::provider(),
        }
    }
}

//! Suites: the algorithms of one SA, their keys and what they add to a packet.

use core::fmt;
use core::str::FromStr;

use crate::encapsulation::Encapsulation;
use crate::error::SuiteError;
use crate::wire::EspHeader;

/// Key length of AES.
#[expect(clippy::exhaustive_enums, reason = "FIPS 197 defines these three")]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AesKey {
    /// 128 bits.
    Bits128,
    /// 192 bits.
    Bits192,
    /// 256 bits.
    Bits256,
}

impl AesKey {
    /// The length that an IKE Key Length attribute of that many bits asks for.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            128 => Some(Self::Bits128),
            192 => Some(Self::Bits192),
            256 => Some(Self::Bits256),
            _ => None,
        }
    }

    /// In bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Bits128 => 128,
            Self::Bits192 => 192,
            Self::Bits256 => 256,
        }
    }

    const fn octets(self) -> usize {
        (self.bits() / 8) as usize
    }
}

/// Encryption algorithm of ESP, or combined encryption and integrity.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Cipher {
    /// DES-CBC, RFC 2405. Broken; feature `legacy`.
    Des,
    /// 3DES-CBC, RFC 2451. Obsolete; feature `legacy`.
    TripleDes,
    /// NULL, RFC 2410: integrity only.
    Null,
    /// AES-CBC, RFC 3602.
    AesCbc(AesKey),
    /// AES in counter mode, RFC 3686.
    AesCtr(AesKey),
    /// AES-GCM with an ICV of 16 octets, RFC 4106.
    AesGcm16(AesKey),
    /// AES-GMAC, RFC 4543 (ENCR_NULL_AUTH_AES_GMAC): integrity only, at the speed of GCM's.
    AesGmac(AesKey),
    /// ChaCha20-Poly1305, RFC 7634. IKEv1 has no number for it.
    ChaCha20Poly1305,
}

impl Cipher {
    /// Whether the algorithm authenticates as well, so that no [`Integrity`] goes with it.
    #[must_use]
    pub const fn is_combined(self) -> bool {
        match self {
            Self::AesGcm16(_) | Self::AesGmac(_) | Self::ChaCha20Poly1305 => true,
            Self::Des | Self::TripleDes | Self::Null | Self::AesCbc(_) | Self::AesCtr(_) => false,
        }
    }

    /// Octets of KEYMAT that the algorithm takes: the key and, for combined modes, the salt (RFC
    /// 4106 section 8.1).
    #[must_use]
    pub const fn keymat_len(self) -> usize {
        match self {
            Self::Des => 8,
            Self::TripleDes => 24,
            Self::Null => 0,
            Self::AesCbc(key) => key.octets(),
            Self::AesCtr(key) | Self::AesGcm16(key) | Self::AesGmac(key) => key.octets() + SALT_LEN,
            Self::ChaCha20Poly1305 => 32 + SALT_LEN,
        }
    }

    /// Octets of IV in each packet.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::AesCbc(_) => 16,
            Self::Des
            | Self::TripleDes
            | Self::AesCtr(_)
            | Self::AesGcm16(_)
            | Self::AesGmac(_)
            | Self::ChaCha20Poly1305 => 8,
        }
    }

    /// What the padded plaintext's length is a multiple of: the cipher's block, and four at least
    /// (RFC 4303 section 2.4).
    #[must_use]
    pub const fn alignment(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::AesCbc(_) => 16,
            Self::Null
            | Self::AesCtr(_)
            | Self::AesGcm16(_)
            | Self::AesGmac(_)
            | Self::ChaCha20Poly1305 => 4,
        }
    }

    /// Octets under one key after which it should be replaced: 2^20 blocks of a 64-bit block
    /// cipher, whose blocks begin to repeat (Sweet32, NIST SP 800-67 revision 2 section 3.3).
    /// `None` where the sequence number ends first.
    #[must_use]
    pub const fn octet_limit(self) -> Option<u64> {
        match self {
            Self::Des | Self::TripleDes => Some(8 << 20),
            Self::Null
            | Self::AesCbc(_)
            | Self::AesCtr(_)
            | Self::AesGcm16(_)
            | Self::AesGmac(_)
            | Self::ChaCha20Poly1305 => None,
        }
    }
}

/// Octets of the salt, or nonce, that KEYMAT carries behind the key: RFC 4106 section 4, RFC 3686
/// section 4, RFC 4543 section 3.2, RFC 7634 section 2.
pub(crate) const SALT_LEN: usize = 4;

/// Integrity algorithm of ESP.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Integrity {
    /// HMAC-MD5-96, RFC 2403. Obsolete; feature `legacy`.
    HmacMd5_96,
    /// HMAC-SHA1-96, RFC 2404.
    HmacSha1_96,
    /// HMAC-SHA-256 cut to 96 bits, as a draft had it and old peers still do. IKE has no number of
    /// its own for it.
    HmacSha256_96,
    /// HMAC-SHA-256-128, RFC 4868.
    HmacSha256_128,
    /// HMAC-SHA-384-192, RFC 4868.
    HmacSha384_192,
    /// HMAC-SHA-512-256, RFC 4868.
    HmacSha512_256,
}

impl Integrity {
    /// Octets of KEYMAT that the algorithm takes.
    #[must_use]
    pub const fn keymat_len(self) -> usize {
        match self {
            Self::HmacMd5_96 => 16,
            Self::HmacSha1_96 => 20,
            Self::HmacSha256_96 | Self::HmacSha256_128 => 32,
            Self::HmacSha384_192 => 48,
            Self::HmacSha512_256 => 64,
        }
    }

    /// Octets of ICV in each packet.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacMd5_96 | Self::HmacSha1_96 | Self::HmacSha256_96 => 12,
            Self::HmacSha256_128 => 16,
            Self::HmacSha384_192 => 24,
            Self::HmacSha512_256 => 32,
        }
    }
}

/// The algorithms of one SA.
///
/// Invariant: `integrity` is there exactly when `cipher` does not authenticate by itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EspSuite {
    cipher: Cipher,
    integrity: Option<Integrity>,
    esn: bool,
}

impl EspSuite {
    /// A suite with 32-bit sequence numbers; [`with_esn`](Self::with_esn) makes them 64 bits.
    ///
    /// # Errors
    ///
    /// [`SuiteError::IntegrityMissing`] for a cipher alone, [`SuiteError::IntegritySuperfluous`]
    /// beside a combined mode.
    pub const fn new(cipher: Cipher, integrity: Option<Integrity>) -> Result<Self, SuiteError> {
        match (cipher.is_combined(), integrity) {
            (true, None) | (false, Some(_)) => Ok(Self {
                cipher,
                integrity,
                esn: false,
            }),
            (true, Some(_)) => Err(SuiteError::IntegritySuperfluous),
            (false, None) => Err(SuiteError::IntegrityMissing),
        }
    }

    /// The same with extended sequence numbers, RFC 4303 section 2.2.1.
    #[must_use]
    pub const fn with_esn(mut self) -> Self {
        self.esn = true;
        self
    }

    /// The encryption algorithm.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The integrity algorithm, unless the cipher is a combined mode.
    #[must_use]
    pub const fn integrity(&self) -> Option<Integrity> {
        self.integrity
    }

    /// Whether sequence numbers are extended.
    #[must_use]
    pub const fn esn(&self) -> bool {
        self.esn
    }

    /// Octets of KEYMAT for one direction: the cipher's, then the integrity algorithm's (RFC 2409
    /// section 5.5).
    #[must_use]
    pub const fn keymat_len(&self) -> usize {
        self.cipher.keymat_len()
            + match self.integrity {
                Some(integrity) => integrity.keymat_len(),
                None => 0,
            }
    }

    /// Octets of IV in each packet.
    #[must_use]
    pub const fn iv_len(&self) -> usize {
        self.cipher.iv_len()
    }

    /// Octets of ICV in each packet.
    #[must_use]
    pub const fn icv_len(&self) -> usize {
        match self.integrity {
            Some(integrity) => integrity.icv_len(),
            None => 16,
        }
    }

    /// Octets in front of the plaintext: SPI, sequence number and IV.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        EspHeader::LEN + self.iv_len()
    }

    /// Length of the plaintext with its trailer (padding, pad length, next header) for a payload of
    /// that length.
    #[must_use]
    pub const fn padded_len(&self, payload_len: usize) -> usize {
        // Alignments are powers of two, and a division would cost more than the rest.
        let mask = self.cipher.alignment() - 1;
        payload_len.saturating_add(2 + mask) & !mask
    }

    /// Length of the ESP packet, from SPI to ICV, that carries a packet of that length.
    #[must_use]
    pub const fn sealed_len(&self, packet_len: usize) -> usize {
        self.padded_len(packet_len)
            .saturating_add(self.header_len() + self.icv_len())
    }

    /// The most octets that sealing adds to any packet.
    #[must_use]
    pub const fn max_overhead(&self) -> usize {
        self.header_len() + 1 + self.cipher.alignment() + self.icv_len()
    }

    /// The longest inner packet whose ESP packet is at most that long, from SPI to ICV.
    #[must_use]
    pub const fn max_packet_len(&self, esp_len: usize) -> usize {
        let room = esp_len.saturating_sub(self.header_len() + self.icv_len());
        (room & !(self.cipher.alignment() - 1)).saturating_sub(2)
    }

    /// The longest inner packet that an outer path of that MTU carries in one piece; the tunnel's
    /// own MTU.
    #[must_use]
    pub const fn effective_mtu(
        &self,
        outer_mtu: usize,
        encapsulation: Encapsulation,
        family: OuterFamily,
    ) -> usize {
        self.max_packet_len(
            outer_mtu.saturating_sub(family.header_len() + encapsulation.header_len()),
        )
    }
}

/// The lengths of a suite, looked up once per SA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) header_len: usize,
    pub(crate) iv_len: usize,
    pub(crate) icv_len: usize,
    /// One less than the alignment.
    mask: usize,
}

impl Geometry {
    pub(crate) const fn of(suite: EspSuite) -> Self {
        Self {
            header_len: suite.header_len(),
            iv_len: suite.iv_len(),
            icv_len: suite.icv_len(),
            mask: suite.cipher().alignment() - 1,
        }
    }

    pub(crate) const fn padded_len(&self, payload_len: usize) -> usize {
        payload_len.saturating_add(2 + self.mask) & !self.mask
    }

    pub(crate) const fn sealed_len(&self, payload_len: usize) -> usize {
        self.padded_len(payload_len)
            .saturating_add(self.header_len + self.icv_len)
    }

    /// Length of the padded plaintext in a packet of that length; `None` if it is too short for
    /// one.
    pub(crate) fn body_len(&self, esp_len: usize) -> Option<usize> {
        esp_len
            .checked_sub(self.header_len + self.icv_len)
            .filter(|len| *len != 0)
    }

    pub(crate) const fn is_aligned(&self, body_len: usize) -> bool {
        body_len & self.mask == 0
    }
}

/// The outer IP header's version.
#[expect(clippy::exhaustive_enums, reason = "there are two")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum OuterFamily {
    /// IPv4: 20 octets, without options.
    V4,
    /// IPv6: 40 octets, without extension headers.
    V6,
}

impl OuterFamily {
    /// Octets of the outer IP header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

impl fmt::Display for EspSuite {
    /// In strongSwan's notation: `aes128gcm16`, `aes256-sha256-esn`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cipher {
            Cipher::Des => formatter.write_str("des")?,
            Cipher::TripleDes => formatter.write_str("3des")?,
            Cipher::Null => formatter.write_str("null")?,
            Cipher::AesCbc(key) => write!(formatter, "aes{}", key.bits())?,
            Cipher::AesCtr(key) => write!(formatter, "aes{}ctr", key.bits())?,
            Cipher::AesGcm16(key) => write!(formatter, "aes{}gcm16", key.bits())?,
            Cipher::AesGmac(key) => write!(formatter, "aes{}gmac", key.bits())?,
            Cipher::ChaCha20Poly1305 => formatter.write_str("chacha20poly1305")?,
        }
        if let Some(integrity) = self.integrity {
            formatter.write_str(match integrity {
                Integrity::HmacMd5_96 => "-md5",
                Integrity::HmacSha1_96 => "-sha1",
                Integrity::HmacSha256_96 => "-sha256_96",
                Integrity::HmacSha256_128 => "-sha256",
                Integrity::HmacSha384_192 => "-sha384",
                Integrity::HmacSha512_256 => "-sha512",
            })?;
        }
        formatter.write_str(if self.esn { "-esn" } else { "" })
    }
}

impl FromStr for EspSuite {
    type Err = SuiteError;

    /// Reads what `Display` prints.
    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let (text, esn) = match text.strip_suffix("-esn") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (cipher, integrity) = match text.split_once('-') {
            Some((cipher, integrity)) => (cipher, Some(read_integrity(integrity)?)),
            None => (text, None),
        };
        let suite = Self::new(read_cipher(cipher)?, integrity)?;
        Ok(if esn { suite.with_esn() } else { suite })
    }
}

fn read_cipher(word: &str) -> Result<Cipher, SuiteError> {
    match word {
        "des" => return Ok(Cipher::Des),
        "3des" => return Ok(Cipher::TripleDes),
        "null" => return Ok(Cipher::Null),
        "chacha20poly1305" => return Ok(Cipher::ChaCha20Poly1305),
        _ => {}
    }
    let (bits, mode) = word
        .strip_prefix("aes")
        .and_then(|rest| rest.split_at_checked(3))
        .ok_or(SuiteError::UnknownCipher)?;
    let key = bits
        .parse()
        .ok()
        .and_then(AesKey::from_bits)
        .ok_or(SuiteError::UnknownCipher)?;
    match mode {
        "" => Ok(Cipher::AesCbc(key)),
        "ctr" => Ok(Cipher::AesCtr(key)),
        "gcm16" => Ok(Cipher::AesGcm16(key)),
        "gmac" => Ok(Cipher::AesGmac(key)),
        _ => Err(SuiteError::UnknownCipher),
    }
}

fn read_integrity(word: &str) -> Result<Integrity, SuiteError> {
    Ok(match word {
        "md5" => Integrity::HmacMd5_96,
        "sha1" => Integrity::HmacSha1_96,
        "sha256" => Integrity::HmacSha256_128,
        "sha256_96" => Integrity::HmacSha256_96,
        "sha384" => Integrity::HmacSha384_192,
        "sha512" => Integrity::HmacSha512_256,
        _ => return Err(SuiteError::UnknownIntegrity),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(text: &str) -> EspSuite {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_they_are_printed() {
        for text in [
            "aes128gcm16",
            "aes192gcm16-esn",
            "aes256-sha512",
            "null-sha384",
            "3des-md5",
            "des-sha1",
            "aes128-sha256-esn",
        ] {
            assert_eq!(suite(text).to_string(), text);
        }
        let refused = |text: &str| text.parse::<EspSuite>().unwrap_err();
        assert_eq!(refused("aes128"), SuiteError::IntegrityMissing);
        assert_eq!(
            refused("aes128gcm16-sha1"),
            SuiteError::IntegritySuperfluous
        );
        assert_eq!(refused("aes-sha1"), SuiteError::UnknownCipher);
        assert_eq!(refused("aes128-sha"), SuiteError::UnknownIntegrity);
    }

    #[test]
    fn lengths_add_up() {
        // 8 + 8 + (1400 + 2 -> 1404) + 16.
        assert_eq!(suite("aes128gcm16").sealed_len(1400), 1436);
        // 8 + 16 + (1400 + 2 -> 1408) + 12.
        assert_eq!(suite("aes128-sha1").sealed_len(1400), 1444);
        assert_eq!(suite("null-sha512").sealed_len(1), 8 + 4 + 32);
        assert_eq!(suite("aes256gcm16").keymat_len(), 36);
        assert_eq!(suite("aes192-sha512").keymat_len(), 24 + 64);
    }

    #[test]
    fn effective_mtu_is_the_longest_packet_that_fits() {
        for text in [
            "aes128gcm16",
            "aes256-sha256",
            "aes128-sha1",
            "null-sha384",
            "3des-md5",
        ] {
            let suite = suite(text);
            for esp_len in 60..1600 {
                let longest = suite.max_packet_len(esp_len);
                assert!(
                    suite.sealed_len(longest) <= esp_len || longest == 0,
                    "{text} {esp_len}"
                );
                assert!(esp_len < suite.sealed_len(longest + 1), "{text} {esp_len}");
                assert!(suite.sealed_len(longest) - longest <= suite.max_overhead());
            }
        }
        let gcm = suite("aes128gcm16");
        assert_eq!(
            gcm.effective_mtu(1500, Encapsulation::Udp, OuterFamily::V4),
            1438
        );
        assert_eq!(
            gcm.effective_mtu(1500, Encapsulation::None, OuterFamily::V6),
            1426
        );
        assert_eq!(
            gcm.effective_mtu(0, Encapsulation::None, OuterFamily::V6),
            0
        );
    }
}

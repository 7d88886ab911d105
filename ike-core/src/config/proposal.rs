//! What may be negotiated, in the notation that users of other products know: `aes128-sha256-modp2048`.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::wire::numbers::{
    AuthenticationAlgorithm, EncryptionAlgorithm, EspTransformId, GroupNumber, HashAlgorithm,
};

/// One combination of algorithms for phase 1: cipher, hash and Diffie-Hellman group.
///
/// The hash also keys the pseudo-random function, RFC 2409 section 4. Written `aes256-sha384-ecp256`.
/// Parsing knows names only; whether the algorithms exist here is checked by the endpoint.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IkeProposal {
    encryption: EncryptionAlgorithm,
    key_bits: Option<u16>,
    hash: HashAlgorithm,
    group: GroupNumber,
}

impl IkeProposal {
    /// The cipher.
    #[must_use]
    pub fn encryption(&self) -> EncryptionAlgorithm {
        self.encryption
    }

    /// Length of the cipher's key in bits, where the cipher has a choice.
    #[must_use]
    pub fn key_bits(&self) -> Option<u16> {
        self.key_bits
    }

    /// The hash.
    #[must_use]
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The Diffie-Hellman group.
    #[must_use]
    pub fn group(&self) -> GroupNumber {
        self.group
    }

    /// Whether any part is broken or nearly so: DES, 3DES, MD5, or a group below 2048 bits.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        matches!(
            self.encryption,
            EncryptionAlgorithm::DES_CBC | EncryptionAlgorithm::TRIPLE_DES_CBC
        ) || self.hash == HashAlgorithm::MD5
            || is_legacy_group(self.group)
    }
}

impl fmt::Display for IkeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cipher = IKE_CIPHERS
            .iter()
            .find(|(_, cipher)| *cipher == (self.encryption, self.key_bits));
        let cipher = cipher.map_or("unknown", |(name, _)| name);
        write!(
            f,
            "{cipher}-{}-{}",
            name_of(&HASHES, self.hash),
            name_of(&GROUPS, self.group)
        )
    }
}

impl FromStr for IkeProposal {
    type Err = ProposalError;

    fn from_str(text: &str) -> Result<Self, ProposalError> {
        let mut encryption = None;
        let mut hash = None;
        let mut group = None;
        for (position, word) in text.split('-').enumerate() {
            // Other products name the pseudo-random function apart; here it is always the hash's.
            let bare = word.strip_prefix("prf").unwrap_or(word);
            if let Some(found) = value_of(&IKE_CIPHERS, word) {
                fill(&mut encryption, found, position)?;
            } else if let Some(found) = value_of(&HASHES, bare) {
                if word != bare && hash == Some(found) {
                    continue;
                }
                fill(&mut hash, found, position)?;
            } else if let Some(found) = value_of(&GROUPS, word) {
                fill(&mut group, found, position)?;
            } else if value_of(&ESP_CIPHERS, word).is_some() {
                return Err(ProposalError::NotInPhaseOne { position });
            } else {
                return Err(ProposalError::UnknownWord { position });
            }
        }
        let (encryption, key_bits) = encryption.ok_or(ProposalError::Missing { part: "cipher" })?;
        Ok(Self {
            encryption,
            key_bits,
            hash: hash.ok_or(ProposalError::Missing { part: "hash" })?,
            group: group.ok_or(ProposalError::Missing { part: "group" })?,
        })
    }
}

/// Cipher of an ESP SA.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum EspCipher {
    /// AES-GCM with a 16-octet ICV, RFC 4106. Authenticates too.
    AesGcm16 {
        /// Key length in bits: 128, 192 or 256.
        key_bits: u16,
    },
    /// AES-CBC, RFC 3602.
    AesCbc {
        /// Key length in bits: 128, 192 or 256.
        key_bits: u16,
    },
    /// No encryption, RFC 2410.
    Null,
    /// DES-CBC, RFC 2405. Broken.
    Des,
    /// 3DES-CBC, RFC 2451. Nearly broken.
    TripleDes,
}

impl EspCipher {
    /// Octets of KEYMAT the cipher takes: its key, and for AES-GCM the salt (RFC 4106 section 8.1).
    #[must_use]
    pub fn keymat_len(&self) -> usize {
        match self {
            Self::AesGcm16 { key_bits } => usize::from(key_bits / 8) + 4,
            Self::AesCbc { key_bits } => usize::from(key_bits / 8),
            Self::Null => 0,
            Self::Des => 8,
            Self::TripleDes => 24,
        }
    }

    /// The Key Length attribute, in bits, where the cipher has a choice.
    #[must_use]
    pub fn key_bits(&self) -> Option<u16> {
        match self {
            Self::AesGcm16 { key_bits } | Self::AesCbc { key_bits } => Some(*key_bits),
            Self::Null | Self::Des | Self::TripleDes => None,
        }
    }

    pub(crate) fn transform_id(self) -> EspTransformId {
        match self {
            Self::AesGcm16 { .. } => EspTransformId::AES_GCM_16,
            Self::AesCbc { .. } => EspTransformId::AES_CBC,
            Self::Null => EspTransformId::NULL,
            Self::Des => EspTransformId::DES,
            Self::TripleDes => EspTransformId::TRIPLE_DES,
        }
    }

    fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm16 { .. })
    }
}

/// Integrity algorithm of an ESP SA.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum EspIntegrity {
    /// HMAC-MD5-96, RFC 2403. Broken.
    HmacMd5_96,
    /// HMAC-SHA1-96, RFC 2404.
    HmacSha1_96,
    /// HMAC-SHA2-256-128, RFC 4868.
    HmacSha256_128,
    /// HMAC-SHA2-384-192, RFC 4868.
    HmacSha384_192,
    /// HMAC-SHA2-512-256, RFC 4868.
    HmacSha512_256,
}

impl EspIntegrity {
    /// Octets of KEYMAT the algorithm takes.
    #[must_use]
    pub fn keymat_len(&self) -> usize {
        match self {
            Self::HmacMd5_96 => 16,
            Self::HmacSha1_96 => 20,
            Self::HmacSha256_128 => 32,
            Self::HmacSha384_192 => 48,
            Self::HmacSha512_256 => 64,
        }
    }

    pub(crate) fn number(self) -> AuthenticationAlgorithm {
        match self {
            Self::HmacMd5_96 => AuthenticationAlgorithm::HMAC_MD5,
            Self::HmacSha1_96 => AuthenticationAlgorithm::HMAC_SHA1,
            Self::HmacSha256_128 => AuthenticationAlgorithm::HMAC_SHA2_256,
            Self::HmacSha384_192 => AuthenticationAlgorithm::HMAC_SHA2_384,
            Self::HmacSha512_256 => AuthenticationAlgorithm::HMAC_SHA2_512,
        }
    }
}

/// What an ESP SA does to its packets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an ESP transform is these three for good"
)]
pub struct EspTransform {
    /// The cipher.
    pub cipher: EspCipher,
    /// The integrity algorithm; `None` exactly if the cipher authenticates by itself.
    pub integrity: Option<EspIntegrity>,
    /// Extended sequence numbers, RFC 4304.
    pub esn: bool,
}

impl EspTransform {
    /// Octets of KEYMAT that one direction takes.
    #[must_use]
    pub fn keymat_len(&self) -> usize {
        self.cipher.keymat_len() + self.integrity.map_or(0, |integrity| integrity.keymat_len())
    }

    /// Whether any part is broken or nearly so: DES, 3DES or MD5.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        matches!(self.cipher, EspCipher::Des | EspCipher::TripleDes)
            || self.integrity == Some(EspIntegrity::HmacMd5_96)
    }
}

/// One combination of algorithms for phase 2.
///
/// Written `aes128gcm16`, `aes128-sha256-modp2048` (a group means perfect forward secrecy) or
/// `null-sha256`; a final `-esn` asks for extended sequence numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EspProposal {
    transform: EspTransform,
    group: Option<GroupNumber>,
}

impl EspProposal {
    /// What is done to the packets.
    #[must_use]
    pub fn transform(&self) -> EspTransform {
        self.transform
    }

    /// The group of a Diffie-Hellman exchange of its own, for perfect forward secrecy.
    #[must_use]
    pub fn group(&self) -> Option<GroupNumber> {
        self.group
    }

    /// Whether any part is broken or nearly so: DES, 3DES, MD5, or a group below 2048 bits.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.transform.is_legacy() || self.group.is_some_and(is_legacy_group)
    }
}

impl fmt::Display for EspTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EspProposal {
            transform: *self,
            group: None,
        }
        .fmt(f)
    }
}

impl fmt::Display for EspProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&ESP_CIPHERS, self.transform.cipher))?;
        if let Some(integrity) = self.transform.integrity {
            write!(f, "-{}", name_of(&ESP_INTEGRITIES, integrity))?;
        }
        if let Some(group) = self.group {
            write!(f, "-{}", name_of(&GROUPS, group))?;
        }
        if self.transform.esn {
            f.write_str("-esn")
        } else {
            Ok(())
        }
    }
}

impl FromStr for EspProposal {
    type Err = ProposalError;

    fn from_str(text: &str) -> Result<Self, ProposalError> {
        let mut cipher = None;
        let mut integrity = None;
        let mut group = None;
        let mut esn = None;
        for (position, word) in text.split('-').enumerate() {
            if let Some(found) = value_of(&ESP_CIPHERS, word) {
                fill(&mut cipher, found, position)?;
            } else if let Some(found) = value_of(&ESP_INTEGRITIES, word) {
                fill(&mut integrity, found, position)?;
            } else if let Some(found) = value_of(&GROUPS, word) {
                fill(&mut group, found, position)?;
            } else if word == "esn" || word == "noesn" {
                fill(&mut esn, word == "esn", position)?;
            } else {
                return Err(ProposalError::UnknownWord { position });
            }
        }
        let cipher = cipher.ok_or(ProposalError::Missing { part: "cipher" })?;
        match (cipher.is_aead(), integrity.is_some()) {
            (true, true) => return Err(ProposalError::IntegrityTwice),
            (false, false) => {
                return Err(ProposalError::Missing {
                    part: "integrity algorithm",
                });
            }
            (true, false) | (false, true) => {}
        }
        Ok(Self {
            transform: EspTransform {
                cipher,
                integrity,
                esn: esn.unwrap_or(false),
            },
            group,
        })
    }
}

/// Why a text is no proposal. A position counts the words between hyphens from 0.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProposalError {
    /// No algorithm has this name.
    #[error("word {} names no algorithm known here", position + 1)]
    UnknownWord {
        /// Which word.
        position: usize,
    },
    /// Two words name the same kind of algorithm.
    #[error("word {} repeats a part that is already named", position + 1)]
    Repeated {
        /// Which word is one too many.
        position: usize,
    },
    /// The cipher has no number in phase 1 of IKEv1.
    #[error("word {} names a cipher for phase 2 only", position + 1)]
    NotInPhaseOne {
        /// Which word.
        position: usize,
    },
    /// The cipher authenticates by itself.
    #[error("the cipher authenticates by itself and takes no integrity algorithm")]
    IntegrityTwice,
    /// A part that cannot be left out.
    #[error("the {part} is missing")]
    Missing {
        /// Which part.
        part: &'static str,
    },
}

type Names<T, const N: usize> = [(&'static str, T); N];

/// The first name of a value is the one that is printed.
const IKE_CIPHERS: Names<(EncryptionAlgorithm, Option<u16>), 5> = [
    ("aes128", (EncryptionAlgorithm::AES_CBC, Some(128))),
    ("aes192", (EncryptionAlgorithm::AES_CBC, Some(192))),
    ("aes256", (EncryptionAlgorithm::AES_CBC, Some(256))),
    ("3des", (EncryptionAlgorithm::TRIPLE_DES_CBC, None)),
    ("des", (EncryptionAlgorithm::DES_CBC, None)),
];

const HASHES: Names<HashAlgorithm, 9> = [
    ("md5", HashAlgorithm::MD5),
    ("sha1", HashAlgorithm::SHA1),
    ("sha", HashAlgorithm::SHA1),
    ("sha256", HashAlgorithm::SHA2_256),
    ("sha384", HashAlgorithm::SHA2_384),
    ("sha512", HashAlgorithm::SHA2_512),
    ("sha2_256", HashAlgorithm::SHA2_256),
    ("sha2_384", HashAlgorithm::SHA2_384),
    ("sha2_512", HashAlgorithm::SHA2_512),
];

const GROUPS: Names<GroupNumber, 13> = [
    ("modp768", GroupNumber::MODP_768),
    ("modp1024", GroupNumber::MODP_1024),
    ("modp1536", GroupNumber::MODP_1536),
    ("modp2048", GroupNumber::MODP_2048),
    ("modp3072", GroupNumber::MODP_3072),
    ("modp4096", GroupNumber::MODP_4096),
    ("modp6144", GroupNumber::MODP_6144),
    ("modp8192", GroupNumber::MODP_8192),
    ("ecp256", GroupNumber::ECP_256),
    ("ecp384", GroupNumber::ECP_384),
    ("ecp521", GroupNumber::ECP_521),
    ("curve25519", GroupNumber::CURVE25519),
    ("x25519", GroupNumber::CURVE25519),
];

const ESP_CIPHERS: Names<EspCipher, 12> = [
    ("aes128gcm16", EspCipher::AesGcm16 { key_bits: 128 }),
    ("aes192gcm16", EspCipher::AesGcm16 { key_bits: 192 }),
    ("aes256gcm16", EspCipher::AesGcm16 { key_bits: 256 }),
    ("aes128gcm128", EspCipher::AesGcm16 { key_bits: 128 }),
    ("aes192gcm128", EspCipher::AesGcm16 { key_bits: 192 }),
    ("aes256gcm128", EspCipher::AesGcm16 { key_bits: 256 }),
    ("aes128", EspCipher::AesCbc { key_bits: 128 }),
    ("aes192", EspCipher::AesCbc { key_bits: 192 }),
    ("aes256", EspCipher::AesCbc { key_bits: 256 }),
    ("null", EspCipher::Null),
    ("3des", EspCipher::TripleDes),
    ("des", EspCipher::Des),
];

const ESP_INTEGRITIES: Names<EspIntegrity, 9> = [
    ("md5", EspIntegrity::HmacMd5_96),
    ("sha1", EspIntegrity::HmacSha1_96),
    ("sha", EspIntegrity::HmacSha1_96),
    ("sha256", EspIntegrity::HmacSha256_128),
    ("sha384", EspIntegrity::HmacSha384_192),
    ("sha512", EspIntegrity::HmacSha512_256),
    ("sha2_256", EspIntegrity::HmacSha256_128),
    ("sha2_384", EspIntegrity::HmacSha384_192),
    ("sha2_512", EspIntegrity::HmacSha512_256),
];

fn is_legacy_group(group: GroupNumber) -> bool {
    matches!(
        group,
        GroupNumber::MODP_768 | GroupNumber::MODP_1024 | GroupNumber::MODP_1536
    )
}

fn value_of<T: Copy>(names: &[(&'static str, T)], word: &str) -> Option<T> {
    names
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names
        .iter()
        .find(|(_, known)| *known == value)
        .map_or("unknown", |(name, _)| name)
}

fn fill<T>(part: &mut Option<T>, found: T, position: usize) -> Result<(), ProposalError> {
    if part.replace(found).is_some() {
        Err(ProposalError::Repeated { position })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_one_survives_a_round_trip() {
        for text in [
            "aes128-sha1-modp1024",
            "aes256-sha384-ecp256",
            "3des-md5-modp768",
            "aes192-sha512-curve25519",
        ] {
            assert_eq!(text.parse::<IkeProposal>().unwrap().to_string(), text);
        }
        let synonyms = "aes128-sha2_256-prfsha256-x25519"
            .parse::<IkeProposal>()
            .unwrap();
        assert_eq!(synonyms.to_string(), "aes128-sha256-curve25519");
    }

    #[test]
    fn phase_two_survives_a_round_trip() {
        for text in [
            "aes128gcm16",
            "aes128-sha256-modp2048",
            "null-sha256",
            "aes256gcm16-ecp256-esn",
            "3des-md5",
        ] {
            assert_eq!(text.parse::<EspProposal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_name_the_word() {
        let ike = |text: &str| text.parse::<IkeProposal>();
        assert_eq!(
            ike("aes128-sha3-modp1024"),
            Err(ProposalError::UnknownWord { position: 1 })
        );
        assert_eq!(
            ike("aes128-aes256-sha1-modp1024"),
            Err(ProposalError::Repeated { position: 1 })
        );
        assert_eq!(
            ike("aes128-sha256-prfsha1-ecp256"),
            Err(ProposalError::Repeated { position: 2 })
        );
        assert_eq!(
            ike("aes128gcm16-sha1-modp1024"),
            Err(ProposalError::NotInPhaseOne { position: 0 })
        );
        assert_eq!(
            ike("aes128-sha1"),
            Err(ProposalError::Missing { part: "group" })
        );
        let esp = |text: &str| text.parse::<EspProposal>();
        assert_eq!(esp("aes128gcm16-sha1"), Err(ProposalError::IntegrityTwice));
        assert_eq!(
            esp("aes128"),
            Err(ProposalError::Missing {
                part: "integrity algorithm"
            })
        );
        assert_eq!(esp(""), Err(ProposalError::UnknownWord { position: 0 }));
    }

    #[test]
    fn what_is_weak_is_called_legacy() {
        assert!(
            "aes128-sha1-modp1024"
                .parse::<IkeProposal>()
                .unwrap()
                .is_legacy()
        );
        assert!(
            !"aes128-sha1-modp2048"
                .parse::<IkeProposal>()
                .unwrap()
                .is_legacy()
        );
        assert!(
            "aes128-sha1-modp1536"
                .parse::<EspProposal>()
                .unwrap()
                .is_legacy()
        );
        assert!("aes128-md5".parse::<EspProposal>().unwrap().is_legacy());
    }

    #[test]
    fn keymat_is_as_long_as_the_rfcs_say() {
        let len = |text: &str| {
            text.parse::<EspProposal>()
                .unwrap()
                .transform()
                .keymat_len()
        };
        assert_eq!(len("aes128gcm16"), 20);
        assert_eq!(len("aes256-sha512"), 96);
        assert_eq!(len("3des-md5"), 40);
        assert_eq!(len("null-sha1"), 20);
    }
}

//! Key files in the form of ntp.keys.
//!
//! One key per line: identifier, type, secret. `#` begins a comment.
//!
//! ```text
//! 1  MD5    key1key1                                  # up to 20 characters: as they stand
//! 2  SHA1   0102030405060708090a0b0c0d0e0f1011121314   # more than 20: hexadecimal
//! 3  AES128 HEX:000102030405060708090a0b0c0d0e0f       # or said explicitly, as chrony does
//! 4  SHA256 ASCII:a-longer-secret-of-printable-letters
//! ```

use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::CryptoProvider;
use crate::error::KeyError;
use crate::mac::{KeyId, KeyTable, MacKind, SymmetricKey};

/// Secrets of up to this many characters are taken as they stand.
const MAX_PLAIN_LEN: usize = 20;

/// What is wrong with a key file, and where. Never quotes the file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct KeyFileError {
    /// Line number, beginning with 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: KeyFileProblem,
}

/// What is wrong with a line of a key file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum KeyFileProblem {
    /// Not three words.
    #[error("expected an identifier, a type and a secret")]
    WordCount,
    /// The identifier is not a number of 32 bits.
    #[error("the identifier is not a number from 1 to 4294967295")]
    BadId,
    /// The type is not known.
    #[error("the type is not one of MD5, SHA1, SHA256, SHA384, SHA512, AES128, AES256")]
    UnknownKind,
    /// A secret that should be hexadecimal is not.
    #[error("the secret is not hexadecimal")]
    BadHex,
    /// The identifier has been used before.
    #[error("the identifier is used twice")]
    Duplicate,
    /// The key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeyTable {
    /// Reads the text of a key file.
    ///
    /// # Errors
    ///
    /// The first line that is wrong.
    pub fn from_key_file(text: &str, provider: &CryptoProvider) -> Result<Self, KeyFileError> {
        let mut table = Self::new();
        for (line, content) in (1..).zip(text.lines()) {
            let key =
                read_line(content, provider).map_err(|problem| KeyFileError { line, problem })?;
            if key.is_some_and(|key| table.insert(key).is_some()) {
                return Err(KeyFileError {
                    line,
                    problem: KeyFileProblem::Duplicate,
                });
            }
        }
        Ok(table)
    }
}

fn read_line(
    line: &str,
    provider: &CryptoProvider,
) -> Result<Option<SymmetricKey>, KeyFileProblem> {
    let mut words = line
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'));
    let Some(id) = words.next() else {
        return Ok(None);
    };
    let (Some(kind), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Err(KeyFileProblem::WordCount);
    };
    let id = id.parse().map(KeyId).map_err(|_| KeyFileProblem::BadId)?;
    let kind: MacKind = kind.parse().map_err(|_| KeyFileProblem::UnknownKind)?;
    let secret = read_secret(secret)?;
    Ok(Some(SymmetricKey::new(id, kind, &secret, provider)?))
}

fn read_secret(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    if let Some(hex) = text.strip_prefix("HEX:") {
        return read_hex(hex);
    }
    match text.strip_prefix("ASCII:") {
        None if MAX_PLAIN_LEN < text.len() => read_hex(text),
        plain => Ok(Zeroizing::new(plain.unwrap_or(text).as_bytes().to_vec())),
    }
}

fn read_hex(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(KeyFileProblem::BadHex);
    }
    let octet = |[high, low]: &[u8; 2]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?);
    let mut secret = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for pair in pairs {
        secret.push(octet(pair).ok_or(KeyFileProblem::BadHex)?);
    }
    Ok(secret)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::provider;
    use crate::packet::Version;

    fn problem(text: &str) -> KeyFileError {
        KeyTable::from_key_file(text, &provider()).unwrap_err()
    }

    #[test]
    fn each_form_of_a_secret_is_read() {
        let text = "# keys\n\n1 MD5 key1key1\n2\tSHA1  0102030405060708090a0b0c0d0e0f1011121314 # hex\n\
                    3 AES128 HEX:000102030405060708090A0B0C0D0E0F\n4 m ASCII:more-than-twenty-characters\n";
        let table = KeyTable::from_key_file(text, &provider()).unwrap();
        let kinds: Vec<_> = table.iter().map(|key| (key.id().0, key.kind())).collect();
        assert_eq!(
            kinds,
            [
                (1, MacKind::Md5),
                (2, MacKind::Sha1),
                (3, MacKind::Aes128Cmac),
                (4, MacKind::Md5)
            ]
        );
        let twin = SymmetricKey::new(
            KeyId(2),
            MacKind::Sha1,
            &(1..=20).collect::<Vec<u8>>(),
            &provider(),
        );
        let digest = table.get(KeyId(2)).unwrap().sign(b"packet", Version::V4);
        assert_eq!(
            digest.as_ref(),
            twin.unwrap().sign(b"packet", Version::V4).as_ref()
        );
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        assert_eq!(
            problem("1 MD5"),
            KeyFileError {
                line: 1,
                problem: KeyFileProblem::WordCount
            }
        );
        assert_eq!(problem("1 MD5 a b").problem, KeyFileProblem::WordCount);
        assert_eq!(problem("x MD5 a").problem, KeyFileProblem::BadId);
        assert_eq!(problem("4294967296 MD5 a").problem, KeyFileProblem::BadId);
        assert_eq!(problem("1 ROT13 a").problem, KeyFileProblem::UnknownKind);
        assert_eq!(problem("1 SHA1 HEX:0g").problem, KeyFileProblem::BadHex);
        assert_eq!(problem("1 SHA1 HEX:012").problem, KeyFileProblem::BadHex);
        assert_eq!(
            problem("1 SHA1 not-hexadecimal-at-all").problem,
            KeyFileProblem::BadHex
        );
        assert_eq!(problem("\n1 MD5 a\n1 MD5 b").line, 3);
        assert_eq!(
            problem("0 MD5 a").problem,
            KeyFileProblem::Key(KeyError::ReservedId)
        );
        let short = KeyError::BadLength {
            kind: MacKind::Aes128Cmac,
            len: 5,
        };
        assert_eq!(
            problem("1 AES128 short").problem,
            KeyFileProblem::Key(short)
        );
    }

    #[test]
    fn neither_a_key_nor_an_error_prints_a_secret() {
        let table = KeyTable::from_key_file("7 MD5 hunter2", &provider()).unwrap();
        assert_eq!(
            format!("{:?}", table.get(KeyId(7)).unwrap()),
            "SymmetricKey(7 MD5)"
        );
        assert!(
            !format!("{:?} {}", problem("7 XX hunter2"), problem("7 XX hunter2"))
                .contains("hunter2")
        );
    }
}

//! Pre-shared keys and how much guessing they withstand.

use crate::crypto::SecureRandom;
use crate::secret::SecretBytes;

/// A pre-shared key.
///
/// In aggressive mode anyone who knows an identity can obtain a hash to test guesses against, off
/// line and for ever (RFC 9395, CVE-2018-5389): the strength of this key is the only defence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PreSharedKey(SecretBytes);

impl PreSharedKey {
    /// Takes the octets as both ends know them; a text is its UTF-8.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// Draws a fresh key of 256 bits and writes it as 64 hexadecimal digits.
    ///
    /// The text is the key: both ends configure these characters.
    #[must_use]
    pub fn generate(random: &dyn SecureRandom) -> String {
        let mut octets = [0; 32];
        random.fill(&mut octets);
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// The key itself.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A cautious estimate of how many bits a guesser has to search.
    ///
    /// Random characters count in full, by the classes they are drawn from. Repetitions and
    /// sequences (`aaaa`, `1234`) count one bit a character, runs of letters that look like words
    /// two. A lucky word list does better still: use [`generate`](Self::generate).
    #[must_use]
    pub fn estimated_entropy_bits(&self) -> u32 {
        estimate(self.as_slice())
    }
}

/// Characters in a row from which on a text looks like words, or like counting, rather than chance.
const RUN_LEN: usize = 4;

fn estimate(key: &[u8]) -> u32 {
    let per_character = alphabet_bits(key);
    let hexadecimal = key.iter().all(u8::is_ascii_hexdigit);
    let mut tenths = 0;
    let mut letters = 0;
    let mut counting = Counting::default();
    for &octet in key {
        letters = if octet.is_ascii_alphabetic() {
            letters + 1
        } else {
            0
        };
        tenths += if RUN_LEN <= counting.follow(octet) {
            10
        } else if RUN_LEN <= letters && !hexadecimal {
            20
        } else {
            per_character
        };
    }
    tenths.min(distinct_bits(key)) / 10
}

/// Follows `1111`, `1234` and `4321`.
#[derive(Default)]
struct Counting {
    last: u8,
    step: i16,
    len: usize,
}

impl Counting {
    /// How long the sequence is that ends with this octet.
    fn follow(&mut self, octet: u8) -> usize {
        let step = i16::from(octet) - i16::from(self.last);
        self.len = match self.len {
            0 => 1,
            len if (-1..=1).contains(&step) => {
                if step == self.step {
                    len + 1
                } else {
                    2
                }
            }
            _ => 1,
        };
        (self.last, self.step) = (octet, step);
        self.len
    }
}

/// Tenths of a bit that one random character of these classes carries.
fn alphabet_bits(key: &[u8]) -> u32 {
    let any = |class: fn(&u8) -> bool| key.iter().any(class);
    if key.iter().all(u8::is_ascii_digit) {
        return 33;
    }
    if key.iter().all(u8::is_ascii_hexdigit) {
        return 40;
    }
    let size = [
        (any(u8::is_ascii_lowercase), 26),
        (any(u8::is_ascii_uppercase), 26),
        (any(u8::is_ascii_digit), 10),
        (
            any(|octet| octet.is_ascii_punctuation() || *octet == b' '),
            12,
        ),
        (
            any(|octet| !octet.is_ascii() || octet.is_ascii_control()),
            160,
        ),
    ];
    let size: u128 = size
        .iter()
        .filter(|(used, _)| *used)
        .map(|(_, size)| size)
        .sum();
    // Ten times the binary logarithm, rounded down.
    size.max(1).pow(10).ilog2()
}

/// A bound from how many different characters there are: `abababab` is not eight characters' worth.
fn distinct_bits(key: &[u8]) -> u32 {
    let mut seen = key.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let distinct = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    zeroize::Zeroize::zeroize(&mut seen);
    let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    if len <= distinct.saturating_mul(2) {
        return u32::MAX;
    }
    // One bit more than the logarithm, so that chance alone does not lower the estimate.
    (distinct.min(256).pow(3).ilog2() * 10 / 3 + 10).saturating_mul(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counter;

    impl SecureRandom for Counter {
        fn fill(&self, octets: &mut [u8]) {
            for (octet, value) in octets
                .iter_mut()
                .zip((0..=255_u8).map(|i| i.wrapping_mul(0x9d).wrapping_add(0x3b)))
            {
                *octet = value;
            }
        }
    }

    fn bits(text: &str) -> u32 {
        PreSharedKey::new(text.as_bytes()).estimated_entropy_bits()
    }

    #[test]
    fn a_generated_key_is_strong() {
        let key = PreSharedKey::generate(&Counter);
        assert_eq!(key.len(), 64);
        assert!(200 < bits(&key), "{}", bits(&key));
    }

    #[test]
    fn random_keys_of_128_bits_pass() {
        assert!(
            127 < bits("k9Xv2QzL7mRt4WbN8cYd3P"),
            "{}",
            bits("k9Xv2QzL7mRt4WbN8cYd3P")
        );
        assert!(115 < bits("9f2c74e1b05a8d36c7e9024fb16d83a5"));
    }

    #[test]
    fn what_people_type_does_not() {
        for text in [
            "",
            "123456",
            "lab-only-pre-shared-key",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "correct horse battery staple",
            "0123456789012345678901234567890123456789",
            "Company2024!",
        ] {
            assert!(bits(text) < 128, "{text}: {}", bits(text));
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert!(!format!("{:?}", PreSharedKey::new(b"secret")).contains("secret"));
    }
}

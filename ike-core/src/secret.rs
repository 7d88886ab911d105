//! Octets that must not outlive their use or appear in a log.

use core::fmt;

use ctutils::CtEq as _;
use zeroize::Zeroizing;

/// Secret octets: wiped when dropped, compared in constant time, and printed as a length only.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of `octets`.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The secret itself.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Number of octets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Eq for SecretBytes {}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.as_slice(), other.as_slice())
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(octets: Vec<u8>) -> Self {
        Self::new(octets)
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(octets: &[u8]) -> Self {
        Self::new(octets.to_vec())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} octets)", self.len())
    }
}

/// Compares without a branch that depends on where the octets differ; the lengths are public.
pub(crate) fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).to_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_only() {
        let secret = SecretBytes::new(vec![0xab; 3]);
        assert_eq!(format!("{secret:?}"), "SecretBytes(3 octets)");
        assert_eq!(format!("{secret:#?}"), "SecretBytes(3 octets)");
    }

    #[test]
    fn equality_looks_at_every_octet_and_the_length() {
        let secret = SecretBytes::from(&[1, 2, 3][..]);
        assert_eq!(secret, SecretBytes::new(vec![1, 2, 3]));
        assert_ne!(secret, SecretBytes::new(vec![1, 2, 4]));
        assert_ne!(secret, SecretBytes::new(vec![1, 2]));
        assert_ne!(secret, SecretBytes::new(vec![1, 2, 3, 0]));
    }
}

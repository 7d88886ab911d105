//! Names of peers, RFC 2407 section 4.6.2.1.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;
use core::str::FromStr;

use thiserror::Error;

/// The name a peer is known by in phase 1, and which pre-shared key belongs to it.
///
/// The textual form: an IP address is an address, `keyid:` introduces an opaque key identifier (in
/// hexadecimal after `keyid:0x`, else as text), a name with `@` inside is a USER_FQDN and any other
/// name an FQDN. A leading `@`, which some products write before an FQDN, is dropped.
///
/// Names are sent as they are written, and compared without regard to the case of ASCII letters, as domain names are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Identity {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    Address(IpAddr),
    /// ID_FQDN: a name without `@`.
    Fqdn(String),
    /// ID_USER_FQDN: `name@domain`.
    UserFqdn(String),
    /// ID_KEY_ID: opaque octets.
    KeyId(Vec<u8>),
}

impl Identity {
    /// The longest identity that is accepted from a peer or a setting, in octets.
    pub const MAX_LEN: usize = 255;

    /// What makes two identities equal: kind, address, octets, and a name's letters.
    fn key(&self) -> (u8, Option<IpAddr>, &[u8], Letters<'_>) {
        match self {
            Self::Address(address) => (0, Some(*address), &[], Letters("")),
            Self::Fqdn(name) => (1, None, &[], Letters(name)),
            Self::UserFqdn(name) => (2, None, &[], Letters(name)),
            Self::KeyId(octets) => (3, None, octets, Letters("")),
        }
    }

    fn check(self) -> Result<Self, IdentityError> {
        let len = match &self {
            Self::Address(_) => return Ok(self),
            Self::Fqdn(name) | Self::UserFqdn(name) => name.len(),
            Self::KeyId(octets) => octets.len(),
        };
        match len {
            0 => Err(IdentityError::Empty),
            1..=Self::MAX_LEN => Ok(self),
            _ => Err(IdentityError::TooLong {
                got: len,
                max: Self::MAX_LEN,
            }),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Identity {}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// A name without regard to the case of its ASCII letters.
struct Letters<'a>(&'a str);

impl Letters<'_> {
    fn octets(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|octet| octet.to_ascii_lowercase())
    }
}

impl PartialEq for Letters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Letters<'_> {}

impl Ord for Letters<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.octets().cmp(other.octets())
    }
}

impl PartialOrd for Letters<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Letters<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.octets().for_each(|octet| state.write_u8(octet));
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            // A peer chooses these octets: nothing in them may end a log line or colour a terminal.
            Self::Fqdn(name) | Self::UserFqdn(name) => name.escape_debug().fmt(f),
            Self::KeyId(octets) => {
                f.write_str("keyid:0x")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if let Some(key_id) = text.strip_prefix("keyid:") {
            let octets = match key_id.strip_prefix("0x") {
                Some(digits) => decode_hex(digits).ok_or(IdentityError::NotHexadecimal)?,
                None => key_id.as_bytes().to_vec(),
            };
            return Self::KeyId(octets).check();
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_prefix('@').unwrap_or(text);
        if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(IdentityError::NotPrintable);
        }
        if name.contains('@') {
            Self::UserFqdn(name.to_owned()).check()
        } else {
            Self::Fqdn(name.to_owned()).check()
        }
    }
}

/// Why a text is no [`Identity`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum IdentityError {
    /// Nothing is left to be a name.
    #[error("the identity is empty")]
    Empty,
    /// Longer than a peer may be expected to take.
    #[error("the identity has {got} octets, more than {max}")]
    TooLong {
        /// Its length in octets.
        got: usize,
        /// The limit in octets.
        max: usize,
    },
    /// `keyid:0x` is followed by something else than pairs of hexadecimal digits.
    #[error("the key identifier is not hexadecimal")]
    NotHexadecimal,
    /// A name holds a blank or a control character.
    #[error("the identity holds a blank or a control character")]
    NotPrintable,
}

fn decode_hex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_text_chooses_the_type() {
        assert_eq!("hub".parse(), Ok(Identity::Fqdn("hub".into())));
        assert_eq!("@hub".parse(), Ok(Identity::Fqdn("hub".into())));
        assert_eq!(
            "b1@example.org".parse(),
            Ok(Identity::UserFqdn("b1@example.org".into()))
        );
        assert_eq!(
            "198.18.2.2".parse(),
            Ok(Identity::Address([198, 18, 2, 2].into()))
        );
        assert_eq!(
            "keyid:secret".parse(),
            Ok(Identity::KeyId(b"secret".to_vec()))
        );
        assert_eq!("keyid:0x00fF".parse(), Ok(Identity::KeyId(vec![0, 255])));
    }

    #[test]
    fn names_are_equal_whatever_their_case_and_octets_are_not() {
        let identity = |text: &str| text.parse::<Identity>().unwrap();
        assert_eq!(
            identity("Branch1.Example.ORG"),
            identity("branch1.example.org")
        );
        assert_eq!(identity("B1@Example.org"), identity("b1@example.ORG"));
        assert_ne!(identity("keyid:Secret"), identity("keyid:secret"));
        assert_ne!(identity("branch1"), identity("keyid:branch1"));
        let table: std::collections::BTreeSet<_> = [identity("HUB"), identity("alpha")].into();
        assert!(table.contains(&identity("hub")) && table.contains(&identity("ALPHA")));
        assert_eq!(identity("HUB").to_string(), "HUB", "sent as it is written");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!("".parse::<Identity>(), Err(IdentityError::Empty));
        assert_eq!("@".parse::<Identity>(), Err(IdentityError::Empty));
        assert_eq!(
            "keyid:0x0".parse::<Identity>(),
            Err(IdentityError::NotHexadecimal)
        );
        assert_eq!("a b".parse::<Identity>(), Err(IdentityError::NotPrintable));
        assert_eq!(
            "x".repeat(256).parse::<Identity>(),
            Err(IdentityError::TooLong { got: 256, max: 255 })
        );
    }

    #[test]
    fn a_hostile_name_cannot_break_a_log_line() {
        assert_eq!(
            Identity::Fqdn("a\n\u{1b}[31m".into()).to_string(),
            "a\\n\\u{1b}[31m"
        );
    }
}

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

    /// The place of the kind in the order of identities.
    const fn kind(&self) -> u8 {
        match self {
            Self::Address(_) => 0,
            Self::Fqdn(_) => 1,
            Self::UserFqdn(_) => 2,
            Self::KeyId(_) => 3,
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
        self.cmp(other).is_eq()
    }
}

impl Eq for Identity {}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Address(one), Self::Address(other)) => one.cmp(other),
            (Self::Fqdn(one), Self::Fqdn(other)) | (Self::UserFqdn(one), Self::UserFqdn(other)) => {
                Letters(one).cmp(&Letters(other))
            }
            (Self::KeyId(one), Self::KeyId(other)) => one.cmp(other),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        match self {
            Self::Address(address) => address.hash(state),
            Self::Fqdn(name) | Self::UserFqdn(name) => Letters(name).hash(state),
            Self::KeyId(octets) => octets.hash(state),
        }
    }
}

/// A name without regard to the case of its ASCII letters.
struct Letters<'a>(&'a str);

impl Letters<'_> {
    /// As the octets in lower case, one after the other. Tables of many peers are searched by this: octets that are equal
    /// as they are, which most are, need no look at their case.
    fn cmp(&self, other: &Self) -> Ordering {
        let octets = self.0.bytes().zip(other.0.bytes());
        for (one, other) in octets.filter(|(one, other)| one != other) {
            let order = one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase());
            if order.is_ne() {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}

impl Hash for Letters<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let octets = self.0.bytes();
        octets.for_each(|octet| state.write_u8(octet.to_ascii_lowercase()));
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
    fn identities_are_ordered_by_kind_and_names_by_their_letters() {
        let texts = [
            "10.0.0.9",
            "10.0.0.10",
            "HUB",
            "Hub-1",
            "hub_1",
            "hubs",
            "Zed",
            "a@b",
            "A@C",
            "keyid:A",
            "keyid:a",
        ];
        let sorted = texts.map(|text| text.parse::<Identity>().unwrap());
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(one.cmp(other), place.cmp(&other_place), "{one} {other}");
            }
        }
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

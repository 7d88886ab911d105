//! Where a server takes its time from, in four octets.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use crate::crypto::CryptoProvider;
use crate::mac::MacKind;

/// The reference identifier of a packet header, RFC 5905 section 7.3.
///
/// At stratum 1 four ASCII letters that name a clock, above it the IPv4 address of the source (or the
/// first octets of the MD5 digest of its IPv6 address), and at stratum 0 a kiss code.
#[expect(
    clippy::exhaustive_structs,
    reason = "four octets on the wire, for ever"
)]
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct ReferenceId(pub [u8; 4]);

impl ReferenceId {
    /// Nothing known.
    pub const NONE: Self = Self([0; 4]);
    /// Not yet synchronised for the first time.
    pub const INIT: Self = Self(*b"INIT");
    /// The local clock without any reference, as `127.127.1.1`.
    pub const LOCAL: Self = Self([127, 127, 1, 1]);

    /// The identifier of a source with an IPv4 address.
    #[must_use]
    pub const fn from_ipv4(address: Ipv4Addr) -> Self {
        Self(address.octets())
    }

    /// The identifier of a source with that address; above IPv4 it takes an MD5 digest, which the provider may lack.
    #[must_use]
    pub fn from_address(address: IpAddr, provider: &CryptoProvider) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(address) => Some(Self::from_ipv4(address)),
            IpAddr::V6(address) => {
                let digest = provider
                    .mac(MacKind::Md5)?
                    .key(&[])?
                    .sign(&address.octets());
                digest.as_ref().first_chunk().copied().map(Self)
            }
        }
    }

    /// Whether all four octets are printable ASCII or trailing zeros.
    fn is_text(self) -> bool {
        let text = self.0.iter().take_while(|octet| **octet != 0).count();
        let (text, padding) = self.0.split_at_checked(text).unwrap_or((&[], &[]));
        !text.is_empty()
            && text.iter().all(u8::is_ascii_graphic)
            && padding.iter().all(|octet| *octet == 0)
    }
}

impl fmt::Display for ReferenceId {
    /// As text where it is text, else as an IPv4 address.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_text() {
            for octet in self.0.iter().take_while(|octet| **octet != 0) {
                write!(formatter, "{}", char::from(*octet))?;
            }
            return Ok(());
        }
        write!(formatter, "{}", Ipv4Addr::from(self.0))
    }
}

impl fmt::Debug for ReferenceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReferenceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "rustcrypto")]
    #[test]
    fn ipv6_addresses_are_digested() {
        let provider = crate::crypto::rustcrypto::provider();
        // MD5 of fifteen zero octets and a one, computed with Python's hashlib.
        let id = ReferenceId::from_address("::1".parse().unwrap(), &provider);
        assert_eq!(id, Some(ReferenceId([0xcf, 0x40, 0x4d, 0xc8])));
        let id = ReferenceId::from_address("::ffff:10.61.3.26".parse().unwrap(), &provider);
        assert_eq!(id, Some(ReferenceId([10, 61, 3, 26])));
    }

    #[test]
    fn letters_print_as_letters_and_addresses_as_addresses() {
        assert_eq!(ReferenceId(*b"GPS\0").to_string(), "GPS");
        assert_eq!(ReferenceId::INIT.to_string(), "INIT");
        assert_eq!(
            ReferenceId::from_ipv4(Ipv4Addr::new(10, 61, 3, 26)).to_string(),
            "10.61.3.26"
        );
        assert_eq!(ReferenceId::NONE.to_string(), "0.0.0.0");
    }
}

//! An IP subnet as the identities of quick mode name it, RFC 2407 section 4.6.2.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use thiserror::Error;

/// An IPv4 or IPv6 subnet in canonical form: no bit beyond the prefix is set.
///
/// Written `10.61.3.0/24`; a bare address is a host, `/32` or `/128`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subnet {
    address: IpAddr,
    prefix_len: u8,
}

impl Subnet {
    /// A subnet from its first address and its prefix length in bits.
    ///
    /// # Errors
    ///
    /// [`SubnetError::PrefixTooLong`] beyond 32 bits (IPv6: 128), and
    /// [`SubnetError::HostBitsSet`] if the address lies inside the subnet rather than at its start.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, SubnetError> {
        let max = width(address);
        if max < prefix_len {
            return Err(SubnetError::PrefixTooLong {
                got: prefix_len,
                max,
            });
        }
        if bits(address) & !mask(address, prefix_len) != 0 {
            return Err(SubnetError::HostBitsSet {
                address,
                prefix_len,
            });
        }
        Ok(Self {
            address,
            prefix_len,
        })
    }

    /// The subnet that holds this one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix_len: width(address),
        }
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix in bits.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether the subnet is a single address.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.prefix_len == width(self.address)
    }

    /// Whether the address lies in the subnet.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        same_family(self.address, address)
            && (bits(self.address) ^ bits(address)) & mask(address, self.prefix_len) == 0
    }

    /// Whether every address of `other` lies in the subnet.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address)
    }

    /// Whether the two subnets share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The subnet that holds this address; unlike in [`new`](Self::new), host bits are cleared.
    ///
    /// `None` if the prefix is too long.
    pub(crate) fn around(address: IpAddr, prefix_len: u8) -> Option<Self> {
        if width(address) < prefix_len {
            return None;
        }
        let cleared = bits(address) & mask(address, prefix_len);
        let address = match address {
            IpAddr::V4(_) => {
                let [.., a, b, c, d] = cleared.to_be_bytes();
                IpAddr::from([a, b, c, d])
            }
            IpAddr::V6(_) => IpAddr::from(cleared.to_be_bytes()),
        };
        Some(Self {
            address,
            prefix_len,
        })
    }
}

impl Subnet {
    /// The subnet that consists of exactly the addresses from `first` to `last`, if there is one.
    pub(crate) fn spanning(first: IpAddr, last: IpAddr) -> Option<Self> {
        if !same_family(first, last) {
            return None;
        }
        let differing = 128 - (bits(first) ^ bits(last)).leading_zeros();
        let prefix_len = width(first).checked_sub(u8::try_from(differing).ok()?)?;
        let subnet = Self::new(first, prefix_len).ok()?;
        (bits(last) == bits(first) | !mask(first, prefix_len) & mask(first, width(first)))
            .then_some(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| SubnetError::NotAnAddress)?;
        match prefix_len {
            None => Ok(Self::host(address)),
            Some(digits) => Self::new(
                address,
                digits.parse().map_err(|_| SubnetError::NotAPrefix)?,
            ),
        }
    }
}

/// Why a text or a pair of values is no [`Subnet`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SubnetError {
    /// The part before the slash is no IP address.
    #[error("not an IP address")]
    NotAnAddress,
    /// The part after the slash is no number.
    #[error("not a prefix length")]
    NotAPrefix,
    /// The prefix is longer than an address of the family.
    #[error("prefix length {got} is beyond {max}")]
    PrefixTooLong {
        /// What was asked for, in bits.
        got: u8,
        /// What the family allows, in bits.
        max: u8,
    },
    /// The address is not the first of the subnet.
    #[error("{address} has bits set beyond /{prefix_len}")]
    HostBitsSet {
        /// The address as given.
        address: IpAddr,
        /// The prefix length as given, in bits.
        prefix_len: u8,
    },
}

fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number, an IPv4 address in the low 32 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// `prefix_len` ones at the top of the address's width.
fn mask(address: IpAddr, prefix_len: u8) -> u128 {
    let width = u32::from(width(address));
    let all = u128::MAX.checked_shr(128 - width).unwrap_or(0);
    let host = u128::MAX
        .checked_shr(128_u32.saturating_sub(width.saturating_sub(u32::from(prefix_len))))
        .unwrap_or(0);
    all & !host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn text_survives_a_round_trip() {
        for text in [
            "10.61.3.0/24",
            "0.0.0.0/0",
            "10.61.1.1/32",
            "2001:db8::/32",
            "::/0",
            "::1/128",
        ] {
            assert_eq!(subnet(text).to_string(), text);
        }
        assert_eq!(subnet("10.61.1.1").to_string(), "10.61.1.1/32");
    }

    #[test]
    fn host_bits_are_refused() {
        let error = "10.61.3.1/24".parse::<Subnet>();
        assert_eq!(
            error,
            Err(SubnetError::HostBitsSet {
                address: [10, 61, 3, 1].into(),
                prefix_len: 24
            })
        );
        assert_eq!(
            "10.0.0.0/33".parse::<Subnet>(),
            Err(SubnetError::PrefixTooLong { got: 33, max: 32 })
        );
        assert_eq!("ten/8".parse::<Subnet>(), Err(SubnetError::NotAnAddress));
        assert_eq!("10.0.0.0/x".parse::<Subnet>(), Err(SubnetError::NotAPrefix));
    }

    #[test]
    fn covering_and_overlapping_agree_with_contains() {
        let wide = subnet("10.61.0.0/16");
        let narrow = subnet("10.61.3.0/24");
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!narrow.overlaps(&subnet("10.61.4.0/24")));
        assert!(!subnet("::/0").contains([10, 0, 0, 1].into()));
        assert!(
            narrow.contains([10, 61, 3, 255].into()) && !narrow.contains([10, 61, 4, 0].into())
        );
    }

    #[test]
    fn host_bits_can_be_cleared() {
        assert_eq!(
            Subnet::around([10, 1, 2, 3].into(), 16),
            Some(subnet("10.1.0.0/16"))
        );
        assert_eq!(
            Subnet::around("2001:db8::1".parse().unwrap(), 32),
            Some(subnet("2001:db8::/32"))
        );
        assert_eq!(Subnet::around([10, 1, 2, 3].into(), 33), None);
    }
}

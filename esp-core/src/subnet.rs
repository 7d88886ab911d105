//! Address prefixes, the unit of selectors.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::error::SubnetError;

/// An IPv4 or IPv6 prefix.
///
/// Invariant: canonical, the bits behind the prefix are zero and the prefix is no longer than the
/// address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subnet {
    address: IpAddr,
    prefix_len: u8,
}

impl Subnet {
    /// Every IPv4 address.
    pub const ANY_V4: Self = Self {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix_len: 0,
    };
    /// Every IPv6 address.
    pub const ANY_V6: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        prefix_len: 0,
    };

    /// The prefix of `prefix_len` bits that `address` names.
    ///
    /// # Errors
    ///
    /// [`SubnetError::PrefixTooLong`] above 32 or 128 bits, [`SubnetError::HostBits`] if a bit
    /// behind the prefix is set.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, SubnetError> {
        let max = width(address);
        if max < prefix_len {
            return Err(SubnetError::PrefixTooLong { prefix_len, max });
        }
        let network = mask(address, prefix_len);
        if network != address {
            return Err(SubnetError::HostBits {
                address,
                prefix_len,
                network,
            });
        }
        Ok(Self {
            address,
            prefix_len,
        })
    }

    /// The prefix that holds this address alone.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix_len: width(address),
        }
    }

    /// The first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether the prefix is of IPv4 addresses.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `address` is in the prefix; never across families.
    #[must_use]
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v4(self.prefix_len) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v6(self.prefix_len) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The same for an IPv4 address as a number.
    #[inline]
    pub(crate) const fn contains_v4(&self, address: u32) -> bool {
        match self.address {
            IpAddr::V4(network) => (network.to_bits() ^ address) & mask_v4(self.prefix_len) == 0,
            IpAddr::V6(_) => false,
        }
    }

    /// Whether every address of `other` is in this prefix.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address)
    }

    /// Whether the two share an address: prefixes do when one covers the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    /// Reads `10.61.3.0/24`; an address alone is a prefix of 32 or 128 bits.
    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| SubnetError::NotAnAddress)?;
        let Some(prefix_len) = prefix_len else {
            return Ok(Self::host(address));
        };
        if !prefix_len.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(SubnetError::NotAPrefixLength);
        }
        Self::new(
            address,
            prefix_len
                .parse()
                .map_err(|_| SubnetError::NotAPrefixLength)?,
        )
    }
}

pub(crate) const fn mask_v4(prefix_len: u8) -> u32 {
    match u32::MAX.checked_shl(32_u32.saturating_sub(prefix_len as u32)) {
        Some(mask) => mask,
        None => 0,
    }
}

pub(crate) const fn mask_v6(prefix_len: u8) -> u128 {
    match u128::MAX.checked_shl(128_u32.saturating_sub(prefix_len as u32)) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & mask_v4(prefix_len)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & mask_v6(prefix_len)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn reads_and_prints_the_usual_notation() {
        for text in [
            "10.61.3.0/24",
            "0.0.0.0/0",
            "10.0.0.1/32",
            "fd00::/8",
            "::/0",
            "::1/128",
        ] {
            assert_eq!(subnet(text).to_string(), text);
        }
        assert_eq!(subnet("10.0.0.1"), subnet("10.0.0.1/32"));
        assert_eq!(subnet("fd00::1"), subnet("fd00::1/128"));
    }

    #[test]
    fn refuses_what_is_not_a_prefix() {
        let refused = |text: &str| text.parse::<Subnet>().unwrap_err();
        assert_eq!(
            refused("10.0.0.0/33"),
            SubnetError::PrefixTooLong {
                prefix_len: 33,
                max: 32
            }
        );
        assert_eq!(
            refused("fd00::/129"),
            SubnetError::PrefixTooLong {
                prefix_len: 129,
                max: 128
            }
        );
        assert_eq!(
            refused("10.0.0.1/24"),
            SubnetError::HostBits {
                address: "10.0.0.1".parse().unwrap(),
                prefix_len: 24,
                network: "10.0.0.0".parse().unwrap(),
            }
        );
        for text in ["", "10.0.0/24", "branch", "10.0.0.0.0/24"] {
            assert_eq!(refused(text), SubnetError::NotAnAddress, "{text}");
        }
        for text in [
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/300",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(refused(text), SubnetError::NotAPrefixLength, "{text}");
        }
    }

    #[test]
    fn contains_is_bounded_by_the_prefix() {
        let net = subnet("10.61.3.0/24");
        assert!(net.contains("10.61.3.0".parse().unwrap()));
        assert!(net.contains("10.61.3.255".parse().unwrap()));
        assert!(!net.contains("10.61.2.255".parse().unwrap()));
        assert!(!net.contains("10.61.4.0".parse().unwrap()));
        assert!(!net.contains("::ffff:10.61.3.1".parse().unwrap()));
        assert!(Subnet::ANY_V4.contains("255.255.255.255".parse().unwrap()));
        assert!(!Subnet::ANY_V6.contains("10.0.0.1".parse().unwrap()));
        assert!(subnet("fd00::/9").contains("fd7f::1".parse().unwrap()));
        assert!(!subnet("fd00::/9").contains("fd80::1".parse().unwrap()));
    }

    #[test]
    fn overlap_is_cover_either_way() {
        let (wide, narrow, other) = (
            subnet("10.0.0.0/8"),
            subnet("10.61.0.0/16"),
            subnet("192.168.0.0/16"),
        );
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!wide.overlaps(&other) && !Subnet::ANY_V4.overlaps(&Subnet::ANY_V6));
    }
}

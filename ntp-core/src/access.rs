//! Who is served, by address.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use thiserror::Error;

/// A network: an address and the length of its prefix. Host bits are zero.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subnet {
    address: IpAddr,
    prefix_len: u8,
}

impl Subnet {
    /// A network.
    ///
    /// # Errors
    ///
    /// [`SubnetError::PrefixTooLong`] above 32 or 128, [`SubnetError::HostBits`] if the address lies inside the network.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, SubnetError> {
        if width(address) < prefix_len {
            return Err(SubnetError::PrefixTooLong);
        }
        let subnet = Self {
            address,
            prefix_len,
        };
        if bits(address) & !subnet.mask() == 0 {
            Ok(subnet)
        } else {
            Err(SubnetError::HostBits)
        }
    }

    /// Whether an address lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & self.mask() == bits(self.address)
    }

    /// Length of the prefix in bits.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The network's part of 128 bits that hold an address in the upper ones.
    fn mask(&self) -> u128 {
        u128::MAX
            .checked_shl(128 - u32::from(self.prefix_len))
            .unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    /// Reads `10.61.3.0/24`; an address alone is a network of one host.
    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| SubnetError::Unreadable)?;
        let prefix_len = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| SubnetError::Unreadable)?,
            None => width(address),
        };
        Self::new(address, prefix_len)
    }
}

/// Why a network cannot be made or read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SubnetError {
    /// Not an address, a slash and a number.
    #[error("not of the form address/prefix")]
    Unreadable,
    /// The prefix is longer than the address.
    #[error("prefix is longer than the address")]
    PrefixTooLong,
    /// Bits of the address beyond the prefix are set.
    #[error("bits beyond the prefix are set")]
    HostBits,
}

/// How a client is treated.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// It is answered.
    #[default]
    Serve,
    /// It is answered if its request is authentic.
    ServeAuthenticated,
    /// It hears nothing.
    Ignore,
    /// It is told DENY.
    Deny,
    /// It is told RSTR.
    Restrict,
}

/// Treatment by network: the longest prefix that contains the address decides.
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    /// Longest prefix first.
    rules: Vec<(Subnet, Access)>,
    otherwise: Access,
}

impl AccessList {
    /// A list without rules.
    #[must_use]
    pub const fn new(otherwise: Access) -> Self {
        Self {
            rules: Vec::new(),
            otherwise,
        }
    }

    /// Adds a rule, replacing one for the same network.
    #[must_use]
    pub fn rule(mut self, subnet: Subnet, access: Access) -> Self {
        self.rules.retain(|(known, _)| *known != subnet);
        let place = self
            .rules
            .partition_point(|(known, _)| subnet.prefix_len <= known.prefix_len);
        self.rules.insert(place, (subnet, access));
        self
    }

    /// How the address is treated.
    #[must_use]
    pub fn access(&self, address: IpAddr) -> Access {
        if self.rules.is_empty() {
            return self.otherwise;
        }
        let address = address.to_canonical();
        let rule = self
            .rules
            .iter()
            .find(|(subnet, _)| subnet.contains(address));
        rule.map_or(self.otherwise, |(_, access)| *access)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address in the upper bits.
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses() {
        assert!(subnet("10.61.0.0/16").contains("10.61.253.1".parse().unwrap()));
        assert!(!subnet("10.61.0.0/16").contains("10.62.0.1".parse().unwrap()));
        assert!(subnet("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(!subnet("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(subnet("2001:db8::/32").contains("2001:db8:1::1".parse().unwrap()));
        assert_eq!(subnet("127.0.0.1").to_string(), "127.0.0.1/32");
    }

    #[test]
    fn bad_networks_are_named() {
        assert_eq!("10.0.0.1/8".parse::<Subnet>(), Err(SubnetError::HostBits));
        assert_eq!(
            "10.0.0.0/33".parse::<Subnet>(),
            Err(SubnetError::PrefixTooLong)
        );
        assert_eq!("ten/8".parse::<Subnet>(), Err(SubnetError::Unreadable));
        assert_eq!("10.0.0.0/x".parse::<Subnet>(), Err(SubnetError::Unreadable));
    }

    #[test]
    fn the_longest_prefix_decides() {
        let list = AccessList::new(Access::Ignore)
            .rule(subnet("10.0.0.0/8"), Access::Serve)
            .rule(subnet("10.61.9.0/24"), Access::Deny)
            .rule(subnet("10.61.0.0/16"), Access::Restrict)
            .rule(subnet("10.61.9.0/24"), Access::ServeAuthenticated);
        let access = |text: &str| list.access(text.parse().unwrap());
        assert_eq!(access("10.1.1.1"), Access::Serve);
        assert_eq!(access("10.61.1.1"), Access::Restrict);
        assert_eq!(access("10.61.9.1"), Access::ServeAuthenticated);
        assert_eq!(access("::ffff:10.61.9.1"), Access::ServeAuthenticated);
        assert_eq!(access("192.0.2.1"), Access::Ignore);
    }
}

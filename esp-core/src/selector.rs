//! Selectors, RFC 4301 section 4.4.1.1: which inner packets belong to an SA.

use core::fmt;
use core::net::IpAddr;

use crate::error::SelectorError;
use crate::subnet::Subnet;

/// A pair of prefixes, ours and the peer's; in IKEv1 terms one quick mode's IDci and IDcr.
///
/// Invariant: both of one family.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Selector {
    local: Subnet,
    remote: Subnet,
}

impl Selector {
    /// Every pair of IPv4 addresses.
    pub const ANY_V4: Self = Self {
        local: Subnet::ANY_V4,
        remote: Subnet::ANY_V4,
    };
    /// Every pair of IPv6 addresses.
    pub const ANY_V6: Self = Self {
        local: Subnet::ANY_V6,
        remote: Subnet::ANY_V6,
    };

    /// A selector for packets between `local` and `remote`.
    ///
    /// # Errors
    ///
    /// [`SelectorError::MixedFamilies`] if one is IPv4 and the other IPv6.
    pub const fn new(local: Subnet, remote: Subnet) -> Result<Self, SelectorError> {
        if local.is_ipv4() == remote.is_ipv4() {
            Ok(Self { local, remote })
        } else {
            Err(SelectorError::MixedFamilies)
        }
    }

    /// The prefix on our side.
    #[must_use]
    pub const fn local(&self) -> Subnet {
        self.local
    }

    /// The prefix on the peer's side.
    #[must_use]
    pub const fn remote(&self) -> Subnet {
        self.remote
    }

    /// Whether a packet between these two addresses is selected; `local` is the source on the way
    /// out and the destination on the way in.
    #[must_use]
    #[inline]
    pub fn matches(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.remote.contains(remote) && self.local.contains(local)
    }

    /// The same for IPv4 addresses as numbers.
    #[inline]
    pub(crate) fn matches_v4(&self, local: u32, remote: u32) -> bool {
        self.remote.contains_v4(remote) && self.local.contains_v4(local)
    }

    /// Whether some packet would be selected by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.local.overlaps(&other.local) && self.remote.overlaps(&other.remote)
    }

    /// The same pair as the peer sees it.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} === {}", self.local, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(local: &str, remote: &str) -> Selector {
        Selector::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap()
    }

    #[test]
    fn matches_only_when_both_sides_do() {
        let pair = selector("10.61.1.0/24", "10.61.3.0/24");
        let matches = |local: &str, remote: &str| {
            pair.matches(local.parse().unwrap(), remote.parse().unwrap())
        };
        assert!(matches("10.61.1.9", "10.61.3.9"));
        assert!(!matches("10.61.3.9", "10.61.1.9"), "the direction counts");
        assert!(!matches("10.61.1.9", "10.61.4.9"));
        assert!(!matches("10.61.2.9", "10.61.3.9"));
    }

    #[test]
    fn families_do_not_mix() {
        let mixed = Selector::new("10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap());
        assert_eq!(mixed, Err(SelectorError::MixedFamilies));
    }

    #[test]
    fn overlap_needs_both_sides() {
        let pair = selector("10.61.0.0/16", "192.168.0.0/16");
        assert!(pair.overlaps(&selector("10.61.1.0/24", "192.168.0.0/24")));
        assert!(!pair.overlaps(&selector("10.61.1.0/24", "10.0.0.0/24")));
        assert_eq!(
            pair.mirrored().to_string(),
            "192.168.0.0/16 === 10.61.0.0/16"
        );
    }
}

//! The security policy database, RFC 4301 section 4.4.1: what becomes of a packet, by its inner
//! addresses.
//!
//! Selectors are prefixes, so a look-up tries each *shape* (the two prefix lengths) that some entry
//! has, one hash probe each, the longest first. A database has few shapes however many entries it
//! has, so the cost does not grow with the number of branches.

use core::hash::Hash;
use core::net::IpAddr;
use core::ops::BitAnd;
use std::collections::HashMap;

use crate::hash::AddressHasher;
use crate::selector::Selector;
use crate::subnet::{Subnet, mask_v4, mask_v6};

/// What is to be done with a packet, RFC 4301 section 4.4.1.
#[expect(clippy::exhaustive_enums, reason = "RFC 4301 names these three")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Policy<T> {
    /// Through the tunnel that `T` names.
    Protect(T),
    /// As it is, outside of any tunnel.
    Bypass,
    /// Nowhere.
    Discard,
}

/// Policies by selector; of those that match a packet the most specific holds.
///
/// Most specific is the longest remote prefix and, of those, the longest local one, as in a routing
/// table. RFC 4301 lets an ordered list decide; with prefixes alone an order could only hide an
/// entry behind a wider one, and entries come and go with the branches.
#[derive(Clone, Debug)]
pub struct Spd<T> {
    v4: Table<u32, T>,
    v6: Table<u128, T>,
}

impl<T> Spd<T> {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self {
            v4: Table::new(),
            v6: Table::new(),
        }
    }

    /// Sets the policy for exactly this selector and returns the one that it displaces, if any.
    pub fn insert(&mut self, selector: Selector, policy: Policy<T>) -> Option<Policy<T>> {
        match Key::of(selector) {
            Key::V4(shape, key) => self.v4.insert(shape, key, policy),
            Key::V6(shape, key) => self.v6.insert(shape, key, policy),
        }
    }

    /// Takes out the policy of exactly this selector.
    pub fn remove(&mut self, selector: Selector) -> Option<Policy<T>> {
        match Key::of(selector) {
            Key::V4(shape, key) => self.v4.remove(shape, key),
            Key::V6(shape, key) => self.v6.remove(shape, key),
        }
    }

    /// The policy of exactly this selector.
    #[must_use]
    pub fn get(&self, selector: Selector) -> Option<&Policy<T>> {
        match Key::of(selector) {
            Key::V4(shape, key) => self.v4.get(shape, key),
            Key::V6(shape, key) => self.v6.get(shape, key),
        }
    }

    /// The policy for a packet between these inner addresses; `local` is the source of a packet on
    /// its way out and the destination of one on its way in.
    ///
    /// `None` if no entry matches; RFC 4301 section 5.1 wants such a packet discarded, unless its
    /// way never was through here.
    #[must_use]
    pub fn lookup(&self, local: IpAddr, remote: IpAddr) -> Option<&Policy<T>> {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                self.v4.lookup(local.to_bits(), remote.to_bits())
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                self.v6.lookup(local.to_bits(), remote.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Spd<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The two prefix lengths of a selector; greater is more specific.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Shape {
    remote_len: u8,
    local_len: u8,
}

/// The two network addresses of a selector.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Networks<A> {
    local: A,
    remote: A,
}

enum Key {
    V4(Shape, Networks<u32>),
    V6(Shape, Networks<u128>),
}

impl Key {
    fn of(selector: Selector) -> Self {
        let (local, remote) = (selector.local(), selector.remote());
        let shape = Shape {
            remote_len: remote.prefix_len(),
            local_len: local.prefix_len(),
        };
        match (bits_v4(local), bits_v4(remote)) {
            (Some(local), Some(remote)) => Self::V4(shape, Networks { local, remote }),
            _ => Self::V6(
                shape,
                Networks {
                    local: bits_v6(local),
                    remote: bits_v6(remote),
                },
            ),
        }
    }
}

/// Every entry of one address family.
#[derive(Clone, Debug)]
struct Table<A, T> {
    /// Most specific shape first; none is empty.
    groups: Vec<Group<A, T>>,
}

/// Every entry of one shape.
#[derive(Clone, Debug)]
struct Group<A, T> {
    shape: Shape,
    mask: Networks<A>,
    policies: Policies<A, T>,
}

impl<A: Address, T> Table<A, T> {
    const fn new() -> Self {
        Self { groups: Vec::new() }
    }

    fn insert(&mut self, shape: Shape, key: Networks<A>, policy: Policy<T>) -> Option<Policy<T>> {
        let at = match self.position(shape) {
            Ok(at) => at,
            Err(at) => {
                self.groups.insert(at, Group::new(shape));
                at
            }
        };
        self.groups.get_mut(at)?.policies.insert(key, policy)
    }

    fn remove(&mut self, shape: Shape, key: Networks<A>) -> Option<Policy<T>> {
        let at = self.position(shape).ok()?;
        let group = self.groups.get_mut(at)?;
        let removed = group.policies.remove(key);
        if group.policies.len() == 0 {
            self.groups.remove(at);
        }
        removed
    }

    fn get(&self, shape: Shape, key: Networks<A>) -> Option<&Policy<T>> {
        let at = self.position(shape).ok()?;
        self.groups.get(at)?.policies.get(key)
    }

    fn lookup(&self, local: A, remote: A) -> Option<&Policy<T>> {
        self.groups.iter().find_map(|group| {
            let (local, remote) = (local & group.mask.local, remote & group.mask.remote);
            group.policies.get(Networks { local, remote })
        })
    }

    fn position(&self, shape: Shape) -> Result<usize, usize> {
        self.groups
            .binary_search_by(|group| shape.cmp(&group.shape))
    }

    fn len(&self) -> usize {
        self.groups.iter().map(|group| group.policies.len()).sum()
    }
}

impl<A: Address, T> Group<A, T> {
    fn new(shape: Shape) -> Self {
        let mask = Networks {
            local: A::mask(shape.local_len),
            remote: A::mask(shape.remote_len),
        };
        Self {
            shape,
            mask,
            policies: Policies::new(mask),
        }
    }
}

/// Policies by network addresses. Where the upper 64 bits of an IPv6 address hold the whole prefix,
/// as in nearly every plan, they alone are kept: of a large table half as much has to be fetched.
#[derive(Clone, Debug)]
enum Policies<A, T> {
    Upper(HashMap<Networks<u64>, Policy<T>, AddressHasher>),
    Whole(HashMap<Networks<A>, Policy<T>, AddressHasher>),
}

impl<A: Address, T> Policies<A, T> {
    fn new(mask: Networks<A>) -> Self {
        match mask.upper() {
            Some(_) => Self::Upper(HashMap::default()),
            None => Self::Whole(HashMap::default()),
        }
    }

    fn insert(&mut self, key: Networks<A>, policy: Policy<T>) -> Option<Policy<T>> {
        match self {
            Self::Upper(map) => map.insert(key.upper()?, policy),
            Self::Whole(map) => map.insert(key, policy),
        }
    }

    fn remove(&mut self, key: Networks<A>) -> Option<Policy<T>> {
        match self {
            Self::Upper(map) => map.remove(&key.upper()?),
            Self::Whole(map) => map.remove(&key),
        }
    }

    fn get(&self, key: Networks<A>) -> Option<&Policy<T>> {
        match self {
            Self::Upper(map) => map.get(&key.upper()?),
            Self::Whole(map) => map.get(&key),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Upper(map) => map.len(),
            Self::Whole(map) => map.len(),
        }
    }
}

impl<A: Address> Networks<A> {
    /// Both addresses by their upper 64 bits, if the rest is zero.
    fn upper(self) -> Option<Networks<u64>> {
        Some(Networks {
            local: self.local.upper()?,
            remote: self.remote.upper()?,
        })
    }
}

/// The bits of an address of either family.
trait Address: BitAnd<Output = Self> + Copy + Eq + Hash {
    fn mask(prefix_len: u8) -> Self;

    /// The upper 64 of 128 bits, if the rest is zero.
    fn upper(self) -> Option<u64>;
}

impl Address for u32 {
    fn mask(prefix_len: u8) -> Self {
        mask_v4(prefix_len)
    }

    fn upper(self) -> Option<u64> {
        None
    }
}

impl Address for u128 {
    fn mask(prefix_len: u8) -> Self {
        mask_v6(prefix_len)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are what is wanted"
    )]
    fn upper(self) -> Option<u64> {
        (self as u64 == 0).then_some((self >> 64) as u64)
    }
}

const fn bits_v4(subnet: Subnet) -> Option<u32> {
    match subnet.address() {
        IpAddr::V4(address) => Some(address.to_bits()),
        IpAddr::V6(_) => None,
    }
}

const fn bits_v6(subnet: Subnet) -> u128 {
    match subnet.address() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(local: &str, remote: &str) -> Selector {
        Selector::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap()
    }

    fn lookup(spd: &Spd<u8>, local: &str, remote: &str) -> Option<Policy<u8>> {
        spd.lookup(local.parse().unwrap(), remote.parse().unwrap())
            .copied()
    }

    #[test]
    fn the_most_specific_entry_holds() {
        let mut spd = Spd::new();
        spd.insert(selector("10.0.0.0/8", "0.0.0.0/0"), Policy::Discard);
        spd.insert(selector("10.1.0.0/16", "10.2.0.0/16"), Policy::Protect(1));
        spd.insert(selector("10.0.0.0/8", "10.2.3.0/24"), Policy::Protect(2));
        spd.insert(selector("10.1.1.0/24", "10.2.3.0/24"), Policy::Bypass);

        assert_eq!(
            lookup(&spd, "10.1.9.9", "10.2.9.9"),
            Some(Policy::Protect(1))
        );
        assert_eq!(
            lookup(&spd, "10.1.9.9", "10.2.3.9"),
            Some(Policy::Protect(2)),
            "the remote prefix counts first"
        );
        assert_eq!(lookup(&spd, "10.1.1.9", "10.2.3.9"), Some(Policy::Bypass));
        assert_eq!(lookup(&spd, "10.9.9.9", "8.8.8.8"), Some(Policy::Discard));
        assert_eq!(lookup(&spd, "192.168.0.1", "10.2.3.9"), None);
        assert_eq!(lookup(&spd, "10.1.1.9", "fd00::1"), None);
        assert_eq!(spd.len(), 4);
    }

    #[test]
    fn an_entry_is_replaced_and_removed_by_its_exact_selector() {
        let mut spd = Spd::new();
        let pair = selector("fd00:1::/32", "fd00:2::/32");
        assert_eq!(spd.insert(pair, Policy::Protect(1)), None);
        assert_eq!(
            spd.insert(pair, Policy::Protect(2)),
            Some(Policy::Protect(1))
        );
        assert_eq!(spd.get(pair), Some(&Policy::Protect(2)));
        assert_eq!(
            lookup(&spd, "fd00:1::9", "fd00:2::9"),
            Some(Policy::Protect(2))
        );
        assert_eq!(spd.remove(selector("fd00:1::/32", "fd00:2::/48")), None);
        assert_eq!(spd.remove(pair), Some(Policy::Protect(2)));
        assert_eq!(lookup(&spd, "fd00:1::9", "fd00:2::9"), None);
        assert!(spd.is_empty() && spd.v6.groups.is_empty());
    }
}

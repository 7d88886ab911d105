//! Several hubs behind one address: which of them a datagram or a packet is for.
//!
//! Each hub of the set is a shard, and holds a part of the branches; they share nothing. A branch's
//! identity decides its shard, so that it finds its former state again whenever it connects. Everything
//! after its first message names the shard itself: the first octet of responder cookies and of SPIs is
//! the shard's number, as [`EndpointConfigBuilder::shard`](ike_core::config::EndpointConfigBuilder::shard)
//! is told. What names no shard (an unauthenticated notification under new cookies) goes to one of them;
//! such a message is a hint at most, and a hint that misses is made up for by the next probe.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU8;

use esp_core::encapsulation::{UdpPayload, classify};
use esp_core::ip::InnerPacket;
use esp_core::{Policy, Selector, Spd};
use ike_core::Identity;

use crate::config::{MemberConfig, PairConfig};
use crate::hub::MemberError;

/// One of the hubs behind an address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Shard(u8);

impl Shard {
    /// Its number, and the first octet of its responder cookies and SPIs.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The hubs behind one address, seen from whoever owns the sockets.
///
/// It holds no state of any connection: only which branches are configured, to find the owner of an
/// inner packet.
#[derive(Debug)]
pub struct Shards {
    count: NonZeroU8,
    nat_port: u16,
    owners: Spd<Owner>,
}

/// Whose a pair is.
#[derive(Debug, Eq, PartialEq)]
struct Owner {
    shard: Shard,
    identity: Identity,
    pair: Box<str>,
}

impl Shards {
    /// `count` hubs without branches. `nat_port` is their UDP port of ESP, on which IKE is marked.
    #[must_use]
    pub fn new(count: NonZeroU8, nat_port: u16) -> Self {
        Self {
            count,
            nat_port,
            owners: Spd::new(),
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.count.get()).map(Shard)
    }

    /// Adds a branch, and says whose it is.
    ///
    /// # Errors
    ///
    /// [`MemberError::DuplicatePair`] where another branch has a pair with the same two subnets.
    pub fn add(&mut self, member: &MemberConfig) -> Result<Shard, MemberError> {
        let identity = member.ike.remote();
        for pair in &member.pairs {
            let owner = selector(pair).and_then(|selector| self.owners.get(selector));
            if let Some(Policy::Protect(owner)) = owner {
                return Err(MemberError::DuplicatePair {
                    pair: pair.name().into(),
                    other: owner.pair.clone(),
                    identity: owner.identity.clone(),
                });
            }
        }
        let shard = self.of_identity(identity);
        for pair in &member.pairs {
            let owner = Owner {
                shard,
                identity: identity.clone(),
                pair: pair.name().into(),
            };
            if let Some(selector) = selector(pair) {
                self.owners.insert(selector, Policy::Protect(owner));
            }
        }
        Ok(shard)
    }

    /// Removes a branch; one that was not added is none.
    pub fn remove(&mut self, member: &MemberConfig) {
        for selector in member.pairs.iter().filter_map(selector) {
            if let Some(Policy::Protect(owner)) = self.owners.get(selector)
                && owner.identity == *member.ike.remote()
            {
                self.owners.remove(selector);
            }
        }
    }

    /// Whose branch this is, whether it is configured or not.
    #[must_use]
    pub fn of_identity(&self, identity: &Identity) -> Shard {
        let mut hash = Fnv::default();
        match identity {
            Identity::Address(address) => match address {
                IpAddr::V4(address) => hash.add(&address.octets()),
                IpAddr::V6(address) => hash.add(&address.octets()),
            },
            // As they are compared: without regard to case.
            Identity::Fqdn(name) | Identity::UserFqdn(name) => {
                hash.add(name.to_ascii_lowercase().as_bytes());
            }
            Identity::KeyId(octets) => hash.add(octets),
            other => hash.add(other.to_string().as_bytes()),
        }
        self.of_hash(&hash)
    }

    /// Who takes a UDP datagram from the outer network; `contents` is the UDP payload.
    ///
    /// Whatever its octets, it is for one of them, which then says what is wrong with it.
    #[must_use]
    pub fn of_datagram(&self, destination: SocketAddr, contents: &[u8]) -> Shard {
        if destination.port() != self.nat_port {
            return self.of_ike(contents);
        }
        match classify(contents) {
            UdpPayload::Ike(message) => self.of_ike(message),
            UdpPayload::Esp => self.of_esp(contents),
            UdpPayload::Keepalive | UdpPayload::Malformed => Shard(0),
        }
    }

    /// Who takes an ESP packet, from its SPI on.
    #[must_use]
    pub fn of_esp(&self, esp: &[u8]) -> Shard {
        esp.first().map_or(Shard(0), |&first| self.of_number(first))
    }

    /// Whose pair owns an inner packet; `None` where no branch's does.
    #[must_use]
    pub fn of_packet(&self, packet: &[u8]) -> Option<Shard> {
        let inner = InnerPacket::parse(packet).ok()?;
        match self.owners.lookup(inner.source(), inner.destination())? {
            Policy::Protect(owner) => Some(owner.shard),
            Policy::Bypass | Policy::Discard => None,
        }
    }

    fn of_ike(&self, message: &[u8]) -> Shard {
        // The two cookies are all that matters; the rest is for the shard to judge.
        let Some((cookies, _)) = message.split_first_chunk::<16>() else {
            return Shard(0);
        };
        let [initiator @ .., _, _, _, _, _, _, _, _] = cookies;
        let [_, _, _, _, _, _, _, _, responder @ ..] = cookies;
        if *responder != [0; 8] {
            return self.of_number(responder[0]);
        }
        match Identity::claimed_by(message) {
            Some(identity) => self.of_identity(&identity),
            None => {
                let mut hash = Fnv::default();
                hash.add(initiator);
                self.of_hash(&hash)
            }
        }
    }

    /// A number that no shard has is one of a former life with more shards.
    fn of_number(&self, number: u8) -> Shard {
        Shard(number % self.count)
    }

    fn of_hash(&self, hash: &Fnv) -> Shard {
        let remainder = hash.folded() % u64::from(self.count.get());
        Shard(u8::try_from(remainder).unwrap_or_default())
    }
}

fn selector(pair: &PairConfig) -> Option<Selector> {
    Selector::new(pair.local(), pair.remote()).ok()
}

/// FNV-1a with its high half folded in: the same on every machine and in every version, as a branch
/// has to find its shard again after any restart. It keeps nobody from choosing a shard; there is
/// nothing to gain by that.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = (self.0 ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn folded(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn shards(count: u8) -> Shards {
        Shards::new(NonZeroU8::new(count).unwrap(), 4500)
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::new([198, 18, 2, 2].into(), port)
    }

    /// Cookies, then octets that are no message.
    fn message(initiator: [u8; 8], responder: [u8; 8]) -> Vec<u8> {
        [&initiator[..], &responder, &[0; 12]].concat()
    }

    proptest! {
        #[test]
        fn whatever_comes_is_for_one_of_them_and_always_the_same(
            count in 1_u8..=64,
            port in prop_oneof![Just(500_u16), Just(4500)],
            octets in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let shards = shards(count);
            let shard = shards.of_datagram(at(port), &octets);
            prop_assert!(shard.number() < count);
            prop_assert_eq!(shard, shards.of_datagram(at(port), &octets));
            prop_assert!(shards.of_esp(&octets).number() < count);
            prop_assert_eq!(shards.of_packet(&octets), None);
        }

        #[test]
        fn cookies_and_spis_lead_to_the_shard_that_made_them(
            count in 1_u8..=64,
            chosen in any::<u8>(),
            initiator in any::<[u8; 8]>(),
            rest in any::<[u8; 7]>(),
        ) {
            let shards = shards(count);
            let number = chosen % count;
            let mut responder = [number; 8];
            responder[1..].copy_from_slice(&rest);
            prop_assume!(responder != [0; 8]);
            let ike = message(initiator, responder);
            prop_assert_eq!(shards.of_datagram(at(500), &ike).number(), number);
            let marked = [&[0; 4][..], &ike].concat();
            prop_assert_eq!(shards.of_datagram(at(4500), &marked).number(), number);
            // An SPI has a bit set among its last three octets.
            let esp = [number, 0, 1, rest[0], 0, 0, 0, 1, 0xAA];
            prop_assert_eq!(shards.of_datagram(at(4500), &esp).number(), number);
            prop_assert_eq!(shards.of_esp(&esp).number(), number);
        }
    }

    #[test]
    fn a_first_message_without_a_name_goes_by_its_cookie() {
        let shards = shards(4);
        let found: alloc::collections::BTreeSet<_> = (0..64_u8)
            .map(|octet| shards.of_datagram(at(500), &message([octet; 8], [0; 8])))
            .collect();
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn names_spread_evenly_and_their_case_does_not_matter() {
        let shards = shards(4);
        let mut counts = vec![0; 4];
        for number in 0..2000 {
            let identity: Identity = format!("branch{number}").parse().unwrap();
            let shard = shards.of_identity(&identity);
            counts[usize::from(shard.number())] += 1;
            let shouted: Identity = format!("BRANCH{number}").parse().unwrap();
            assert_eq!(shards.of_identity(&shouted), shard);
        }
        assert!(counts.iter().all(|&count| 400 < count), "{counts:?}");
    }
}

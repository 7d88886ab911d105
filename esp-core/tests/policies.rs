//! The SPD against the plainest of models: a list that is searched from one end to the other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use esp_core::{Policy, Sad, Selector, Spd, Spi, Subnet};
use proptest::prelude::*;

#[derive(Default)]
struct Model {
    entries: Vec<(Selector, Policy<u32>)>,
}

impl Model {
    fn remove(&mut self, selector: Selector) -> Option<Policy<u32>> {
        let at = self
            .entries
            .iter()
            .position(|(entry, _)| *entry == selector)?;
        Some(self.entries.swap_remove(at).1)
    }

    fn lookup(&self, local: IpAddr, remote: IpAddr) -> Option<Policy<u32>> {
        self.entries
            .iter()
            .filter(|(selector, _)| selector.matches(local, remote))
            .max_by_key(|(selector, _)| {
                (
                    selector.remote().prefix_len(),
                    selector.local().prefix_len(),
                )
            })
            .map(|(_, policy)| *policy)
    }
}

/// Addresses of a small space, so that prefixes meet.
fn address(v6: bool, bits: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(0xFD << 120 | u128::from(bits)).into()
    } else {
        Ipv4Addr::from_bits(0x0A00_0000 | u32::from(bits)).into()
    }
}

fn subnet(v6: bool, bits: u8, host_bits: u8) -> Subnet {
    let width = if v6 { 128 } else { 32 };
    if 8 < host_bits {
        return if v6 { Subnet::ANY_V6 } else { Subnet::ANY_V4 };
    }
    let masked = (u16::from(bits) >> host_bits << host_bits).to_le_bytes()[0];
    Subnet::new(address(v6, masked), width - host_bits).unwrap()
}

prop_compose! {
    fn selectors()(
        v6 in any::<bool>(),
        local in any::<u8>(), local_host_bits in 0..=9_u8,
        remote in any::<u8>(), remote_host_bits in 0..=9_u8,
    ) -> Selector {
        Selector::new(subnet(v6, local, local_host_bits), subnet(v6, remote, remote_host_bits)).unwrap()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Selector, Policy<u32>),
    Remove(usize),
    Lookup(bool, u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let policy = prop_oneof![
        any::<u32>().prop_map(Policy::Protect),
        Just(Policy::Bypass),
        Just(Policy::Discard),
    ];
    let step = prop_oneof![
        3 => (selectors(), policy).prop_map(|(selector, policy)| Step::Insert(selector, policy)),
        1 => any::<usize>().prop_map(Step::Remove),
        4 => (any::<bool>(), any::<u8>(), any::<u8>())
            .prop_map(|(v6, local, remote)| Step::Lookup(v6, local, remote)),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn agrees_with_the_model(steps in steps()) {
        let (mut spd, mut model) = (Spd::new(), Model::default());
        for step in steps {
            match step {
                Step::Insert(selector, policy) => {
                    let displaced = model.remove(selector);
                    model.entries.push((selector, policy));
                    prop_assert_eq!(spd.insert(selector, policy), displaced);
                    prop_assert_eq!(spd.get(selector), Some(&policy));
                }
                Step::Remove(index) => {
                    let count = model.entries.len().max(1);
                    let Some((selector, _)) = model.entries.get(index % count).copied() else { continue };
                    prop_assert_eq!(spd.remove(selector), model.remove(selector));
                    prop_assert_eq!(spd.get(selector), None);
                }
                Step::Lookup(v6, local, remote) => {
                    let (local, remote) = (address(v6, local), address(v6, remote));
                    prop_assert_eq!(spd.lookup(local, remote).copied(), model.lookup(local, remote));
                }
            }
            prop_assert_eq!(spd.len(), model.entries.len());
        }
    }
}

#[test]
fn an_sa_is_found_by_its_spi_alone() {
    let mut sad = Sad::new();
    let spi = |value| Spi::new(value).unwrap();
    for value in (0..100_000_u32).map(|index| index * 256 + 256) {
        assert_eq!(sad.insert(spi(value), value), None);
    }
    assert_eq!(sad.len(), 100_000);
    assert_eq!(sad.get(spi(512)), Some(&512));
    assert_eq!(sad.get(spi(513)), None);
    *sad.get_mut(spi(512)).unwrap() += 1;
    assert_eq!(sad.insert(spi(512), 7), Some(513));
    assert_eq!(sad.remove(spi(512)), Some(7));
    assert!(!sad.contains(spi(512)) && sad.contains(spi(256)) && !sad.is_empty());
}

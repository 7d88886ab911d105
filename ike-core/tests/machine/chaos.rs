//! Everything at once: after the faults stop, both ends agree on one newest SA per pair.

use std::collections::BTreeMap;
use std::time::Duration;

use ike_core::{Event, PairIndex, Spi};

use crate::world::*;

/// Draws from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What the branch's owner does: never give up.
fn keep_wanting(world: &mut World, duration: Duration) {
    let end = world.now + duration;
    while world.now < end {
        for position in 0..3 {
            let _ = world
                .branch
                .acquire(world.now, world.peer, PairIndex::new(position));
        }
        world.drain();
        world.run_for(secs(1));
        // Traffic: the branch sends on what it has, the hub answers what it does not know.
        let sent: Vec<_> = world
            .current(Side::Branch)
            .values()
            .map(|spi| world.sas(Side::Branch)[spi].outbound_spi)
            .collect();
        let known: Vec<_> = world.sas(Side::Hub).keys().copied().collect();
        let status = world.branch.ike_sa(world.peer);
        let Some(status) = status else { continue };
        for spi in sent {
            let nat = world.nat.clone();
            let source = nat.map_or(status.local, |nat| {
                (nat.outside, nat.first_port + status.local.port()).into()
            });
            if known.contains(&spi) {
                world.hub.note_inbound(world.now, spi, source);
            } else {
                world
                    .hub
                    .handle_unknown_spi(world.now, status.remote, source, spi.get(), 100);
            }
        }
        world.drain();
    }
}

#[test]
fn after_the_faults_both_ends_agree() {
    for seed in 0..60_u64 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let branch = branch_config()
        .sa_lifetime(secs(60 + dice.roll(60)))
        .ike_lifetime(secs(90 + dice.roll(200)));
    let hub = hub_config().sa_lifetime(secs(60 + dice.roll(60)));
    let mut world = World::seeded(seed * 7919, branch, hub);
    if dice.roll(2) == 0 {
        world.nat = Some(Nat {
            outside: "203.0.113.9".parse().unwrap(),
            first_port: 20_000,
        });
    }
    for _ in 0..6 {
        let (loss, double, late) = (dice.roll(40), dice.roll(30), dice.roll(30));
        let mut fates = Dice(dice.roll(u64::MAX));
        world.fate = Box::new(move |_| {
            if fates.roll(100) < loss {
                return vec![];
            }
            let extra = if fates.roll(100) < late {
                ms(fates.roll(3000))
            } else {
                Duration::ZERO
            };
            let first = LATENCY + extra;
            if fates.roll(100) < double {
                vec![first, first + ms(fates.roll(2000))]
            } else {
                vec![first]
            }
        });
        let (garbled, mut damage) = (dice.roll(15), Dice(dice.roll(u64::MAX)));
        world.damage = Box::new(move |sent| {
            let len = sent.contents.len() as u64;
            (damage.roll(100) < garbled).then(|| damage.roll(len) as usize)
        });
        keep_wanting(&mut world, secs(20 + dice.roll(60)));
        match dice.roll(4) {
            0 => {
                world.reboot_branch();
                world.events.retain(|(_, side, _)| *side == Side::Hub);
            }
            1 => {
                world.reboot_hub();
                world.events.retain(|(_, side, _)| *side == Side::Branch);
            }
            2 => {
                if let Some(nat) = &mut world.nat {
                    nat.first_port = 20_000 + u16::try_from(dice.roll(30_000)).unwrap();
                }
            }
            _ => {}
        }
    }
    world.fate = Box::new(|_| vec![LATENCY]);
    world.damage = Box::new(|_| None);
    keep_wanting(&mut world, secs(60));
    assert_eq!(
        newest(&world, Side::Branch).len(),
        3,
        "seed {seed}\n{}",
        world.story()
    );
    for (side, other) in [(Side::Branch, Side::Hub), (Side::Hub, Side::Branch)] {
        let theirs = world.sas(other);
        for (pair, spi) in newest(&world, side) {
            let sa = world.sas(side)[&spi];
            assert!(
                theirs.contains_key(&sa.outbound_spi),
                "seed {seed}: {side:?} {pair:?}\n{}",
                world.story()
            );
        }
        world.assert_bounded(side);
    }
}

fn newest(world: &World, side: Side) -> BTreeMap<PairIndex, Spi> {
    world.current(side)
}

#[test]
fn events_are_consistent_under_chaos() {
    // Every SA that is confirmed or closed was installed, and everything closed is closed once.
    let mut world = World::seeded(3, branch_config().sa_lifetime(secs(60)), hub_config());
    let mut dice = Dice(17);
    world.fate = Box::new(move |_| {
        if dice.roll(100) < 20 {
            vec![]
        } else {
            vec![LATENCY + ms(dice.roll(200))]
        }
    });
    keep_wanting(&mut world, secs(600));
    for side in [Side::Branch, Side::Hub] {
        let mut alive = std::collections::BTreeSet::new();
        for (_, _, event) in world.events.iter().filter(|(_, at, _)| *at == side) {
            match event {
                Event::SaInstalled { sa, .. } => assert!(alive.insert(sa.inbound_spi)),
                Event::SaConfirmed { inbound_spi, .. } => assert!(alive.contains(inbound_spi)),
                Event::SaClosed { inbound_spi, .. } => assert!(alive.remove(inbound_spi)),
                _ => {}
            }
        }
    }
}

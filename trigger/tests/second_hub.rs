//! A branch with two hubs: away from a dead one, back to a better one, and no flapping.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    unused_qualifications,
    unreachable_pub,
    reason = "a test may panic, and is no part of the library"
)]

mod world;

use std::time::Duration;

use sim::HostId;
use trigger::{Event, PairState, Standby, Timing};
use world::{HUB_ADDRESS, PAIRS, Settings, Site, World};

const SECOND: Duration = Duration::from_secs(1);
const OTHER_HUB: &str = "198.18.9.9";

/// A world with two hubs, all pairs up at the first.
struct Two {
    world: World,
    first: HostId,
    second: HostId,
}

impl Two {
    fn up(seed: u64, standby: Standby) -> Self {
        let settings = Settings {
            hubs: vec![HUB_ADDRESS, OTHER_HUB],
            standby,
            ..Settings::default()
        };
        let mut world = World::new(seed, settings);
        let second = world::hub(
            &world.settings,
            seed ^ 0xC,
            Vec::new(),
            world.network.instant(),
        );
        let address = OTHER_HUB.parse().unwrap();
        let second = world
            .network
            .add_host("second", address, Site::of_hub(second));
        let first = world.hub;
        world.link_up();
        world.expect_all_up(3 * SECOND);
        world.network.run_for(5 * SECOND);
        Self {
            world,
            first,
            second,
        }
    }

    /// When the branch turned to which hub.
    fn moves(&self) -> Vec<(Duration, String)> {
        let events = self.world.network.events().iter();
        let moves = events.filter_map(|entry| match entry.event {
            Event::HubChanged { address } => Some((entry.at, address.ip().to_string())),
            _ => None,
        });
        moves.collect()
    }

    fn is_up_at(&self, hub: HostId) -> bool {
        let network = &self.world.network;
        network.is_running(hub)
            && network
                .host(hub)
                .states()
                .iter()
                .all(|state| *state == PairState::Up)
    }

    fn first_dies(&mut self) {
        self.world.network.switch_off(self.first);
    }

    fn first_returns(&mut self) {
        let now = self.world.network.instant();
        let machine = world::hub(&self.world.settings, 99, Vec::new(), now);
        self.world
            .network
            .switch_on(self.first, Site::of_hub(machine));
    }

    /// Reads over every pair every 100 ms, at each of these hubs that has them up, for that long. Returns the hub and the
    /// number of each question.
    fn read_at(&mut self, hubs: &[HostId], time: Duration) -> Vec<(HostId, u64)> {
        let (until, mut asked) = (self.world.network.now() + time, Vec::new());
        while self.world.network.now() < until {
            for &hub in hubs {
                if self.is_up_at(hub) {
                    self.world.hub = hub;
                    asked.extend((0..PAIRS.len()).map(|pair| (hub, self.world.ask(pair))));
                }
            }
            self.world.network.run_for(Duration::from_millis(100));
        }
        asked
    }

    fn expect_answers(&mut self, asked: &[(HostId, u64)]) {
        self.world.network.run_for(SECOND);
        for &(hub, number) in asked {
            self.world.hub = hub;
            let name = self.world.network.name(hub);
            assert!(
                self.world.is_answered(number),
                "question {number} of the {name} hub is lost"
            );
        }
    }
}

#[test]
fn a_hot_standby_has_its_own_sas_and_its_reads_are_answered_while_the_first_hub_serves() {
    let mut two = Two::up(1, Standby::Hot);
    assert!(two.is_up_at(two.first) && two.is_up_at(two.second));
    assert_eq!(two.moves(), []);

    let both = [two.first, two.second];
    let asked = two.read_at(&both, 5 * SECOND);
    assert!(asked.iter().any(|(hub, _)| *hub == two.second));
    two.expect_answers(&asked);
}

#[test]
fn a_cold_standby_is_left_alone_while_the_first_hub_serves() {
    let mut two = Two::up(2, Standby::Cold);
    two.world.network.run_for(120 * SECOND);
    assert!(!two.is_up_at(two.second));
    assert_eq!(two.world.network.stats(two.second).received, 0);
}

#[test]
fn a_hot_standby_takes_over_every_pair_at_once_and_reads_without_a_pause() {
    let mut two = Two::up(3, Standby::Hot);
    let died = two.world.network.now();
    two.first_dies();
    two.world.hub = two.second;
    let read = two.world.read_all(5 * SECOND);
    assert!(read < SECOND / 5, "{read:?}");

    two.world.network.run_for(15 * SECOND);
    let moves = two.moves();
    assert_eq!(moves.len(), 1, "{moves:?}");
    let (moved, ref to) = moves[0];
    assert_eq!(to, OTHER_HUB);
    assert!(moved - died < 10 * SECOND, "{:?}", moved - died);
    let up = two
        .world
        .pair_events(two.world.branch, |event| match event {
            Event::PairUp { pair, .. } => Some(*pair),
            _ => None,
        });
    assert_eq!(
        up.iter().filter(|(at, _)| *at == moved).count(),
        PAIRS.len()
    );
}

#[test]
fn what_the_branch_sends_while_its_hub_is_dead_is_held_and_goes_to_the_standby() {
    let mut two = Two::up(4, Standby::Cold);
    two.first_dies();
    let moved = two.world.network.now() + 20 * SECOND;
    let found = two.world.network.run_until(moved, |network| {
        let mut events = network.events().iter();
        events.any(|entry| matches!(entry.event, Event::PairDown { .. }))
    });
    assert!(found.is_some());
    let packet = world::udp(
        "10.61.1.10:5000".parse().unwrap(),
        "10.61.3.26:7100".parse().unwrap(),
        b"17.4",
    );
    two.world.network.act(two.world.branch, |site, now| {
        let _ = site.send(now, &packet);
    });
    two.world.network.run_for(4 * SECOND);
    assert!(
        two.world
            .network
            .host(two.second)
            .delivered()
            .contains(&packet)
    );
}

#[test]
fn a_hub_that_comes_and_goes_every_three_seconds_does_not_move_the_traffic_each_time() {
    for (seed, standby) in [(5, Standby::Hot), (6, Standby::Cold)] {
        let mut two = Two::up(seed, standby);
        for _ in 0..100 {
            two.world.network.partition(two.first, two.world.branch);
            two.world.network.run_for(3 * SECOND);
            two.world.network.heal(two.first, two.world.branch);
            two.world.network.run_for(3 * SECOND);
        }
        let moves = two.moves();
        assert!(moves.len() <= 2, "{standby:?}: {moves:?}");
    }
}

#[test]
fn the_branch_goes_back_to_the_first_hub_after_the_hold_time_and_no_read_is_lost() {
    for (seed, standby) in [(7, Standby::Hot), (8, Standby::Cold)] {
        let mut two = Two::up(seed, standby);
        two.first_dies();
        two.world.network.run_for(30 * SECOND);
        assert!(two.is_up_at(two.second), "{standby:?}");
        let returned = two.world.network.now();
        two.first_returns();

        let both = [two.first, two.second];
        let hold = Timing::default().failback_hold;
        let mut asked = two.read_at(&both, hold + 30 * SECOND);
        let moves = two.moves();
        assert_eq!(moves.len(), 2, "{standby:?}: {moves:?}");
        let (back, ref to) = moves[1];
        assert_eq!(to, HUB_ADDRESS);
        assert!(
            hold <= back - returned && back - returned < hold + 20 * SECOND,
            "{back:?}"
        );

        // Whoever reads moves as well; then the second hub is let go, unless it is kept ready.
        let only = [two.first];
        asked.extend(two.read_at(&only, 30 * SECOND));
        two.expect_answers(&asked);
        assert_eq!(two.is_up_at(two.second), standby == Standby::Hot);
        assert_eq!(two.moves().len(), 2);
    }
}

#[test]
fn a_first_hub_that_is_refused_or_leaves_hands_over_to_a_hot_standby_at_once() {
    let mut two = Two::up(9, Standby::Hot);
    let left = two.world.network.now();
    two.world.network.act(two.first, |site, now| {
        if let Site::Hub(hub, ..) = site {
            hub.close(now);
        }
    });
    two.world.network.run_for(2 * SECOND);
    let moves = two.moves();
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert!(moves[0].0 - left < SECOND / 5);
}

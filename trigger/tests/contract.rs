//! The contract of the state machines, checked by the one generic test for all of them.

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

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::contract::{Contract, Machine};
use trigger::{Branch, Hub, Standby};
use world::{BRANCH_ADDRESS, PAIRS, Settings, World, udp};

/// What is done to a machine: a datagram of a recorded run, or a call.
#[derive(Clone, Debug)]
enum Input {
    Datagram {
        source: SocketAddr,
        destination: SocketAddr,
        contents: Vec<u8>,
    },
    Packet(Vec<u8>),
    LinkUp,
    Close,
}

struct BranchMachine(Branch);
struct HubMachine(Hub);

macro_rules! machine {
    ($name:ident, $link_up:expr) => {
        impl Machine for $name {
            type Input = Input;
            type Transmit = String;
            type Event = String;

            fn apply(&mut self, now: Instant, input: &Input) {
                match input {
                    Input::Datagram {
                        source,
                        destination,
                        contents,
                    } => {
                        let mut contents = contents.clone();
                        if source.port() == 0 {
                            let _ = self.0.handle_esp(
                                now,
                                source.ip(),
                                destination.ip(),
                                &mut contents,
                            );
                        } else {
                            let _ =
                                self.0
                                    .handle_datagram(now, *source, *destination, &mut contents);
                        }
                    }
                    Input::Packet(packet) => {
                        let mut out = vec![0; packet.len() + trigger::MAX_OVERHEAD];
                        let _ = self.0.encapsulate(now, packet, &mut out);
                    }
                    Input::LinkUp => $link_up(&mut self.0, now),
                    Input::Close => self.0.close(now),
                }
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.0.handle_timeout(now);
            }
            fn poll_transmit(&mut self) -> Option<String> {
                self.0
                    .poll_transmit()
                    .map(|transmit| format!("{transmit:?}"))
            }
            fn poll_event(&mut self) -> Option<String> {
                self.0.poll_event().map(|event| format!("{event:?}"))
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.0.poll_timeout()
            }
        }
    };
}

machine!(BranchMachine, |branch: &mut Branch, now| branch
    .handle_link_up(now, BRANCH_ADDRESS.parse().unwrap()));
machine!(HubMachine, |_: &mut Hub, _| ());

/// What one end received in a run of a minute, with its times; the same machine, given the same
/// at the same times, does the same.
fn recorded(seed: u64, at_hub: bool) -> Vec<(Duration, Input)> {
    let mut world = World::new(seed, Settings::default());
    world.network.trace_mut().keep_contents();
    // An odd latency keeps datagrams and timers from falling on one instant, where the order would be anybody's.
    world
        .network
        .set_default_link(sim::Link::new(Duration::from_nanos(24_317_123)));
    world.link_up();
    world.network.run_for(Duration::from_secs(60));
    let host = if at_hub { world.hub } else { world.branch };
    let mut script: Vec<(Duration, Input)> = world
        .network
        .trace()
        .delivered_to(host)
        .map(|(at, datagram)| {
            let sim::Datagram {
                source,
                destination,
                contents,
            } = datagram;
            (
                at,
                Input::Datagram {
                    source,
                    destination,
                    contents,
                },
            )
        })
        .collect();
    let (_, _, _, source, target, _) = PAIRS[0];
    let (from, to) = if at_hub {
        (target, source)
    } else {
        (source, target)
    };
    let packet = udp(
        SocketAddr::new(from.parse().unwrap(), 5),
        SocketAddr::new(to.parse().unwrap(), 6),
        b"x",
    );
    script.push((Duration::from_secs(61), Input::Packet(packet)));
    script.push((Duration::from_secs(62), Input::Close));
    script
}

#[test]
fn a_branch_keeps_the_contract() {
    let mut script = recorded(21, false);
    script.insert(0, (Duration::ZERO, Input::LinkUp));
    let build = |now: Instant| BranchMachine(world::branch(&Settings::default(), 21 ^ 0xB, now));
    let log = Contract::new(&build, &script, Duration::from_secs(90)).check();
    assert!(
        log.events
            .iter()
            .filter(|(_, event)| event.starts_with("PairUp"))
            .count()
            == 3,
        "{:?}",
        log.events
    );
}

#[test]
fn a_branch_that_nobody_answers_keeps_the_contract() {
    let script = [
        (Duration::ZERO, Input::LinkUp),
        (Duration::from_secs(200), Input::LinkUp),
    ];
    let build = |now: Instant| BranchMachine(world::branch(&Settings::default(), 5, now));
    let log = Contract::new(&build, &script, Duration::from_secs(300)).check();
    assert!(10 < log.transmits.len());
}

#[test]
fn a_branch_that_none_of_its_hubs_answers_keeps_the_contract() {
    for standby in [Standby::Cold, Standby::Hot] {
        let settings = Settings {
            hubs: vec![world::HUB_ADDRESS, "198.18.9.9"],
            standby,
            ..Settings::default()
        };
        let script = [(Duration::ZERO, Input::LinkUp)];
        let build = |now: Instant| BranchMachine(world::branch(&settings, 6, now));
        let log = Contract::new(&build, &script, Duration::from_secs(300)).check();
        let turns = log.events.iter();
        let turns = turns.filter(|(_, event)| event.starts_with("HubChanged"));
        assert_eq!(0 < turns.count(), standby == Standby::Cold);
    }
}

#[test]
fn a_hub_keeps_the_contract() {
    let script = recorded(22, true);
    let build =
        |now: Instant| HubMachine(world::hub(&Settings::default(), 22 ^ 0xA, Vec::new(), now));
    let log = Contract::new(&build, &script, Duration::from_secs(90)).check();
    assert!(
        log.events
            .iter()
            .filter(|(_, event)| event.starts_with("PairUp"))
            .count()
            == 3,
        "{:?}",
        log.events
    );
    assert!(!log.transmits.is_empty());
}

//! The contract that every state machine of this suite keeps.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, and the virtual clock needs an origin"
)]

mod net;

use core::time::Duration;
use std::sync::Arc;

use ntp_core::config::AssociationConfigBuilder;
use ntp_core::poll_interval::PollInterval;
use ntp_core::schedule::{Burst, FixedSchedule, RfcSchedule, Spread};
use ntp_core::system::{BroadcastPolicy, PassivePolicy};
use ntp_core::{
    Association, AssociationConfig, AssociationMode, Datagram, Kick, NtpDuration, NtpTimestamp,
    Purpose, Schedule, ServerConfig, Stratum, SystemConfig, SystemVariables,
};
use proptest::prelude::*;

use crate::net::{Net, Seeded, address, origin};

const BRANCH: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";

/// One association of every kind, and losses.
fn world() -> Net {
    let mut net = Net::new();
    let hub = SystemConfig::new()
        .server(ServerConfig::new())
        .passive(PassivePolicy::Anybody { quota: 2 });
    let listen = BroadcastPolicy::Listen {
        local: address(BRANCH),
        key: None,
        quota: 1,
    };
    net.host(
        BRANCH,
        SystemConfig::new().broadcast(listen),
        NtpDuration::ZERO,
    );
    net.host(HUB, hub, NtpDuration::from_seconds(1));
    net.host(
        "10.61.3.27:123",
        SystemConfig::new().server(ServerConfig::new()),
        NtpDuration::ZERO,
    );
    for host in [1, 2] {
        net.hosts[host]
            .system
            .set_system(SystemVariables::local(Stratum(2)));
    }
    let fixed = Schedule::Fixed(FixedSchedule::new(Duration::from_secs(16), Spread::None));
    let rfc = RfcSchedule::default()
        .poll_range(PollInterval(4), PollInterval(6))
        .spread(Spread::None)
        .initial_burst(Burst::default());
    net.add(
        0,
        peer(AssociationMode::SymmetricActive)
            .schedule(fixed)
            .build()
            .unwrap(),
    );
    let client = AssociationConfig::builder(address(BRANCH), address("10.61.3.27:123"));
    net.add(0, client.schedule(Schedule::Rfc(rfc)).build().unwrap());
    let broadcast = AssociationConfig::builder(address(HUB), address("10.61.3.255:123"));
    net.add(
        1,
        broadcast
            .mode(AssociationMode::BroadcastServer)
            .schedule(fixed)
            .build()
            .unwrap(),
    );
    net.lose = Box::new(|number| number % 7 == 3);
    net
}

fn peer(mode: AssociationMode) -> AssociationConfigBuilder {
    AssociationConfig::builder(address(BRANCH), address(HUB)).mode(mode)
}

fn log(net: &Net) -> Vec<String> {
    let mut lines: Vec<_> = net
        .sent
        .iter()
        .map(|(at, packet)| format!("{at:?} {packet:?}"))
        .collect();
    for host in &net.hosts {
        // Instants differ from run to run, so the last word of an event with one is left out.
        let events = host.events.iter().map(|(at, event)| {
            format!(
                "{at:?} {}",
                format!("{event:?}")
                    .split("at: Instant")
                    .next()
                    .unwrap_or_default()
            )
        });
        lines.extend(events);
    }
    lines
}

#[test]
fn two_runs_are_equal() {
    let run = || {
        let mut net = world();
        net.run_until(Duration::from_secs(1000));
        log(&net)
    };
    let (first, second) = (run(), run());
    assert!(200 < first.len());
    assert_eq!(first, second);
}

#[test]
fn sleeping_until_the_timeout_equals_ticking_every_10_milliseconds() {
    let mut sleeping = world();
    sleeping.run_until(Duration::from_secs(300));
    let mut ticking = world();
    for tick in 0..=30_000 {
        ticking.run_until(Duration::from_millis(tick * 10));
        for host in 0..ticking.hosts.len() {
            let (now, wall) = (ticking.now, ticking.wall(host));
            ticking.hosts[host].system.handle_timeout(now, wall);
        }
    }
    ticking.drain();
    assert_eq!(log(&sleeping), log(&ticking));
}

fn wall() -> NtpTimestamp {
    NtpTimestamp::from_unix(net::TRUE_TIME, 0)
}

#[test]
fn an_older_time_counts_as_the_newest_seen() {
    let fixed = Schedule::Fixed(FixedSchedule::new(Duration::from_secs(16), Spread::None));
    let config = peer(AssociationMode::Client)
        .schedule(fixed)
        .build()
        .unwrap();
    let start = origin() + Duration::from_secs(1000);
    let mut association = Association::new(Arc::new(config), Arc::new(Seeded::new(1)), start);
    association.handle_timeout(start, wall());
    assert!(association.poll_transmit().is_some());
    association.handle_timeout(start - Duration::from_secs(500), wall());
    association.poll_now(start - Duration::from_secs(500), wall(), Purpose::Measure);
    assert_eq!(association.poll_timeout(), Some(start));
    while association.poll_transmit().is_some() {}
    while association.poll_event().is_some() {}
    assert_eq!(
        association.poll_timeout(),
        Some(start + Duration::from_secs(16))
    );
}

#[test]
fn closing_ends_everything_once_it_is_drained() {
    let mut net = world();
    net.run_until(Duration::from_secs(100));
    for host in &mut net.hosts {
        host.system.close(net.now);
        let has_associations = 0 < host.system.associations().len();
        assert_eq!(host.system.is_drained(), !has_associations);
        while host.system.poll_event().is_some() {}
        while host.system.poll_transmit().is_some() {}
        assert!(host.system.is_drained());
        assert_eq!(host.system.poll_timeout(), None);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Datagram {
        flags: u8,
        octets: Vec<u8>,
    },
    /// An answer to the packet sent last, with a few octets changed.
    Answer {
        flags: u8,
        change: Option<(u8, u8)>,
    },
    Wait {
        millis: u32,
    },
    Sleep,
    Kick(Kick),
    Poll(Purpose),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kick = prop_oneof![Just(Kick::LinkUp), Just(Kick::SaUp), Just(Kick::SaDown)];
    let purpose = prop_oneof![Just(Purpose::Trigger), Just(Purpose::Measure)];
    let datagram = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..90));
    let answer = (any::<u8>(), prop::option::of((0..48_u8, any::<u8>())));
    let step = prop_oneof![
        1 => datagram.prop_map(|(flags, octets)| Step::Datagram { flags, octets }),
        4 => answer.prop_map(|(flags, change)| Step::Answer { flags, change }),
        1 => (0..100_000_u32).prop_map(|millis| Step::Wait { millis }),
        2 => Just(Step::Sleep),
        1 => kick.prop_map(Step::Kick),
        1 => purpose.prop_map(Step::Poll),
    ];
    prop::collection::vec(step, 0..60)
}

fn modes() -> impl Strategy<Value = AssociationMode> {
    prop_oneof![
        Just(AssociationMode::Client),
        Just(AssociationMode::SymmetricActive),
        Just(AssociationMode::SymmetricPassive),
        Just(AssociationMode::BroadcastServer),
        Just(AssociationMode::BroadcastClient),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_nothing_panics_output_is_bounded_and_timers_advance(
        mode in modes(),
        steps in steps(),
        drained in any::<bool>(),
    ) {
        let config = peer(mode).initial_spread(Duration::from_secs(1)).build().unwrap();
        let mut now = origin();
        let mut association = Association::new(Arc::new(config), Arc::new(Seeded::new(5)), now);
        association.set_system(SystemVariables::local(Stratum(4)));
        let mut last = [0; 48];
        for step in steps {
            match step {
                Step::Datagram { flags, mut octets } => {
                    if let Some(first) = octets.first_mut() {
                        *first = flags;
                    }
                    hand_in(&mut association, now, &octets);
                }
                Step::Answer { flags, change } => {
                    let mut answer = last;
                    answer[0] = flags;
                    answer[1] = 2;
                    answer.copy_within(40..48, 24);
                    if let Some((place, value)) = change {
                        answer[usize::from(place)] = value;
                    }
                    hand_in(&mut association, now, &answer);
                }
                Step::Wait { millis } => now += Duration::from_millis(millis.into()),
                Step::Sleep => now = association.poll_timeout().unwrap_or(now).max(now),
                Step::Kick(kick) => association.kick(now, kick),
                Step::Poll(purpose) => association.poll_now(now, wall(), purpose),
            }
            association.handle_timeout(now, wall());
            if drained {
                let mut count = 0;
                while let Some(packet) = association.poll_transmit() {
                    count += 1;
                    last.copy_from_slice(&packet.contents[..48]);
                }
                while association.poll_event().is_some() {
                    count += 1;
                }
                prop_assert!(count <= 12, "{} outputs of one step", count);
                prop_assert!(association.poll_timeout().is_none_or(|at| now < at));
            }
        }
        let mut left = 0;
        while association.poll_transmit().is_some() || association.poll_event().is_some() {
            left += 1;
        }
        prop_assert!(left <= 40, "{} outputs queued", left);
    }
}

fn hand_in(association: &mut Association, now: std::time::Instant, contents: &[u8]) {
    let datagram = Datagram {
        source: address(HUB),
        destination: address(BRANCH),
        contents,
    };
    let _ = association.handle_datagram(now, wall(), datagram);
}

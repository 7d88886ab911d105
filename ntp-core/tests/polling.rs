//! When an association polls: back-off, bursts, kicks, spreads.
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

use ntp_core::config::{AssociationConfigBuilder, Prelude, SourcePort};
use ntp_core::event::Event;
use ntp_core::poll_interval::PollInterval;
use ntp_core::schedule::{Burst, FixedSchedule, RfcSchedule, Spread};
use ntp_core::system::SystemEvent;
use ntp_core::{
    Association, AssociationConfig, AssociationMode, ConfigError, Kick, NtpDuration, Purpose,
    Schedule, ServerConfig, Stratum, SystemConfig, SystemVariables,
};

use crate::net::{Net, Seeded, address, origin};

const BRANCH: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";

fn client() -> AssociationConfigBuilder {
    AssociationConfig::builder(address(BRANCH), address(HUB))
}

fn rfc(lowest: i8, highest: i8) -> RfcSchedule {
    RfcSchedule::default()
        .poll_range(PollInterval(lowest), PollInterval(highest))
        .spread(Spread::None)
}

fn every(seconds: u64) -> Schedule {
    Schedule::Fixed(FixedSchedule::new(
        Duration::from_secs(seconds),
        Spread::None,
    ))
}

fn net(config: AssociationConfigBuilder) -> Net {
    let mut net = Net::new();
    net.host(BRANCH, SystemConfig::new(), NtpDuration::ZERO);
    net.host(
        HUB,
        SystemConfig::new().server(ServerConfig::new()),
        NtpDuration::ZERO,
    );
    net.hosts[1]
        .system
        .set_system(SystemVariables::local(Stratum(2)));
    net.add(0, config.build().unwrap());
    net
}

/// When the branch sent, in milliseconds.
fn sent(net: &Net) -> Vec<u128> {
    let own = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.source == address(BRANCH));
    own.map(|(at, _)| at.as_millis()).collect()
}

fn gaps(net: &Net) -> Vec<u128> {
    sent(net).windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn an_unreachable_server_is_polled_less_and_less_and_never_not() {
    let mut net = net(client().schedule(Schedule::Rfc(rfc(4, 6).unreach_limit(3))));
    net.lose = Box::new(|_| true);
    net.run_until(Duration::from_secs(4000));
    let gaps = gaps(&net);
    assert_eq!(gaps[..6], [16_000, 16_000, 16_000, 32_000, 64_000, 64_000]);
    assert!(gaps[6..].iter().all(|gap| *gap == 64_000));
    assert!(3900 < sent(&net).last().unwrap() / 1000);
}

#[test]
fn an_answer_brings_the_interval_back() {
    let mut net = net(client().schedule(Schedule::Rfc(rfc(4, 6).unreach_limit(1))));
    net.lose = Box::new(|number| number < 6);
    net.run_until(Duration::from_secs(600));
    let gaps = gaps(&net);
    assert_eq!(gaps[..4], [16_000, 32_000, 64_000, 64_000]);
    assert!(gaps.contains(&16_000), "{gaps:?}");
    let back = gaps
        .iter()
        .rposition(|gap| *gap == 64_000)
        .map(|index| gaps.get(index + 1));
    assert!(back.is_some());
}

#[test]
fn a_calm_server_is_polled_less_often_up_to_the_maximum() {
    let mut net = net(client().schedule(Schedule::Rfc(rfc(4, 6))));
    net.run_until(Duration::from_secs(4000));
    let gaps = gaps(&net);
    assert_eq!(gaps[0], 16_000);
    assert_eq!(*gaps.last().unwrap(), 64_000);
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]));
}

#[test]
fn an_initial_burst_ends_after_four_samples() {
    let schedule = rfc(6, 10).initial_burst(Burst::default());
    let mut net = net(client().schedule(Schedule::Rfc(schedule)));
    net.run_until(Duration::from_secs(80));
    assert_eq!(sent(&net), [0, 2_000, 4_000, 6_000, 70_020]);
}

#[test]
fn an_initial_burst_goes_on_without_answers_and_ends_after_eight() {
    let schedule = rfc(6, 10).initial_burst(Burst::default());
    let mut net = net(client().schedule(Schedule::Rfc(schedule)));
    net.lose = Box::new(|_| true);
    net.run_until(Duration::from_secs(100));
    assert_eq!(
        sent(&net),
        [
            0, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 14_000, 78_000
        ]
    );
}

#[test]
fn a_burst_comes_with_each_poll_of_a_reachable_server() {
    let schedule = rfc(6, 6).burst(
        Burst::default()
            .count(3)
            .interval(Duration::from_secs(1))
            .enough(9),
    );
    let mut net = net(client().schedule(Schedule::Rfc(schedule)));
    net.run_until(Duration::from_secs(200));
    assert_eq!(
        sent(&net),
        [
            0, 64_000, 65_000, 66_000, 130_000, 131_000, 132_000, 196_000, 197_000, 198_000
        ]
    );
}

#[test]
fn a_kick_brings_the_poll_forward_once_per_guard_time() {
    let mut net = net(client().schedule(every(64)));
    for second in [10, 12, 16] {
        net.run_until(Duration::from_secs(second));
        let now = net.now;
        net.hosts[0].system.kick(now, Kick::LinkUp);
    }
    net.run_until(Duration::from_secs(20));
    assert_eq!(sent(&net), [0, 10_000, 16_000]);
}

#[test]
fn a_new_security_association_is_confirmed_after_50_milliseconds() {
    let mut net = net(client().schedule(every(64)).cold_purpose(Purpose::Trigger));
    net.lose = Box::new(|number| number == 0);
    net.run_until(Duration::from_secs(1));
    let now = net.now;
    net.hosts[0].system.kick(now, Kick::SaUp);
    net.run_until(Duration::from_secs(70));
    assert_eq!(sent(&net), [0, 1_050, 65_050]);
    // The confirming answer proves the path; samples begin with the one after it.
    let replies: Vec<_> = net.hosts[0].replies().collect();
    assert_eq!(replies.len(), 2);
    assert!(replies[0].path && replies[0].sample.is_none());
    assert!(replies[1].sample.is_some());
}

#[test]
fn a_lost_security_association_makes_the_next_request_a_trigger() {
    let mut net = net(client().schedule(every(64)).cold_purpose(Purpose::Trigger));
    net.run_until(Duration::from_secs(70));
    assert_eq!(net.hosts[0].sample_count(), 1);
    let now = net.now;
    net.hosts[0].system.kick(now, Kick::SaDown);
    net.run_until(Duration::from_secs(72));
    let replies: Vec<_> = net.hosts[0].replies().collect();
    assert_eq!((replies.len(), replies[2].sample), (3, None));
    let path: Vec<_> = net.hosts[0]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            SystemEvent::Association { event, .. } => Some(*event),
            _ => None,
        })
        .filter(|event| matches!(event, Event::PathReached | Event::PathLost))
        .collect();
    assert_eq!(
        path,
        [Event::PathReached, Event::PathLost, Event::PathReached]
    );
}

#[test]
fn the_first_poll_is_spread() {
    let first = |seed| {
        let config = client()
            .schedule(every(64))
            .initial_spread(Duration::from_secs(8))
            .build()
            .unwrap();
        let now = origin();
        let association = Association::new(Arc::new(config), Arc::new(Seeded::new(seed)), now);
        association.poll_timeout().unwrap() - now
    };
    let firsts: Vec<_> = (0..100).map(first).collect();
    assert!(firsts.iter().all(|wait| *wait <= Duration::from_secs(8)));
    assert!(firsts.iter().min().unwrap() < &Duration::from_secs(1));
    assert!(&Duration::from_secs(7) < firsts.iter().max().unwrap());
}

#[test]
fn spreads_stay_within_their_bounds() {
    for (spread, lowest, highest) in [
        (Spread::None, 64.0, 64.0),
        (Spread::UpTo(Duration::from_secs(8)), 64.0, 72.0),
        (Spread::PerMille(62), 64.0, 67.97),
        (Spread::Around(100), 57.6, 70.4),
    ] {
        let schedule = Schedule::Fixed(FixedSchedule::new(Duration::from_secs(64), spread));
        let mut net = net(client().schedule(schedule));
        net.run_until(Duration::from_secs(64 * 300));
        let gaps: Vec<_> = gaps(&net)
            .into_iter()
            .map(|gap| gap as f64 / 1000.0)
            .collect();
        assert!(
            gaps.iter()
                .all(|gap| (lowest - 0.01..=highest + 0.01).contains(gap)),
            "{spread:?}"
        );
    }
}

#[test]
fn a_manual_schedule_has_no_timer() {
    let config = client().schedule(Schedule::Manual).build().unwrap();
    let now = origin();
    let mut association = Association::new(Arc::new(config), Arc::new(Seeded::new(1)), now);
    association.kick(now, Kick::LinkUp);
    assert_eq!(association.poll_timeout(), None);
}

#[test]
fn contradictory_settings_are_refused() {
    let error = |builder: AssociationConfigBuilder| builder.build().unwrap_err();
    let v6 = AssociationConfig::builder(address("[::1]:123"), address(HUB));
    assert_eq!(error(v6), ConfigError::MixedFamilies);
    let nowhere = AssociationConfig::builder(address(BRANCH), address("10.61.3.26:0"));
    assert_eq!(error(nowhere), ConfigError::UnspecifiedRemote);
    let nowhere = AssociationConfig::builder(address(BRANCH), address("0.0.0.0:123"));
    assert_eq!(error(nowhere), ConfigError::UnspecifiedRemote);
    assert_eq!(
        error(client().schedule(Schedule::Rfc(rfc(7, 6)))),
        ConfigError::BadPollRange
    );
    assert_eq!(
        error(client().schedule(Schedule::Rfc(rfc(-8, 6)))),
        ConfigError::BadPollRange
    );
    assert_eq!(
        error(client().schedule(Schedule::Rfc(rfc(6, 18)))),
        ConfigError::BadPollRange
    );
    assert_eq!(
        error(client().schedule(every(0))),
        ConfigError::Zero {
            what: "poll interval"
        }
    );
    let bursting = client()
        .mode(AssociationMode::SymmetricActive)
        .schedule(Schedule::Rfc(rfc(6, 10).initial_burst(Burst::default())));
    assert_eq!(error(bursting), ConfigError::BurstNotAllowed);
    let still = rfc(6, 10).burst(Burst::default().interval(Duration::ZERO));
    assert_eq!(
        error(client().schedule(Schedule::Rfc(still))),
        ConfigError::Zero {
            what: "burst interval"
        }
    );
    assert_eq!(
        error(client().prelude(Prelude::ClientServer)),
        ConfigError::PreludeNotAllowed
    );
    let random = SourcePort::Random {
        lowest: 1024,
        highest: 65_535,
    };
    let peer = client()
        .mode(AssociationMode::SymmetricActive)
        .source_port(random);
    assert_eq!(error(peer), ConfigError::RandomPortNotAllowed);
    let empty = SourcePort::Random {
        lowest: 2000,
        highest: 1999,
    };
    assert_eq!(
        error(client().source_port(empty)),
        ConfigError::BadPortRange
    );
    assert_eq!(
        error(client().reply_timeout(Duration::ZERO)),
        ConfigError::Zero {
            what: "reply timeout"
        }
    );
    assert_eq!(
        error(client().volley_interval(Duration::ZERO)),
        ConfigError::Zero {
            what: "volley interval"
        }
    );
}

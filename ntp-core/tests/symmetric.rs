//! Symmetric peers: the exchange, the prelude, ephemeral associations, and recovery from any loss.
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

use ntp_core::config::Prelude;
use ntp_core::mac::{KeyTable, MacKind};
use ntp_core::poll_interval::PollInterval;
use ntp_core::schedule::{FixedSchedule, RfcSchedule, Spread};
use ntp_core::system::{PassivePolicy, SystemEvent};
use ntp_core::{
    AssociationConfig, AssociationMode, NtpDuration, Schedule, ServerConfig, Stratum, SystemConfig,
    SystemVariables,
};

use crate::net::{Net, address, is_fully_reached, key, modes_from};

const BRANCH: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";

fn fixed(seconds: u64, spread_millis: u64) -> Schedule {
    let spread = Spread::UpTo(Duration::from_millis(spread_millis));
    Schedule::Fixed(FixedSchedule::new(Duration::from_secs(seconds), spread))
}

fn active(local: &str, remote: &str, schedule: Schedule) -> AssociationConfig {
    AssociationConfig::builder(address(local), address(remote))
        .mode(AssociationMode::SymmetricActive)
        .schedule(schedule)
        .build()
        .unwrap()
}

/// Two hosts, the second one 3 s ahead, both with a clock that is set.
fn two_hosts(hub: SystemConfig) -> Net {
    let mut net = Net::new();
    net.host(BRANCH, SystemConfig::new(), NtpDuration::ZERO);
    net.host(HUB, hub, NtpDuration::from_seconds(3));
    net.hosts[0]
        .system
        .set_system(SystemVariables::local(Stratum(9)));
    net.hosts[1]
        .system
        .set_system(SystemVariables::local(Stratum(4)));
    net
}

#[test]
fn two_active_peers_measure_each_other() {
    let mut net = two_hosts(SystemConfig::new());
    let branch = net.add(0, active(BRANCH, HUB, fixed(16, 500)));
    let hub = net.add(1, active(HUB, BRANCH, fixed(16, 500)));
    net.run_until(Duration::from_secs(300));
    let offset = |host: usize, id| {
        let association = net.hosts[host].system.association(id).unwrap();
        assert!(is_fully_reached(association.reach()));
        association.estimate().unwrap().offset.as_seconds_f64()
    };
    assert!((offset(0, branch) - 3.0).abs() < 1e-5);
    assert!((offset(1, hub) + 3.0).abs() < 1e-5);
    assert!(
        modes_from(&net, address(BRANCH))
            .iter()
            .all(|mode| *mode == 1)
    );
}

#[test]
fn a_stateless_peer_answers_mode_1_with_mode_2_at_once() {
    let mut net = two_hosts(SystemConfig::new().server(ServerConfig::new()));
    let branch = net.add(0, active(BRANCH, HUB, fixed(16, 0)));
    net.run_until(Duration::from_secs(60));
    let association = net.hosts[0].system.association(branch).unwrap();
    assert_eq!(association.reach().to_string(), "017");
    assert!((association.estimate().unwrap().offset.as_seconds_f64() - 3.0).abs() < 1e-5);
    assert_eq!(modes_from(&net, address(HUB)), [2, 2, 2, 2]);
}

#[test]
fn a_stateful_peer_makes_a_passive_association_that_ends_by_itself() {
    let config = SystemConfig::new()
        .server(ServerConfig::new())
        .passive(PassivePolicy::Anybody { quota: 1 });
    let mut net = two_hosts(config);
    let branch = net.add(0, active(BRANCH, HUB, fixed(64, 0)));
    net.run_until(Duration::from_secs(64 * 10));
    assert!(modes_from(&net, address(HUB)).iter().all(|mode| *mode == 2));
    assert!(is_fully_reached(
        net.hosts[0].system.association(branch).unwrap().reach()
    ));
    assert_eq!(net.hosts[1].system.associations().len(), 1);

    net.hosts[0].system.remove(branch);
    net.run_until(Duration::from_secs(64 * 30));
    assert_eq!(net.hosts[1].system.associations().len(), 0);
}

#[test]
fn strangers_beyond_the_quota_are_answered_without_state() {
    let config = SystemConfig::new()
        .server(ServerConfig::new())
        .passive(PassivePolicy::Anybody { quota: 1 });
    let mut net = two_hosts(config);
    let other = "10.61.0.2:123";
    net.host(other, SystemConfig::new(), NtpDuration::ZERO);
    net.add(0, active(BRANCH, HUB, fixed(64, 0)));
    net.add(2, active(other, HUB, fixed(64, 0)));
    net.run_until(Duration::from_secs(200));
    assert_eq!(net.hosts[1].system.associations().len(), 1);
    assert!(net.hosts[2].sample_count() > 2);
}

#[test]
fn only_an_authentic_stranger_makes_an_association_if_the_policy_says_so() {
    let mut keys = KeyTable::new();
    keys.insert(key(5, MacKind::Aes128Cmac));
    let config = SystemConfig::new()
        .server(ServerConfig::new().keys(keys))
        .passive(PassivePolicy::Authenticated { quota: 8 });
    let mut net = two_hosts(config);
    net.add(0, active(BRANCH, HUB, fixed(64, 0)));
    net.run_until(Duration::from_secs(10));
    assert_eq!(net.hosts[1].system.associations().len(), 0);

    let other = "10.61.0.2:123";
    net.host(other, SystemConfig::new(), NtpDuration::ZERO);
    let keyed = AssociationConfig::builder(address(other), address(HUB))
        .mode(AssociationMode::SymmetricActive)
        .schedule(fixed(64, 0))
        .key(key(5, MacKind::Aes128Cmac));
    net.add(2, keyed.build().unwrap());
    net.run_until(Duration::from_secs(300));
    assert_eq!(net.hosts[1].system.associations().len(), 1);
    assert!(net.hosts[2].sample_count() > 2);
}

#[test]
fn the_prelude_comes_first_and_yields_to_mode_1() {
    let mut net = two_hosts(SystemConfig::new().server(ServerConfig::new()));
    let config = AssociationConfig::builder(address(BRANCH), address(HUB))
        .h3c()
        .build()
        .unwrap();
    net.add(0, config);
    net.run_until(Duration::from_secs(64 * 5));
    let modes = modes_from(&net, address(BRANCH));
    assert_eq!(modes[0], 3);
    assert!(modes.len() > 3 && modes[1..].iter().all(|mode| *mode == 1));
    assert!(
        net.sent
            .iter()
            .all(|(_, packet)| packet.contents[0] >> 3 & 7 == 3),
        "all in NTPv3"
    );
    assert_eq!(modes_from(&net, address(HUB))[..3], [4, 2, 2]);
    // The first request was a trigger: no sample came of it.
    assert_eq!(
        net.hosts[0].sample_count(),
        net.hosts[0].replies().count() - 1
    );
}

#[test]
fn an_unanswered_prelude_tries_mode_1_now_and_then() {
    let mut net = two_hosts(SystemConfig::new());
    let config = AssociationConfig::builder(address(BRANCH), address(HUB))
        .mode(AssociationMode::SymmetricActive)
        .prelude(Prelude::ClientServer)
        .schedule(fixed(64, 0));
    net.add(0, config.build().unwrap());
    net.run_until(Duration::from_secs(64 * 7));
    assert_eq!(modes_from(&net, address(BRANCH)), [3, 3, 3, 1, 3, 3, 3, 1]);
}

#[test]
fn the_h3c_profile_polls_every_64_to_72_seconds() {
    let mut net = two_hosts(SystemConfig::new().server(ServerConfig::new()));
    let config = AssociationConfig::builder(address(BRANCH), address(HUB))
        .h3c()
        .build()
        .unwrap();
    net.add(0, config);
    net.run_until(Duration::from_secs(72 * 200));
    let times: Vec<_> = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.source == address(BRANCH))
        .collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(
        gaps.iter()
            .all(|gap| (64.0..=72.0).contains(&gap.as_secs_f64()))
    );
    let spread =
        gaps.iter().max().unwrap().as_secs_f64() - gaps.iter().min().unwrap().as_secs_f64();
    assert!(7.0 < spread, "the spread is used");
}

/// After the losses, both sides must have a sample within a few of the longer polls.
fn recovers(pattern: u64, branch: Schedule, hub: Option<Schedule>, within: Duration) {
    let config = SystemConfig::new().passive(PassivePolicy::Anybody { quota: 1 });
    let mut net = two_hosts(config.server(ServerConfig::new()));
    net.lose = Box::new(move |number| number < 10 && pattern >> number & 1 == 1);
    net.add(0, active(BRANCH, HUB, branch));
    if let Some(hub) = hub {
        net.add(1, active(HUB, BRANCH, hub));
    }
    while net.sent.len() < 10 {
        let next = net.now - net.origin + Duration::from_secs(1);
        net.run_until(next);
    }
    let counts = [net.hosts[0].sample_count(), net.hosts[1].sample_count()];
    let end = net.now - net.origin + within;
    net.run_until(end);
    for (host, before) in counts.into_iter().enumerate() {
        let after = net.hosts[host].sample_count();
        assert!(
            before < after,
            "host {host} is stuck after losses {pattern:#012b}: {before} samples"
        );
    }
}

#[test]
fn peers_of_equal_poll_recover_from_every_loss_pattern_of_ten_packets() {
    for pattern in 0..1 << 10 {
        recovers(
            pattern,
            fixed(16, 500),
            Some(fixed(16, 500)),
            Duration::from_secs(16 * 4),
        );
    }
}

#[test]
fn peers_in_lockstep_recover_from_every_loss_pattern_of_ten_packets() {
    for pattern in 0..1 << 10 {
        recovers(
            pattern,
            fixed(16, 0),
            Some(fixed(16, 0)),
            Duration::from_secs(16 * 4),
        );
    }
}

#[test]
fn peers_of_unequal_poll_recover_from_every_loss_pattern_of_ten_packets() {
    for pattern in 0..1 << 10 {
        recovers(
            pattern,
            fixed(16, 500),
            Some(fixed(64, 500)),
            Duration::from_secs(64 * 4),
        );
    }
}

#[test]
fn an_active_and_a_passive_peer_recover_from_every_loss_pattern_of_ten_packets() {
    let rfc = RfcSchedule::default().poll_range(PollInterval(6), PollInterval(6));
    for pattern in 0..1 << 10 {
        recovers(
            pattern,
            Schedule::Rfc(rfc),
            None,
            Duration::from_secs(64 * 5),
        );
    }
}

#[test]
fn a_peer_that_restarts_is_heard_again() {
    let mut net = two_hosts(SystemConfig::new());
    let branch = net.add(0, active(BRANCH, HUB, fixed(16, 500)));
    let hub = net.add(1, active(HUB, BRANCH, fixed(16, 500)));
    net.run_until(Duration::from_secs(100));
    net.hosts[1].system.remove(hub);
    net.run_until(Duration::from_secs(150));
    net.add(1, active(HUB, BRANCH, fixed(16, 500)));
    net.run_until(Duration::from_secs(350));
    assert!(is_fully_reached(
        net.hosts[0].system.association(branch).unwrap().reach()
    ));
}

#[test]
fn a_forger_who_knows_the_addresses_cannot_stop_two_peers() {
    let mut net = two_hosts(SystemConfig::new());
    let branch = net.add(0, active(BRANCH, HUB, fixed(16, 500)));
    let hub = net.add(1, active(HUB, BRANCH, fixed(16, 500)));
    for second in 0..300 {
        net.run_until(Duration::from_secs(second));
        let wall = [net.wall(0), net.wall(1)];
        for (host, from) in [(0, HUB), (1, BRANCH)] {
            let mut packet =
                ntp_core::Packet::new(ntp_core::Version::V4, ntp_core::Mode::SymmetricActive);
            packet.stratum = Stratum(1);
            packet.origin.0 = 7 + second;
            packet.receive.0 = 8 + second;
            packet.transmit.0 = 9 + second;
            let contents = packet.encode();
            let destination = net.hosts[host].address;
            let forged = ntp_core::Datagram {
                source: address(from),
                destination,
                contents: &contents,
            };
            let now = net.now;
            let result = net.hosts[host]
                .system
                .handle_datagram(now, wall[host], forged);
            assert!(result.is_err(), "a forged packet was taken");
        }
    }
    for (host, id) in [(0, branch), (1, hub)] {
        let association = net.hosts[host].system.association(id).unwrap();
        assert!(is_fully_reached(association.path_reach()));
        assert!(
            (association
                .estimate()
                .unwrap()
                .offset
                .as_seconds_f64()
                .abs()
                - 3.0)
                .abs()
                < 1e-5
        );
    }
    assert!(
        net.hosts[0]
            .events
            .iter()
            .all(|(_, event)| !matches!(event, SystemEvent::EstimateLost(_)))
    );
}

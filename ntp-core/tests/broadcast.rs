//! Broadcast: the server, the client with its volley, and the broadcasts that are dropped.
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

use ntp_core::event::Event;
use ntp_core::mac::MacKind;
use ntp_core::schedule::{FixedSchedule, Spread};
use ntp_core::system::{AssociationId, BroadcastPolicy, Dropped, SystemEvent};
use ntp_core::{
    AssociationConfig, AssociationMode, NtpDuration, Rejection, Schedule, ServerConfig, Stratum,
    SystemConfig, SystemVariables, Unusable,
};

use crate::net::{Net, address, key, modes_from};

const HUB: &str = "10.61.3.26:123";
const BRANCH: &str = "10.61.3.40:123";
const EVERYBODY: &str = "10.61.3.255:123";

fn every(seconds: u64) -> Schedule {
    Schedule::Fixed(FixedSchedule::new(
        Duration::from_secs(seconds),
        Spread::None,
    ))
}

/// A hub that broadcasts every 64 s, 3 s ahead of a branch that listens.
fn net(listen: BroadcastPolicy) -> Net {
    let mut net = Net::new();
    net.host(
        HUB,
        SystemConfig::new().server(ServerConfig::new()),
        NtpDuration::from_seconds(3),
    );
    net.host(
        BRANCH,
        SystemConfig::new().broadcast(listen),
        NtpDuration::ZERO,
    );
    net.hosts[0]
        .system
        .set_system(SystemVariables::local(Stratum(2)));
    let server = AssociationConfig::builder(address(HUB), address(EVERYBODY))
        .mode(AssociationMode::BroadcastServer)
        .schedule(every(64));
    net.add(0, server.build().unwrap());
    net
}

fn listen() -> BroadcastPolicy {
    BroadcastPolicy::Listen {
        local: address(BRANCH),
        key: None,
        quota: 1,
    }
}

fn only_association(net: &Net) -> AssociationId {
    net.hosts[1].system.associations().next().unwrap().0
}

#[test]
fn a_volley_measures_the_delay_and_then_the_client_only_listens() {
    let mut net = net(listen());
    net.run_until(Duration::from_secs(64 * 12));
    assert_eq!(modes_from(&net, address(BRANCH)), [3, 3, 3, 3]);
    let id = only_association(&net);
    let measured = net.hosts[1]
        .events
        .iter()
        .find_map(|(_, event)| match event {
            SystemEvent::Association {
                event: Event::DelayMeasured { delay },
                ..
            } => Some(*delay),
            _ => None,
        });
    assert!((measured.unwrap().as_secs_f64() - 0.010).abs() < 1e-6);

    let association = net.hosts[1].system.association(id).unwrap();
    let statistics = association.estimate().unwrap();
    assert!((statistics.offset.as_seconds_f64() - 3.0).abs() < 1e-5);
    let last = association.last_sample().unwrap();
    assert!(
        (last.offset.as_seconds_f64() - 3.0).abs() < 1e-5,
        "that of a broadcast"
    );
    assert!((last.delay.as_seconds_f64() - 0.020).abs() < 1e-5);
    assert!(8 < net.hosts[1].sample_count());
    assert!(association.reach().is_reachable());
}

#[test]
fn a_broadcast_carries_no_origin_and_a_silent_clock_sends_none() {
    let mut net = net(listen());
    net.run_until(Duration::from_secs(1));
    let packet = ntp_core::Packet::decode(&net.sent[0].1.contents).unwrap();
    assert!(packet.origin.is_zero() && packet.receive.is_zero() && !packet.transmit.is_zero());
    let before = modes_from(&net, address(HUB))
        .iter()
        .filter(|mode| **mode == 5)
        .count();
    net.hosts[0]
        .system
        .set_system(SystemVariables::UNSYNCHRONISED);
    net.run_until(Duration::from_secs(640));
    let after = modes_from(&net, address(HUB))
        .iter()
        .filter(|mode| **mode == 5)
        .count();
    assert_eq!(before, after);
}

#[test]
fn a_volley_that_nobody_answers_is_tried_again_at_the_next_broadcast() {
    let mut net = net(listen());
    // Packets 1 to 4 are the first volley.
    net.lose = Box::new(|number| (1..=4).contains(&number));
    net.run_until(Duration::from_secs(100));
    assert_eq!(modes_from(&net, address(BRANCH)).len(), 8);
    assert_eq!(net.hosts[1].sample_count(), 4);
}

#[test]
fn replayed_and_early_broadcasts_are_dropped() {
    let mut net = net(listen());
    net.run_until(Duration::from_secs(200));
    let broadcasts: Vec<_> = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.contents[0] & 7 == 5)
        .cloned()
        .collect();
    let (now, wall) = (net.now, net.wall(1));
    let old = &broadcasts[1].1;
    let host = &mut net.hosts[1];
    let replayed = host.system.handle_datagram(now, wall, net::received(old));
    assert_eq!(replayed, Err(Dropped::Rejected(Rejection::Replayed)));

    let mut early = broadcasts.last().unwrap().1.contents.to_vec();
    early[43] = early[43].wrapping_add(1);
    let early = ntp_core::Datagram {
        contents: &early,
        ..net::received(old)
    };
    let dropped = host.system.handle_datagram(now, wall, early);
    assert_eq!(dropped, Err(Dropped::Rejected(Rejection::TooEarly)));
}

#[test]
fn a_quota_bounds_the_servers_that_are_listened_to() {
    let policy = BroadcastPolicy::Listen {
        local: address(BRANCH),
        key: None,
        quota: 0,
    };
    let mut net = net(policy);
    net.run_until(Duration::from_secs(1));
    assert_eq!(
        net.hosts[1].outcomes,
        [Err(Dropped::Rejected(Rejection::QuotaReached))]
    );
}

#[test]
fn a_key_keeps_strangers_out() {
    let policy = BroadcastPolicy::Listen {
        local: address(BRANCH),
        key: Some(key(1, MacKind::Md5)),
        quota: 1,
    };
    let mut net = net(policy);
    net.run_until(Duration::from_secs(200));
    assert_eq!(net.hosts[1].system.associations().len(), 0);
    assert!(
        net.hosts[1].outcomes.iter().all(|outcome| {
            matches!(outcome, Err(Dropped::Rejected(Rejection::NotAuthentic(_))))
        })
    );
}

#[test]
fn without_a_volley_the_configured_delay_is_taken_on_trust() {
    let mut net = net(BroadcastPolicy::Ignore);
    let client = AssociationConfig::builder(address(BRANCH), address(HUB))
        .mode(AssociationMode::BroadcastClient)
        .volley(0)
        .broadcast_delay(Duration::from_millis(10));
    let id = net.add(1, client.build().unwrap());
    net.run_until(Duration::from_secs(300));
    assert_eq!(modes_from(&net, address(BRANCH)), [0_u8; 0]);
    let offset = net.hosts[1]
        .system
        .association(id)
        .unwrap()
        .estimate()
        .unwrap()
        .offset;
    assert!((offset.as_seconds_f64() - 3.0).abs() < 1e-5);
}

#[test]
fn the_first_broadcast_says_that_the_delay_is_unknown() {
    let mut net = net(listen());
    net.run_until(Duration::from_millis(15));
    let first = net.hosts[1].replies().next().unwrap();
    assert_eq!(
        (first.path, first.unusable),
        (false, Some(Unusable::DelayUnknown))
    );
}

#[test]
fn a_server_that_falls_silent_is_noticed() {
    let mut net = net(listen());
    net.run_until(Duration::from_secs(640));
    net.lose = Box::new(|_| true);
    net.run_until(Duration::from_secs(640 + 64 * 12));
    let lost = net.hosts[1].events.iter().any(|(_, event)| {
        matches!(
            event,
            SystemEvent::Association {
                event: Event::ServerLost,
                ..
            }
        )
    });
    assert!(lost);
}

//! A host with several servers: what they say together, and why they say nothing.
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

use ntp_core::error::Unfit;
use ntp_core::ref_id::ReferenceId;
use ntp_core::schedule::{FixedSchedule, Spread};
use ntp_core::select::NoSelection;
use ntp_core::system::{NoEstimate, SystemEvent};
use ntp_core::{
    AssociationConfig, NtpDuration, Schedule, ServerConfig, Stratum, SystemConfig, SystemVariables,
};

use crate::net::{Net, address};

const OWN: &str = "10.61.0.1:123";

/// A host with one server per entry: how far its clock is ahead in milliseconds, and its stratum.
fn net(servers: &[(i64, u8)]) -> Net {
    let mut net = Net::new();
    let own = SystemConfig::new().own_reference_ids(vec![ReferenceId([10, 61, 0, 1])]);
    net.host(OWN, own, NtpDuration::ZERO);
    for (index, (error, stratum)) in servers.iter().enumerate() {
        let at = format!("10.61.3.{}:123", index + 1);
        let error = NtpDuration::from_nanoseconds(error * 1_000_000);
        let host = net.host(&at, SystemConfig::new().server(ServerConfig::new()), error);
        net.hosts[host]
            .system
            .set_system(SystemVariables::local(Stratum(*stratum)));
        let schedule = FixedSchedule::new(
            Duration::from_secs(16),
            Spread::UpTo(Duration::from_secs(1)),
        );
        let config = AssociationConfig::builder(address(OWN), address(&at))
            .schedule(Schedule::Fixed(schedule));
        net.add(0, config.build().unwrap());
    }
    net
}

fn positions(net: &Net, ids: &[ntp_core::system::AssociationId]) -> Vec<usize> {
    let all: Vec<_> = net.hosts[0]
        .system
        .associations()
        .map(|(id, _)| id)
        .collect();
    ids.iter()
        .map(|id| all.iter().position(|other| other == id).unwrap())
        .collect()
}

#[test]
fn the_majority_is_believed_and_the_liar_is_named() {
    let mut net = net(&[(100, 2), (101, 2), (9_000, 1), (102, 3)]);
    net.run_until(Duration::from_secs(200));
    let estimate = net.hosts[0].system.estimate(net.now).unwrap();
    assert!((0.0999..0.1021).contains(&estimate.offset.as_seconds_f64()));
    let mut survivors = positions(&net, &estimate.survivors);
    assert!(
        [0, 1].contains(&survivors[0]),
        "the system peer is one of stratum 2"
    );
    survivors.sort_unstable();
    assert_eq!(survivors, [0, 1, 3]);
    assert_eq!(positions(&net, &estimate.falsetickers), [2]);
    assert_eq!(estimate.stratum, Stratum(3));
    assert!(NtpDuration::ZERO < estimate.root_distance());
    assert!((estimate.root_delay.as_seconds_f64() - 0.020).abs() < 1e-4);
    assert!(
        net.hosts[0]
            .events
            .iter()
            .any(|(_, event)| matches!(event, SystemEvent::Estimated(_)))
    );
}

#[test]
fn two_servers_that_disagree_are_no_majority() {
    let mut net = net(&[(0, 2), (5_000, 2)]);
    net.run_until(Duration::from_secs(200));
    let error = net.hosts[0].system.estimate(net.now).unwrap_err();
    assert_eq!(
        error,
        NoEstimate::Disagreement(NoSelection::NoMajority { candidates: 2 })
    );
}

#[test]
fn a_host_says_why_it_has_no_estimate() {
    let mut empty = net(&[]);
    empty.run_until(Duration::from_secs(1));
    assert_eq!(
        empty.hosts[0].system.estimate(empty.now),
        Err(NoEstimate::NoAssociations)
    );

    let mut deaf = net(&[(0, 2)]);
    deaf.lose = Box::new(|_| true);
    deaf.run_until(Duration::from_secs(100));
    let Err(NoEstimate::NoneFit { reasons }) = deaf.hosts[0].system.estimate(deaf.now) else {
        panic!("nothing was heard");
    };
    assert_eq!(
        reasons.iter().map(|(_, unfit)| *unfit).collect::<Vec<_>>(),
        [Unfit::NoSample]
    );
}

#[test]
fn a_server_that_follows_us_is_not_followed() {
    let mut net = net(&[(0, 2)]);
    let mut looped = SystemVariables::local(Stratum(3));
    looped.reference_id = ReferenceId([10, 61, 0, 1]);
    net.hosts[1].system.set_system(looped);
    net.run_until(Duration::from_secs(100));
    let error = net.hosts[0].system.estimate(net.now).unwrap_err();
    assert!(matches!(error, NoEstimate::NoneFit { reasons } if reasons[0].1 == Unfit::Loop));
}

#[test]
fn an_estimate_that_is_lost_is_an_event() {
    let mut net = net(&[(0, 2)]);
    net.run_until(Duration::from_secs(200));
    net.lose = Box::new(|_| true);
    net.run_until(Duration::from_secs(400));
    let last = net.hosts[0]
        .events
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            SystemEvent::EstimateLost(reason) => Some(Some(reason.clone())),
            SystemEvent::Estimated(_) => Some(None),
            _ => None,
        });
    assert!(matches!(last, Some(Some(NoEstimate::NoneFit { .. }))));
}

#[test]
fn a_chain_of_servers_counts_strata_and_distance() {
    let mut net = net(&[(0, 1)]);
    net.run_until(Duration::from_secs(200));
    let estimate = net.hosts[0].system.estimate(net.now).unwrap();
    let variables = estimate.variables(net.now, net.wall(0));
    assert!(variables.is_synchronised());
    assert_eq!(variables.stratum, Stratum(2));
    assert_eq!(variables.reference_id, ReferenceId([10, 61, 3, 1]));
    let later = net.now + Duration::from_secs(1000);
    let growth = variables.root_dispersion_at(later) - variables.root_dispersion_at(net.now);
    assert!((growth.as_seconds_f64() - 0.015).abs() < 1e-6);
}

#[test]
fn a_host_whose_clock_says_1970_learns_the_time_of_2040() {
    // 2040-01-01 in era 1, against a clock that is 70 years behind.
    let seconds = 2_208_988_800 - net::TRUE_TIME;
    let mut net = net(&[(seconds * 1000, 1)]);
    net.hosts[0].error = NtpDuration::from_seconds(-net::TRUE_TIME);
    net.run_until(Duration::from_secs(100));
    assert_eq!(net.wall(0).era(), 0);
    let estimate = net.hosts[0].system.estimate(net.now).unwrap();
    assert!((estimate.offset.as_seconds_f64() - 2_208_988_800.0).abs() < 1e-3);
    assert_eq!((net.wall(0) + estimate.offset).era(), 1);
}

#[test]
fn after_a_step_of_the_clock_old_samples_are_forgotten() {
    let mut net = net(&[(5_000, 2)]);
    net.run_until(Duration::from_secs(200));
    let offset = net.hosts[0].system.estimate(net.now).unwrap().offset;
    net.hosts[0].error = offset;
    let now = net.now;
    net.hosts[0].system.clear_samples(now);
    assert!(net.hosts[0].system.estimate(now).is_err());
    net.run_until(Duration::from_secs(300));
    let rest = net.hosts[0].system.estimate(net.now).unwrap().offset;
    assert!(rest.abs() < NtpDuration::from_nanoseconds(100_000));
}

//! Kiss codes, in and out.
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

use ntp_core::access::{Access, AccessList};
use ntp_core::config::DenialPolicy;
use ntp_core::event::{EndReason, Event};
use ntp_core::kiss::KissCode;
use ntp_core::mac::{KeyTable, MacKind};
use ntp_core::poll_interval::PollInterval;
use ntp_core::rate_limit::RateLimit;
use ntp_core::schedule::{Burst, FixedSchedule, RfcSchedule, Spread};
use ntp_core::system::SystemEvent;
use ntp_core::{
    AssociationConfig, Datagram, NtpDuration, Packet, Rejection, Schedule, Server, ServerConfig,
    Stratum, SystemConfig, SystemVariables, Unusable,
};

use crate::net::{Net, Seeded, address, key, origin};

const BRANCH: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";

fn every(seconds: u64) -> Schedule {
    Schedule::Fixed(FixedSchedule::new(
        Duration::from_secs(seconds),
        Spread::None,
    ))
}

fn net(server: ServerConfig, client: AssociationConfig) -> Net {
    let mut net = Net::new();
    net.host(BRANCH, SystemConfig::new(), NtpDuration::ZERO);
    net.host(HUB, SystemConfig::new().server(server), NtpDuration::ZERO);
    net.hosts[1]
        .system
        .set_system(SystemVariables::local(Stratum(2)));
    net.add(0, client);
    net
}

fn denying(access: Access) -> ServerConfig {
    let mut keys = KeyTable::new();
    keys.insert(key(1, MacKind::Sha256));
    ServerConfig::new()
        .keys(keys)
        .access(AccessList::new(access))
}

fn events(net: &Net) -> Vec<Event> {
    let own = net.hosts[0].events.iter();
    own.filter_map(|(_, event)| match event {
        SystemEvent::Association { event, .. } => Some(*event),
        _ => None,
    })
    .collect()
}

fn ended(net: &Net) -> Option<EndReason> {
    events(net).into_iter().find_map(|event| match event {
        Event::Ended(reason) => Some(reason),
        _ => None,
    })
}

#[test]
fn an_unauthenticated_denial_is_reported_and_not_obeyed() {
    let client = AssociationConfig::builder(address(BRANCH), address(HUB)).schedule(every(16));
    let mut net = net(denying(Access::Deny), client.build().unwrap());
    net.run_until(Duration::from_secs(100));
    assert_eq!(ended(&net), None);
    let kissed = Event::Kissed {
        code: KissCode::DENY,
        authenticated: false,
    };
    assert!(events(&net).contains(&kissed));
    let replies: Vec<_> = net.hosts[0].replies().collect();
    assert_eq!(replies.len(), 7);
    assert!(
        replies
            .iter()
            .all(|reply| reply.path && reply.unusable == Some(Unusable::Kiss(KissCode::DENY)))
    );
}

#[test]
fn an_authenticated_denial_ends_the_association() {
    let client = AssociationConfig::builder(address(BRANCH), address(HUB))
        .schedule(every(16))
        .key(key(1, MacKind::Sha256));
    let mut net = net(denying(Access::Restrict), client.build().unwrap());
    net.run_until(Duration::from_secs(100));
    assert_eq!(ended(&net), Some(EndReason::Denied(KissCode::RSTR)));
    assert_eq!(net.hosts[0].replies().count(), 1);
}

#[test]
fn the_policy_decides_which_denials_are_obeyed() {
    let client = || AssociationConfig::builder(address(BRANCH), address(HUB)).schedule(every(16));
    let obeying = client().denial(DenialPolicy::Obey).build().unwrap();
    let mut obeyed = net(denying(Access::Deny), obeying);
    obeyed.run_until(Duration::from_secs(100));
    assert_eq!(ended(&obeyed), Some(EndReason::Denied(KissCode::DENY)));

    let ignoring = client()
        .denial(DenialPolicy::Ignore)
        .key(key(1, MacKind::Sha256));
    let mut ignored = net(denying(Access::Deny), ignoring.build().unwrap());
    ignored.run_until(Duration::from_secs(100));
    assert_eq!(ended(&ignored), None);
}

#[test]
fn a_kiss_that_answers_nothing_is_not_believed() {
    let client = AssociationConfig::builder(address(BRANCH), address(HUB))
        .schedule(Schedule::Manual)
        .denial(DenialPolicy::Obey);
    let mut net = net(ServerConfig::new(), client.build().unwrap());
    let mut kiss = Packet::new(ntp_core::Version::V4, ntp_core::Mode::Server);
    kiss.reference_id = KissCode::DENY.reference_id();
    kiss.origin.0 = 12345;
    let contents = kiss.encode();
    let forged = Datagram {
        source: address(HUB),
        destination: address(BRANCH),
        contents: &contents,
    };
    let (now, wall) = (net.now, net.wall(0));
    let result = net.hosts[0].system.handle_datagram(now, wall, forged);
    assert_eq!(result, Err(Rejection::Unmatched.into()));
    net.drain();
    assert_eq!(ended(&net), None);
}

fn sent_times(net: &Net) -> Vec<u64> {
    let own = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.source == address(BRANCH));
    own.map(|(at, _)| at.as_secs()).collect()
}

#[test]
fn a_rate_kiss_raises_the_interval_of_the_rfcs_schedule_and_ends_a_burst() {
    let schedule = RfcSchedule::default()
        .poll_range(PollInterval(4), PollInterval(6))
        .spread(Spread::None)
        .initial_burst(Burst::default());
    let client =
        AssociationConfig::builder(address(BRANCH), address(HUB)).schedule(Schedule::Rfc(schedule));
    let limit = RateLimit::new(Duration::from_secs(30), 2).kiss_period(1);
    let mut net = net(
        ServerConfig::new().rate_limit(limit),
        client.build().unwrap(),
    );
    net.run_until(Duration::from_secs(200));
    assert!(events(&net).contains(&Event::Kissed {
        code: KissCode::RATE,
        authenticated: false
    }));
    // Two of the burst are served, the third is kissed: on with 32 s in place of 16 s.
    assert_eq!(sent_times(&net)[..5], [0, 2, 4, 36, 68]);
}

#[test]
fn a_rate_kiss_lengthens_one_fixed_interval() {
    let client = AssociationConfig::builder(address(BRANCH), address(HUB)).schedule(every(16));
    let limit = RateLimit::new(Duration::from_secs(40), 1).kiss_period(1);
    let mut net = net(
        ServerConfig::new().rate_limit(limit),
        client.build().unwrap(),
    );
    net.run_until(Duration::from_secs(100));
    assert_eq!(sent_times(&net), [0, 16, 80, 96]);
}

#[test]
fn a_kiss_is_signed_with_the_key_of_the_request_and_never_longer() {
    let now = origin();
    let mut server = Server::new(denying(Access::Deny), &Seeded::new(3), now);
    let mut request = Packet::new(ntp_core::Version::V4, ntp_core::Mode::Client);
    request.transmit.0 = 77;
    let mut signed = request.encode().to_vec();
    signed.extend_from_slice(&1_u32.to_be_bytes());
    signed.extend_from_slice(
        key(1, MacKind::Sha256)
            .sign(&request.encode(), request.version)
            .as_ref(),
    );
    let wall = ntp_core::NtpTimestamp::from_unix(net::TRUE_TIME, 0);
    for contents in [request.encode().to_vec(), signed] {
        let datagram = Datagram {
            source: address(BRANCH),
            destination: address(HUB),
            contents: &contents,
        };
        let reply = server.respond(now, wall, wall, datagram).unwrap();
        assert_eq!(reply.contents.len(), contents.len());
        let packet = Packet::decode(&reply.contents).unwrap();
        assert_eq!(packet.kiss(), Some(KissCode::DENY));
        assert_eq!(packet.origin, request.transmit);
    }
}

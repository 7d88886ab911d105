//! A client association against the server, on a virtual clock.
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

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use ntp_core::crypto::rustcrypto::OsRandom;
use ntp_core::{
    Association, AssociationConfig, Datagram, NtpTimestamp, Purpose, Rejection, Schedule, Server,
    ServerConfig, Stratum, SystemVariables, Transmit, Unusable,
};

const CLIENT: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct World {
    origin: Instant,
    now: Instant,
    client: Association,
    server: Server,
}

impl World {
    fn new() -> Self {
        let origin = Instant::now();
        let config = AssociationConfig::builder(address(CLIENT), address(HUB))
            .schedule(Schedule::Manual)
            .build()
            .unwrap();
        let client = Association::new(Arc::new(config), Arc::new(OsRandom), origin);
        let mut server = Server::new(ServerConfig::new(), &OsRandom, origin);
        server.set_system(SystemVariables::local(Stratum(3)));
        Self {
            origin,
            now: origin,
            client,
            server,
        }
    }

    fn wall(&self) -> NtpTimestamp {
        NtpTimestamp::from_unix(1_800_000_000, 0) + (self.now - self.origin).into()
    }

    fn request(&mut self, purpose: Purpose) -> Transmit {
        self.client.poll_now(self.now, self.wall(), purpose);
        self.client.poll_transmit().unwrap()
    }

    /// The server's clock is five seconds ahead.
    fn answer(&mut self, request: &Transmit) -> Transmit {
        let wall = self.wall() + Duration::from_secs(5).into();
        self.server
            .respond(self.now, wall, wall, received(request))
            .unwrap()
    }

    fn deliver(&mut self, reply: &Transmit) -> Result<ntp_core::Reply, Rejection> {
        self.client
            .handle_datagram(self.now, self.wall(), received(reply))
    }
}

fn received(transmit: &Transmit) -> Datagram<'_> {
    Datagram {
        source: transmit.source,
        destination: transmit.destination,
        contents: &transmit.contents,
    }
}

#[test]
fn a_measurement_gives_offset_and_round_trip() {
    let mut world = World::new();
    let request = world.request(Purpose::Measure);
    world.now += Duration::from_millis(10);
    let reply = world.answer(&request);
    world.now += Duration::from_millis(10);
    let accepted = world.deliver(&reply).unwrap();

    assert!(accepted.path);
    assert_eq!(accepted.rtt, Some(Duration::from_millis(20)));
    let sample = accepted.sample.unwrap();
    assert!((sample.offset.as_seconds_f64() - 5.0).abs() < 1e-6);
    assert!((sample.delay.as_seconds_f64() - 0.02).abs() < 1e-6);
    assert_eq!(world.client.path_reach().to_string(), "001");
    assert_eq!(world.client.reach().to_string(), "001");
}

#[test]
fn a_trigger_proves_the_path_and_is_no_sample() {
    let mut world = World::new();
    let request = world.request(Purpose::Trigger);
    world.now += Duration::from_secs(3);
    let reply = world.answer(&request);
    let accepted = world.deliver(&reply).unwrap();

    assert!(accepted.path);
    assert_eq!(accepted.unusable, Some(Unusable::Trigger));
    assert_eq!(world.client.path_reach().to_string(), "001");
    assert_eq!(world.client.reach().to_string(), "000");
    assert_eq!(world.client.estimate(), None);
}

#[test]
fn requests_that_a_path_held_are_all_answered_when_it_comes_up() {
    let mut world = World::new();
    let requests: Vec<_> = (0..4)
        .map(|_| {
            world.now += Duration::from_secs(1);
            world.request(Purpose::Trigger)
        })
        .collect();
    for request in &requests {
        let reply = world.answer(request);
        assert!(world.deliver(&reply).unwrap().path);
    }
}

#[test]
fn an_answer_counts_once_and_only_to_its_request() {
    let mut world = World::new();
    let request = world.request(Purpose::Measure);
    let reply = world.answer(&request);
    let mut forged = reply.contents.to_vec();
    forged[24] ^= 1;
    let forged = Datagram {
        contents: &forged,
        ..received(&reply)
    };
    assert_eq!(
        world
            .client
            .handle_datagram(world.now, world.wall(), forged),
        Err(Rejection::Unmatched)
    );
    assert!(world.deliver(&reply).unwrap().path);
    assert_eq!(world.deliver(&reply), Err(Rejection::Duplicate));
}

#[test]
fn an_unsynchronised_server_proves_the_path() {
    let mut world = World::new();
    world.server.set_system(SystemVariables::UNSYNCHRONISED);
    let request = world.request(Purpose::Measure);
    let reply = world.answer(&request);
    let accepted = world.deliver(&reply).unwrap();
    assert!(accepted.path);
    assert_eq!(accepted.sample, None);
    assert_eq!(world.client.path_reach().to_string(), "001");
    assert_eq!(world.client.reach().to_string(), "000");
}

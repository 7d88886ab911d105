//! Interleaved client and server mode, RFC 9769 section 2.
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
use std::time::Instant;

use ntp_core::association::Reply;
use ntp_core::config::{Interleaving, RequestHeader};
use ntp_core::{
    Association, AssociationConfig, ConfigError, Datagram, NtpDuration, NtpTimestamp, Packet,
    Purpose, Rejection, Schedule, Server, ServerConfig, Stratum, SystemVariables, Transmit,
};

use crate::net::{Seeded, address, origin, received};

const CLIENT: &str = "10.61.0.1:123";
const HUB: &str = "10.61.3.26:123";
/// What a reply really takes to leave after its transmit timestamp was read.
const LATE: Duration = Duration::from_millis(4);

/// A client and a server with the same clock and no delay but [`LATE`].
struct World {
    start: Instant,
    now: Instant,
    client: Association,
    server: Server,
}

impl World {
    fn new(config: ServerConfig) -> Self {
        let start = origin();
        let client = AssociationConfig::builder(address(CLIENT), address(HUB))
            .schedule(Schedule::Manual)
            .interleaving(Interleaving::Interleaved)
            .build()
            .unwrap();
        let client = Association::new(Arc::new(client), Arc::new(Seeded::new(1)), start);
        let mut server = Server::new(config, &Seeded::new(2), start);
        server.set_system(SystemVariables::local(Stratum(2)));
        Self {
            start,
            now: start,
            client,
            server,
        }
    }

    fn wall(&self) -> NtpTimestamp {
        NtpTimestamp::from_unix(net::TRUE_TIME, 0) + NtpDuration::from(self.now - self.start)
    }

    fn ask(&mut self, purpose: Purpose) -> Transmit {
        self.now += Duration::from_secs(64);
        self.client.poll_now(self.now, self.wall(), purpose);
        self.client.poll_transmit().unwrap()
    }

    fn answer(&mut self, request: &Transmit) -> Transmit {
        let wall = self.wall();
        let reply = self
            .server
            .respond(self.now, wall, wall, received(request))
            .unwrap();
        self.now += LATE;
        let left = self.wall();
        self.server.note_transmitted(&reply.contents, left);
        reply
    }

    fn hand_in(&mut self, reply: &Transmit) -> Result<Reply, Rejection> {
        self.client
            .handle_datagram(self.now, self.wall(), received(reply))
    }

    fn exchange(&mut self, purpose: Purpose) -> Reply {
        let request = self.ask(purpose);
        let reply = self.answer(&request);
        self.hand_in(&reply).unwrap()
    }
}

fn serving() -> ServerConfig {
    ServerConfig::new().interleaved(1024)
}

#[test]
fn the_second_answer_tells_when_the_first_really_left() {
    let mut world = World::new(serving());
    let first = world.exchange(Purpose::Measure).sample.unwrap();
    // In basic mode the late departure is half of an offset and all of a delay.
    assert!((first.offset.as_seconds_f64() + 0.002).abs() < 1e-6);
    assert!((first.delay.as_seconds_f64() - 0.004).abs() < 1e-6);
    let second = world.exchange(Purpose::Measure).sample.unwrap();
    assert!(second.offset.as_seconds_f64().abs() < 1e-6);
    assert!(second.delay.as_seconds_f64() < 2e-6);
    assert_eq!(first.at, second.at, "it completes the first exchange");
    assert_eq!(world.client.stats().interleaved, 1);
    assert_eq!(
        (
            world.server.stats().answered,
            world.server.stats().interleaved
        ),
        (2, 1)
    );
}

#[test]
fn a_server_of_basic_mode_is_understood() {
    let mut world = World::new(ServerConfig::new());
    for _ in 0..4 {
        assert!(world.exchange(Purpose::Measure).sample.is_some());
    }
    assert_eq!(world.client.stats().interleaved, 0);
}

#[test]
fn losses_lead_back_to_basic_mode_and_out_of_it_again() {
    let mut world = World::new(serving());
    world.exchange(Purpose::Measure);
    for lost in 0..5 {
        let request = world.ask(Purpose::Measure);
        let packet = Packet::decode(&request.contents).unwrap();
        assert_eq!(packet.origin.is_zero(), 4 <= lost, "request {lost}");
    }
    world.exchange(Purpose::Measure);
    let reply = world.exchange(Purpose::Measure);
    assert!(reply.path && reply.sample.is_some());
    assert_eq!(world.client.stats().interleaved, 1);
}

#[test]
fn an_interleaved_answer_counts_once() {
    let mut world = World::new(serving());
    world.exchange(Purpose::Measure);
    let request = world.ask(Purpose::Measure);
    let reply = world.answer(&request);
    assert!(world.hand_in(&reply).is_ok());
    assert_eq!(world.hand_in(&reply), Err(Rejection::Duplicate));
}

#[test]
fn the_answer_to_a_trigger_is_no_sample_even_one_poll_later() {
    let mut world = World::new(serving());
    assert_eq!(world.exchange(Purpose::Trigger).sample, None);
    assert_eq!(world.exchange(Purpose::Measure).sample, None);
    assert!(world.exchange(Purpose::Measure).sample.is_some());
}

#[test]
fn two_requests_of_the_same_instant_are_told_apart() {
    let mut world = World::new(serving());
    let request = world.ask(Purpose::Measure);
    let wall = world.wall();
    let mut reply = |from: &str| {
        let datagram = Datagram::new(address(from), address(HUB), &request.contents);
        let reply = world
            .server
            .respond(world.now, wall, wall, datagram)
            .unwrap();
        Packet::decode(&reply.contents).unwrap().receive
    };
    assert_ne!(reply(CLIENT), reply("10.61.0.2:123"));
}

#[test]
fn full_headers_have_no_room_for_it() {
    let config = AssociationConfig::builder(address(CLIENT), address(HUB))
        .interleaving(Interleaving::Interleaved)
        .request_header(RequestHeader::Full);
    assert_eq!(
        config.build().unwrap_err(),
        ConfigError::InterleavingNotAllowed
    );
}

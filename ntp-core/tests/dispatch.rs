//! Each cell of the dispatch table, RFC 5905 figure 20: association against packet mode.
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

use std::sync::Arc;

use ntp_core::association::{Verdict, dispatch};
use ntp_core::error::Refusal;
use ntp_core::system::{BroadcastPolicy, Dropped, Handled, PassivePolicy, SystemEvent};
use ntp_core::{
    Association, AssociationConfig, AssociationMode, Datagram, Mode, NtpTimestamp, Packet,
    Rejection, Schedule, ServerConfig, Stratum, System, SystemConfig, Version,
};

use crate::net::{Seeded, address, origin, provider};

const LOCAL: &str = "10.61.0.1:123";
const REMOTE: &str = "10.61.3.26:123";

const MODES: [Mode; 8] = [
    Mode::Reserved,
    Mode::SymmetricActive,
    Mode::SymmetricPassive,
    Mode::Client,
    Mode::Server,
    Mode::Broadcast,
    Mode::Control,
    Mode::Private,
];

const ASSOCIATIONS: [AssociationMode; 5] = [
    AssociationMode::SymmetricActive,
    AssociationMode::SymmetricPassive,
    AssociationMode::Client,
    AssociationMode::BroadcastServer,
    AssociationMode::BroadcastClient,
];

/// Rows as in [`ASSOCIATIONS`], columns as in [`MODES`]: `P`rocess, `.` discard, `E`rror, and `u` for a mode 4
/// packet that would be discarded by the RFC's table and here only passes if it answers a prelude or a volley.
const TABLE: [&str; 5] = [".PP.u...", ".PE.....", "....P...", "........", "....uP.."];

fn wall() -> NtpTimestamp {
    NtpTimestamp::from_unix(net::TRUE_TIME, 0)
}

fn packet(mode: Mode) -> [u8; 48] {
    let mut packet = Packet::new(Version::V4, mode);
    packet.stratum = Stratum(2);
    packet.transmit.0 = wall().bits();
    packet.encode()
}

fn received(contents: &[u8]) -> Datagram<'_> {
    Datagram {
        source: address(REMOTE),
        destination: address(LOCAL),
        contents,
    }
}

fn config(mode: AssociationMode) -> AssociationConfig {
    AssociationConfig::builder(address(LOCAL), address(REMOTE))
        .mode(mode)
        .schedule(Schedule::Manual)
        .build()
        .unwrap()
}

#[test]
fn every_association_takes_or_drops_every_mode_as_the_table_says() {
    for (association, row) in ASSOCIATIONS.into_iter().zip(TABLE) {
        for (mode, expected) in MODES.into_iter().zip(row.chars()) {
            let mut machine = Association::new(
                Arc::new(config(association)),
                Arc::new(Seeded::new(1)),
                origin(),
            );
            let result = machine.handle_datagram(origin(), wall(), received(&packet(mode)));
            let got = match result {
                Err(Rejection::WrongMode { mode: named }) if named == mode => '.',
                Err(Rejection::PassiveToPassive) => 'E',
                // Nothing was asked, so a reply answers nothing; but the mode was let through.
                Err(Rejection::Unmatched) if expected == 'u' => 'u',
                Err(Rejection::Unmatched) | Ok(_) => 'P',
                other => panic!("{association:?} {mode:?}: {other:?}"),
            };
            assert_eq!(got, expected, "{association:?} and {mode:?}");
            let is_discarded = dispatch(association, mode) == Verdict::Discard;
            assert_eq!(
                is_discarded,
                expected == '.',
                "{association:?} and {mode:?}"
            );
        }
    }
}

#[test]
fn a_passive_association_that_meets_a_passive_peer_ends() {
    let mode = AssociationMode::SymmetricPassive;
    let mut machine = Association::new(Arc::new(config(mode)), Arc::new(Seeded::new(1)), origin());
    let passive = packet(Mode::SymmetricPassive);
    assert_eq!(
        machine.handle_datagram(origin(), wall(), received(&passive)),
        Err(Rejection::PassiveToPassive)
    );
    assert_eq!(
        machine.handle_datagram(origin(), wall(), received(&packet(Mode::SymmetricActive))),
        Err(Rejection::Closed)
    );
    assert!(machine.poll_event().is_some());
    assert!(machine.is_drained());
}

/// The first row: no association.
fn meet(config: SystemConfig, mode: Mode) -> (Result<Handled, Dropped>, System) {
    let mut system = System::new(config, provider(1), origin());
    let result = system.handle_datagram(origin(), wall(), received(&packet(mode)));
    (result, system)
}

fn mobilised(mut system: System) -> Option<AssociationMode> {
    core::iter::from_fn(|| system.poll_event()).find_map(|event| match event {
        SystemEvent::Mobilised { mode, .. } => Some(mode),
        _ => None,
    })
}

#[test]
fn without_an_association_the_policies_decide() {
    let serving = || SystemConfig::new().server(ServerConfig::new());
    let open = || {
        serving()
            .passive(PassivePolicy::Anybody { quota: 4 })
            .broadcast(BroadcastPolicy::Listen {
                local: address(LOCAL),
                key: None,
                quota: 4,
            })
    };
    for mode in MODES {
        let (result, system) = meet(open(), mode);
        let made = mobilised(system);
        match mode {
            Mode::SymmetricActive => assert_eq!(made, Some(AssociationMode::SymmetricPassive)),
            Mode::Broadcast => assert_eq!(made, Some(AssociationMode::BroadcastClient)),
            Mode::Client => assert_eq!(result, Ok(Handled::Served)),
            Mode::SymmetricPassive | Mode::Server => {
                assert_eq!(result, Err(Dropped::Rejected(Rejection::Unmatched)));
            }
            Mode::Reserved | Mode::Control | Mode::Private => {
                assert_eq!(result, Err(Dropped::Refused(Refusal::NotARequest { mode })));
            }
        }
    }
    assert_eq!(
        meet(serving(), Mode::SymmetricActive).0,
        Ok(Handled::Served)
    );
    let ignored = Dropped::Rejected(Rejection::WrongMode {
        mode: Mode::Broadcast,
    });
    assert_eq!(meet(serving(), Mode::Broadcast).0, Err(ignored));
    let mute = Dropped::Refused(Refusal::AccessDenied);
    assert_eq!(meet(SystemConfig::new(), Mode::Client).0, Err(mute));
    assert_eq!(
        meet(SystemConfig::new(), Mode::SymmetricActive).0,
        Err(mute)
    );
}

#[test]
fn a_peer_is_served_as_a_client_as_well() {
    for mode in ASSOCIATIONS {
        let serving = SystemConfig::new().server(ServerConfig::new());
        let mut system = System::new(serving, provider(1), origin());
        system.add(origin(), Arc::new(config(mode))).unwrap();
        let result = system.handle_datagram(origin(), wall(), received(&packet(Mode::Client)));
        assert_eq!(result, Ok(Handled::Served), "{mode:?}");
    }
}

#[test]
fn no_reply_is_ever_answered() {
    let serving = SystemConfig::new()
        .server(ServerConfig::new())
        .passive(PassivePolicy::Anybody { quota: 4 });
    let mut system = System::new(serving, provider(1), origin());
    for mode in [
        Mode::SymmetricPassive,
        Mode::Server,
        Mode::Broadcast,
        Mode::Control,
        Mode::Private,
    ] {
        for version in 1..=4 {
            let mut contents = packet(mode);
            contents[0] = version << 3 | mode as u8;
            assert!(
                system
                    .handle_datagram(origin(), wall(), received(&contents))
                    .is_err()
            );
            assert_eq!(system.poll_transmit(), None);
        }
    }
}

#[test]
fn several_sources_to_one_target_are_several_associations() {
    let mut system = System::new(SystemConfig::new(), provider(1), origin());
    let client = |local: &str, remote: &str| {
        AssociationConfig::builder(address(local), address(remote))
            .schedule(Schedule::Manual)
            .build()
            .unwrap()
    };
    let first = system
        .add(origin(), Arc::new(client("10.61.0.1:123", REMOTE)))
        .unwrap();
    let second = system
        .add(origin(), Arc::new(client("192.168.0.1:123", REMOTE)))
        .unwrap();
    let third = system
        .add(
            origin(),
            Arc::new(client("192.168.0.1:123", "10.61.253.1:123")),
        )
        .unwrap();
    assert!(
        system
            .add(origin(), Arc::new(client("10.61.0.1:123", REMOTE)))
            .is_err()
    );
    for (id, local) in [(first, "10.61.0.1:123"), (second, "192.168.0.1:123")] {
        system.poll_now(origin(), wall(), id, ntp_core::Purpose::Measure);
        let request = system.poll_transmit().unwrap();
        assert_eq!(request.source, address(local));
        let mut reply = Packet::new(Version::V4, Mode::Server);
        reply.origin.0 = u64::from_be_bytes(request.contents[40..48].try_into().unwrap());
        reply.receive.0 = 1;
        reply.transmit.0 = 1;
        let contents = reply.encode();
        let datagram = Datagram {
            source: request.destination,
            destination: request.source,
            contents: &contents,
        };
        let taken = system.handle_datagram(origin(), wall(), datagram).unwrap();
        assert!(matches!(taken, Handled::Taken { id: taker, reply } if taker == id && reply.path));
    }
    assert!(
        !system
            .association(third)
            .unwrap()
            .path_reach()
            .is_reachable()
    );
}

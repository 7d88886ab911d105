//! Nothing goes wrong.

use ike_core::wire::numbers::ExchangeType;
use ike_core::{Event, Role};

use crate::world::*;

#[test]
fn three_pairs_come_up_in_two_and_a_half_round_trips() {
    let mut world = World::new();
    world.acquire_all();
    world.run_for(secs(2));
    world.assert_agreement(3);
    let confirmed = |event: &Event| matches!(event, Event::SaConfirmed { .. });
    assert_eq!(
        world.seen(Side::Branch, confirmed),
        [4 * LATENCY; 3],
        "{}",
        world.story()
    );
    assert_eq!(world.seen(Side::Hub, confirmed), [5 * LATENCY; 3]);
    let aggressive = world
        .wire
        .iter()
        .filter(|sent| sent.exchange == Some(ExchangeType::AGGRESSIVE))
        .count();
    let quick = world
        .wire
        .iter()
        .filter(|sent| sent.exchange == Some(ExchangeType::QUICK_MODE))
        .count();
    assert_eq!(
        (aggressive, quick, world.wire.len()),
        (3, 9, 12),
        "{}",
        world.story()
    );
    assert!(world.errors.is_empty());
}

#[test]
fn both_ends_report_who_the_other_is() {
    let world = World::new().up();
    let (_, _, branch) = world
        .events
        .iter()
        .find(|(_, side, _)| *side == Side::Branch)
        .unwrap();
    let Event::Established {
        identity,
        role,
        nat,
        initial_contact,
        renewal,
        cookies,
        ..
    } = branch
    else {
        panic!("{}", world.story());
    };
    assert_eq!(
        (identity, *role, nat.any(), *initial_contact, *renewal),
        (&name("hub"), Role::Initiator, false, false, false)
    );
    let hub = world
        .events
        .iter()
        .find(|(_, side, _)| *side == Side::Hub)
        .unwrap();
    let Event::Established {
        identity,
        role,
        initial_contact,
        cookies: theirs,
        ..
    } = &hub.2
    else {
        panic!("{}", world.story());
    };
    assert_eq!(
        (identity, *role, *initial_contact),
        (&name("branch1"), Role::Responder, true)
    );
    assert_eq!(cookies, theirs);
}

#[test]
fn both_ends_say_how_long_each_exchange_took() {
    let world = World::new().up();
    let took = world.events.iter().filter_map(|(_, _, event)| match event {
        Event::Established { took, .. } | Event::SaConfirmed { took, .. } => Some(*took),
        _ => None,
    });
    // Either end counts from message 1 to what ends the exchange for it, which is one round trip.
    assert_eq!(
        took.collect::<Vec<_>>(),
        [2 * LATENCY; 8],
        "{}",
        world.story()
    );
}

#[test]
fn every_suite_comes_up() {
    let ike = [
        "aes128-sha1-modp2048",
        "aes128-sha256-modp2048",
        "aes256-sha384-modp3072",
        "aes192-sha512-modp4096",
        "aes128-sha256-ecp256",
        "aes256-sha384-ecp384",
        "aes128-sha256-curve25519",
    ];
    let esp = [
        "aes128-sha1",
        "aes128-sha256",
        "aes256-sha384",
        "aes192-sha512",
        "null-sha256",
        "aes128gcm16-esn",
        "aes256gcm16-curve25519",
    ];
    for (ike, esp) in ike.into_iter().zip(esp) {
        suite(ike, esp);
    }
}

#[cfg(feature = "legacy")]
#[test]
fn every_old_suite_comes_up() {
    for (ike, esp) in [
        ("3des-md5-modp768", "3des-md5"),
        ("des-sha1-modp1024", "des-sha1"),
        ("aes128-sha1-modp1536", "aes128-md5"),
    ] {
        suite(ike, esp);
    }
}

fn suite(ike: &str, esp: &str) {
    let (ike, esp) = (vec![ike.parse().unwrap()], vec![esp.parse().unwrap()]);
    let branch = branch_config()
        .ike_proposals(ike.clone())
        .esp_proposals(esp.clone());
    let hub = hub_config()
        .ike_proposals(ike.clone())
        .esp_proposals(esp.clone());
    let world = World::with(branch, hub).up();
    let (first, second) = (&world.wire[0].contents, &world.wire[1].contents);
    assert!(
        second.len() <= first.len(),
        "else repetitions would not be answered"
    );
    assert_eq!(world.branch.ike_sa(world.peer).unwrap().proposal, ike[0]);
    for sa in world.sas(Side::Hub).values() {
        assert_eq!(sa.transform, esp[0].transform());
    }
}

#[test]
fn forward_secrecy_gives_each_pair_keys_of_its_own() {
    let esp = vec!["aes128gcm16-curve25519".parse().unwrap()];
    let mut world = World::with(
        branch_config().esp_proposals(esp.clone()),
        hub_config().esp_proposals(esp),
    )
    .up();
    assert_eq!(world.hub.stats().exponentiations, 1 + 3 * 2);
    world.run_for(secs(1));
}

#[test]
fn the_responder_does_no_exponentiation_before_message_3() {
    let mut world = World::new();
    world.lose(&[2, 3, 4, 5]);
    world.acquire_all();
    world.run_for(2 * LATENCY + ms(1));
    assert_eq!(world.wire.len(), 6, "{}", world.story());
    assert_eq!(world.hub.stats().exponentiations, 0);
    world.run_for(secs(3));
    world.assert_agreement(3);
    assert_eq!(world.hub.stats().exponentiations, 1);
}

#[test]
fn the_pool_is_filled_in_quiet_time() {
    let mut world = World::new().up();
    world.run_for(secs(5));
    assert_eq!(world.hub.stats().exponents_prepared, 1 + 32);
    assert_eq!(
        world.hub.poll_timeout().map(|at| world.now < at),
        Some(true)
    );
}

#[test]
fn credentials_are_asked_for_and_the_exchange_goes_on() {
    use std::sync::Arc;
    let mut world = World::new();
    let config = ike_core::EndpointConfig::builder(provider(7))
        .ask_for_credentials(true)
        .build()
        .unwrap();
    world.hub = ike_core::Endpoint::new(config, world.now);
    world.acquire_all();
    world.run_for(ms(30));
    let (_, _, event) = &world.events[0];
    let Event::CredentialsWanted {
        request,
        identity,
        source,
    } = event
    else {
        panic!("{}", world.story())
    };
    assert_eq!(
        (identity, *source),
        (&name("branch1"), BRANCH.parse().unwrap())
    );
    let request = *request;
    world
        .hub
        .provide_credentials(world.now, request, Arc::new(hub_config().build().unwrap()));
    world.run_for(secs(1));
    world.assert_agreement(3);

    let mut world = World::new();
    let config = ike_core::EndpointConfig::builder(provider(7))
        .ask_for_credentials(true)
        .build()
        .unwrap();
    world.hub = ike_core::Endpoint::new(config, world.now);
    world.acquire_all();
    world.run_for(ms(30));
    let Event::CredentialsWanted { request, .. } = &world.events[0].2 else {
        panic!("{}", world.story())
    };
    let request = *request;
    world.hub.refuse_credentials(world.now, request);
    world.run_for(ms(300));
    assert_eq!(world.wire.len(), 1, "{}", world.story());
}

#[test]
fn a_table_can_ask_for_one_identity_and_drop_the_others() {
    let mut world = World::new();
    let mut table = ike_core::StaticCredentials::new();
    table.ask_for(name("somebody-else"));
    world.hub.set_credentials(table.clone());
    world.acquire_all();
    world.run_for(ms(30));
    assert!(world.events.is_empty(), "{}", world.story());

    table.ask_for(name("branch1"));
    world.hub.set_credentials(table);
    world.run_for(secs(3));
    assert!(
        matches!(&world.events[0].2, Event::CredentialsWanted { .. }),
        "{}",
        world.story()
    );
    // Who is admitted meanwhile needs no answer: its next message finds the table.
    world
        .hub
        .admit(std::sync::Arc::new(hub_config().build().unwrap()));
    world.run_for(secs(10));
    world.assert_agreement(3);
}

#[test]
fn other_settings_leave_the_sas_of_pairs_that_stay() {
    let mut world = World::new().up();
    let (hub_peer, pairs) = {
        let config = hub_config().build().unwrap();
        let peer = world
            .events
            .iter()
            .find_map(|(_, side, event)| match event {
                Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
                _ => None,
            });
        (peer.unwrap(), config.pairs().to_vec())
    };
    let before = world.current(Side::Hub);
    // The first goes, the others change places.
    let config = hub_config()
        .pairs(vec![pairs[2], pairs[1]])
        .build()
        .unwrap();
    let config = config
        .with_psk(ike_core::PreSharedKey::new(
            b"another key, for the next time",
        ))
        .unwrap();
    world
        .hub
        .set_peer_config(world.now, hub_peer, std::sync::Arc::new(config));
    world.run_for(secs(1));
    assert_eq!(
        world.count(Side::Branch, |event| matches!(
            event,
            Event::SaClosed { .. }
        )),
        1
    );
    assert_eq!(
        world.count(Side::Branch, |event| matches!(
            event,
            Event::Disconnected { .. }
        )),
        0,
        "{}",
        world.story()
    );
    assert_eq!(world.current(Side::Branch).len(), 2);
    let old = |pair| before[&ike_core::PairIndex::new(pair)];
    let still = world.sas(Side::Hub);
    let by_pair: Vec<_> = still.values().map(|sa| (sa.pair, sa.inbound_spi)).collect();
    assert_eq!(by_pair.len(), 2, "{by_pair:?} {:?} {:?}", old(1), old(2));

    // A pair that was asked for again is known by its new place.
    let first = ike_core::PairIndex::new(0);
    world.hub.delete_pair(world.now, hub_peer, first);
    world.run_for(secs(1));
    world
        .branch
        .acquire(world.now, world.peer, ike_core::PairIndex::new(2))
        .unwrap();
    world.run_for(secs(1));
    assert!(
        world.current(Side::Hub).contains_key(&first),
        "{}",
        world.story()
    );
}

#[test]
fn the_shard_is_in_every_cookie_and_spi() {
    let mut world = World::new();
    let config = ike_core::EndpointConfig::builder(provider(7))
        .shard(Some(0x5a))
        .build()
        .unwrap();
    world.hub = ike_core::Endpoint::new(config, world.now);
    world
        .hub
        .set_credentials(table(hub_config().build().unwrap()));
    let world = world.up();
    assert_eq!(
        world
            .branch
            .ike_sa(world.peer)
            .unwrap()
            .cookies
            .responder()
            .octets()[0],
        0x5a
    );
    for sa in world.sas(Side::Hub).values() {
        assert_eq!(sa.inbound_spi.octets()[0], 0x5a);
    }
}

#[test]
fn a_key_log_gets_the_key_of_each_isakmp_sa_and_nothing_else_shows_it() {
    use ike_core::{InitiatorCookie, KeyLog};
    use std::sync::{Arc, Mutex};
    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<(InitiatorCookie, Vec<u8>)>>);
    impl KeyLog for Log {
        fn ikev1(&self, cookie: InitiatorCookie, key: &[u8]) {
            self.0.lock().unwrap().push((cookie, key.to_vec()));
        }
    }
    let log = Arc::new(Log::default());
    let mut world = World::new();
    let config = ike_core::EndpointConfig::builder(provider(7))
        .key_log(Arc::clone(&log) as _)
        .build()
        .unwrap();
    world.hub = ike_core::Endpoint::new(config, world.now);
    world
        .hub
        .set_credentials(table(hub_config().build().unwrap()));
    let world = world.up();
    let keys = log.0.lock().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (keys[0].0, keys[0].1.len()),
        (
            world.branch.ike_sa(world.peer).unwrap().cookies.initiator(),
            16
        )
    );
    let shown = format!("{:?} {:?}", world.branch, world.events);
    let decimal = format!("{:?}", keys[0].1);
    assert!(!shown.contains(decimal.trim_matches(['[', ']'])));
    assert!(!shown.contains("pre-shared key for tests"));
}

#[test]
fn closing_deletes_everything_at_both_ends() {
    let mut world = World::new().up();
    world.branch.close(world.now);
    assert!(!world.branch.is_drained());
    world.run_for(secs(1));
    assert!(world.branch.is_drained());
    for side in [Side::Branch, Side::Hub] {
        assert!(world.sas(side).is_empty());
        assert_eq!(
            world.count(side, |event| matches!(event, Event::Disconnected { .. })),
            1
        );
    }
    assert_eq!(world.branch.poll_timeout(), None);
    let error = world
        .branch
        .acquire(world.now, world.peer, ike_core::PairIndex::new(0));
    assert_eq!(error, Err(ike_core::AcquireError::Closed));
}

#[test]
fn one_pair_can_be_deleted_and_asked_for_again() {
    let mut world = World::new().up();
    let pair = ike_core::PairIndex::new(1);
    world.branch.delete_pair(world.now, world.peer, pair);
    world.run_for(secs(1));
    world.assert_agreement(2);
    assert!(!world.current(Side::Hub).contains_key(&pair));
    world.branch.acquire(world.now, world.peer, pair).unwrap();
    world.run_for(secs(1));
    world.assert_agreement(3);
    assert_eq!(
        world.count(Side::Branch, |event| matches!(
            event,
            Event::Established { .. }
        )),
        1
    );
}

#[test]
fn the_hub_can_ask_for_a_pair_while_connected_and_not_after() {
    let mut world = World::new().up();
    let pair = ike_core::PairIndex::new(1);
    let peer = world
        .events
        .iter()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    let peer = peer.unwrap();
    world.hub.delete_pair(world.now, peer, pair);
    world.run_for(secs(1));
    world.assert_agreement(2);
    world.hub.acquire(world.now, peer, pair).unwrap();
    world.run_for(secs(1));
    world.assert_agreement(3);
    world.hub.disconnect(world.now, peer);
    world.run_for(secs(1));
    world.assert_agreement(0);
    assert_eq!(
        world.hub.acquire(world.now, peer, pair),
        Err(ike_core::AcquireError::UnknownPeer)
    );
}

#[test]
fn a_new_path_drops_everything_and_starts_from_there() {
    let mut world = World::new().up();
    world.branch.set_path(
        world.now,
        world.peer,
        "198.18.1.7:500".parse().unwrap(),
        HUB.parse().unwrap(),
    );
    world.run_for(secs(1));
    assert!(world.sas(Side::Branch).is_empty());
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
    let status = world.branch.ike_sa(world.peer).unwrap();
    assert_eq!(status.local, "198.18.1.7:500".parse().unwrap());
}

//! ring's groups in the state machine: their values agree once, and a hub must do with that under a flood.

use ike_core::crypto::{ring, rustcrypto};
use ike_core::wire::Message;
use ike_core::wire::numbers::PayloadType;
use ike_core::{Endpoint, EndpointConfig};

use crate::world::*;

/// Which end has ring.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Branch,
    Hub,
    Both,
}

fn with_ring(now: std::time::Instant, pool: usize) -> Endpoint {
    let config = EndpointConfig::builder(ring::over(rustcrypto::provider())).exponent_pool(pool);
    Endpoint::new(config.build().unwrap(), now)
}

fn world(ends: Ends, ike: &str, esp: &str, pool: usize) -> World {
    let (ike, esp) = (vec![ike.parse().unwrap()], vec![esp.parse().unwrap()]);
    let branch = branch_config()
        .ike_proposals(ike.clone())
        .esp_proposals(esp.clone());
    let hub = hub_config().ike_proposals(ike).esp_proposals(esp);
    let mut world = World::with(branch.clone(), hub.clone());
    if let Ends::Branch | Ends::Both = ends {
        world.branch = with_ring(world.now, pool);
        world.peer = world.branch.add_peer(
            world.now,
            std::sync::Arc::new(branch.build().unwrap()),
            BRANCH.parse().unwrap(),
            HUB.parse().unwrap(),
        );
    }
    if let Ends::Hub | Ends::Both = ends {
        world.hub = with_ring(world.now, pool);
        world.hub.set_credentials(table(hub.build().unwrap()));
    }
    world
}

/// g^xr of message 2.
fn public_value(message: &[u8]) -> Vec<u8> {
    let message = Message::decode(message).unwrap();
    let payloads = message.payloads().unwrap();
    let value = payloads.exactly_one(PayloadType::KEY_EXCHANGE).unwrap();
    value.body().to_vec()
}

#[test]
fn every_group_with_and_without_forward_secrecy_from_either_end() {
    for group in ["ecp256", "ecp384", "curve25519"] {
        for ends in [Ends::Branch, Ends::Hub, Ends::Both] {
            for esp in ["aes128gcm16".to_owned(), format!("aes128gcm16-{group}")] {
                let world = world(ends, &format!("aes128-sha256-{group}"), &esp, 32);
                world.up().assert_agreement(3);
            }
        }
    }
}

#[test]
fn exchanges_that_share_a_value_both_succeed() {
    let mut world = world(Ends::Hub, "aes128-sha256-ecp256", "aes128gcm16", 1);
    world.fate = Box::new(|_| vec![ms(1)]);
    world.acquire_all();
    // A stranger takes what there is.
    let mut copy = world.wire[0].contents.clone();
    copy[..8].copy_from_slice(&[7; 8]);
    world
        .deliver(
            Side::Hub,
            "203.0.113.9:500".parse().unwrap(),
            HUB.parse().unwrap(),
            &copy,
        )
        .unwrap();
    let stranger = world.hub.poll_transmit().unwrap();
    world.run_for(secs(2));
    world.assert_agreement(3);
    let ours = world
        .wire
        .iter()
        .find(|sent| sent.from == Side::Hub)
        .unwrap();
    assert_eq!(
        public_value(&ours.contents),
        public_value(&stranger.contents),
        "the only value is shared"
    );
    assert_eq!(world.hub.stats().exponentiations, 1);
}

/// What the pool has left is shared, but whoever proves itself has a value made for the next one.
#[test]
fn a_hub_under_steady_load_shares_no_value_among_those_that_prove_themselves() {
    let mut world = world(Ends::Hub, "aes128-sha256-curve25519", "aes128gcm16", 1);
    // No time for the pool to be filled.
    world.fate = Box::new(|_| vec![ms(1)]);
    let mut values = Vec::new();
    for _ in 0..5 {
        let sent = world.wire.len();
        world.acquire_all();
        world.run_for(ms(10));
        let second = world.wire[sent..]
            .iter()
            .find(|datagram| datagram.from == Side::Hub)
            .unwrap();
        values.push(public_value(&second.contents));
        world.reboot_branch();
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 5);
}

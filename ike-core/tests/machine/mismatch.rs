//! Peers whose settings do not fit: each failure is told apart.

use ike_core::wire::numbers::{EspTransformId, GroupNumber, HashAlgorithm};
use ike_core::{Event, Hint, Mismatch, PairIndex, PhaseOneError, PreSharedKey, QuickModeError};

use crate::world::*;

fn phase_one_errors(world: &World, side: Side) -> Vec<PhaseOneError> {
    let of_side = world.events.iter().filter(|(_, at, _)| *at == side);
    of_side
        .filter_map(|(_, _, event)| match event {
            Event::PhaseOneFailed { error, .. } => Some(error.clone()),
            _ => None,
        })
        .collect()
}

fn quick_mode_errors(world: &World, side: Side) -> Vec<QuickModeError> {
    let of_side = world.events.iter().filter(|(_, at, _)| *at == side);
    of_side
        .filter_map(|(_, _, event)| match event {
            Event::QuickModeFailed { error, .. } => Some(error.clone()),
            _ => None,
        })
        .collect()
}

fn try_for(mut world: World, seconds: u64) -> World {
    world.acquire_all();
    world.run_for(secs(seconds));
    world
}

#[test]
fn the_initiator_proves_that_the_pre_shared_key_differs() {
    let hub =
        ike_core::PeerConfig::builder(name("hub"), name("branch1"), PreSharedKey::new(b"another"));
    let hub = hub
        .pairs(hub_pairs())
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()]);
    let world = try_for(World::with(branch_config(), hub), 30);
    assert_eq!(
        phase_one_errors(&world, Side::Branch),
        [PhaseOneError::PskMismatch]
    );
    let hints = world.seen(Side::Branch, |event| {
        matches!(
            event,
            Event::Hinted {
                hint: Hint::PskMismatch,
                ..
            }
        )
    });
    assert_eq!(hints, [2 * LATENCY], "told at once, and once");
    assert_eq!(world.hub.stats().exponentiations, 0);
}

#[test]
fn the_responder_learns_that_the_key_is_probably_wrong() {
    // An initiator that does not check HASH_R goes on to message 3 under its own key.
    use crate::odd_peer::OddInitiator;
    let mut world = World::new();
    let mut odd = OddInitiator::new();
    odd.psk = b"another".to_vec();
    odd.connect(&mut world);
    assert_eq!(
        phase_one_errors(&world, Side::Hub),
        [PhaseOneError::UndecryptableMessage3]
    );
    odd.send_third(&mut world);
    assert_eq!(
        phase_one_errors(&world, Side::Hub).len(),
        1,
        "reported once"
    );
    assert_eq!(world.hub.stats().exponentiations, 1, "computed once");
    let mut world = World::new();
    let mut odd = OddInitiator::new();
    odd.psk = b"another".to_vec();
    odd.encrypt_third = false;
    odd.connect(&mut world);
    assert_eq!(
        phase_one_errors(&world, Side::Hub),
        [PhaseOneError::AuthenticationFailed]
    );
    assert_eq!(
        world.hub.stats().exponentiations,
        0,
        "a clear message 3 is checked before the exponentiation"
    );
}

#[test]
fn a_proposal_that_is_refused_names_the_first_difference_at_the_responder() {
    let hub = hub_config().ike_proposals(vec!["aes128-sha384-curve25519".parse().unwrap()]);
    let world = try_for(World::with(branch_config(), hub), 30);
    let mismatch = Mismatch::Hash {
        offered: HashAlgorithm::SHA2_256,
        configured: HashAlgorithm::SHA2_384,
    };
    let expected = PhaseOneError::NoProposalChosen {
        mismatch: Some(mismatch),
    };
    let repeated = world.wire.iter().filter(|sent| sent.from == Side::Branch);
    assert!(3 < repeated.count());
    assert_eq!(
        phase_one_errors(&world, Side::Hub),
        [expected],
        "reported once, not once per message"
    );
    let refused = PhaseOneError::NoProposalChosen { mismatch: None };
    assert_eq!(
        phase_one_errors(&world, Side::Branch),
        [refused],
        "the peer's word, taken as a hint"
    );
    let answers: Vec<_> = world
        .wire
        .iter()
        .filter(|sent| sent.from == Side::Hub)
        .collect();
    assert!(
        answers.iter().all(|sent| sent.contents[8..16] == [0; 8]),
        "the responder cookie is zero"
    );
    assert!(answers.iter().all(|sent| sent.contents.len() < 60));
}

#[test]
fn an_unknown_identity_gets_no_answer_and_leaves_no_state() {
    let branch =
        ike_core::PeerConfig::builder(name("stranger"), name("hub"), PreSharedKey::new(PSK));
    let world = try_for(World::with(branch.pairs(branch_pairs()), hub_config()), 30);
    assert!(world.wire.iter().all(|sent| sent.from == Side::Branch));
    assert_eq!(world.hub.stats().drops.unknown_identity, 6);
    assert!(world.hub.poll_timeout().is_none());
    assert!(matches!(
        phase_one_errors(&world, Side::Branch)[..],
        [PhaseOneError::TimedOut { heard: false, .. }]
    ));
}

#[test]
fn a_hub_under_another_name_is_an_identity_mismatch() {
    let hub =
        ike_core::PeerConfig::builder(name("imposter"), name("branch1"), PreSharedKey::new(PSK));
    let hub = hub
        .pairs(hub_pairs())
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()]);
    let world = try_for(World::with(branch_config(), hub), 30);
    let expected = PhaseOneError::IdentityMismatch {
        expected: name("hub"),
        received: name("imposter"),
    };
    assert_eq!(phase_one_errors(&world, Side::Branch), [expected]);
}

/// Which pair each failed quick mode was for.
fn failed_pairs(world: &World, side: Side) -> Vec<Option<PairIndex>> {
    let failed = world
        .events
        .iter()
        .filter_map(|(_, at, event)| match event {
            Event::QuickModeFailed { pair, .. } if *at == side => Some(*pair),
            _ => None,
        });
    failed.collect()
}

#[test]
fn a_selector_that_is_refused_fails_that_pair_only() {
    let mut pairs = hub_pairs();
    pairs[1] = pair("10.99.0.0/24", "10.61.1.0/24");
    let world = try_for(World::with(branch_config(), hub_config().pairs(pairs)), 30);
    world.assert_agreement(2);
    let asked = branch_pairs()[1];
    assert_eq!(
        quick_mode_errors(&world, Side::Hub),
        [QuickModeError::UnknownSelector {
            local: asked.remote,
            remote: asked.local,
            nearest: None,
        }]
    );
    let error = QuickModeError::SelectorRefused {
        asked,
        acceptable: None,
    };
    assert_eq!(quick_mode_errors(&world, Side::Branch), [error]);
    assert_eq!(failed_pairs(&world, Side::Hub), [None]);
    let second = Some(PairIndex::new(1));
    assert_eq!(failed_pairs(&world, Side::Branch), [second]);
}

/// The branch asks for more than the hub has, while its other pairs are being negotiated as well.
#[test]
fn a_refusal_says_at_once_what_the_peer_would_take() {
    let mut pairs = hub_pairs();
    pairs[1] = pair("10.61.253.0/25", "10.61.1.0/24");
    let world = try_for(World::with(branch_config(), hub_config().pairs(pairs)), 2);
    world.assert_agreement(2);
    let asked = branch_pairs()[1];
    let [error] = &quick_mode_errors(&world, Side::Branch)[..] else {
        panic!("{}", world.story());
    };
    let acceptable = Some(pair("10.61.1.0/24", "10.61.253.0/25"));
    assert_eq!(
        *error,
        QuickModeError::SelectorRefused { asked, acceptable }
    );
    assert_eq!(
        error.to_string(),
        "the peer refused 10.61.1.0/24 here and 10.61.253.0/24 behind the peer; \
         it would take 10.61.1.0/24 here and 10.61.253.0/25 behind the peer"
    );
    let [error] = &quick_mode_errors(&world, Side::Hub)[..] else {
        panic!("{}", world.story());
    };
    assert_eq!(
        error.to_string(),
        "no pair covers 10.61.253.0/24 here and 10.61.1.0/24 behind the peer; \
         configured is 10.61.253.0/25 here and 10.61.1.0/24 behind the peer"
    );
}

#[test]
fn a_phase_2_proposal_that_is_refused_names_the_first_difference() {
    let one = vec![branch_pairs()[0]];
    let hub_one = vec![hub_pairs()[0]];
    let refused = |ours: &str, theirs: &str| {
        let branch = branch_config()
            .pairs(one.clone())
            .esp_proposals(vec![ours.parse().unwrap()]);
        let hub = hub_config()
            .pairs(hub_one.clone())
            .esp_proposals(vec![theirs.parse().unwrap()]);
        let world = try_for(World::with(branch, hub), 5);
        assert_eq!(
            quick_mode_errors(&world, Side::Branch),
            [QuickModeError::NoProposalChosen { mismatch: None }]
        );
        assert_eq!(failed_pairs(&world, Side::Hub), [Some(PairIndex::new(0))]);
        let [
            QuickModeError::NoProposalChosen {
                mismatch: Some(mismatch),
            },
        ] = quick_mode_errors(&world, Side::Hub)[..]
        else {
            panic!("{}", world.story());
        };
        // Told at once, not after retransmissions.
        let failed = world.seen(Side::Branch, |event| {
            matches!(event, Event::QuickModeFailed { .. })
        });
        assert_eq!(failed, [4 * LATENCY]);
        mismatch
    };
    assert_eq!(
        refused("aes128-sha256", "aes128gcm16"),
        Mismatch::Transform {
            offered: EspTransformId::AES_CBC,
            configured: EspTransformId::AES_GCM_16
        }
    );
    assert_eq!(
        refused("aes128gcm16", "aes256gcm16"),
        Mismatch::KeyLength {
            offered: Some(128),
            configured: Some(256)
        }
    );
    assert_eq!(
        refused("aes128gcm16", "aes128gcm16-curve25519"),
        Mismatch::Group {
            offered: GroupNumber(0),
            configured: GroupNumber::CURVE25519
        }
    );
}

#[test]
fn the_initiator_offers_what_agrees_with_its_first_proposal_about_groups() {
    let parse = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<_>>()
    };
    let branch = branch_config().ike_proposals(parse(&[
        "aes256-sha256-curve25519",
        "aes128-sha256-modp2048",
        "aes128-sha1-curve25519",
    ]));
    let hub =
        hub_config().ike_proposals(parse(&["aes128-sha256-modp2048", "aes128-sha1-curve25519"]));
    let world = World::with(branch, hub).up();
    let chosen = world.branch.ike_sa(world.peer).unwrap().proposal;
    assert_eq!(chosen.to_string(), "aes128-sha1-curve25519");
}

#[test]
fn what_the_provider_lacks_is_named_before_anything_is_sent() {
    use ike_core::{AcquireError, ConfigError, EndpointConfig, PairIndex};
    let plain = ike_core::crypto::rustcrypto::provider().with_groups(Vec::new());
    let config = EndpointConfig::builder(plain).build().unwrap();
    let peer = branch_config().build().unwrap();
    assert_eq!(
        config.check(&peer),
        Err(ConfigError::UnsupportedAlgorithm {
            phase: 1,
            position: 0
        })
    );
    let mut endpoint = ike_core::Endpoint::new(config, origin());
    let id = endpoint.add_peer(
        origin(),
        peer.into(),
        BRANCH.parse().unwrap(),
        HUB.parse().unwrap(),
    );
    assert_eq!(
        endpoint.acquire(origin(), id, PairIndex::new(0)),
        Err(AcquireError::UnsupportedAlgorithm)
    );
    assert_eq!(
        endpoint.acquire(origin(), id, PairIndex::new(9)),
        Err(AcquireError::UnknownPair)
    );
    assert!(endpoint.poll_transmit().is_none());
}

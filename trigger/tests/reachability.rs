//! Every fault of the field, on a virtual clock: how soon the hub can read again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    unused_qualifications,
    unreachable_pub,
    reason = "a test may panic, and is no part of the library"
)]

mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sim::{HostId, Link, Nat};
use trigger::ike_core::Encapsulation;
use trigger::{Carrier, Datagram, DropReason, Encapsulated, Event, PairState, ProbeMode};
use world::{BRANCH_ADDRESS, PAIRS, Settings, World, udp};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn from_link_up_to_every_pair_proved_at_both_ends_takes_under_half_a_second() {
    let mut world = World::new(1, Settings::default());
    world.link_up();
    let took = world.expect_all_up(SECOND);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn the_packet_that_the_hub_sends_into_the_dark_is_held_and_answered() {
    let mut world = World::new(2, Settings::default());
    let numbers: Vec<u64> = (0..PAIRS.len()).map(|pair| world.ask(pair)).collect();
    world.link_up();
    world.network.run_for(SECOND);

    assert!(numbers.into_iter().all(|number| world.is_answered(number)));
}

#[test]
fn the_packet_that_triggers_at_the_branch_is_held_and_delivered() {
    let mut world = World::new(3, Settings::default());
    world.link_up();
    let (_, _, _, source, target, _) = PAIRS[1];
    let syslog = udp(
        SocketAddr::new(source.parse().unwrap(), 40_000),
        SocketAddr::new(target.parse().unwrap(), 514),
        b"<14>branch: up",
    );
    world.network.act(world.branch, |site, now| {
        assert!(matches!(
            site.send(now, &syslog),
            Ok(Encapsulated::Held { .. })
        ));
    });
    world.network.run_for(SECOND);

    assert!(world.network.host(world.hub).delivered().contains(&syslog));
}

#[test]
fn a_batch_arrives_as_packets_sealed_one_by_one_do() {
    let mut world = World::new(21, Settings::default());
    let (_, _, _, source, target, _) = PAIRS[1];
    let packets: Vec<Vec<u8>> = (0_u8..20)
        .map(|number| {
            udp(
                SocketAddr::new(source.parse().unwrap(), 40_000),
                SocketAddr::new(target.parse().unwrap(), 514),
                &vec![number; 1 + usize::from(number % 7)],
            )
        })
        .collect();
    let send = |world: &mut World| {
        world
            .network
            .act(world.branch, |site, now| site.send_batch(now, &packets))
    };
    assert!(!send(&mut world), "there is no SA yet");
    world.link_up();
    world.expect_all_up(SECOND);
    let octets_out = |world: &World| {
        let branch = world.network.host(world.branch).branch();
        branch.pairs().nth(1).unwrap().octets_out
    };
    let before = octets_out(&world);
    assert!(send(&mut world));
    let sent: usize = packets.iter().map(Vec::len).sum();
    assert!(before + sent as u64 <= octets_out(&world));
    world.network.run_for(SECOND);

    let delivered = world.network.host(world.hub).delivered();
    assert_eq!(delivered, packets);
}

/// What a branch sends through two of its pairs, with what else may come between.
fn mixed_datagrams(world: &mut World) -> Vec<sim::Datagram> {
    let mut sent = Vec::new();
    for (_, _, _, source, target, _) in &PAIRS[..2] {
        let packets: Vec<Vec<u8>> = (0_u8..20)
            .map(|number| {
                udp(
                    SocketAddr::new(source.parse().unwrap(), 40_000),
                    SocketAddr::new(target.parse().unwrap(), 514),
                    &vec![number; 1 + 30 * usize::from(number % 7)],
                )
            })
            .collect();
        sent.extend(world.network.act(world.branch, |site, now| {
            assert!(site.send_batch(now, &packets));
            site.take_outgoing()
        }));
    }
    sent.swap(3, 33);
    sent[5].contents[30] ^= 1;
    sent[7].contents.truncate(9);
    sent[8].contents[2] ^= 1;
    sent.insert(12, sent[10].clone());
    let between = [vec![0xFF], vec![0; 40], vec![1, 2, 3], Vec::new()];
    for (at, contents) in [14, 17, 20, 30].into_iter().zip(between) {
        let mut datagram = sent[0].clone();
        datagram.contents = contents;
        sent.insert(at, datagram);
    }
    let mut roamed = sent[41].clone();
    roamed.source.set_ip("203.0.113.9".parse().unwrap());
    sent[41] = roamed;
    sent
}

/// What came of one datagram.
fn outcome(
    source: SocketAddr,
    taken: Result<trigger::Received<'_>, trigger::DatagramError>,
) -> (std::net::IpAddr, String) {
    (source.ip(), format!("{taken:?}"))
}

#[test]
fn what_comes_in_a_batch_is_taken_as_it_would_be_one_by_one() {
    for esp in [
        "aes128-sha1",
        "aes128-sha256",
        "aes256-sha512",
        "aes128gcm16",
    ] {
        for encapsulation in [Encapsulation::Auto, Encapsulation::Always] {
            let settings = Settings {
                esp,
                encapsulation,
                ..Settings::default()
            };
            let [singly, together] = [false, true].map(|batch| {
                let mut world = World::up(31, settings.clone());
                let mut sent = mixed_datagrams(&mut world);
                world.network.act(world.hub, |site, now| {
                    let world::Site::Hub(hub, ..) = site else {
                        panic!("a branch");
                    };
                    let mut outcomes = Vec::new();
                    let raw = encapsulation == Encapsulation::Auto;
                    if batch {
                        let carrier = if raw { Carrier::Esp } else { Carrier::Udp };
                        let datagrams = sent.iter_mut().map(|datagram| {
                            Datagram::new(
                                datagram.source,
                                datagram.destination,
                                carrier,
                                &mut datagram.contents,
                            )
                        });
                        hub.handle_batch(now, datagrams, |source, taken| {
                            outcomes.push(outcome(source, taken));
                        });
                    } else {
                        for datagram in &mut sent {
                            let (source, destination) = (datagram.source, datagram.destination);
                            let contents = &mut datagram.contents;
                            let taken = if raw {
                                hub.handle_esp(now, source.ip(), destination.ip(), contents)
                            } else {
                                hub.handle_datagram(now, source, destination, contents)
                            };
                            outcomes.push(outcome(source, taken));
                        }
                    }
                    let octets: Vec<u64> = hub.pairs().map(|pair| pair.octets_in).collect();
                    (outcomes, octets, format!("{:?}", hub.stats()))
                })
            });
            assert_eq!(singly, together, "{esp} {encapsulation:?}");
            let packets = singly
                .0
                .iter()
                .filter(|(_, taken)| taken.contains("Packet"));
            assert_eq!(packets.count(), 37, "else this test shows little");
        }
    }
}

#[test]
fn a_branch_that_reboots_is_readable_again_within_half_a_second() {
    let mut world = World::up(4, Settings::default());
    world.network.run_for(30 * SECOND);
    world.reboot_branch();
    let took = world.read_all(3 * SECOND);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_hub_that_reboots_with_its_roll_reads_again_within_five_seconds() {
    for seed in 0..20 {
        let mut world = World::up(seed, Settings::default());
        world.network.run_for(30 * SECOND);
        let roll = world.roll();
        assert_eq!(roll.len(), 1);
        world.reboot_hub(roll);
        let took = world.read_all(10 * SECOND);
        assert!(took < 5 * SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_hub_that_has_lost_its_roll_as_well_reads_again_within_thirty_seconds() {
    for seed in 0..20 {
        let mut world = World::up(seed, Settings::default());
        world
            .network
            .run_for(30 * SECOND + Duration::from_millis(seed * 900));
        world.reboot_hub(Vec::new());
        let took = world.read_all(40 * SECOND);
        assert!(took < 30 * SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_hub_without_state_that_gets_esp_answers_with_a_hint_and_is_found_out_at_once() {
    for encapsulation in [Encapsulation::Auto, Encapsulation::Always] {
        let settings = Settings {
            encapsulation,
            ..Settings::default()
        };
        let mut world = World::up(31, settings);
        world.network.run_for(30 * SECOND);
        world.reboot_hub(Vec::new());
        let (_, _, _, source, target, _) = PAIRS[0];
        let from = SocketAddr::new(source.parse().unwrap(), 40_000);
        let to = SocketAddr::new(target.parse().unwrap(), 514);
        world.network.act(world.branch, |site, now| {
            let sent = site.send(now, &udp(from, to, b"<14>still here"));
            assert!(matches!(sent, Ok(Encapsulated::Sealed { .. })));
        });
        let took = world.read_all(10 * SECOND);
        assert!(took < 4 * SECOND, "{encapsulation:?}: {took:?}");
        let events = world.network.events();
        assert!(
            events
                .iter()
                .any(|entry| matches!(entry.event, Event::Hint { .. }))
        );
    }
}

#[test]
fn each_single_datagram_lost_in_turn_delays_but_never_darkens() {
    for outbound in [true, false] {
        for lost in 0..12 {
            let mut world = World::new(40 + lost, Settings::default());
            let (from, to) = if outbound {
                (world.branch, world.hub)
            } else {
                (world.hub, world.branch)
            };
            world.network.lose(from, to, &[lost]);
            world.link_up();
            let took = world.expect_all_up(10 * SECOND);
            assert!(
                took < 3 * SECOND,
                "datagram {lost} lost, outbound {outbound}: {took:?}"
            );
        }
    }
}

#[test]
fn duplicates_reordering_and_heavy_loss_do_not_keep_a_pair_down() {
    sim::for_each_seed(0..20, |seed| {
        let mut world = World::new(seed, Settings::default());
        let link = Link::new(Duration::from_millis(25))
            .jitter(Duration::from_millis(20))
            .loss(0.2)
            .duplication(0.1);
        world.network.set_default_link(link);
        world.link_up();
        world.expect_all_up(90 * SECOND);
    });
}

#[test]
fn behind_nat_esp_is_encapsulated_and_a_new_mapping_is_followed() {
    let mut world = World::new(5, Settings::default());
    let nat = world
        .network
        .add_nat("198.18.1.200".parse().unwrap(), Nat::default());
    world
        .network
        .move_host(world.branch, Some(nat), "192.168.0.2".parse().unwrap());
    world.link_up_at("192.168.0.2");
    world.expect_all_up(3 * SECOND);
    assert!(
        world
            .network
            .host(world.hub)
            .hub()
            .members()
            .all(|member| member.nat)
    );

    world.network.rebind_nat(nat);
    let took = world.read_all(40 * SECOND);
    assert!(took < 10 * SECOND, "{took:?}");
    let moved = world
        .network
        .events()
        .iter()
        .any(|entry| matches!(entry.event, Event::AddressChanged { .. }));
    assert!(moved);
}

#[test]
fn forced_encapsulation_and_raw_esp_both_work_without_nat() {
    for encapsulation in [Encapsulation::Auto, Encapsulation::Always] {
        let settings = Settings {
            encapsulation,
            ..Settings::default()
        };
        let mut world = World::up(6, settings);
        assert!(world.read_all(SECOND) < Duration::from_millis(200));
    }
}

#[test]
fn a_branch_with_a_new_address_is_readable_again_within_three_seconds() {
    let mut world = World::up(7, Settings::default());
    world.network.run_for(25 * SECOND);
    world
        .network
        .change_address(world.branch, "198.18.1.77".parse().unwrap());
    world.link_up_at("198.18.1.77");
    let took = world.read_all(5 * SECOND);
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn a_path_that_was_dead_for_an_hour_carries_again_soon() {
    let mut world = World::up(8, Settings::default());
    world.network.isolate(world.branch);
    world.network.run_for(3600 * SECOND);
    assert!(
        world
            .network
            .host(world.branch)
            .states()
            .iter()
            .all(|state| *state == PairState::Down)
    );
    world.network.rejoin(world.branch);
    let took = world.read_all(40 * SECOND);
    assert!(took < 20 * SECOND, "{took:?}");
}

#[test]
fn one_black_hole_is_repaired_and_the_other_pairs_do_not_notice() {
    let mut world = World::up(9, Settings::default());
    world.network.run_for(10 * SECOND);
    let spi = world
        .network
        .events()
        .iter()
        .find_map(|entry| match entry.event {
            Event::SaUp { outbound_spi, .. } if entry.host == world.branch => Some(outbound_spi),
            _ => None,
        })
        .unwrap();
    let (branch, hub) = (world.branch, world.hub);
    world.network.set_filter(branch, hub, move |passing| {
        if passing.contents.starts_with(&spi.to_be_bytes()) {
            sim::Verdict::Lose
        } else {
            sim::Verdict::Pass
        }
    });
    let before = world.network.take_events().len();
    assert!(0 < before);
    world.network.run_for(60 * SECOND);

    assert!(World::all_up(&world.network, [hub, branch]));
    let downs = world.pair_events(branch, |event| match event {
        Event::PairDown { pair, .. } => Some(*pair),
        _ => None,
    });
    assert_eq!(downs.len(), 1, "{:?}", world.facts(branch));
    assert!(downs[0].0 < Duration::from_secs(45));
}

#[test]
fn a_black_hole_is_found_while_the_hubs_own_traffic_keeps_coming_in() {
    let mut world = World::up(14, Settings::default());
    let (branch, hub) = (world.branch, world.hub);
    let spi = world
        .network
        .events()
        .iter()
        .find_map(|entry| match entry.event {
            Event::SaUp { outbound_spi, .. } if entry.host == branch => Some(outbound_spi),
            _ => None,
        })
        .unwrap();
    world.network.set_filter(branch, hub, move |passing| {
        if passing.contents.starts_with(&spi.to_be_bytes()) {
            sim::Verdict::Lose
        } else {
            sim::Verdict::Pass
        }
    });
    // The reader asks every 50 ms over every pair that does not answer.
    let took = world.read_all(60 * SECOND);
    assert!(took < 30 * SECOND, "{took:?}");
}

#[test]
fn a_nat_that_forgets_is_noticed_when_the_hubs_reads_stop_coming() {
    let mut world = World::new(15, Settings::default());
    let nat = world
        .network
        .add_nat("198.18.1.200".parse().unwrap(), Nat::default());
    world
        .network
        .move_host(world.branch, Some(nat), "192.168.0.2".parse().unwrap());
    world.link_up_at("192.168.0.2");
    world.expect_all_up(3 * SECOND);
    for _ in 0..10 {
        world.ask(0);
        world.network.run_for(SECOND);
    }
    world.network.rebind_nat(nat);
    let took = world.read_all(20 * SECOND);
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn a_second_hub_takes_over_from_a_dead_one_within_fifteen_seconds() {
    let settings = Settings {
        hubs: vec![world::HUB_ADDRESS, "198.18.9.9"],
        ..Settings::default()
    };
    let mut world = World::up(16, settings);
    let standby = world::hub(&world.settings, 77, Vec::new(), world.network.instant());
    world.network.switch_off(world.hub);
    world.hub = world.network.add_host(
        "standby",
        "198.18.9.9".parse().unwrap(),
        world::Site::of_hub(standby),
    );
    let took = world.read_all(40 * SECOND);
    assert!(took < 15 * SECOND, "{took:?}");
}

#[test]
fn a_second_hub_is_tried_when_the_first_does_not_answer() {
    let settings = Settings {
        hubs: vec!["198.18.9.9", world::HUB_ADDRESS],
        ..Settings::default()
    };
    let mut world = World::new(10, settings);
    world.link_up();
    let took = world.expect_all_up(60 * SECOND);
    assert!(took < 30 * SECOND, "{took:?}");
    assert!(
        world
            .network
            .events()
            .iter()
            .any(|entry| matches!(entry.event, Event::HubChanged { .. }))
    );
}

#[test]
fn the_h3c_profile_brings_every_pair_up_in_its_own_time() {
    let settings = Settings {
        mode: ProbeMode::H3c,
        ..Settings::default()
    };
    let mut world = World::new(11, settings);
    world.link_up();
    world.expect_all_up(200 * SECOND);
}

/// What the wire shows of the probes without encryption: when, from where to where, in which mode.
type Probes = Arc<Mutex<Vec<(Instant, [u8; 8], u8)>>>;

fn record_ntp(world: &mut World, from: HostId, to: HostId) -> Probes {
    let seen = Probes::default();
    let record = Arc::clone(&seen);
    world.network.set_filter(from, to, move |passing| {
        // SPI, sequence number, and then the inner packet with its UDP header.
        let inner = &passing.contents[8.min(passing.contents.len())..];
        let is_ntp = |ports: &[u8]| ports == [0, 123, 0, 123];
        if passing.source.port() == 0 && inner.get(20..24).is_some_and(is_ntp) {
            let addresses = inner[12..20].try_into().unwrap();
            let probe = (passing.now, addresses, inner[28] & 7);
            record.lock().unwrap().push(probe);
        }
        sim::Verdict::Pass
    });
    seen
}

#[test]
fn the_h3c_profile_polls_as_the_case_does() {
    let settings = Settings {
        mode: ProbeMode::H3c,
        esp: "null-sha256",
        ..Settings::default()
    };
    let mut world = World::new(17, settings);
    let (branch, hub) = (world.branch, world.hub);
    let requests = record_ntp(&mut world, branch, hub);
    let replies = record_ntp(&mut world, hub, branch);
    world.link_up();
    world.expect_all_up(200 * SECOND);
    world.network.run_for(600 * SECOND);

    assert!(World::all_up(&world.network, [hub, branch]));
    let requests = requests.lock().unwrap();
    for (_, _, _, source, target, _) in PAIRS {
        let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
        let flow = [address(source), address(target)].concat();
        let back = [address(target), address(source)].concat();
        let of_pair: Vec<_> = requests.iter().filter(|probe| flow == probe.1).collect();
        let modes: Vec<u8> = of_pair.iter().map(|probe| probe.2).collect();
        assert_eq!(modes[0], 3, "{modes:?}");
        assert!(
            8 <= modes.len() && modes[1..].iter().all(|mode| *mode == 1),
            "{modes:?}"
        );
        let answers = replies.lock().unwrap();
        let answers = answers.iter().filter(|probe| back == probe.1);
        let answers: Vec<u8> = answers.map(|probe| probe.2).collect();
        assert_eq!(answers[0], 4, "{answers:?}");
        assert!(
            8 <= answers.len() && answers[1..].iter().all(|mode| *mode == 2),
            "{answers:?}"
        );
        for probes in of_pair.windows(2) {
            let gap = (probes[1].0 - probes[0].0).as_secs_f64();
            assert!((64.0..=72.1).contains(&gap), "{gap} s between two polls");
        }
    }
}

#[test]
fn symmetric_probes_prove_as_well() {
    let settings = Settings {
        mode: ProbeMode::Symmetric,
        ..Settings::default()
    };
    let mut world = World::new(12, settings);
    world.link_up();
    world.expect_all_up(5 * SECOND);
}

#[test]
fn rekeying_both_phases_for_a_day_never_interrupts_reading() {
    let settings = Settings {
        sa_lifetime: Duration::from_secs(600),
        ike_lifetime: Duration::from_secs(1500),
        ..Settings::default()
    };
    let mut world = World::up(13, settings);
    for _ in 0..1000 {
        world.network.run_for(10 * SECOND);
        let took = world.read_all(2 * SECOND);
        assert!(
            took < Duration::from_millis(300),
            "{took:?} at {:?}",
            world.network.now()
        );
    }
    let rekeys = world
        .facts(world.branch)
        .iter()
        .filter(|fact| fact.ends_with("rekeyed=true"))
        .count();
    assert!(40 < rekeys, "{rekeys} rekeys");
    assert!(World::all_up(&world.network, [world.hub, world.branch]));
}

#[test]
fn esp_that_no_sa_knows_brings_a_check_forward_if_it_comes_from_the_own_hub() {
    let mut world = World::up(31, Settings::default());
    world.network.run_for(SECOND);
    let branch = world.branch;
    // How many datagrams the branch sends at once for a packet under an SPI that nobody has.
    let sent_for = |world: &mut World, source: &str| {
        let before = world.network.stats(branch).sent;
        let source = source.parse().unwrap();
        world.network.act(branch, |site, now| {
            let mut esp = [0x5A; 60];
            let local = BRANCH_ADDRESS.parse().unwrap();
            let taken = site.branch_mut().handle_esp(now, source, local, &mut esp);
            assert!(taken.is_err());
        });
        world.network.run_for(Duration::from_millis(10));
        world.network.stats(branch).sent - before
    };
    assert_eq!(sent_for(&mut world, "198.18.7.7"), 0);
    // A probe over each pair, and IKE's question.
    assert_eq!(sent_for(&mut world, world::HUB_ADDRESS), 4);
    world.network.run_for(SECOND);
    assert_eq!(sent_for(&mut world, world::HUB_ADDRESS), 0, "not too often");
    let down = |event: &Event| matches!(event, Event::PairDown { .. } | Event::SaDown { .. });
    let events = world.network.events();
    assert!(!events.iter().any(|entry| down(&entry.event)));
}

#[test]
fn traffic_that_matches_no_pair_never_enters_a_tunnel() {
    let mut world = World::up(14, Settings::default());
    let user = udp(
        "192.168.2.7:5000".parse().unwrap(),
        "203.0.113.1:443".parse().unwrap(),
        b"users' own",
    );
    world.network.act(world.branch, |site, now| {
        assert_eq!(site.send(now, &user), Ok(Encapsulated::NoPair));
    });
    assert_eq!(
        world.network.host(world.branch).branch().stats().unmatched,
        1
    );
}

#[test]
fn an_ntp_reply_that_answers_no_probe_reaches_the_branchs_own_client() {
    let mut world = World::up(15, Settings::default());
    let (_, _, _, source, target, _) = PAIRS[0];
    let (client, server) = (
        SocketAddr::new(source.parse().unwrap(), 123),
        SocketAddr::new(target.parse().unwrap(), 123),
    );
    let mut reply = trigger::ntp_core::Packet::new(
        trigger::ntp_core::Version::V4,
        trigger::ntp_core::Mode::Server,
    );
    reply.origin.0 = 0x1234_5678_9ABC_DEF0;
    let reply = udp(server, client, &reply.encode());
    let mut sealed = vec![0; reply.len() + trigger::MAX_OVERHEAD];
    let delivered = world.network.act(world.hub, |site, now| match site {
        world::Site::Hub(hub, ..) => match hub.encapsulate(now, &reply, &mut sealed) {
            Ok(Encapsulated::Sealed { path, len, .. }) => Some((path, len)),
            _ => None,
        },
        world::Site::Branch(..) => None,
    });
    let (path, len) = delivered.unwrap();
    sealed.truncate(len);
    let received = world.network.act(world.branch, |site, now| {
        let branch = site.branch_mut();
        let received = match path.carrier {
            trigger::Carrier::Esp => {
                branch.handle_esp(now, path.source.ip(), path.destination.ip(), &mut sealed)
            }
            _ => branch.handle_datagram(now, path.source, path.destination, &mut sealed),
        };
        matches!(received, Ok(trigger::Received::Packet { packet, .. }) if *packet == reply[..])
    });
    assert!(received);
}

#[test]
fn garbage_from_inside_and_outside_is_dropped_counted_and_disturbs_nothing() {
    let mut world = World::up(16, Settings::default());
    let mut random = sim::Random::new(99);
    let branch_address = BRANCH_ADDRESS.parse().unwrap();
    for round in 0..2000_u32 {
        let mut octets = vec![0; random.below(120) as usize];
        random.fill(&mut octets);
        let port = if round % 2 == 0 { 500 } else { 4500 };
        world.network.act(world.branch, |site, now| {
            let branch = site.branch_mut();
            let mut out = [0; 256];
            let _ = branch.encapsulate(now, &octets, &mut out);
            let from = SocketAddr::new("203.0.113.9".parse().unwrap(), 1000);
            let _ = branch.handle_datagram(
                now,
                from,
                SocketAddr::new(branch_address, port),
                &mut octets,
            );
            let _ = branch.handle_esp(now, from.ip(), branch_address, &mut octets);
        });
    }
    world.network.run_for(60 * SECOND);

    assert!(World::all_up(&world.network, [world.hub, world.branch]));
    let stats = world.network.host(world.branch).branch().stats();
    assert!(500 < stats.dropped(DropReason::MalformedInner));
    assert!(500 < stats.dropped(DropReason::Ike));
    assert!(1000 < stats.dropped(DropReason::UnknownSpi) + stats.dropped(DropReason::Malformed));
    assert!(
        world
            .facts(world.branch)
            .iter()
            .all(|fact| !fact.starts_with("down")),
        "{:?}",
        world.facts(world.branch)
    );
}

#[test]
fn a_wall_clock_that_steps_by_years_has_no_effect() {
    let mut world = World::up(17, Settings::default());
    for years in [-40, 60, -5] {
        world.network.act(world.branch, |site, now| {
            let wall =
                trigger::ntp_core::NtpTimestamp::from_unix(1_800_000_000 + years * 31_556_952, 0);
            site.branch_mut().handle_wall_clock(now, wall);
        });
        world.network.run_for(120 * SECOND);
        assert!(
            World::all_up(&world.network, [world.hub, world.branch]),
            "{years} years"
        );
    }
    assert!(
        world
            .facts(world.branch)
            .iter()
            .all(|fact| !fact.starts_with("down"))
    );
}

#[test]
fn a_branch_that_closes_tells_the_hub() {
    let mut world = World::up(18, Settings::default());
    world
        .network
        .act(world.branch, |site, now| site.branch_mut().close(now));
    world.network.run_for(SECOND);

    assert!(world.network.host(world.branch).branch().is_drained());
    assert!(
        world
            .network
            .host(world.hub)
            .states()
            .iter()
            .all(|state| *state == PairState::Down)
    );
}

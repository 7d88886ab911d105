//! The network itself: what its links, NAT boxes, hosts and processor do, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sim::{
    Cpu, Datagram, Dependence, DropReason, GilbertElliott, Host, HostId, Link, Nat, Network,
    TraceKind, Verdict, instant,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Sends what it is told to, reports what it gets, and echoes it if it is an echo.
#[derive(Debug, Default)]
struct Talker {
    outgoing: Vec<Datagram>,
    heard: Vec<Heard>,
    echo: bool,
    /// Sends a datagram there at a fixed interval.
    ticker: Option<Ticker>,
    work: u32,
    work_per_datagram: u32,
}

#[derive(Debug)]
struct Ticker {
    due: Instant,
    interval: Duration,
    datagram: Datagram,
}

/// Who sent what.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Heard {
    source: SocketAddr,
    contents: Vec<u8>,
}

impl Host for Talker {
    type Event = Heard;

    fn handle_datagram(&mut self, _: Instant, datagram: &mut Datagram) {
        self.work += self.work_per_datagram;
        self.heard.push(Heard {
            source: datagram.source,
            contents: datagram.contents.clone(),
        });
        if self.echo {
            self.outgoing.push(Datagram {
                source: datagram.destination,
                destination: datagram.source,
                contents: datagram.contents.clone(),
            });
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let Some(ticker) = self.ticker.as_mut().filter(|ticker| ticker.due <= now) else {
            return;
        };
        ticker.due = now + ticker.interval;
        self.outgoing.push(ticker.datagram.clone());
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        if self.outgoing.is_empty() {
            None
        } else {
            Some(self.outgoing.remove(0))
        }
    }

    fn poll_event(&mut self) -> Option<Heard> {
        if self.heard.is_empty() {
            None
        } else {
            Some(self.heard.remove(0))
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ticker.as_ref().map(|ticker| ticker.due)
    }

    fn take_work(&mut self) -> u32 {
        std::mem::take(&mut self.work)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn datagram(source: &str, destination: &str, contents: &[u8]) -> Datagram {
    Datagram {
        source: endpoint(source),
        destination: endpoint(destination),
        contents: contents.to_vec(),
    }
}

/// Two hosts on the Internet, `a` at 192.0.2.1 and `b` at 192.0.2.2.
fn two(seed: u64, link: Link) -> (Network<Talker>, HostId, HostId) {
    let mut network = Network::new(seed);
    network.set_default_link(link);
    let a = network.add_host("a", ip("192.0.2.1"), Talker::default());
    let b = network.add_host("b", ip("192.0.2.2"), Talker::default());
    (network, a, b)
}

fn say(network: &mut Network<Talker>, host: HostId, datagram: Datagram) {
    network.act(host, |talker, _| talker.outgoing.push(datagram));
}

/// Sends `count` numbered datagrams from `a` to `b`, one every `interval`, and returns what arrives, with its time.
fn stream(seed: u64, link: Link, count: u32, interval: Duration) -> Vec<(Duration, u32)> {
    let (mut network, a, _) = two(seed, link);
    for number in 0..count {
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", &number.to_be_bytes()),
        );
        network.run_for(interval);
    }
    network.run_for(10 * SECOND);
    let number = |contents: &[u8]| u32::from_be_bytes(contents.try_into().unwrap());
    network
        .events()
        .iter()
        .map(|entry| (entry.at, number(&entry.event.contents)))
        .collect()
}

mod links {
    use super::*;

    #[test]
    fn a_datagram_takes_exactly_the_latency() {
        assert_eq!(
            stream(1, Link::new(25 * MS), 2, SECOND),
            [(25 * MS, 0), (1_025 * MS, 1)]
        );
    }

    #[test]
    fn independent_loss_keeps_its_rate() {
        let arrived = stream(2, Link::new(MS).loss(0.1), 20_000, MS).len();
        assert!((17_850..18_150).contains(&arrived), "{arrived}");
    }

    #[test]
    fn bursts_keep_their_mean_loss_and_their_mean_length() {
        let count = 100_000;
        let arrived = stream(
            3,
            Link::new(MS).bursts(GilbertElliott::new(0.05, 8.0)),
            count,
            MS,
        );
        let lost = f64::from(count) - f64::from(u32::try_from(arrived.len()).unwrap());
        let bursts = arrived
            .windows(2)
            .filter(|pair| pair[1].1 != pair[0].1 + 1)
            .count();
        let mean = lost / f64::from(u32::try_from(bursts).unwrap());
        assert!(
            (0.04..0.06).contains(&(lost / f64::from(count))),
            "lost {lost}"
        );
        assert!((7.0..9.0).contains(&mean), "mean burst {mean}");
    }

    #[test]
    fn jitter_varies_but_does_not_reorder() {
        let arrived = stream(4, Link::new(10 * MS).jitter(50 * MS), 1_000, 5 * MS);
        assert_eq!(arrived.len(), 1_000);
        assert!(arrived.is_sorted_by_key(|(_, number)| *number));
        let delay = |(at, number): &(Duration, u32)| *at - *number * 5 * MS;
        assert!(
            arrived
                .iter()
                .all(|entry| (10 * MS..=60 * MS).contains(&delay(entry)))
        );
        assert!(
            30 * MS
                < arrived.iter().map(delay).max().unwrap()
                    - arrived.iter().map(delay).min().unwrap()
        );
    }

    #[test]
    fn a_held_datagram_is_overtaken() {
        let arrived = stream(
            5,
            Link::new(10 * MS).reordering(0.1, 12 * MS),
            1_000,
            5 * MS,
        );
        let overtaken = arrived
            .iter()
            .filter(|(at, number)| *at == *number * 5 * MS + 22 * MS)
            .count();
        let punctual = arrived
            .iter()
            .filter(|(at, number)| *at == *number * 5 * MS + 10 * MS)
            .count();
        assert_eq!(overtaken + punctual, 1_000);
        assert!((60..140).contains(&overtaken), "{overtaken}");
        assert!(!arrived.is_sorted_by_key(|(_, number)| *number));
    }

    #[test]
    fn duplication_delivers_a_second_copy() {
        let arrived = stream(6, Link::new(MS).duplication(0.25), 4_000, MS).len();
        assert!((4_850..5_150).contains(&arrived), "{arrived}");
    }

    #[test]
    fn corruption_flips_one_bit() {
        let arrived = stream(7, Link::new(MS).corruption(1.0), 1_000, 2 * MS);
        for (sent, (_, received)) in (0u32..).zip(&arrived) {
            assert_eq!((sent ^ received).count_ones(), 1);
        }
    }

    #[test]
    fn the_mtu_counts_the_headers_of_both_families() {
        for (source, destination, fits) in [
            ("192.0.2.1:9", "192.0.2.2:9", 1_472),
            ("[2001:db8::1]:9", "[2001:db8::2]:9", 1_452),
        ] {
            let (mut network, a, b) = two(8, Link::new(MS).mtu(1_500));
            network.add_address(a, ip("2001:db8::1"));
            network.add_address(b, ip("2001:db8::2"));
            say(
                &mut network,
                a,
                datagram(source, destination, &vec![0; fits]),
            );
            say(
                &mut network,
                a,
                datagram(source, destination, &vec![0; fits + 1]),
            );
            network.run_for(SECOND);
            assert_eq!(network.events().len(), 1);
            assert_eq!(network.trace().drops(DropReason::TooBig), 1);
        }
    }

    #[test]
    fn a_rate_spaces_packets_and_a_full_queue_loses_them() {
        // 100 octets with headers are 800 bits: 100 ms each at 8 kbit/s. The queue holds 200 ms.
        let (mut network, a, _) = two(9, Link::new(MS).bits_per_second(8_000));
        for _ in 0..5 {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", &[0; 72]),
            );
        }
        network.run_for(SECOND);
        let times: Vec<Duration> = network.events().iter().map(|entry| entry.at).collect();
        assert_eq!(times, [101 * MS, 201 * MS, 301 * MS]);
        assert_eq!(network.trace().drops(DropReason::QueueFull), 2);
    }

    #[test]
    fn scripted_loss_takes_the_numbers_it_is_given() {
        let (mut network, a, b) = two(10, Link::new(MS));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.lose(a, b, &[0, 2]);
        for letter in [b"p", b"q", b"r", b"s"] {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", letter),
            );
        }
        network.run_for(SECOND);
        let heard: Vec<u8> = network
            .events()
            .iter()
            .flat_map(|entry| entry.event.contents.clone())
            .collect();
        assert_eq!(heard, b"xqs");
        assert_eq!(network.trace().drops(DropReason::Script), 2);
        assert_eq!(network.passed(a, b), 5);
    }

    #[test]
    fn a_filter_may_delay_duplicate_and_replace() {
        let (mut network, a, b) = two(11, Link::new(MS));
        network.set_filter(a, b, |passing| match passing.index {
            0 => Verdict::Delay(10 * MS),
            1 => Verdict::Duplicate(5 * MS),
            2 => Verdict::Replace(b"other".to_vec()),
            _ => Verdict::Pass,
        });
        for letter in [b"p", b"q", b"r"] {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", letter),
            );
        }
        network.run_for(SECOND);
        let heard: Vec<(Duration, &[u8])> = network
            .events()
            .iter()
            .map(|entry| (entry.at, entry.event.contents.as_slice()))
            .collect();
        assert_eq!(
            heard,
            [
                (MS, &b"q"[..]),
                (MS, b"other"),
                (6 * MS, b"q"),
                (11 * MS, b"p")
            ]
        );
    }

    #[test]
    fn the_default_link_changes_links_in_use_but_not_those_set_apart() {
        let (mut network, a, b) = two(12, Link::new(MS));
        network.set_link(b, a, Link::new(3 * MS));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.set_default_link(Link::new(7 * MS));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        say(
            &mut network,
            b,
            datagram("192.0.2.2:9", "192.0.2.1:9", b"x"),
        );
        network.run_for(SECOND);
        let times: Vec<Duration> = network.events().iter().map(|entry| entry.at).collect();
        assert_eq!(times, [MS, 3 * MS, 7 * MS]);
    }
}

mod nat {
    use super::*;

    const HUB: &str = "198.51.100.1:4500";

    /// An echo on the Internet and a host behind a NAT box.
    fn behind(settings: Nat) -> (Network<Talker>, HostId, HostId, sim::NatId) {
        let mut network = Network::new(20);
        network.set_default_link(Link::new(10 * MS));
        let hub = network.add_host(
            "hub",
            ip("198.51.100.1"),
            Talker {
                echo: true,
                ..Talker::default()
            },
        );
        let nat = network.add_nat(ip("203.0.113.1"), settings);
        let branch = network.add_host_behind(nat, "branch", ip("10.0.0.2"), Talker::default());
        (network, hub, branch, nat)
    }

    fn heard(network: &Network<Talker>, host: HostId) -> Vec<Heard> {
        network
            .events()
            .iter()
            .filter(|entry| entry.host == host)
            .map(|entry| entry.event.clone())
            .collect()
    }

    #[test]
    fn the_hub_sees_the_outside_and_its_answer_gets_in() {
        let (mut network, hub, branch, nat) = behind(Nat::default());
        say(
            &mut network,
            branch,
            datagram("10.0.0.2:4500", HUB, b"hello"),
        );
        network.run_for(SECOND);
        let source = heard(&network, hub)[0].source;
        assert_eq!(source.ip(), ip("203.0.113.1"));
        assert_ne!(source.port(), 4500);
        assert_eq!(
            heard(&network, branch),
            [Heard {
                source: endpoint(HUB),
                contents: b"hello".to_vec()
            }]
        );
        assert_eq!(network.nat_mappings(nat), 1);
    }

    #[test]
    fn a_stranger_is_filtered_and_an_unknown_port_is_dropped() {
        let (mut network, hub, branch, _) = behind(Nat::default());
        let stranger = network.add_host("stranger", ip("198.51.100.66"), Talker::default());
        say(
            &mut network,
            branch,
            datagram("10.0.0.2:4500", HUB, b"hello"),
        );
        network.run_for(SECOND);
        let outside = heard(&network, hub)[0].source;
        let spoof = Datagram {
            source: endpoint("198.51.100.66:4500"),
            destination: outside,
            contents: vec![1],
        };
        say(&mut network, stranger, spoof);
        say(
            &mut network,
            stranger,
            datagram("198.51.100.66:1", "203.0.113.1:1", b"scan"),
        );
        network.run_for(SECOND);
        assert_eq!(network.trace().drops(DropReason::NatFiltered), 1);
        assert_eq!(network.trace().drops(DropReason::NatNoMapping), 1);
        assert_eq!(heard(&network, branch).len(), 1);
    }

    #[test]
    fn rebinding_loses_what_is_on_its_way_and_moves_the_next() {
        let (mut network, hub, branch, nat) = behind(Nat::default());
        say(&mut network, branch, datagram("10.0.0.2:4500", HUB, b"one"));
        network.run_for(15 * MS);
        network.rebind_nat(nat);
        network.run_for(SECOND);
        assert_eq!(network.trace().drops(DropReason::NatNoMapping), 1);
        say(&mut network, branch, datagram("10.0.0.2:4500", HUB, b"two"));
        network.run_for(SECOND);
        let at_hub = heard(&network, hub);
        assert_ne!(at_hub[0].source, at_hub[1].source);
        assert_eq!(heard(&network, branch).len(), 1);
    }

    #[test]
    fn an_idle_mapping_is_gone_and_traffic_keeps_it() {
        let (mut network, hub, branch, _) = behind(Nat::default().expiry(30 * SECOND));
        for pause in [29, 29, 31] {
            say(&mut network, branch, datagram("10.0.0.2:4500", HUB, b"x"));
            network.run_for(pause * SECOND);
        }
        say(&mut network, branch, datagram("10.0.0.2:4500", HUB, b"x"));
        network.run_for(SECOND);
        let sources: Vec<SocketAddr> = heard(&network, hub)
            .iter()
            .map(|heard| heard.source)
            .collect();
        assert_eq!(sources[0], sources[2]);
        assert_ne!(sources[2], sources[3]);
    }

    #[test]
    fn renumbering_changes_the_outside_address() {
        let (mut network, hub, branch, nat) = behind(Nat::default());
        network.renumber_nat(nat, ip("203.0.113.77"));
        say(&mut network, branch, datagram("10.0.0.2:4500", HUB, b"x"));
        network.run_for(SECOND);
        assert_eq!(heard(&network, hub)[0].source.ip(), ip("203.0.113.77"));
        assert_eq!(heard(&network, branch).len(), 1);
    }

    #[test]
    fn two_boxes_in_a_row_translate_twice() {
        let mut network = Network::new(21);
        let hub = network.add_host(
            "hub",
            ip("198.51.100.1"),
            Talker {
                echo: true,
                ..Talker::default()
            },
        );
        let provider = network.add_nat(ip("203.0.113.1"), Nat::default());
        let home = network.add_nat_behind(provider, ip("100.64.0.2"), Nat::default());
        let branch = network.add_host_behind(home, "branch", ip("10.0.0.2"), Talker::default());
        say(
            &mut network,
            branch,
            datagram("10.0.0.2:4500", HUB, b"hello"),
        );
        network.run_for(SECOND);
        assert_eq!(heard(&network, hub)[0].source.ip(), ip("203.0.113.1"));
        assert_eq!(heard(&network, branch).len(), 1);
        // A link set between the two hosts covers both directions, boxes or not.
        assert_eq!(
            (network.passed(branch, hub), network.passed(hub, branch)),
            (1, 1)
        );
    }

    #[test]
    fn hairpinning_is_a_setting() {
        for hairpinning in [true, false] {
            let settings = Nat {
                hairpinning,
                ..Nat::default().filtering(Dependence::EndpointIndependent)
            };
            let (mut network, hub, branch, nat) = behind(settings);
            let other = network.add_host_behind(nat, "other", ip("10.0.0.3"), Talker::default());
            say(
                &mut network,
                branch,
                datagram("10.0.0.2:4500", HUB, b"hello"),
            );
            network.run_for(SECOND);
            let outside = heard(&network, hub)[0].source;
            let knock = Datagram {
                source: endpoint("10.0.0.3:7"),
                destination: outside,
                contents: b"knock".to_vec(),
            };
            say(&mut network, other, knock);
            network.run_for(SECOND);
            assert_eq!(
                heard(&network, branch).len(),
                if hairpinning { 2 } else { 1 }
            );
        }
    }

    #[test]
    fn two_hosts_behind_one_box_reach_each_other_directly() {
        let (mut network, _, branch, nat) = behind(Nat::default());
        let other = network.add_host_behind(nat, "other", ip("10.0.0.3"), Talker::default());
        say(
            &mut network,
            branch,
            datagram("10.0.0.2:1", "10.0.0.3:1", b"hello"),
        );
        network.run_for(SECOND);
        assert_eq!(heard(&network, other)[0].source, endpoint("10.0.0.2:1"));
        assert_eq!(network.nat_mappings(nat), 0);
    }
}

mod hosts {
    use super::*;

    #[test]
    fn a_partition_stops_both_directions_and_healing_joins_them() {
        let (mut network, a, b) = two(30, Link::new(MS));
        network.partition(a, b);
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        say(
            &mut network,
            b,
            datagram("192.0.2.2:9", "192.0.2.1:9", b"x"),
        );
        network.run_for(SECOND);
        assert!(network.events().is_empty());
        network.heal(a, b);
        network.partition_one_way(a, b);
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        say(
            &mut network,
            b,
            datagram("192.0.2.2:9", "192.0.2.1:9", b"x"),
        );
        network.run_for(SECOND);
        assert_eq!(
            network
                .events()
                .iter()
                .map(|entry| entry.host)
                .collect::<Vec<_>>(),
            [a]
        );
        assert_eq!(network.trace().drops(DropReason::Partition), 3);
    }

    #[test]
    fn an_isolated_host_hears_nothing_not_even_what_was_on_its_way() {
        let (mut network, a, b) = two(31, Link::new(10 * MS));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.run_for(5 * MS);
        network.isolate(b);
        network.run_for(SECOND);
        assert!(network.events().is_empty());
        network.rejoin(b);
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.run_for(SECOND);
        assert_eq!(network.events().len(), 1);
    }

    #[test]
    fn a_reboot_loses_state_and_timers_and_what_arrives_meanwhile() {
        let (mut network, a, b) = two(32, Link::new(MS));
        let ticker = |datagram| Ticker {
            due: instant(SECOND),
            interval: SECOND,
            datagram,
        };
        let beat = datagram("192.0.2.1:9", "192.0.2.2:9", b"beat");
        drop(network.switch_off(a));
        network.switch_on(
            a,
            Talker {
                ticker: Some(ticker(beat)),
                ..Talker::default()
            },
        );
        network.run_to(2_500 * MS);
        assert_eq!(network.events().len(), 2);
        let before = network.switch_off(a).unwrap();
        assert!(before.ticker.is_some());
        assert!(!network.is_running(a));
        say(
            &mut network,
            b,
            datagram("192.0.2.2:9", "192.0.2.1:9", b"anyone?"),
        );
        network.run_for(10 * SECOND);
        assert_eq!(network.trace().drops(DropReason::HostDown), 1);
        network.switch_on(a, Talker::default());
        network.run_for(10 * SECOND);
        assert_eq!(network.events().len(), 2);
    }

    #[test]
    fn a_changed_address_takes_effect_in_both_directions() {
        let (mut network, a, b) = two(33, Link::new(MS));
        network.change_address(b, ip("192.0.2.9"));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"old"),
        );
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.9:9", b"new"),
        );
        say(
            &mut network,
            b,
            datagram("192.0.2.2:9", "192.0.2.1:9", b"old"),
        );
        say(
            &mut network,
            b,
            datagram("0.0.0.0:9", "192.0.2.1:9", b"new"),
        );
        network.run_for(SECOND);
        let contents: Vec<&[u8]> = network
            .events()
            .iter()
            .map(|entry| entry.event.contents.as_slice())
            .collect();
        assert_eq!(contents, [b"new", b"new"]);
        assert_eq!(network.events()[1].event.source, endpoint("192.0.2.9:9"));
        assert_eq!(network.trace().drops(DropReason::NoRoute), 1);
        assert_eq!(network.trace().drops(DropReason::ForeignSource), 1);
    }

    #[test]
    fn a_host_may_move_behind_a_box() {
        let (mut network, a, b) = two(34, Link::new(MS));
        let nat = network.add_nat(ip("203.0.113.1"), Nat::default());
        network.move_host(a, Some(nat), ip("10.0.0.2"));
        say(&mut network, a, datagram("10.0.0.2:9", "192.0.2.2:9", b"x"));
        network.run_for(SECOND);
        assert_eq!(network.events()[0].host, b);
        assert_eq!(network.events()[0].event.source.ip(), ip("203.0.113.1"));
    }

    #[test]
    fn planned_actions_happen_at_their_time() {
        let (mut network, a, _) = two(35, Link::new(MS));
        network.at(3 * SECOND, move |network| {
            say(network, a, datagram("192.0.2.1:9", "192.0.2.2:9", b"x"));
        });
        let took = network.expect("the datagram", 10 * SECOND, |network| {
            !network.events().is_empty()
        });
        assert_eq!(took, 3 * SECOND + MS);
        assert!(network.run_to_rest(100 * SECOND));
        assert_eq!(network.now(), 3 * SECOND + MS);
    }

    #[test]
    fn a_failed_expectation_names_the_seed_and_shows_the_trace() {
        let (mut network, a, _) = two(4_711, Link::new(MS).loss(1.0));
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        let failure = catch_unwind(AssertUnwindSafe(|| {
            network.expect("an answer", SECOND, |_| false)
        }));
        let text = failure.unwrap_err().downcast::<String>().unwrap();
        assert!(
            text.contains("an answer: not within 1s [seed 4711, virtual time 1s]"),
            "{text}"
        );
        assert!(
            text.contains("192.0.2.1:9 > 192.0.2.2:9     1 Dropped(Loss)"),
            "{text}"
        );
    }

    #[test]
    fn a_host_whose_timer_stays_due_is_caught() {
        let (mut network, a, _) = two(36, Link::new(MS));
        let stuck = Ticker {
            due: instant(SECOND),
            interval: Duration::ZERO,
            datagram: datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        };
        network.switch_on(
            a,
            Talker {
                ticker: Some(stuck),
                ..Talker::default()
            },
        );
        let failure = catch_unwind(AssertUnwindSafe(|| network.run_for(2 * SECOND)));
        let text = failure.unwrap_err().downcast::<String>().unwrap();
        assert!(
            text.starts_with("a has a timer due that was just served"),
            "{text}"
        );
    }
}

mod processor {
    use super::*;

    fn busy(cpu: Cpu) -> (Network<Talker>, HostId, HostId) {
        let (mut network, a, b) = two(40, Link::new(MS));
        network.switch_on(
            b,
            Talker {
                echo: true,
                work_per_datagram: 2,
                ..Talker::default()
            },
        );
        network.set_cpu(b, cpu);
        (network, a, b)
    }

    #[test]
    fn work_delays_the_answer_and_what_comes_after_it() {
        let (mut network, a, b) = busy(Cpu {
            per_input: 10 * MS,
            per_unit: 45 * MS,
            ..Cpu::default()
        });
        for _ in 0..3 {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
            );
        }
        network.run_for(SECOND);
        let at_a: Vec<Duration> = network
            .events()
            .iter()
            .filter(|entry| entry.host == a)
            .map(|entry| entry.at)
            .collect();
        assert_eq!(at_a, [102 * MS, 202 * MS, 302 * MS]);
        assert_eq!(network.stats(b).busy, 300 * MS);
        assert_eq!(network.stats(b).peak_queue, 2);
        assert!(network.events().is_sorted_by_key(|entry| entry.at));
    }

    #[test]
    fn a_full_queue_loses_the_newest() {
        let (mut network, a, b) = busy(Cpu {
            per_input: 10 * MS,
            queue: 2,
            ..Cpu::default()
        });
        for _ in 0..5 {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
            );
        }
        network.run_for(SECOND);
        assert_eq!(network.stats(b).received, 3);
        assert_eq!(network.trace().drops(DropReason::HostBusy), 2);
    }

    #[test]
    fn a_flood_does_not_starve_timers() {
        let (mut network, a, b) = busy(Cpu {
            per_input: 10 * MS,
            ..Cpu::default()
        });
        let ticker = Ticker {
            due: instant(5 * MS),
            interval: 20 * MS,
            datagram: datagram("192.0.2.2:9", "192.0.2.1:9", b"tick"),
        };
        network.switch_on(
            b,
            Talker {
                ticker: Some(ticker),
                ..Talker::default()
            },
        );
        for _ in 0..100 {
            say(
                &mut network,
                a,
                datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
            );
        }
        network.run_for(SECOND);
        let ticks = network
            .events()
            .iter()
            .filter(|entry| entry.event.contents == b"tick")
            .count();
        assert!((30..=50).contains(&ticks), "{ticks}");
        assert!(50 <= network.stats(b).received);
    }

    #[test]
    fn a_reboot_discards_what_the_old_life_was_still_computing() {
        let (mut network, a, b) = busy(Cpu {
            per_unit: 50 * MS,
            ..Cpu::default()
        });
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.run_for(50 * MS);
        network.switch_on(b, Talker::default());
        network.run_for(SECOND);
        assert!(network.events().is_empty());
    }
}

mod determinism {
    use super::*;

    /// A run with every kind of chance, as the text of its trace.
    fn run(seed: u64) -> String {
        let link = Link::new(10 * MS)
            .jitter(20 * MS)
            .loss(0.1)
            .duplication(0.1)
            .reordering(0.1, 30 * MS)
            .corruption(0.1);
        let (mut network, a, b) = two(seed, link);
        network.switch_on(
            b,
            Talker {
                echo: true,
                ..Talker::default()
            },
        );
        let nat = network.add_nat(ip("203.0.113.1"), Nat::default());
        network.move_host(a, Some(nat), ip("10.0.0.2"));
        let beat = datagram("10.0.0.2:9", "192.0.2.2:9", b"beat");
        let ticker = Ticker {
            due: instant(MS),
            interval: 7 * MS,
            datagram: beat,
        };
        network.switch_on(
            a,
            Talker {
                ticker: Some(ticker),
                ..Talker::default()
            },
        );
        network.run_for(SECOND);
        network.rebind_nat(nat);
        network.run_for(SECOND);
        format!("{}{:?}", network.trace(), network.events())
    }

    #[test]
    fn one_seed_gives_one_run() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn traffic_elsewhere_does_not_change_a_links_chances() {
        let fates = |noise: bool| {
            let (mut network, a, b) = two(50, Link::new(MS).loss(0.5));
            let c = network.add_host("c", ip("192.0.2.3"), Talker::default());
            for _ in 0..200 {
                say(
                    &mut network,
                    a,
                    datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
                );
                if noise {
                    say(
                        &mut network,
                        c,
                        datagram("192.0.2.3:9", "192.0.2.2:9", b"y"),
                    );
                }
                network.run_for(MS);
            }
            let from_a = network.trace().entries().filter(|entry| entry.from == a);
            let kinds: Vec<TraceKind> = from_a.map(|entry| entry.kind).collect();
            assert_eq!(network.passed(a, b), 200);
            kinds
        };
        let quiet = fates(false);
        assert_eq!(quiet, fates(true));
        assert!(quiet.contains(&TraceKind::Dropped(DropReason::Loss)));
    }

    #[test]
    fn what_a_host_was_given_can_be_replayed() {
        let (mut network, a, b) = two(51, Link::new(MS));
        network.trace_mut().keep_contents();
        say(
            &mut network,
            a,
            datagram("192.0.2.1:9", "192.0.2.2:9", b"x"),
        );
        network.run_for(SECOND);
        let script: Vec<(Duration, Datagram)> = network.trace().delivered_to(b).collect();
        assert_eq!(script, [(MS, datagram("192.0.2.1:9", "192.0.2.2:9", b"x"))]);
    }
}

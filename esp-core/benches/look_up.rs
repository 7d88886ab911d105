//! Look-ups in databases of 10, 1,000 and 100,000 pairs, in no order.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints, and fails by panicking"
)]

mod interleaved;

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use esp_core::{Policy, Sad, Selector, Spd, Spi, Subnet};
use interleaved::{Effort, Job, least};

const PAIRS: [u32; 3] = [10, 1_000, 100_000];
/// More than there are pairs, so that every run comes by nearly all of them.
const COUNT: usize = 1 << 18;

/// Pairs that have traffic at a time in the first table.
const ACTIVE: u32 = 4096;

fn main() {
    let effort = Effort::from_arguments(30);
    println!(
        "ns per look-up in a database of so many pairs, least of {} runs",
        effort.rounds
    );
    table(
        effort,
        &format!("at most {ACTIVE} pairs have traffic"),
        ACTIVE,
    );
    table(
        effort,
        "every pair has traffic, in no order: caches are cold",
        u32::MAX,
    );
}

fn table(effort: Effort, title: &str, active: u32) {
    println!();
    print!("{title:<52}");
    PAIRS.iter().for_each(|pairs| print!("{pairs:>9}"));
    println!("{:>14}", "last to first");
    let show = |name, make| show(effort, name, active, make);
    show("SPD, IPv4: one /24 a branch", one_shape_v4);
    show("SPD, IPv4: three shapes", three_shapes_v4);
    show("SPD, IPv6: one /64 a branch", one_shape_v6);
    show("SPD, IPv4: no entry matches", no_match_v4);
    show("SAD", sad);
}

fn one_shape_v4(pairs: u32, order: &[u32]) -> Run {
    let local = subnet_v4(0x0A00_0000, 8);
    let spd = spd(pairs, |index| {
        (local, subnet_v4(0x6400_0000 | index << 8, 24))
    });
    let from = Ipv4Addr::from_bits(0x0A01_0203);
    let to = to_branches(order, |index| {
        Ipv4Addr::from_bits(0x6400_0007 | index << 8).into()
    });
    look_up(spd, from.into(), to)
}

fn three_shapes_v4(pairs: u32, order: &[u32]) -> Run {
    let spd = spd(pairs, |index| {
        let (local_len, remote_len) = match index % 3 {
            0 => (8, 24),
            1 => (16, 28),
            _ => (24, 32),
        };
        (
            subnet_v4(0x0A00_0000, local_len),
            subnet_v4(0x6400_0000 | index << 8, remote_len),
        )
    });
    let from = Ipv4Addr::from_bits(0x0A00_0003);
    let to = to_branches(order, |index| {
        Ipv4Addr::from_bits(0x6400_0000 | index << 8).into()
    });
    look_up(spd, from.into(), to)
}

fn one_shape_v6(pairs: u32, order: &[u32]) -> Run {
    let spd = spd(pairs, |index| {
        (subnet_v6(1, 0, 48), subnet_v6(2, index, 64))
    });
    let to = to_branches(order, |index| address_v6(2, index).into());
    look_up(spd, address_v6(1, 0).into(), to)
}

fn no_match_v4(pairs: u32, order: &[u32]) -> Run {
    let local = subnet_v4(0x0A00_0000, 8);
    let spd = spd(pairs, |index| {
        (local, subnet_v4(0x6400_0000 | index << 8, 24))
    });
    let from = Ipv4Addr::from_bits(0x0A01_0203);
    let to = to_branches(order, |index| {
        Ipv4Addr::from_bits(0xC000_0007 | index << 8).into()
    });
    Box::new(move || {
        for to in &to {
            assert!(spd.lookup(black_box(from.into()), *to).is_none());
        }
    })
}

fn sad(pairs: u32, order: &[u32]) -> Run {
    let mut sad = Sad::new();
    let spi = |index: u32| Spi::new(index.wrapping_mul(0x9E37_79B1) | 0x100).unwrap();
    for index in 0..pairs {
        sad.insert(spi(index), index);
    }
    let spis: Vec<Spi> = order.iter().map(|index| spi(*index)).collect();
    Box::new(move || {
        for spi in &spis {
            black_box(sad.get(*black_box(spi)).unwrap());
        }
    })
}

type Run = Box<dyn FnMut()>;

/// Runs one kind of look-up over each size; `make` gets the number of pairs and in which order to
/// look them up.
fn show(effort: Effort, name: &str, active: u32, make: fn(u32, &[u32]) -> Run) {
    let mut jobs: Vec<Job<'_>> = PAIRS
        .iter()
        .map(|pairs| {
            let mut state = 0x1234_5678_9ABC_DEF1_u64;
            // Active pairs are spread over all.
            let step = pairs.div_ceil(active.min(*pairs));
            let order: Vec<u32> = (0..COUNT)
                .map(|_| random(&mut state) % (pairs / step) * step)
                .collect();
            Job::new(COUNT, || {}, make(*pairs, &order))
        })
        .collect();
    let times = least(effort, &mut jobs);
    print!("{name:<52}");
    times.iter().for_each(|time| print!("{time:>9.1}"));
    println!("{:>14.2}", times.last().unwrap() / times.first().unwrap());
}

fn spd(pairs: u32, selector: impl Fn(u32) -> (Subnet, Subnet)) -> Spd<u32> {
    let mut spd = Spd::new();
    for index in 0..pairs {
        let (local, remote) = selector(index);
        spd.insert(
            Selector::new(local, remote).unwrap(),
            Policy::Protect(index),
        );
    }
    spd
}

fn to_branches(order: &[u32], address: impl Fn(u32) -> IpAddr) -> Vec<IpAddr> {
    order.iter().map(|index| address(*index)).collect()
}

fn look_up(spd: Spd<u32>, from: IpAddr, to: Vec<IpAddr>) -> Run {
    Box::new(move || {
        for to in &to {
            let policy = spd.lookup(black_box(from), *to);
            assert!(matches!(black_box(policy), Some(Policy::Protect(_))));
        }
    })
}

fn subnet_v4(bits: u32, prefix_len: u8) -> Subnet {
    Subnet::new(Ipv4Addr::from_bits(bits).into(), prefix_len).unwrap()
}

fn address_v6(site: u128, index: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xFD00 << 112 | site << 96 | u128::from(index) << 64)
}

fn subnet_v6(site: u128, index: u32, prefix_len: u8) -> Subnet {
    Subnet::new(address_v6(site, index).into(), prefix_len).unwrap()
}

/// A generator that is the same in every run (xorshift).
fn random(state: &mut u64) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    u32::try_from(*state >> 32).unwrap()
}

//! Seal and open, each suite, size and backend, beside the bare cipher in the same process.
//!
//! Bare is what any ESP would have to do at the least with the same octets (the packet and its
//! trailer): the AEAD, or the cipher and then the keyed HMAC, in place, as their crates recommend,
//! with a key schedule that is there already and a nonce that is a counter. The difference is ours:
//! header, IV, padding, replay window, inner headers and selector.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a bench prints, names the suites that it has, and fails by panicking"
)]

#[path = "seal_open/bare.rs"]
mod bare;
mod interleaved;

use core::hint::black_box;

use bare::Bare;
use esp_core::crypto::rustcrypto;
use esp_core::{
    CryptoProvider, EspSuite, InboundSa, OpenSlot, OutboundSa, SaParameters, SealSlot, Selector,
    Spi,
};
use interleaved::{Effort, Job, least};

const SIZES: [usize; 3] = [64, 576, 1400];
/// Packets in one timed run: few enough to stay in the innermost cache.
const COUNT: usize = 16;
const ROOM: usize = 1400 + OutboundSa::HEADROOM + OutboundSa::TAILROOM;

fn main() {
    let effort = Effort::from_arguments(1500);
    println!(
        "ns per packet, least of {} interleaved runs of {COUNT} packets",
        effort.rounds
    );
    println!(
        "ratio and difference are to the bare cipher of the same backend; GB/s of inner packets"
    );
    let backends = [
        ("rustcrypto", rustcrypto::provider()),
        #[cfg(feature = "ring")]
        (
            "ring",
            CryptoProvider {
                backends: &[&esp_core::crypto::ring::Ring],
                ..rustcrypto::provider()
            },
        ),
    ];
    for (backend, provider) in &backends {
        println!();
        println!(
            "{backend:<18}{:>5} |{:>7}{:>8}{:>7}{:>7}{:>6} |{:>7}{:>7} |{:>7}{:>8}{:>7}{:>7}{:>6} |{:>7}{:>7}",
            "size",
            "bare",
            "seal",
            "ratio",
            "diff",
            "GB/s",
            "batch",
            "of 1",
            "bare",
            "open",
            "ratio",
            "diff",
            "GB/s",
            "batch",
            "of 1"
        );
        for name in bare::SUITES {
            let suite: EspSuite = name.parse().unwrap();
            if !provider.supports(suite) {
                continue;
            }
            for size in SIZES {
                line(effort, backend, provider, suite, size);
            }
        }
    }
}

fn line(effort: Effort, backend: &str, provider: &CryptoProvider, suite: EspSuite, size: usize) {
    let [bare_seal, seal, batch_seal] = sealing(effort, backend, provider, suite, size);
    let [bare_open, open, batch_open] = opening(effort, backend, provider, suite, size);
    let rate = |time: f64| f64::from(u32::try_from(size).unwrap()) / time;
    println!(
        "{:<18}{size:>5} |{bare_seal:>7.0}{seal:>8.0}{:>7.2}{:>7.0}{:>6.2} |{batch_seal:>7.0}{:>7.2} |{bare_open:>7.0}{open:>8.0}{:>7.2}{:>7.0}{:>6.2} |{batch_open:>7.0}{:>7.2}",
        suite.to_string(),
        seal / bare_seal,
        seal - bare_seal,
        rate(seal),
        batch_seal / seal,
        open / bare_open,
        open - bare_open,
        rate(open),
        batch_open / open,
    );
}

fn sealing(
    effort: Effort,
    backend: &str,
    provider: &CryptoProvider,
    suite: EspSuite,
    size: usize,
) -> [f64; 3] {
    let packet = packet(size);
    let (mut single, _) = pair(provider, suite);
    let (mut batch, _) = pair(provider, suite);
    let mut bare = Bare::new(backend, suite, size);
    let mut buffers = [vec![[0; ROOM]; COUNT], vec![[0; ROOM]; COUNT]];
    let at = OutboundSa::HEADROOM..OutboundSa::HEADROOM + size;
    for buffer in buffers.iter_mut().flatten() {
        buffer[at.clone()].copy_from_slice(&packet);
    }
    let [single_buffers, batch_buffers] = &mut buffers;
    let mut jobs = [
        Job::new(COUNT, || {}, || bare.seal()),
        Job::new(
            COUNT,
            || {},
            || {
                for buffer in single_buffers.iter_mut() {
                    // What was sealed is sealed again, once it looks like IP.
                    buffer[at.start] = 0x45;
                    black_box(single.seal_in_place(buffer, at.clone()).unwrap());
                }
            },
        ),
        Job::new(
            COUNT,
            || {},
            || {
                let mut buffers = batch_buffers.iter_mut();
                let mut slots: [SealSlot<'_>; COUNT] = core::array::from_fn(|_| {
                    let buffer = buffers.next().unwrap();
                    buffer[at.start] = 0x45;
                    SealSlot::new(buffer, at.clone())
                });
                batch.seal_batch(&mut slots).unwrap();
                black_box(&slots);
            },
        ),
    ];
    least(effort, &mut jobs).try_into().unwrap()
}

fn opening(
    effort: Effort,
    backend: &str,
    provider: &CryptoProvider,
    suite: EspSuite,
    size: usize,
) -> [f64; 3] {
    let packet = packet(size);
    let mut bare = Bare::new(backend, suite, size);
    let bare = core::cell::RefCell::new(&mut bare);
    let single = core::cell::RefCell::new(Sealed::new(provider, suite, &packet));
    let batch = core::cell::RefCell::new(Sealed::new(provider, suite, &packet));
    let mut jobs = [
        Job::new(
            COUNT,
            || bare.borrow_mut().seal(),
            || bare.borrow_mut().open(),
        ),
        Job::new(
            COUNT,
            || single.borrow_mut().seal(&packet),
            || {
                let Sealed {
                    inbound, packets, ..
                } = &mut *single.borrow_mut();
                for esp in packets {
                    assert_eq!(inbound.open_in_place(esp).unwrap().packet.len(), size);
                }
            },
        ),
        Job::new(
            COUNT,
            || batch.borrow_mut().seal(&packet),
            || {
                let Sealed {
                    inbound, packets, ..
                } = &mut *batch.borrow_mut();
                let mut packets = packets.iter_mut();
                let mut slots: [OpenSlot<'_>; COUNT] =
                    core::array::from_fn(|_| OpenSlot::new(packets.next().unwrap()));
                inbound.open_batch(&mut slots);
                for slot in slots {
                    assert_eq!(slot.into_opened().unwrap().packet.len(), size);
                }
            },
        ),
    ];
    least(effort, &mut jobs).try_into().unwrap()
}

/// Packets sealed for an inbound SA, each run's its own.
struct Sealed {
    outbound: OutboundSa,
    inbound: InboundSa,
    packets: Vec<Vec<u8>>,
}

impl Sealed {
    fn new(provider: &CryptoProvider, suite: EspSuite, packet: &[u8]) -> Self {
        let (outbound, inbound) = pair(provider, suite);
        let packets = vec![vec![0; suite.sealed_len(packet.len())]; COUNT];
        Self {
            outbound,
            inbound,
            packets,
        }
    }

    fn seal(&mut self, packet: &[u8]) {
        for esp in &mut self.packets {
            self.outbound.seal(packet, esp).unwrap();
        }
    }
}

fn pair(provider: &CryptoProvider, suite: EspSuite) -> (OutboundSa, InboundSa) {
    let keymat = vec![0x5A; suite.keymat_len()];
    let spi = Spi::new(0x1001).unwrap();
    let parameters = SaParameters::builder(spi, suite, &keymat, Selector::ANY_V4)
        .build()
        .unwrap();
    (
        OutboundSa::new(&parameters, provider).unwrap(),
        InboundSa::new(&parameters, provider).unwrap(),
    )
}

fn packet(len: usize) -> Vec<u8> {
    let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
    let mut packet = vec![
        0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 61, 1, 9, 10, 61, 3, 26,
    ];
    packet.resize(len, 0xA5);
    packet
}

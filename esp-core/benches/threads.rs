//! One SA sealed by one thread and by two, with sequence numbers reserved in batches.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints, and fails by panicking"
)]

mod interleaved;

use core::hint::black_box;
use std::thread;

use esp_core::crypto::rustcrypto;
use esp_core::{OutboundSa, SaParameters, SealSlot, Selector, Spi};
use interleaved::{Effort, timed};

const BATCH: usize = 32;
const BATCHES: u32 = 500;
const SIZE: usize = 1400;

fn main() {
    let effort = Effort::from_arguments(15);
    println!(
        "million packets of {SIZE} octets a second, best of {} runs",
        effort.rounds
    );
    println!(
        "{:<16}{:>10}{:>10}{:>8}",
        "", "1 thread", "2 threads", "ratio"
    );
    for suite in ["aes128gcm16", "aes256gcm16", "aes128-sha1", "aes128-sha256"] {
        let sa = outbound(suite);
        let mut best = [0.0_f64; 2];
        for _ in 0..effort.rounds {
            for (threads, best) in [1, 2].into_iter().zip(&mut best) {
                *best = best.max(rate(&sa, threads));
            }
        }
        let [one, two] = best;
        println!("{suite:<16}{one:>10.2}{two:>10.2}{:>8.2}", two / one);
    }
}

fn rate(sa: &OutboundSa, threads: u32) -> f64 {
    let time = timed(&mut || {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| seal(sa));
            }
        });
    });
    let packets = threads * BATCHES * u32::try_from(BATCH).unwrap();
    f64::from(packets) / time.as_secs_f64() / 1e6
}

fn seal(sa: &OutboundSa) {
    let at = OutboundSa::HEADROOM..OutboundSa::HEADROOM + SIZE;
    let mut buffers = vec![[0; SIZE + OutboundSa::HEADROOM + OutboundSa::TAILROOM]; BATCH];
    for _ in 0..BATCHES {
        let mut slots: Vec<SealSlot<'_>> = buffers
            .iter_mut()
            .map(|buffer| {
                buffer[at.start] = 0x45;
                SealSlot::new(buffer, at.clone())
            })
            .collect();
        let mut reservation = sa.reserve(u32::try_from(BATCH).unwrap()).unwrap();
        reservation.seal_batch(&mut slots).unwrap();
        black_box(&slots);
    }
}

fn outbound(suite: &str) -> OutboundSa {
    let suite: esp_core::EspSuite = suite.parse().unwrap();
    let keymat = vec![0x5A; suite.keymat_len()];
    let spi = Spi::new(0x1001).unwrap();
    // Numbers enough for every run.
    let parameters = SaParameters::builder(spi, suite.with_esn(), &keymat, Selector::ANY_V4)
        .build()
        .unwrap();
    OutboundSa::new(&parameters, &rustcrypto::provider()).unwrap()
}

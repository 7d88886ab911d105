//! Sequence numbers at their ends: extended ones through a wrap of the low half, plain ones up to
//! the last.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod pair;

use esp_core::{OpenError, SealError, SealSlot, WindowSize};
use pair::{Setup, packet, sealed};

const WRAP: u64 = 1 << 32;

fn esn(suite: &str, last_sequence: u64) -> Setup {
    Setup {
        last_sequence,
        ..Setup::new(suite)
    }
}

#[test]
fn extended_numbers_go_through_a_wrap_of_the_low_half() {
    for suite in [
        "aes128gcm16-esn",
        "aes128-sha1-esn",
        "aes128gmac-esn",
        "null-sha512-esn",
    ] {
        let (mut outbound, mut inbound) = esn(suite, WRAP - 5).pair();
        for sequence in WRAP - 4..WRAP + 5 {
            let mut esp = sealed(&mut outbound, &packet(60));
            assert_eq!(
                esp[4..8],
                sequence.to_be_bytes()[4..],
                "the low half alone is sent"
            );
            assert_eq!(
                inbound.open_in_place(&mut esp).unwrap().sequence,
                sequence,
                "{suite}"
            );
        }
    }
}

#[test]
fn loss_and_reordering_around_the_wrap_do_no_harm() {
    // Each pattern is the order in which packets numbered from the wrap on arrive; the rest is
    // lost.
    let patterns: [&[i64]; 6] = [
        &[-1, 5, 0, -3, 1, -900],
        &[3, 2, 1, 0, -1, -2],
        &[-1000, 900, -100, 0, -123],
        &[700, -1, 0],
        &[100_000, 99_999],
        &[-1, 1 << 31, (1 << 31) - 1000],
    ];
    for suite in ["aes128gcm16-esn", "aes256-sha256-esn"] {
        for pattern in patterns {
            let (_, mut inbound) = esn(suite, WRAP - 1010).pair();
            for offset in pattern {
                let sequence = WRAP.checked_add_signed(*offset).unwrap();
                let (mut outbound, _) = esn(suite, sequence - 1).pair();
                let mut esp = sealed(&mut outbound, &packet(60));
                assert_eq!(
                    inbound.open_in_place(&mut esp.clone()).unwrap().sequence,
                    sequence
                );
                let replayed = Err(OpenError::Replayed { sequence });
                assert_eq!(inbound.open_in_place(&mut esp).map(|_| ()), replayed);
            }
        }
    }
}

#[test]
fn a_packet_from_before_the_wrap_that_is_out_of_the_window_does_not_open() {
    let (mut early, _) = esn("aes128gcm16-esn", WRAP - 2000).pair();
    let (mut outbound, mut inbound) = esn("aes128gcm16-esn", WRAP + 10).pair();
    inbound
        .open_in_place(&mut sealed(&mut outbound, &packet(60)))
        .unwrap();
    // Its low half can only be one of the next subspace, and under that number it is not authentic.
    let error = inbound
        .open_in_place(&mut sealed(&mut early, &packet(60)))
        .unwrap_err();
    assert_eq!(error, OpenError::BadIcv);
    assert_eq!(inbound.last_sequence(), WRAP + 11);
}

#[test]
fn the_high_half_is_authenticated() {
    for suite in ["aes128gcm16-esn", "aes128gmac-esn", "aes128-sha1-esn"] {
        let (mut outbound, _) = esn(suite, 7 * WRAP + 100).pair();
        let (_, mut inbound) = esn(suite, 6 * WRAP + 100).pair();
        let error = inbound
            .open_in_place(&mut sealed(&mut outbound, &packet(60)))
            .unwrap_err();
        assert_eq!(error, OpenError::BadIcv, "{suite}");
    }
}

#[test]
fn low_halves_before_the_first_packet_are_late() {
    let (_, mut inbound) = esn("aes128gcm16-esn", 0).pair();
    let (mut outbound, _) = esn("aes128gcm16-esn", u64::from(u32::MAX) - 3).pair();
    let error = inbound
        .open_in_place(&mut sealed(&mut outbound, &packet(60)))
        .unwrap_err();
    assert_eq!(
        error,
        OpenError::Late {
            sequence: u64::from(u32::MAX) - 2
        }
    );
}

#[test]
fn a_plain_sa_stops_before_it_wraps() {
    let (mut outbound, mut inbound) = esn("aes128gcm16", u64::from(u32::MAX) - 2).pair();
    for _ in 0..2 {
        inbound
            .open_in_place(&mut sealed(&mut outbound, &packet(60)))
            .unwrap();
    }
    let before = packet(60);
    let mut buffer = vec![0; 200];
    for _ in 0..3 {
        assert_eq!(
            outbound.seal(&before, &mut buffer),
            Err(SealError::SequenceExhausted)
        );
        assert_eq!(
            outbound.seal_dummy(0, &mut buffer),
            Err(SealError::SequenceExhausted)
        );
        assert_eq!(
            outbound.reserve(1).map(|_| ()),
            Err(SealError::SequenceExhausted)
        );
    }
    assert_eq!(outbound.last_sequence(), u32::MAX.into());
    assert_eq!(outbound.usage().packets, 2);
}

#[test]
fn an_extended_sa_stops_too() {
    let (mut outbound, _) = esn("aes128gcm16-esn", u64::MAX - 1).pair();
    sealed(&mut outbound, &packet(60));
    assert_eq!(
        outbound.seal(&packet(60), &mut [0; 200]),
        Err(SealError::SequenceExhausted)
    );
    assert_eq!(
        outbound.reserve(1).map(|_| ()),
        Err(SealError::SequenceExhausted)
    );
}

#[test]
fn a_batch_or_reservation_that_does_not_fit_takes_nothing() {
    let (mut outbound, _) = esn("aes128gcm16", u64::from(u32::MAX) - 3).pair();
    let mut buffers = vec![[0; 200]; 4];
    for buffer in &mut buffers {
        buffer[24..84].copy_from_slice(&packet(60));
    }
    let mut slots: Vec<SealSlot<'_>> = buffers
        .iter_mut()
        .map(|buffer| SealSlot::new(buffer, 24..84))
        .collect();
    assert_eq!(
        outbound.seal_batch(&mut slots),
        Err(SealError::SequenceExhausted)
    );
    assert_eq!(outbound.last_sequence(), u64::from(u32::MAX) - 3);
    outbound.seal_batch(&mut slots[..3]).unwrap();
    assert_eq!(outbound.last_sequence(), u32::MAX.into());
}

#[test]
fn a_rekey_is_due_well_before_the_end() {
    let due = |suite: &str, last_sequence| esn(suite, last_sequence).pair().0.rekey_due();
    let eighth = WRAP / 8;
    assert!(!due("aes128gcm16", 7 * eighth - 100));
    assert!(due("aes128gcm16", 7 * eighth));
    assert!(!due("aes128gcm16-esn", WRAP), "an extended SA has longer");
    assert!(due("aes128gcm16-esn", u64::MAX - 1000));
}

#[cfg(feature = "legacy")]
#[test]
fn a_cipher_of_short_blocks_is_due_after_a_million_of_them() {
    let (mut outbound, _) = Setup::new("3des-sha1").pair();
    let packet = packet(1400);
    let mut esp = vec![0; outbound.sealed_len(packet.len())];
    while !outbound.rekey_due() {
        outbound.seal(&packet, &mut esp).unwrap();
    }
    let octets = outbound.usage().octets;
    assert!((8 << 20..(8 << 20) + 1400).contains(&octets), "{octets}");
}

#[test]
fn a_window_of_any_size_goes_through_the_wrap() {
    for size in [64, 100, 1024, 4096] {
        let window = WindowSize::new(size).unwrap();
        let setup = Setup {
            window,
            ..esn("null-sha1-esn", WRAP + 10)
        };
        let (mut outbound, mut inbound) = setup.pair();
        inbound
            .open_in_place(&mut sealed(&mut outbound, &packet(20)))
            .unwrap();
        let open = |inbound: &mut esp_core::InboundSa, sequence: u64| {
            let (mut outbound, _) = esn("null-sha1-esn", sequence - 1).pair();
            inbound
                .open_in_place(&mut sealed(&mut outbound, &packet(20)))
                .map(|opened| opened.sequence)
        };
        // Everything up to the start counts as seen; what the window holds of it is a replay.
        let bottom = WRAP + 11 - u64::from(size) + 1;
        assert_eq!(
            open(&mut inbound, bottom),
            Err(OpenError::Replayed { sequence: bottom })
        );
        assert_eq!(open(&mut inbound, bottom - 1), Err(OpenError::BadIcv));
        assert_eq!(open(&mut inbound, WRAP + 12), Ok(WRAP + 12));
    }
}

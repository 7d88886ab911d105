//! One SA on several threads: numbers are reserved, packets sealed and authenticated in parallel,
//! and the window moves in one place.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod pair;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use esp_core::{OpenError, SealError, SealSlot, Spi};
use pair::{Setup, packet, sealed};

const THREADS: usize = 4;
const ROUNDS: usize = 50;
const BATCH: usize = 16;

/// Seals on every thread and gives all ESP packets, as each thread had them.
fn sealed_in_parallel(outbound: &esp_core::OutboundSa) -> Vec<Vec<u8>> {
    let seal = || {
        let mut out = Vec::new();
        for round in 0..ROUNDS {
            let mut buffers = vec![[0; 24 + 60 + 49]; BATCH];
            for buffer in &mut buffers {
                buffer[24..84].copy_from_slice(&packet(60));
            }
            let mut reservation = outbound.reserve(u32::try_from(BATCH).unwrap()).unwrap();
            if round % 2 == 0 {
                let mut slots: Vec<SealSlot<'_>> = buffers
                    .iter_mut()
                    .map(|buffer| SealSlot::new(buffer, 24..84))
                    .collect();
                reservation.seal_batch(&mut slots).unwrap();
                out.extend(slots.iter().map(|slot| slot.octets().to_vec()));
            } else {
                for buffer in &mut buffers {
                    let esp = reservation.seal_in_place(buffer, 24..84).unwrap();
                    out.push(buffer[esp].to_vec());
                }
            }
            assert_eq!(reservation.remaining(), 0);
            let spent = reservation.seal_in_place(&mut buffers[0], 24..84);
            assert!(matches!(
                spent,
                Err(SealError::NotIp | SealError::ReservationSpent)
            ));
        }
        out
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(seal)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn threads_never_share_a_sequence_number() {
    for suite in ["aes128gcm16", "aes128-sha1"] {
        let (outbound, _) = Setup::new(suite).pair();
        let packets = sealed_in_parallel(&outbound);
        let numbers: BTreeSet<_> = packets.iter().map(|esp| esp[4..8].to_vec()).collect();
        assert_eq!(numbers.len(), THREADS * ROUNDS * BATCH);
        assert_eq!(outbound.last_sequence(), numbers.len() as u64);
        assert_eq!(outbound.usage().packets, numbers.len() as u64);
        assert_eq!(outbound.usage().octets, numbers.len() as u64 * 60);
    }
}

#[test]
fn threads_authenticate_and_one_place_commits() {
    for suite in ["aes128gcm16", "aes128-sha1", "aes128gcm16-esn"] {
        let setup = Setup {
            window: esp_core::WindowSize::MAX,
            ..Setup::new(suite)
        };
        let (outbound, inbound) = setup.pair();
        let packets = sealed_in_parallel(&outbound);
        let authenticator = inbound.authenticator();
        let inbound = Mutex::new(inbound);
        // Every thread gets every packet; each must be accepted by exactly one of them.
        let open = || {
            let (mut accepted, mut refused) = (0, 0);
            for esp in &packets {
                let mut esp = esp.clone();
                let outcome = authenticator.authenticate(&mut esp);
                let opened =
                    outcome.and_then(|authentic| inbound.lock().unwrap().commit(authentic));
                match opened {
                    Ok(opened) => {
                        assert_eq!(opened.packet, packet(60));
                        accepted += 1;
                    }
                    Err(OpenError::Replayed { .. } | OpenError::Late { .. }) => refused += 1,
                    Err(error) => unreachable!("{error}"),
                }
            }
            (accepted, refused)
        };
        let counts: Vec<(usize, usize)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let accepted: usize = counts.iter().map(|(accepted, _)| accepted).sum();
        assert_eq!(accepted, packets.len(), "{suite}: {counts:?}");
        assert_eq!(
            inbound.lock().unwrap().usage().packets,
            packets.len() as u64
        );
    }
}

#[test]
fn what_was_authenticated_for_one_sa_is_not_committed_to_another() {
    let setup = Setup::new("aes128gcm16");
    let ((mut outbound, inbound), (_, mut other)) = (setup.pair(), setup.pair());
    let mut esp = sealed(&mut outbound, &packet(60));
    let authentic = inbound.authenticator().authenticate(&mut esp).unwrap();
    assert_eq!(authentic.sequence(), 1);
    let error = other.commit(authentic).unwrap_err();
    assert_eq!(error, OpenError::WrongSpi { spi: 0x1001 });
    assert_eq!(error.foreign_spi(), Spi::new(0x1001).ok());
    assert_eq!(other.usage().packets, 0);
}

#[test]
fn an_authenticator_sees_how_far_the_window_has_come() {
    let (mut outbound, mut inbound) = Setup::new("aes128gcm16").pair();
    let mut first = sealed(&mut outbound, &packet(60));
    let (mut late, _) = Setup {
        last_sequence: 5000,
        ..Setup::new("aes128gcm16")
    }
    .pair();
    let authenticator = inbound.authenticator();
    inbound
        .open_in_place(&mut sealed(&mut late, &packet(60)))
        .unwrap();
    let error = authenticator.authenticate(&mut first).unwrap_err();
    assert_eq!(error, OpenError::Late { sequence: 1 });
}

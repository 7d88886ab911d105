//! Keys of SAs that are gone are nowhere on the heap, neither in what was freed nor in what is held.
//!
//! ring does not wipe its keys, so that its ciphers are left out.
#![cfg(feature = "rustcrypto")]
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    reason = "a test, with an allocator of its own"
)]

#[path = "../../ike-core/tests/heap/mod.rs"]
mod heap;
mod pair;

use esp_core::crypto::rustcrypto;
use esp_core::{EspSuite, InboundSa, OutboundSa, SaParameters, Spi};
use heap::{Heap, Secret, watched};
use pair::{hub_selector, packet, suites};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Keying material that no other suite has.
fn keymat(number: usize, suite: EspSuite) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let octets = (0..suite.keymat_len()).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    octets.collect()
}

fn sas(suite: EspSuite, keymat: &[u8]) -> (OutboundSa, InboundSa) {
    let spi = Spi::new(0x1001).unwrap();
    let parameters = SaParameters::builder(spi, suite, keymat, hub_selector());
    let parameters = parameters.build().unwrap();
    let provider = rustcrypto::provider();
    (
        OutboundSa::new(&parameters, &provider).unwrap(),
        InboundSa::new(&parameters, &provider).unwrap(),
    )
}

#[test]
fn no_key_outlives_its_sa() {
    let mut secrets = Vec::new();
    // A table that grows moves what is in it.
    let mut table = Vec::new();
    for (number, suite) in suites().into_iter().enumerate() {
        let octets = keymat(number, suite);
        watched(|| {
            table.push(sas(suite, &octets));
            let (outbound, inbound) = table.last_mut().unwrap();
            let packet = packet(84);
            let mut esp = vec![0; outbound.sealed_len(packet.len())];
            let len = outbound.seal(&packet, &mut esp).unwrap();
            inbound.open_in_place(&mut esp[..len]).unwrap();
        });
        secrets.push(Secret {
            name: suite.to_string().leak(),
            octets,
        });
    }
    watched(|| table.clear());
    assert!(secrets.iter().any(|secret| 64 < secret.octets.len()));
    assert_eq!(HEAP.search(&secrets), []);
    watched(|| drop(table));
    assert_eq!(HEAP.search(&secrets), []);
}

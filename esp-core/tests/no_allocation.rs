//! Sealing and opening take no memory: a counting allocator around 10,000 calls of each kind.
#![cfg(feature = "rustcrypto")]
#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod pair;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use esp_core::ip::InnerPacket;
use esp_core::{OpenSlot, Policy, Sad, SealSlot, Selector, Spd, Spi};
use pair::{Setup, packet, providers, suites};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` is from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations_of(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocations_of(|| drop(core::hint::black_box(vec![0_u8; 100]))),
        1
    );
}

#[test]
fn ten_thousand_packets_sealed_and_opened_one_by_one() {
    for (name, provider) in providers() {
        for suite in suites() {
            let (mut outbound, mut inbound) = Setup::of(suite, provider.clone()).pair();
            let packet = packet(84);
            let mut buffer = vec![0; 24 + 84 + 49];
            let count = allocations_of(|| {
                for _ in 0..10_000 {
                    buffer[24..108].copy_from_slice(&packet);
                    let esp = outbound.seal_in_place(&mut buffer, 24..108).unwrap();
                    assert_eq!(
                        inbound
                            .open_in_place(&mut buffer[esp])
                            .unwrap()
                            .packet
                            .len(),
                        84
                    );
                }
            });
            assert_eq!(count, 0, "{name} {suite}");
        }
    }
}

#[test]
fn ten_thousand_packets_sealed_and_opened_in_batches() {
    for (name, provider) in providers() {
        for suite in suites() {
            let (mut outbound, mut inbound) = Setup::of(suite, provider.clone()).pair();
            let packet = packet(84);
            let mut buffers = [[0; 24 + 84 + 49]; 10];
            let count = allocations_of(|| {
                for _ in 0..1_000 {
                    let mut slots = buffers.each_mut().map(|buffer| {
                        buffer[24..108].copy_from_slice(&packet);
                        SealSlot::new(buffer, 24..108)
                    });
                    outbound.seal_batch(&mut slots).unwrap();
                    let esps = slots.each_ref().map(SealSlot::esp);
                    let mut places = esps.into_iter();
                    let mut slots = buffers
                        .each_mut()
                        .map(|buffer| OpenSlot::new(&mut buffer[places.next().unwrap()]));
                    inbound.open_batch(&mut slots);
                    for slot in slots {
                        assert_eq!(slot.into_opened().unwrap().packet.len(), 84);
                    }
                }
            });
            assert_eq!(count, 0, "{name} {suite}");
        }
    }
}

#[test]
fn errors_and_look_ups_take_none_either() {
    let (mut outbound, mut inbound) = Setup::new("aes128-sha256").pair();
    let (mut spd, mut sad) = (Spd::new(), Sad::new());
    spd.insert(Selector::ANY_V4, Policy::Protect(1));
    sad.insert(Spi::MIN, 1);
    let packet = packet(84);
    let mut buffer = vec![0; 400];
    let count = allocations_of(|| {
        for _ in 0..10_000 {
            let inner = InnerPacket::parse(&packet).unwrap();
            assert!(spd.lookup(inner.source(), inner.destination()).is_some());
            assert!(sad.get(Spi::MIN).is_some());
            assert!(outbound.seal(&packet, &mut buffer[..10]).is_err());
            assert!(inbound.open_in_place(&mut buffer).is_err());
            outbound
                .reserve(3)
                .unwrap()
                .seal_in_place(&mut buffer, 24..84)
                .unwrap_err();
        }
    });
    assert_eq!(count, 0);
}

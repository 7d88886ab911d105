//! What one established branch costs its hub in memory, whatever it is kept in.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    unused_qualifications,
    unreachable_pub,
    reason = "a test fails by panicking, and is no part of the library"
)]

mod crowd;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;
use std::time::{Duration, Instant};

use crowd::{Crowd, Setup};

struct Counting;

thread_local! {
    /// Octets that are allocated and not freed, as they lie in memory.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the system's allocator takes for it: a word before it, in steps of two words, four at the least.
fn taken(layout: Layout) -> isize {
    const WORD: usize = size_of::<usize>();
    let octets = (layout.size() + WORD).next_multiple_of(2 * WORD);
    octets.max(4 * WORD) as isize
}

fn count(octets: isize) {
    LIVE.with(|live| live.set(live.get() + octets));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(taken(layout));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-taken(layout));
        // SAFETY: `pointer` is from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Octets that each of `size` branches takes at the hub: settings, pairs, SAs, and its share of every table.
fn per_branch(esp: &'static str, size: u32) -> usize {
    let setup = Setup::new(esp);
    let start = epoch();
    let empty = LIVE.with(Cell::get);
    let crowd = Crowd::new(&setup, size, 0, Duration::from_micros(50), start);
    let total = LIVE.with(Cell::get) - empty;
    assert_eq!(
        crowd.hub.members().filter(|member| member.ike).count(),
        size as usize
    );
    usize::try_from(total).unwrap() / size as usize
}

#[expect(clippy::disallowed_methods, reason = "where a test's time begins")]
fn epoch() -> Instant {
    Instant::now()
}

#[test]
fn the_counter_counts() {
    let before = LIVE.with(Cell::get);
    let kept = core::hint::black_box(vec![0_u8; 100]);
    assert_eq!(LIVE.with(Cell::get) - before, 112);
    drop(kept);
    assert_eq!(LIVE.with(Cell::get), before);
}

#[test]
fn an_established_branch_with_three_pairs_takes_at_most_twelve_kibibytes() {
    const LIMIT: usize = 12 * 1024;
    // Tables that double their room are at their worst just after that: 300 branches have 900 SAs.
    for (esp, size) in [
        ("aes128gcm16", 300),
        ("aes128gcm16", 256),
        ("aes256-sha512", 300),
    ] {
        let octets = per_branch(esp, size);
        println!("{octets} octets for each of {size} branches with {esp}");
        assert!(octets <= LIMIT, "{octets} octets with {esp} at {size}");
    }
}

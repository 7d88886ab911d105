//! A heap that forgets nothing: while a thread is watched, whatever it allocates has a place of its own for ever, so that
//! what a block held when it was freed, or moved elsewhere, can still be read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for all blocks of a test target. Pages that are never touched cost nothing.
const ROOM: usize = 1 << 30;
/// Length and state of a block stand before it.
const HEAD: usize = 16;
/// Octets in a row that are a finding. Fewer can be left over on the stack, and from there come to lie in the unused octets of
/// some other value, which no program can prevent.
const WINDOW: usize = 16;
/// Distance between the pieces of a secret that are searched for.
const STEP: usize = 4;

/// The global allocator of a test that looks for what was left behind.
pub struct Heap {
    /// Address of the room, 0 before its first use.
    start: AtomicUsize,
    used: AtomicUsize,
}

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose allocations are kept.
pub fn watched<T>(work: impl FnOnce() -> T) -> T {
    let before = WATCHED.replace(true);
    let result = work();
    WATCHED.set(before);
    result
}

/// Runs `work`, whose allocations are the test's own affair.
pub fn unwatched<T>(work: impl FnOnce() -> T) -> T {
    let before = WATCHED.replace(false);
    let result = work();
    WATCHED.set(before);
    result
}

/// Octets that should be nowhere.
#[derive(Clone, Debug)]
pub struct Secret {
    pub name: &'static str,
    pub octets: Vec<u8>,
}

impl Secret {
    /// Pieces of it from either end, also in the order in which a machine keeps large integers.
    fn windows(&self) -> Vec<u128> {
        let mut reversed = self.octets.clone();
        reversed.reverse();
        let mut windows = Vec::new();
        for octets in [&self.octets, &reversed] {
            for window in octets.windows(WINDOW).step_by(STEP) {
                windows.push(word(window));
            }
        }
        windows
    }
}

fn word(octets: &[u8]) -> u128 {
    u128::from_le_bytes(octets.try_into().unwrap())
}

/// A secret in a block.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    pub name: &'static str,
    /// Octets of the block.
    pub block: usize,
    /// Where in the block it is.
    pub offset: usize,
    pub freed: bool,
}

impl Heap {
    pub const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        }
    }

    fn start(&self) -> usize {
        let start = self.start.load(Ordering::Acquire);
        if start != 0 {
            return start;
        }
        // SAFETY: the layout is not empty.
        let room = unsafe { System.alloc_zeroed(Layout::from_size_align(ROOM, HEAD).unwrap()) };
        let made = room as usize;
        assert_ne!(made, 0, "no room for the watched heap");
        match self
            .start
            .compare_exchange(0, made, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => made,
            // Another thread was faster; the room that is not needed was never touched.
            Err(theirs) => theirs,
        }
    }

    fn holds(&self, pointer: *mut u8) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && (start..start + ROOM).contains(&(pointer as usize))
    }

    /// Where in the blocks that were allocated under watch any of the secrets is.
    pub fn search(&self, secrets: &[Secret]) -> Vec<Finding> {
        unwatched(|| {
            let mut wanted = BTreeMap::new();
            let mut likely = vec![false; 1 << 16];
            for secret in secrets {
                for window in secret.windows() {
                    likely[usize::from(window as u16)] = true;
                    wanted.insert(window, secret.name);
                }
            }
            let mut findings = Vec::new();
            self.each_block(|block, freed| {
                for (offset, window) in block.windows(WINDOW).enumerate() {
                    let window = word(window);
                    if likely[usize::from(window as u16)]
                        && let Some(&name) = wanted.get(&window)
                    {
                        let block = block.len();
                        findings.push(Finding {
                            name,
                            block,
                            offset,
                            freed,
                        });
                    }
                }
            });
            findings
        })
    }

    fn each_block(&self, mut visit: impl FnMut(&[u8], bool)) {
        let start = self.start();
        let end = start + self.used.load(Ordering::Acquire);
        let mut head = start;
        while head < end {
            // SAFETY: heads and blocks follow each other from the start on, as `alloc` has laid them out, and are never given
            // back. The threads that use them do not run while the test searches.
            let (len, freed, block) = unsafe {
                let len = (head as *const usize).read();
                let freed = ((head + 8) as *const usize).read() != 0;
                let block = std::slice::from_raw_parts((head + HEAD) as *const u8, len);
                (len, freed, block)
            };
            visit(block, freed);
            head += HEAD + len.next_multiple_of(HEAD);
        }
    }
}

// SAFETY: a block is either the system's, or a piece of the room that is given to one owner only and for ever.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !WATCHED.get() || HEAD < layout.align() {
            // SAFETY: the caller's.
            return unsafe { System.alloc(layout) };
        }
        WATCHED.set(false);
        let start = self.start();
        WATCHED.set(true);
        let taken = HEAD + layout.size().next_multiple_of(HEAD);
        let offset = self.used.fetch_add(taken, Ordering::AcqRel);
        if ROOM < offset + taken {
            return std::ptr::null_mut();
        }
        let head = start + offset;
        // SAFETY: inside of the room, and nobody else's.
        unsafe { (head as *mut usize).write(layout.size()) };
        (head + HEAD) as *mut u8
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if self.holds(pointer) {
            // SAFETY: the head before a block that `alloc` has given out.
            unsafe { ((pointer as usize - 8) as *mut usize).write(1) };
        } else {
            // SAFETY: the caller's.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}

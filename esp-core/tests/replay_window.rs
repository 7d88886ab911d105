//! The replay window against the plainest of models: a set of everything accepted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use esp_core::error::{ReplayError, WindowSizeError};
use esp_core::{ReplayWindow, WindowSize};
use proptest::prelude::*;

struct Model {
    accepted: BTreeSet<u64>,
    size: u64,
}

impl Model {
    fn new(size: WindowSize) -> Self {
        Self {
            accepted: BTreeSet::new(),
            size: size.get().into(),
        }
    }

    fn top(&self) -> u64 {
        self.accepted.last().copied().unwrap_or(0)
    }

    fn check(&self, sequence: u64) -> Result<(), ReplayError> {
        if sequence == 0 || u128::from(sequence) + u128::from(self.size) <= u128::from(self.top()) {
            Err(ReplayError::Late)
        } else if self.accepted.contains(&sequence) {
            Err(ReplayError::Replayed)
        } else {
            Ok(())
        }
    }

    /// RFC 4303 appendix A2.1, as its pseudocode has it, in terms of Th, Tl, Seql and W.
    fn extend(&self, low: u32) -> Option<u64> {
        let (high, top_low) = (self.top() >> 32, self.top() & 0xFFFF_FFFF);
        let (low, window) = (u64::from(low), self.size);
        let subspace = if window - 1 <= top_low {
            // Case A: the window lies within one subspace.
            if top_low - (window - 1) <= low {
                Some(high)
            } else {
                high.checked_add(1)
            }
        } else {
            // Case B: it spans two.
            let bottom = (1 << 32) - (window - 1 - top_low);
            if bottom <= low {
                high.checked_sub(1)
            } else {
                Some(high)
            }
        };
        subspace
            .filter(|high| *high < 1 << 32)
            .map(|high| high << 32 | low)
    }
}

fn sizes() -> impl Strategy<Value = WindowSize> {
    let edges = vec![64, 65, 127, 128, 1000, 1024, 4095, 4096];
    prop_oneof![prop::sample::select(edges), 64..=4096_u16]
        .prop_map(|size| WindowSize::new(size).unwrap())
}

/// Steps from the highest number so far: mostly small, some across the whole window and beyond.
fn steps() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        8 => -20..20_i64,
        4 => -5000..100_i64,
        2 => 0..5000_i64,
        1 => 0..1_i64 << 33,
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        size in sizes(),
        start in prop_oneof![Just(0_u64), Just(u64::from(u32::MAX) - 50), Just(u64::MAX - 3000)],
        steps in steps(),
    ) {
        let (mut window, mut model) = (ReplayWindow::new(size), Model::new(size));
        if 0 < start {
            window.commit(start).unwrap();
            model.accepted.insert(start);
        }
        for step in steps {
            let Some(sequence) = window.top().checked_add_signed(step) else { continue };
            let expected = model.check(sequence);
            prop_assert_eq!(window.check(sequence), expected, "at {}", sequence);
            prop_assert_eq!(window.commit(sequence), expected, "at {}", sequence);
            if expected.is_ok() {
                model.accepted.insert(sequence);
            }
            prop_assert_eq!(window.top(), model.top());
        }
    }

    #[test]
    fn extends_as_the_pseudocode_does(
        size in sizes(),
        top in prop_oneof![
            0..10_000_u64,
            (1_u64 << 32) - 10_000..(1 << 32) + 10_000,
            (5_u64 << 32) - 10_000..(5 << 32) + 10_000,
            u64::MAX - 10_000..=u64::MAX,
            any::<u64>(),
        ],
        distance in prop_oneof![-10_000..10_000_i64, any::<i64>()],
    ) {
        let (mut window, mut model) = (ReplayWindow::new(size), Model::new(size));
        if 0 < top {
            window.commit(top).unwrap();
            model.accepted.insert(top);
        }
        let low = u32::try_from(top.wrapping_add_signed(distance) & 0xFFFF_FFFF).unwrap();
        prop_assert_eq!(window.extend(low), model.extend(low));
    }
}

#[test]
fn a_number_within_reach_is_extended_to_itself() {
    let size = WindowSize::default();
    for top in [
        0,
        1,
        1023,
        1024,
        (1 << 32) - 1,
        1 << 32,
        (7 << 32) + 500,
        u64::MAX - (1 << 31),
    ] {
        let mut window = ReplayWindow::new(size);
        if 0 < top {
            window.commit(top).unwrap();
        }
        let first = u64::saturating_sub(top, 1023);
        for sequence in [first, top, top + 1, top + 1_000_000, top + (1 << 31)] {
            let low = u32::try_from(sequence & 0xFFFF_FFFF).unwrap();
            assert_eq!(window.extend(low), Some(sequence), "top {top}");
        }
    }
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(WindowSize::default().get(), 1024);
    for packets in [0, 63, 4097, u16::MAX] {
        let error = WindowSize::new(packets).unwrap_err();
        let WindowSizeError { packets: named, .. } = error;
        assert_eq!(named, packets);
    }
    assert_eq!(
        (WindowSize::new(64), WindowSize::new(4096)),
        (Ok(WindowSize::MIN), Ok(WindowSize::MAX))
    );
}

//! Many seeds, and the failing one in the panic message.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a scenario once per seed and names the seed of the first run that panics.
///
/// The environment variable `SIM_SEED` replaces the range by one seed, to repeat a failure alone.
///
/// # Panics
///
/// When the scenario does, with the seed before the scenario's own message.
pub fn for_each_seed(seeds: Range<u64>, scenario: impl Fn(u64)) {
    let only = std::env::var("SIM_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds = only.map_or(seeds, |seed: u64| seed..seed.saturating_add(1));
    for seed in seeds {
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) else {
            continue;
        };
        match message(payload.as_ref()) {
            Some(message) => panic!("seed {seed} (repeat with SIM_SEED={seed}): {message}"),
            None => resume_unwind(payload),
        }
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_seed_is_in_the_message() {
        let payload =
            catch_unwind(|| for_each_seed(0..10, |seed| assert!(seed != 4, "four"))).unwrap_err();
        let text = message(payload.as_ref()).unwrap();
        assert!(
            text.starts_with("seed 4 ") && text.contains("four"),
            "{text}"
        );
    }

    #[test]
    fn every_seed_of_the_range_runs() {
        let count = std::cell::Cell::new(0);
        for_each_seed(3..8, |seed| count.set(count.get() + seed));
        assert_eq!(count.get(), 3 + 4 + 5 + 6 + 7);
    }
}

//! Times several jobs in turn, again and again, and keeps the least of each: what is compared then
//! ran within microseconds of each other, so that ratios hold on a busy machine.
#![allow(dead_code, reason = "each bench uses a part of it")]

use core::time::Duration;
use std::time::Instant;

/// One thing to time.
pub(crate) struct Job<'a> {
    /// How many packets, or whatever is counted, one run handles.
    pub(crate) count: u32,
    /// Runs before each timed run, and is not timed.
    pub(crate) prepare: Box<dyn FnMut() + 'a>,
    pub(crate) run: Box<dyn FnMut() + 'a>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(count: usize, prepare: impl FnMut() + 'a, run: impl FnMut() + 'a) -> Self {
        let count = u32::try_from(count).unwrap();
        Self {
            count,
            prepare: Box::new(prepare),
            run: Box::new(run),
        }
    }
}

/// How long to go on.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
}

impl Effort {
    /// As `cargo bench` calls; `cargo test` only wants to know that it runs.
    pub(crate) fn from_arguments(rounds: u32) -> Self {
        let measured = std::env::args().any(|argument| argument == "--bench");
        Self {
            rounds: if measured { rounds } else { 1 },
        }
    }
}

/// The least time of each job, in nanoseconds for one of what it counts.
pub(crate) fn least(effort: Effort, jobs: &mut [Job<'_>]) -> Vec<f64> {
    let mut least = vec![Duration::MAX; jobs.len()];
    for _ in 0..effort.rounds {
        for (job, least) in jobs.iter_mut().zip(&mut least) {
            (job.prepare)();
            *least = timed(&mut job.run).min(*least);
        }
    }
    jobs.iter()
        .zip(least)
        .map(|(job, least)| least.as_secs_f64() * 1e9 / f64::from(job.count))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
pub(crate) fn timed(run: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

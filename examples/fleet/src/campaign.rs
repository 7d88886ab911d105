//! Many runs of one scenario, or one run of many branches.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::cost::{Tally, Work};
use crate::distribution::Distribution;
use crate::scenario::{Bound, Scenario};
use crate::world::{Settings, World};

/// What to run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Campaign {
    /// The fault.
    pub scenario: Scenario,
    /// How many worlds, each with a seed of its own.
    pub runs: u32,
    /// How many branches in each world.
    pub branches: u32,
    /// The first seed.
    pub seed: u64,
    /// Loss in each direction, as a share.
    pub loss: f64,
    /// How many times longer than usual the hub takes for everything: a few branches then are to it as many.
    pub slowness: u32,
}

/// What came of one run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// For each branch, when its last pair was read.
    pub times: Vec<Option<Duration>>,
    /// What should not have happened.
    pub violation: Option<String>,
    /// The most exchanges that were half open at the hub.
    pub peak_half_open: usize,
    /// The most datagrams that waited for the hub's processor.
    pub peak_queue: usize,
    /// Messages that all branches sent again.
    pub retransmissions: u64,
    /// What the hub did meanwhile.
    pub tally: Tally,
}

/// What came of all runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// What was run.
    pub campaign: Campaign,
    /// Time to reach of every branch that was reached.
    pub times: Distribution,
    /// Branches that were not reached within the limit.
    pub unreached: usize,
    /// What should not have happened, with the seed.
    pub violations: Vec<(u64, String)>,
    /// The bound.
    pub bound: Bound,
    /// The most exchanges that were half open at the hub in any run.
    pub peak_half_open: usize,
    /// The most datagrams that waited for the hub's processor in any run.
    pub peak_queue: usize,
    /// Messages sent again per branch, on average.
    pub retransmissions: f64,
    /// What the hub did meanwhile, in the run in which that took longest.
    pub tally: Tally,
}

impl Campaign {
    /// A thousand worlds of one branch, 1 % loss.
    #[must_use]
    pub const fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            runs: 1_000,
            branches: 1,
            seed: 1,
            loss: 0.01,
            slowness: 1,
        }
    }

    /// Sets how many times longer than usual the hub takes for everything.
    #[must_use]
    pub const fn slowness(mut self, slowness: u32) -> Self {
        self.slowness = slowness;
        self
    }

    /// Sets the number of worlds.
    #[must_use]
    pub const fn runs(mut self, runs: u32) -> Self {
        self.runs = runs;
        self
    }

    /// Sets the number of branches in each world.
    #[must_use]
    pub const fn branches(mut self, branches: u32) -> Self {
        self.branches = branches;
        self
    }

    /// Runs everything, on as many threads as there are processors. `progress` is told after each run how many are done.
    ///
    /// # Errors
    ///
    /// If a world cannot be set up.
    ///
    /// # Panics
    ///
    /// If a machine breaks its contract; the message has the seed.
    pub fn run(&self, progress: &(dyn Fn(u32) + Sync)) -> Result<Summary> {
        let next = AtomicU32::new(0);
        let done = AtomicU32::new(0);
        let outcomes = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if self.runs <= number {
                            return;
                        }
                        let seed = self.seed + u64::from(number);
                        let outcome = self.run_one(seed);
                        outcomes
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((seed, outcome));
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                });
            }
        });
        let mut outcomes = outcomes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(seed, _)| *seed);
        self.summarise(outcomes)
    }

    /// One world: it comes up, the fault strikes, the hub reads.
    ///
    /// # Errors
    ///
    /// If the world cannot be set up.
    pub fn run_one(&self, seed: u64) -> Result<Outcome> {
        let scenario = self.scenario;
        let mut world = World::up(self.settings(seed))?;
        let aftermath = scenario.strike(&mut world)?;
        let hub = world.hub(scenario.reading_hub());
        let before = retransmissions(&world);
        let tally = world.network.host(hub).tally();
        world.begin_reading(scenario.reading_hub());
        let times = world.run_until_read(scenario.limit());
        let tally = world.network.host(hub).tally().since(&tally);
        let retransmissions = retransmissions(&world).saturating_sub(before);
        Ok(Outcome {
            times,
            peak_half_open: world.network.host(hub).peak_half_open(),
            peak_queue: world.network.stats(hub).peak_queue,
            retransmissions,
            tally,
            violation: aftermath.violation(&mut world),
        })
    }

    fn settings(&self, seed: u64) -> Settings {
        let mut settings = self.scenario.settings(seed, self.loss);
        settings.branches = self.branches;
        settings.slowness = self.slowness;
        if 1 < self.branches {
            // Group 14 without perfect forward secrecy: what the hub's exponentiations are counted by.
            settings.proposals = Some(("aes128-sha256-modp2048", "aes128gcm16"));
            // Often enough that one question is always held at the hub while a pair is down, and no load worth mentioning.
            settings.read_interval = Duration::from_secs(4);
        }
        settings
    }

    fn summarise(&self, outcomes: Vec<(u64, Result<Outcome>)>) -> Result<Summary> {
        let mut summary = Summary {
            campaign: *self,
            times: Distribution::default(),
            unreached: 0,
            violations: Vec::new(),
            bound: if self.branches == 1 {
                self.scenario.bound()
            } else {
                Bound::default()
            },
            peak_half_open: 0,
            peak_queue: 0,
            retransmissions: 0.0,
            tally: Tally::default(),
        };
        let mut times = Vec::new();
        let mut retransmissions = 0;
        for (seed, outcome) in outcomes {
            let outcome = outcome?;
            times.extend(outcome.times.iter().copied().flatten());
            summary.unreached += outcome.times.iter().filter(|time| time.is_none()).count();
            summary
                .violations
                .extend(outcome.violation.map(|violation| (seed, violation)));
            summary.peak_half_open = summary.peak_half_open.max(outcome.peak_half_open);
            summary.peak_queue = summary.peak_queue.max(outcome.peak_queue);
            if summary.tally.time() < outcome.tally.time() {
                summary.tally = outcome.tally;
            }
            retransmissions += outcome.retransmissions;
        }
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        {
            summary.retransmissions =
                retransmissions as f64 / (f64::from(self.runs) * f64::from(self.branches)).max(1.0);
        }
        summary.times = Distribution::new(times);
        Ok(summary)
    }
}

impl Summary {
    /// Whether every branch was reached, within the bound, and nothing happened that should not.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures().is_empty()
    }

    /// What speaks against it, a line each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self
            .violations
            .iter()
            .map(|(seed, violation)| format!("seed {seed}: {violation}"))
            .collect();
        if 0 < self.unreached {
            failures.push(format!(
                "{} branches not reached within {:?}",
                self.unreached,
                self.campaign.scenario.limit()
            ));
        }
        for (percent, bound) in [(50, self.bound.p50), (99, self.bound.p99)] {
            if let (Some(time), Some(bound)) = (self.times.percentile(percent), bound)
                && bound <= time
            {
                failures.push(format!("p{percent} is {time:?}, the bound {bound:?}"));
            }
        }
        if self.campaign.scenario == Scenario::HubReboot && 1 < self.campaign.branches {
            failures.extend(self.stampede_failures());
        }
        failures
    }

    /// The bounds of a whole fleet that comes back at once.
    fn stampede_failures(&self) -> Vec<String> {
        let (Some(p50), Some(max)) = (self.times.percentile(50), self.times.max()) else {
            return Vec::new();
        };
        let allowed = self.exponentiations_alone() * 3 / 2;
        let checks = [
            (
                allowed < max,
                format!(
                    "the last branch took {max:?}, 1.5 times the exponentiations are {allowed:?}"
                ),
            ),
            (
                allowed / 2 < p50,
                format!(
                    "p50 is {p50:?}, half of 1.5 times the exponentiations are {:?}",
                    allowed / 2
                ),
            ),
            (
                p50 * 3 < max,
                format!("the last branch took {max:?}, three times the p50 of {p50:?} are allowed"),
            ),
            (
                3.0 < self.retransmissions,
                format!(
                    "{:.1} retransmissions per branch, 3 are allowed",
                    self.retransmissions
                ),
            ),
        ];
        checks
            .into_iter()
            .filter_map(|(failed, text)| failed.then_some(text))
            .collect()
    }

    /// Processor time of one exponentiation for each branch: what its return costs the hub at the least, without perfect
    /// forward secrecy. What the hub computed beyond that is not to its credit.
    #[must_use]
    pub fn exponentiations_alone(&self) -> Duration {
        Work::Exponentiation.time() * self.campaign.branches * self.campaign.slowness
    }

    /// How long the hub was busy with one kind of work.
    #[must_use]
    pub fn busy_with(&self, work: Work) -> Duration {
        self.tally.time_of(work) * self.campaign.slowness
    }
}

fn retransmissions(world: &World) -> u64 {
    let hosts = (0..world.branch_count()).map(|index| world.branch(index));
    hosts
        .filter(|host| world.network.is_running(*host))
        .map(|host| world.network.host(host).ike_stats().retransmissions)
        .sum()
}

/// Octets on the wire that keep one idle branch reachable for an hour: both directions, with IP and UDP headers.
///
/// # Errors
///
/// If a world cannot be set up.
pub(crate) fn control_octets_per_hour(seed: u64, loss: f64) -> Result<u64> {
    const HEADERS: u64 = 28;
    let mut settings = Settings::new(seed);
    settings.loss = loss;
    settings.nat = true;
    let mut world = World::up(settings)?;
    let total = |world: &World| {
        let stats = [world.hub(0), world.branch(0)].map(|host| world.network.stats(host));
        stats
            .iter()
            .map(|stats| stats.sent_octets + HEADERS * stats.sent)
            .sum::<u64>()
    };
    let before = total(&world);
    world.network.run_for(Duration::from_secs(3_600));
    Ok(total(&world) - before)
}

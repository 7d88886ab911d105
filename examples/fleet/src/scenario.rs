//! The faults, and how soon every pair must be readable after each.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use sim::Random;
use trigger::{Event, PairDownReason, ProbeMode, Standby, Timing};

use crate::world::{Settings, World};

const SECOND: Duration = Duration::from_secs(1);

/// A fault. Times count from its end: the link is up again, the hub is up again, or the fault has happened.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, ValueEnum)]
#[non_exhaustive]
pub enum Scenario {
    /// A branch loses power; all its state is gone.
    BranchReboot,
    /// The hub loses power; it has the addresses of its branches in a file.
    HubReboot,
    /// The hub loses power and the file as well.
    HubRebootFileLost,
    /// A NAT box gives every flow another port, while the hub reads once a second, or while only the branch sends.
    NatRebinding,
    /// One end silently loses one SA.
    BlackHole,
    /// A branch comes back with another address.
    AddressChange,
    /// The path is dead for an hour, and nobody is told when it is back.
    LongOutage,
    /// The path is dead for an hour, and the branch sees its link come up.
    LongOutageLinkEvent,
    /// The first of two hubs dies for good; the second is negotiated with when the first does not answer.
    SecondHub,
    /// The same; the second is kept ready and reads.
    SecondHubHot,
    /// The first of two hubs comes back after its death and has its branch again, while the second goes on to serve it.
    FailBack,
    /// The branch's wall clock steps by years.
    ClockStep,
    /// As the case's routers do it: symmetric, every 64 to 72 s. A branch reboots, and its path is up later than its link,
    /// without a word.
    H3c,
}

/// How long it may take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Bound {
    /// For half of all runs.
    pub p50: Option<Duration>,
    /// For 99 of 100 runs.
    pub p99: Option<Duration>,
}

impl Bound {
    const fn p99(limit: Duration) -> Self {
        Self {
            p50: None,
            p99: Some(limit),
        }
    }
}

impl Scenario {
    /// The name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BranchReboot => "branch-reboot",
            Self::HubReboot => "hub-reboot",
            Self::HubRebootFileLost => "hub-reboot-file-lost",
            Self::NatRebinding => "nat-rebinding",
            Self::BlackHole => "black-hole",
            Self::AddressChange => "address-change",
            Self::LongOutage => "long-outage",
            Self::LongOutageLinkEvent => "long-outage-link-event",
            Self::SecondHub => "second-hub",
            Self::SecondHubHot => "second-hub-hot",
            Self::FailBack => "fail-back",
            Self::ClockStep => "clock-step",
            Self::H3c => "h3c",
        }
    }

    /// The bound for one branch with default settings, 50 ms round trip, 1 % loss and three pairs.
    #[must_use]
    pub const fn bound(self) -> Bound {
        let half = Duration::from_millis(500);
        match self {
            Self::BranchReboot => Bound {
                p50: Some(half),
                p99: Some(Duration::from_millis(2_500)),
            },
            Self::HubReboot => Bound {
                p50: Some(Duration::from_secs(2)),
                p99: Some(Duration::from_secs(5)),
            },
            Self::HubRebootFileLost | Self::BlackHole => Bound::p99(Duration::from_secs(30)),
            Self::NatRebinding | Self::AddressChange => Bound::p99(Duration::from_secs(3)),
            Self::LongOutage => Bound::p99(Duration::from_secs(20)),
            Self::LongOutageLinkEvent => Bound::p99(Duration::from_millis(2_500)),
            Self::SecondHub => Bound::p99(Duration::from_secs(15)),
            // Nothing has to be found out: the standby's SAs are there, and answers go back through whoever asks.
            Self::SecondHubHot => Bound::p99(half),
            // Up to the longest pause between two tries.
            Self::FailBack => Bound::p99(Duration::from_secs(20)),
            // No effect: a read takes its round trip, or a few if it is lost.
            Self::ClockStep => Bound::p99(half),
            // Two polls of each association: the darkness that the case accepts.
            Self::H3c => Bound::p99(Duration::from_secs(144)),
        }
    }

    /// What its world is like: every other one is behind NAT, unless the fault asks for one or the other.
    pub(crate) fn settings(self, seed: u64, loss: f64) -> Settings {
        let mut settings = Settings::new(seed);
        settings.loss = loss;
        settings.nat = match self {
            Self::NatRebinding => true,
            _ => seed % 2 == 1,
        };
        settings.hubs = match self {
            Self::SecondHub | Self::SecondHubHot | Self::FailBack => 2,
            _ => 1,
        };
        if self == Self::SecondHubHot {
            settings.standby = Standby::Hot;
        }
        settings.mode = if self == Self::H3c {
            ProbeMode::H3c
        } else {
            ProbeMode::Client
        };
        settings
    }

    /// How long a run goes on at most.
    pub(crate) const fn limit(self) -> Duration {
        match self {
            Self::H3c => Duration::from_secs(600),
            _ => Duration::from_secs(300),
        }
    }

    /// The number of the hub that reads after the fault.
    pub(crate) const fn reading_hub(self) -> usize {
        match self {
            Self::SecondHub | Self::SecondHubHot => 1,
            _ => 0,
        }
    }

    /// Does the fault to every branch, or to the hub, up to its end.
    pub(crate) fn strike(self, world: &mut World) -> Result<Aftermath> {
        let mut random = world.network.random(10);
        let branches = 0..world.branch_count();
        match self {
            Self::H3c => {
                branches.clone().for_each(|index| world.branch_off(index));
                pause(world, &mut random, 5..10);
                for index in branches.clone() {
                    world.branch_on_without_path(index)?;
                }
                pause(world, &mut random, 20..92);
                branches.for_each(|index| world.network.rejoin(world.branch(index)));
            }
            Self::BranchReboot => {
                branches.clone().for_each(|index| world.branch_off(index));
                pause(world, &mut random, 5..60);
                for index in branches {
                    world.branch_on(index)?;
                }
            }
            Self::HubReboot | Self::HubRebootFileLost => {
                world.hub_off(0);
                pause(world, &mut random, 1..30);
                world.hub_on(0, self == Self::HubReboot)?;
            }
            Self::NatRebinding => {
                match world.network.seed() % 2 {
                    0 => world.keep_reading(0, SECOND),
                    _ => world.keep_chattering(SECOND),
                }
                pause(world, &mut random, 20..30);
                for index in branches {
                    if let Some(nat) = world.nat(index) {
                        world.network.rebind_nat(nat);
                    }
                }
            }
            Self::BlackHole => {
                return Ok(Aftermath::OthersUntouched(black_hole(world, &mut random)));
            }
            Self::AddressChange => {
                branches.clone().for_each(|index| world.link_down(index));
                pause(world, &mut random, 1..10);
                for index in branches {
                    world.link_up_elsewhere(index)?;
                }
            }
            Self::LongOutage | Self::LongOutageLinkEvent => {
                branches
                    .clone()
                    .for_each(|index| world.network.isolate(world.branch(index)));
                pause(world, &mut random, 3_600..3_630);
                for index in branches {
                    world.network.rejoin(world.branch(index));
                    if self == Self::LongOutageLinkEvent {
                        world.link_up(index);
                    }
                }
            }
            Self::SecondHub => world.hub_off(0),
            Self::SecondHubHot => {
                world.hub_off(0);
                return Ok(Aftermath::TurnedOnce);
            }
            Self::FailBack => {
                world.hub_off(0);
                pause(world, &mut random, 60..90);
                world.forget();
                world.hub_on(0, true)?;
                return Ok(Aftermath::BackWithoutAGap);
            }
            Self::ClockStep => {
                for index in branches {
                    let years = i64::try_from(random.below(60)).unwrap_or(0) - 40;
                    world.step_clock(index, years);
                }
                return Ok(Aftermath::NothingDown);
            }
        }
        Ok(Aftermath::Any)
    }
}

/// What must be true of the time after the fault, besides that every pair is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Aftermath {
    /// Nothing.
    Any,
    /// Only the pair of this number may go down.
    OthersUntouched(u32),
    /// No pair may go down, for some time.
    NothingDown,
    /// The branch turns to the other hub once, soon after the fault.
    TurnedOnce,
    /// The branch turns back once, after the hold time, and no pair goes down at it.
    BackWithoutAGap,
}

impl Aftermath {
    /// What speaks against it.
    pub(crate) fn violation(self, world: &mut World) -> Option<String> {
        let allowed = match self {
            Self::Any => return None,
            Self::OthersUntouched(pair) => Some(pair),
            Self::NothingDown => {
                world.network.run_for(120 * SECOND);
                world.absorb();
                None
            }
            Self::TurnedOnce => {
                world.network.run_for(60 * SECOND);
                return wrong_turns(world, 15 * SECOND);
            }
            Self::BackWithoutAGap => {
                // A reply that is lost makes the hold time begin anew.
                let limit = Timing::default().failback_hold * 10;
                world.network.run_for(limit);
                if let Some(wrong) = wrong_turns(world, limit) {
                    return Some(wrong);
                }
                return pair_down(world, None, Some(world.branch(0)));
            }
        };
        pair_down(world, allowed, None)
    }
}

/// What speaks against a single turn to another hub within a time.
fn wrong_turns(world: &mut World, limit: Duration) -> Option<String> {
    world.absorb();
    let turns: Vec<Duration> = world
        .reported()
        .iter()
        .filter(|(_, _, event)| matches!(event, Event::HubChanged { .. }))
        .map(|(at, ..)| *at)
        .collect();
    let [at] = turns.as_slice() else {
        return Some(format!("the branch turned to another hub at {turns:?}"));
    };
    let took = at.saturating_sub(world.forgotten_at());
    (limit < took).then(|| format!("the branch turned to the other hub after {took:?}"))
}

/// Which pair went down that should not have, at this host or at any.
fn pair_down(world: &World, allowed: Option<u32>, only: Option<sim::HostId>) -> Option<String> {
    let down = world.reported().iter().find_map(|(at, host, event)| {
        if only.is_some_and(|only| only != *host) {
            return None;
        }
        let pair = is_down(event).filter(|pair| Some(*pair) != allowed)?;
        Some((*at, *host, pair))
    });
    down.map(|(at, host, pair)| {
        format!(
            "pair {pair} went down at {} at {at:?}",
            world.network.name(host)
        )
    })
}

/// The pair that an event takes down, if it does. A proof that grows old while nobody asks is no outage.
fn is_down(event: &Event) -> Option<u32> {
    match event {
        Event::PairDown { pair, reason } if *reason != PairDownReason::ProofExpired => {
            Some(pair.number())
        }
        Event::SaDown {
            pair,
            replaced: false,
            ..
        } => Some(pair.number()),
        _ => None,
    }
}

fn pause(world: &mut World, random: &mut Random, seconds: std::ops::Range<u64>) {
    let length = SECOND * u32::try_from(seconds.end - seconds.start).unwrap_or(0);
    world
        .network
        .run_for(Duration::from_secs(seconds.start) + random.duration(length));
    world.absorb();
}

/// Returns the pair's number.
fn black_hole(world: &mut World, random: &mut Random) -> u32 {
    let pair = u32::try_from(random.below(3)).unwrap_or(0);
    if !world.black_hole(0, pair, random.chance(0.5)) {
        world.network.fail("a pair is up and has no SA");
    }
    pair
}

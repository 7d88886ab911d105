//! The whole world: a branch, its hub, a NAT box and a bad network. The fuzzer chooses the faults, a model says when the
//! hub must be able to read.

use std::time::Duration;

use fleet::{Settings, World};
use sim::Link;
use trigger::Standby;

use crate::steps::Steps;

/// Faults in one life at most; more teach nothing that fewer do not.
const STEP_LIMIT: usize = 24;
/// Longest single step.
const LONGEST: Duration = Duration::from_secs(900);
/// After this long without a fault, every pair is up again, whatever happened before.
const QUIET: Duration = Duration::from_secs(90);
/// How long the hub's read then takes at most: a round trip, or a few.
const READ: Duration = Duration::from_secs(2);

/// A branch with three pairs, from the moment they are all up.
///
/// Of the first octet the lowest bit puts the branch behind NAT, the next one gives it a second hub, and the one after that
/// keeps that hub ready all the time; the next octets are the seed. Steps: 0 some time without a
/// fault, 1 the branch reboots, 2 the hub reboots, 3 the hub reboots and loses its roll, 4 NAT rebinds, 5 NAT flushes, 6 the
/// path is dead for some time, 7 the same and the link says so, 8 another address, 9 a black hole, 10 the clock steps, 11
/// the link becomes bad, 12 it becomes good, 13 the hub reads once a second, 14 the branch chatters.
///
/// The model: time without a fault on a good link makes every pair readable, at the latest after `QUIET`; so it must be
/// at each such moment, and at the end.
pub fn world(octets: &[u8]) {
    let mut steps = Steps::new(octets);
    let mut tale = Tale::new(&mut steps);
    for _ in 0..STEP_LIMIT {
        let Some(code) = steps.next_code() else {
            break;
        };
        tale.step(code, &mut steps);
    }
    tale.improve_link();
    tale.rest(QUIET);
}

struct Tale {
    world: World,
    is_good: bool,
    has_moved: bool,
    /// Time without a fault so far.
    quiet: Duration,
}

impl Tale {
    fn new(steps: &mut Steps<'_>) -> Self {
        let how = steps.octet();
        let mut settings = Settings::new(u64::from(steps.number()));
        settings.nat = how & 1 != 0;
        settings.hubs = 1 + (how >> 1 & 1);
        settings.standby = if how & 4 != 0 {
            Standby::Hot
        } else {
            Standby::Cold
        };
        settings.loss = 0.0;
        settings.proposals = Some(("aes128-sha256-curve25519", "aes128gcm16"));
        match World::up(settings) {
            Ok(world) => Self {
                world,
                is_good: true,
                has_moved: false,
                quiet: Duration::ZERO,
            },
            Err(error) => panic!("a world: {error:#}"),
        }
    }

    fn step(&mut self, code: u8, steps: &mut Steps<'_>) {
        let time = (steps.millis() * 16).min(LONGEST);
        match code % 15 {
            0 => return self.rest(time),
            1 => {
                self.world.branch_off(0);
                self.world.network.run_for(time);
                self.must(|world| world.branch_on(0));
            }
            2 | 3 => {
                self.world.hub_off(0);
                self.world.network.run_for(time);
                self.must(|world| world.hub_on(0, code % 15 == 2));
            }
            4 => self.with_nat(|world, nat| world.network.rebind_nat(nat)),
            5 => self.with_nat(|world, nat| world.network.flush_nat(nat)),
            6 | 7 => {
                let branch = self.world.branch(0);
                self.world.network.isolate(branch);
                self.world.network.run_for(time);
                self.world.network.rejoin(branch);
                if code % 15 == 7 {
                    self.world.link_up(0);
                }
            }
            // The plan has two addresses for a branch.
            8 if !self.has_moved => {
                self.has_moved = true;
                self.world.link_down(0);
                self.world.network.run_for(time);
                self.must(|world| world.link_up_elsewhere(0));
            }
            9 => {
                let which = steps.octet();
                self.world
                    .black_hole(0, u32::from(which >> 1) % 3, which & 1 == 0);
            }
            // Nothing that concerns a tunnel: no fault.
            10 => return self.world.step_clock(0, i64::from(steps.octet()) - 128),
            11 => self.spoil_link(steps.octet()),
            12 => return self.improve_link(),
            13 => return self.world.keep_reading(0, Duration::from_secs(1)),
            14 => return self.world.keep_chattering(Duration::from_secs(1)),
            _ => {}
        }
        self.quiet = Duration::ZERO;
    }

    /// Time without a fault. If it is long enough and the link good, every pair must be readable after it.
    fn rest(&mut self, time: Duration) {
        self.world.network.run_for(time);
        if self.is_good {
            self.quiet += time;
        }
        if self.quiet < QUIET {
            return;
        }
        self.world.begin_reading(0);
        if self.world.run_until_read(READ).contains(&None) {
            self.world.network.fail(&format!(
                "not every pair is readable after {:?} without a fault",
                self.quiet
            ));
        }
        self.quiet += READ;
    }

    fn spoil_link(&mut self, how: u8) {
        let share = f64::from(how & 0x0F) / 40.0;
        let mut link = Link::new(Duration::from_millis(25)).loss(share);
        if how & 0x10 != 0 {
            link = link.duplication(0.1);
        }
        if how & 0x20 != 0 {
            link = link.reordering(0.1, Duration::from_millis(80));
        }
        if how & 0x40 != 0 {
            link = link.jitter(Duration::from_millis(200));
        }
        if how & 0x80 != 0 {
            link = link.corruption(0.1);
        }
        self.is_good = false;
        self.world.network.set_default_link(link);
    }

    fn improve_link(&mut self) {
        if !self.is_good {
            self.is_good = true;
            self.quiet = Duration::ZERO;
        }
        self.world
            .network
            .set_default_link(Link::new(Duration::from_millis(25)));
    }

    fn with_nat(&mut self, fault: impl FnOnce(&mut World, sim::NatId)) {
        if let Some(nat) = self.world.nat(0) {
            fault(&mut self.world, nat);
        }
    }

    fn must<E: std::fmt::Debug>(&mut self, act: impl FnOnce(&mut World) -> Result<(), E>) {
        if let Err(error) = act(&mut self.world) {
            panic!("the world cannot go on: {error:?}");
        }
    }
}

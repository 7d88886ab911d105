//! Faults: how soon the hub can ping through every pair again.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock;
use crate::lab::{Lab, PAIRS, Path, Role};
use crate::ping::Stream;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::Tunnel;

/// How long a killed gateway or a lost link stays dark.
const OFF: Duration = Duration::from_secs(1);

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// A gateway loses its power and gets it back.
    Killed(Role),
    /// The branch's link goes down and comes up, its routes with it.
    LinkLost,
    /// The router that translates forgets, and chooses other ports.
    Rebound,
}

impl Fault {
    fn label(self) -> &'static str {
        match self {
            Self::Killed(Role::Branch) => "branch-killed",
            Self::Killed(Role::Hub) => "hub-killed",
            Self::LinkLost => "link-lost",
            Self::Rebound => "nat-rebound",
        }
    }

    /// Lets it happen.
    fn happen(self, tunnel: &mut Tunnel) -> Result<Happened> {
        match self {
            Self::Killed(role) => {
                let (gateway, lab) = tunnel.end_mut(role);
                gateway.kill(lab)?;
                clock::pause(OFF)?;
                let over = clock::unix_seconds();
                gateway.start_again(lab)?;
                Ok(Happened {
                    over,
                    effective: over,
                })
            }
            Self::LinkLost => {
                tunnel.lab.take_branch_link()?;
                clock::pause(OFF)?;
                let over = clock::unix_seconds();
                tunnel.lab.give_branch_link()?;
                Ok(Happened {
                    over,
                    effective: over,
                })
            }
            Self::Rebound => {
                let over = clock::unix_seconds();
                tunnel.lab.rebind()?;
                // The kernel forgets in the background.
                clock::pause(Duration::from_millis(100))?;
                Ok(Happened {
                    over,
                    effective: clock::unix_seconds(),
                })
            }
        }
    }
}

/// When a fault happened, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Happened {
    /// The time until the hub can ping again counts from here.
    over: f64,
    /// Only answers from here on are owed to a repair.
    effective: f64,
}

/// A fault, between whom, and how long it may take.
#[derive(Clone, Copy, Debug)]
struct Trial {
    branch: Make,
    hub: Make,
    path: Path,
    fault: Fault,
    /// From the end of the fault to the first answer through the last pair.
    limit: Duration,
}

/// `recovery/…`: the measured time is the remark of the case.
pub fn cases() -> Vec<Case> {
    use Make::{Ours, StrongSwan};
    let ours = |path, fault, seconds| Trial {
        branch: Ours,
        hub: Ours,
        path,
        fault,
        limit: Duration::from_secs(seconds),
    };
    let with_their_hub = |path, fault, seconds| Trial {
        hub: StrongSwan,
        ..ours(path, fault, seconds)
    };
    let mut trials = vec![
        ours(Path::Plain, Fault::LinkLost, 3),
        ours(Path::Nat, Fault::LinkLost, 3),
        ours(Path::Nat, Fault::Rebound, 30),
    ];
    for path in Path::ALL {
        trials.push(ours(path, Fault::Killed(Role::Branch), 2));
        trials.push(ours(path, Fault::Killed(Role::Hub), 5));
        trials.push(with_their_hub(path, Fault::Killed(Role::Branch), 5));
        // charon says nothing about an SPI that it does not know: the probes have to find out.
        trials.push(with_their_hub(path, Fault::Killed(Role::Hub), 30));
    }
    trials
        .into_iter()
        .map(|trial| Case::new(trial.name(), move |site| trial.run(site)))
        .collect()
}

impl Trial {
    fn name(self) -> String {
        let hub = match self.hub {
            Make::Ours => "ours",
            Make::StrongSwan => "strongswan-hub",
        };
        format!(
            "recovery/{hub}/{}/{}",
            self.fault.label(),
            self.path.label()
        )
    }

    fn run(self, site: &Site) -> Result<String> {
        let mut tunnel = self.tunnel(site)?;
        let took = reachable_after(&mut tunnel, self.fault, self.limit, site.directory())?;
        tunnel.await_pairs()?;
        tunnel.check()?;
        Ok(format!("{took:.2} s"))
    }

    fn tunnel(self, site: &Site) -> Result<Tunnel> {
        let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
        let tunnel = Tunnel::up(
            site,
            self.path,
            Ends::alike(self.branch, self.hub, &settings),
        )?;
        tunnel.check()?;
        Ok(tunnel)
    }
}

/// Seconds from the end of the fault until the hub has had an answer through every pair.
fn reachable_after(
    tunnel: &mut Tunnel,
    fault: Fault,
    limit: Duration,
    directory: &FilePath,
) -> Result<f64> {
    let start = |lab: &Lab| {
        PAIRS
            .iter()
            .map(|pair| Stream::start(lab, Role::Hub, pair, directory))
            .collect::<Result<Vec<_>>>()
    };
    let streams = start(&tunnel.lab)?;
    clock::pause(Duration::from_secs(1))?;
    let Happened { over, effective } = fault.happen(tunnel)?;
    let mut took = 0.0_f64;
    for (stream, pair) in streams.iter().zip(&PAIRS) {
        let left = Duration::try_from_secs_f64(over + limit.as_secs_f64() - clock::unix_seconds())
            .unwrap_or_default();
        let answered = clock::within(left, "an answer after the fault", || {
            stream.answered_after(effective)
        });
        took = took
            .max(answered.with_context(|| format!("{} of {limit:?} allowed", pair.name))? - over);
    }
    Ok(took)
}

/// The faults of the table, and what our daemons have to keep for half of all repetitions.
const TABLE: [(Fault, Duration); 4] = [
    (Fault::Killed(Role::Branch), Duration::from_secs(1)),
    (Fault::Killed(Role::Hub), Duration::from_secs(5)),
    (Fault::LinkLost, Duration::from_secs(3)),
    (Fault::Rebound, Duration::from_secs(10)),
];

/// How often each fault happens, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// With our daemons.
    pub ours: usize,
    /// With strongSwan, which takes its time.
    pub theirs: usize,
    /// After this long a fault counts as not repaired.
    pub limit: Duration,
}

/// Times of one row of the table: those that came back, and how many did not.
#[derive(Clone, Debug, Default)]
struct Times {
    seconds: Vec<f64>,
    never: usize,
}

impl Times {
    fn count(&self) -> usize {
        self.seconds.len() + self.never
    }

    /// The one that so many were shorter than; `None` if it did not come back.
    fn nth(&self, index: usize) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(index).copied()
    }

    fn median(&self) -> Option<f64> {
        self.nth(self.count() / 2)
    }

    /// "shortest / median / longest", with ">" for what did not come back.
    fn summary(&self, limit: Duration) -> String {
        if self.count() == 0 {
            return "-".to_owned();
        }
        let text = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{seconds:.2}"),
            None => format!(">{:.0}", limit.as_secs_f64()),
        };
        let last = self.count().saturating_sub(1);
        [self.nth(0), self.median(), self.nth(last)]
            .map(text)
            .join(" / ")
    }

    /// Whether half of them came back in less than this.
    fn keeps(&self, bound: Duration) -> bool {
        self.median()
            .is_some_and(|seconds| seconds < bound.as_secs_f64())
    }
}

/// Prints a table: each fault with our daemons and with strongSwan at both ends, behind NAT, seconds until the hub can ping
/// through every pair again. Returns whether our daemons keep every bound.
///
/// # Errors
///
/// When a tunnel does not come up in the first place.
pub fn table(root: &FilePath, binaries: &FilePath, effort: Effort) -> Result<bool> {
    let Effort {
        ours,
        theirs,
        limit,
    } = effort;
    println!(
        "seconds until the hub can ping through all three pairs again, behind NAT: shortest / median / longest"
    );
    println!(
        "{:<16} {:>24} {:>10} {:>10} {:>28}",
        "fault",
        format!("ours, {ours} times"),
        "bound",
        "",
        format!("strongSwan, {theirs} times")
    );
    let (mut number, mut kept) = (0, true);
    for (fault, bound) in TABLE {
        let mut measure = |make, repeats| {
            let trial = Trial {
                branch: make,
                hub: make,
                path: Path::Nat,
                fault,
                limit,
            };
            trial.repeat(root, binaries, &mut number, repeats)
        };
        let times = measure(Make::Ours, ours)?;
        let verdict = if ours == 0 || times.keeps(bound) {
            "ok"
        } else {
            kept = false;
            "MISSED"
        };
        let others = measure(Make::StrongSwan, theirs)?;
        println!(
            "{:<16} {:>24} {:>10} {:>10} {:>28}",
            fault.label(),
            times.summary(limit),
            format!("{:.0} s", bound.as_secs_f64()),
            verdict,
            others.summary(limit)
        );
    }
    println!(
        "the bound is the median's; strongSwan begins by itself (start) and again when DPD finds the peer dead (restart)"
    );
    Ok(kept)
}

impl Trial {
    /// Each time with a tunnel of its own.
    fn repeat(
        self,
        root: &FilePath,
        binaries: &FilePath,
        number: &mut usize,
        repeats: usize,
    ) -> Result<Times> {
        let mut times = Times::default();
        for _ in 0..repeats {
            *number += 1;
            let site = Site::new(root, *number, &self.name(), binaries)?;
            let mut tunnel = self.tunnel(&site)?;
            match reachable_after(&mut tunnel, self.fault, self.limit, site.directory()) {
                Ok(seconds) => times.seconds.push(seconds),
                Err(error) => {
                    clock::go_on().context(error)?;
                    times.never += 1;
                }
            }
            drop(tunnel);
            site.clear()?;
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seconds: &[f64], never: usize) -> Times {
        Times {
            seconds: seconds.to_vec(),
            never,
        }
    }

    #[test]
    fn what_never_came_back_counts_as_longest() {
        let limit = Duration::from_secs(60);
        assert_eq!(
            times(&[3.0, 1.0, 2.0], 0).summary(limit),
            "1.00 / 2.00 / 3.00"
        );
        assert_eq!(times(&[3.0, 1.0], 1).summary(limit), "1.00 / 3.00 / >60");
        assert_eq!(times(&[], 1).summary(limit), ">60 / >60 / >60");
        assert_eq!(times(&[], 0).summary(limit), "-");
    }

    #[test]
    fn a_bound_is_kept_if_half_came_back_before_it() {
        let bound = Duration::from_secs(2);
        assert!(times(&[1.0, 1.5, 9.0], 0).keeps(bound));
        assert!(!times(&[1.0, 2.0, 2.5], 0).keeps(bound));
        assert!(!times(&[1.0], 2).keeps(bound));
        assert!(!times(&[], 0).keeps(bound));
    }
}

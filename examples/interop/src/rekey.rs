//! Rekeys of each kind while pings go both ways through every pair: none may be lost.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::lab::{PAIRS, Path, Role};
use crate::ping::{self, Stream};
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::strongswan::{Charon, Sas};
use crate::tunnel::{Gateway, Tunnel};

/// Lifetime at the end that is to rekey, if it is ours: about the shortest that the settings allow.
const SHORT_LIFETIME: Duration = Duration::from_secs(12);
/// Traffic before the first rekey and after the last, when old SAs are deleted.
const MARGIN: Duration = Duration::from_secs(3);
/// charon keeps a replaced ISAKMP SA for ten seconds.
const OVERLAP: Duration = Duration::from_secs(15);
/// How often each case rekeys.
const ROUNDS: usize = 2;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    One,
    Two,
}

/// One kind of rekey.
#[derive(Clone, Copy, Debug)]
struct Kind {
    branch: Make,
    hub: Make,
    path: Path,
    phase: Phase,
    /// Which end begins it.
    by: Role,
}

/// `rekey/<our end>/<phase>-by-<who>/<path>`.
pub fn cases() -> Vec<Case> {
    use Make::{Ours, StrongSwan};
    let mut kinds = Vec::new();
    for phase in [Phase::One, Phase::Two] {
        for by in [Role::Branch, Role::Hub] {
            kinds.push(Kind {
                branch: Ours,
                hub: StrongSwan,
                path: Path::Nat,
                phase,
                by,
            });
            kinds.push(Kind {
                branch: StrongSwan,
                hub: Ours,
                path: Path::Nat,
                phase,
                by,
            });
        }
        kinds.push(Kind {
            branch: Ours,
            hub: Ours,
            path: Path::Plain,
            phase,
            by: Role::Branch,
        });
    }
    kinds.push(Kind {
        branch: Ours,
        hub: Ours,
        path: Path::Plain,
        phase: Phase::Two,
        by: Role::Hub,
    });
    kinds
        .into_iter()
        .map(|kind| Case::new(kind.name(), move |site| kind.run(site)))
        .collect()
}

impl Kind {
    fn name(self) -> String {
        let family = match (self.branch, self.hub) {
            (Make::Ours, Make::StrongSwan) => "branch",
            (Make::StrongSwan, Make::Ours) => "hub",
            (Make::Ours, Make::Ours) | (Make::StrongSwan, Make::StrongSwan) => "ours",
        };
        let phase = match self.phase {
            Phase::One => "phase-1",
            Phase::Two => "phase-2",
        };
        let by = match self.make(self.by) {
            Make::Ours => "by-our",
            Make::StrongSwan => "by-their",
        };
        format!(
            "rekey/{family}/{phase}-{by}-{}/{}",
            self.by.label(),
            self.path.label()
        )
    }

    fn make(self, role: Role) -> Make {
        match role {
            Role::Branch => self.branch,
            Role::Hub => self.hub,
        }
    }

    fn run(self, site: &Site) -> Result<String> {
        let mut tunnel = Tunnel::up(site, self.path, self.ends())?;
        tunnel.check()?;
        let streams = Stream::everywhere(&tunnel.lab, site.directory())?;
        let mut seen = Generations::new(&tunnel)?;
        clock::pause(Duration::from_secs(1))?;
        for _ in 0..ROUNDS {
            if let Gateway::StrongSwan(charon) = tunnel.end(self.by) {
                self.order(charon)?;
            }
            seen.await_next(self.phase, &mut tunnel)?;
            if self.make(self.by) == Make::StrongSwan {
                // charon would rekey the old one as well.
                await_no_more_than(1, &tunnel)?;
            }
        }
        clock::pause(MARGIN)?;
        let sent = ping::none_lost(streams)?;
        tunnel.check()?;
        // Where lifetimes are short, the next rekey may have come.
        await_no_more_than(2, &tunnel)?;
        tunnel.part()?;
        Ok(format!("{ROUNDS} rekeys, {sent} pings, none lost"))
    }

    fn ends(self) -> Ends {
        let mut settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
        let long = Ends::alike(self.branch, self.hub, &settings);
        if self.make(self.by) == Make::StrongSwan {
            return long;
        }
        match self.phase {
            Phase::One => settings.ike_lifetime = SHORT_LIFETIME,
            Phase::Two => settings.sa_lifetime = SHORT_LIFETIME,
        }
        match self.by {
            Role::Branch => Ends {
                branch: (self.branch, settings),
                ..long
            },
            Role::Hub => Ends {
                hub: (self.hub, settings),
                ..long
            },
        }
    }

    fn order(self, charon: &Charon) -> Result<()> {
        match self.phase {
            Phase::One => charon.rekey_phase_one(),
            Phase::Two => PAIRS
                .iter()
                .try_for_each(|pair| charon.rekey_phase_two(pair.name)),
        }
    }
}

/// Which SAs have been seen: a rekey shows as new ones.
#[derive(Debug)]
struct Generations {
    phase_one: BTreeSet<String>,
    phase_two: BTreeSet<String>,
}

impl Generations {
    fn new(tunnel: &Tunnel) -> Result<Self> {
        let daemon = our_end(tunnel)?;
        Ok(Self {
            phase_one: daemon.phase_one_keys()?,
            phase_two: daemon.phase_two_keys()?,
        })
    }

    /// Waits until phase 1, or phase 2 of every pair, is there anew.
    fn await_next(&mut self, phase: Phase, tunnel: &mut Tunnel) -> Result<()> {
        clock::within(2 * SHORT_LIFETIME, "a rekey", || {
            tunnel.branch.alive()?;
            tunnel.hub.alive()?;
            let now = Self::new(tunnel)?;
            let done = match phase {
                Phase::One => self.phase_one.len() < now.phase_one.len(),
                // A key for each direction of each pair.
                Phase::Two => self.phase_two.len() + 2 * PAIRS.len() <= now.phase_two.len(),
            };
            if done {
                *self = now;
            }
            Ok(done.then_some(()))
        })
    }
}

fn our_end(tunnel: &Tunnel) -> Result<&crate::ours::Daemon> {
    match (&tunnel.branch, &tunnel.hub) {
        (Gateway::Ours(daemon), _) | (_, Gateway::Ours(daemon)) => Ok(daemon),
        (Gateway::StrongSwan(_), Gateway::StrongSwan(_)) => bail!("neither end is ours"),
    }
}

/// Waits until strongSwan holds no more than so many SAs of each kind: the ends agree about which are old.
fn await_no_more_than(generations: usize, tunnel: &Tunnel) -> Result<()> {
    for role in [Role::Branch, Role::Hub] {
        let Gateway::StrongSwan(charon) = tunnel.end(role) else {
            continue;
        };
        let mut held = Sas::default();
        clock::within(
            OVERLAP,
            &format!("old SAs gone from the {}", role.label()),
            || {
                held = charon.sas()?;
                let few = held.phase_one.len() <= generations
                    && held.phase_two.len() <= generations * PAIRS.len();
                Ok(few.then_some(()))
            },
        )
        .with_context(|| format!("{held:?}"))?;
    }
    Ok(())
}

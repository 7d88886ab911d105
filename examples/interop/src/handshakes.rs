//! What a handshake costs a responder in processor time: strongSwan's charon and our hub, called by the same initiators.
//!
//! Absolute figures of a machine that others use as well drift from hour to hour; ratios taken in one run hold. So all responders are
//! up at the same time, each in a network of its own, and the rounds go from one to the next.

mod cpu_time;
mod initiator;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use self::cpu_time::CpuTime;
use self::initiator::Outcome;
pub use self::initiator::Plan;
use self::report::Row;
use crate::build::{self, Build};
use crate::clock;
use crate::lab::{self, Lab, Role};
use crate::ours::Daemon;
use crate::process::BRIEF;
use crate::settings::Settings;
use crate::site::Site;
use crate::strongswan::{self, Charon};

/// Branches that the responders know, each of which calls once in a round.
const BRANCHES: usize = 200;
/// The same for a quick look.
const QUICK_BRANCHES: usize = 25;
/// Builds of this name have no ring.
const WITHOUT_RING: &str = "rustcrypto";
/// What a quick look allows, whatever the goal: it is to say whether everything works, on a machine with other work too.
const QUICK_GOAL: f64 = 1.0;
/// How long an idle responder is watched.
const IDLE: Duration = Duration::from_secs(1);

/// A proposal for phase 1, and what part of strongSwan's processor time we may take.
struct Group {
    ike: &'static str,
    goal: f64,
    /// Where ring makes a difference.
    goal_without_ring: f64,
}

const GROUPS: [Group; 4] = [
    Group::new("aes128-sha1-modp1024", 0.3, 0.3),
    Group::new("aes128-sha256-modp2048", 0.45, 0.45),
    Group::new("aes128-sha256-curve25519", 0.25, 0.25),
    Group::new("aes128-sha256-ecp256", 0.25, 0.5),
];

/// What to measure, and how often.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only groups whose proposal contains one of these.
    groups: Vec<String>,
    /// Our daemons, as NAME=DIRECTORY; several builds are measured side by side [default: ours=the directory of this program]. One called
    /// `rustcrypto` is taken to be built without ring, and has other goals.
    #[arg(long = "build", value_name = "NAME=DIRECTORY")]
    builds: Vec<String>,
    /// Our hubs also serve metrics and the status page, for which they note every negotiation.
    #[arg(long)]
    metrics: bool,
    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round of few handshakes, and loose goals: whether everything works.
    #[arg(long)]
    quick: bool,
    /// Directory for logs [default: a new one among the system's temporary files].
    #[arg(long)]
    logs: Option<PathBuf>,
}

/// How much work a measurement is.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    branches: usize,
    quick: bool,
    metrics: bool,
}

/// Measures and prints.
///
/// # Errors
///
/// When something does not start, when a handshake fails, and when a goal is missed.
pub fn run(arguments: Arguments) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    strongswan::installed()?;
    clock::heed_signals()?;
    let builds = build::given(&arguments.builds)?;
    let effort = Effort {
        rounds: if arguments.quick {
            1
        } else {
            arguments.rounds.max(1)
        },
        branches: if arguments.quick {
            QUICK_BRANCHES
        } else {
            BRANCHES
        },
        quick: arguments.quick,
        metrics: arguments.metrics,
    };
    let logs = arguments
        .logs
        .unwrap_or_else(|| std::env::temp_dir().join(format!("handshakes-{}", std::process::id())));
    println!(
        "Responder's processor time per handshake: aggressive mode, a quick mode without forward secrecy (aes128gcm16), Deletes.\n\
         Two exponentiations each: of the fixed base, which ours prepares while nothing arrives, and of the initiator's value. The\n\
         initiators count the public values that they are sent: were they fewer than handshakes, exponentiations would have been saved."
    );
    let wanted = |group: &&Group| {
        arguments.groups.is_empty()
            || arguments
                .groups
                .iter()
                .any(|wanted| group.ike.contains(wanted.as_str()))
    };
    let mut missed = Vec::new();
    let mut measured = 0;
    for (number, group) in GROUPS.iter().filter(wanted).enumerate() {
        missed.extend(
            group
                .measure(&logs, number * 100, &builds, effort)
                .with_context(|| format!("{}; logs in {}", group.ike, logs.display()))?,
        );
        measured += 1;
    }
    ensure!(measured != 0, "no group has a proposal like that");
    std::fs::remove_dir_all(&logs)?;
    if !missed.is_empty() {
        bail!("goals missed:\n  {}", missed.join("\n  "));
    }
    Ok(())
}

/// A responder with the network that it is in.
struct Responder {
    name: String,
    /// Ended before the network goes.
    process: Process,
    lab: Lab,
    idle: CpuTime,
    /// Of each round.
    costs: Vec<Duration>,
    outcome: Outcome,
}

enum Process {
    StrongSwan(Charon),
    Ours(Daemon),
}

impl Group {
    const fn new(ike: &'static str, goal: f64, goal_without_ring: f64) -> Self {
        Self {
            ike,
            goal,
            goal_without_ring,
        }
    }

    fn goal(&self, name: &str, effort: Effort) -> f64 {
        if effort.quick {
            QUICK_GOAL
        } else if name == WITHOUT_RING {
            self.goal_without_ring
        } else {
            self.goal
        }
    }

    /// Starts every responder, goes round, prints the table, ends every responder. Returns the goals that were missed.
    fn measure(
        &self,
        logs: &Path,
        first: usize,
        builds: &[Build],
        effort: Effort,
    ) -> Result<Vec<String>> {
        let settings = Settings {
            always_encapsulate: true,
            measured: true,
            metrics: effort.metrics,
            absent_branches: effort.branches,
            ..Settings::new(self.ike, initiator::ESP)
        };
        let mut responders = Vec::new();
        for (number, build) in [None]
            .into_iter()
            .chain(builds.iter().map(Some))
            .enumerate()
        {
            responders.push(Responder::start(logs, first + number, build, &settings)?);
        }
        for _ in 0..effort.rounds {
            for responder in &mut responders {
                responder
                    .round(self.ike, effort.branches)
                    .with_context(|| responder.name.clone())?;
            }
        }
        println!("\n{}", self.ike);
        let rows: Vec<Row> = responders.iter().filter_map(Responder::row).collect();
        let goal = |name: &str| self.goal(name, effort);
        let missed = report::print(self.ike, &rows, goal);
        // A machine with other work leaves our hub too little quiet time to prepare anything.
        Ok(missed
            .into_iter()
            .filter(|missed| !(effort.quick && missed.is_shortcut))
            .map(|missed| missed.reason)
            .collect())
    }
}

impl Responder {
    /// Starts strongSwan, or one of our builds.
    fn start(
        logs: &Path,
        number: usize,
        build: Option<&Build>,
        settings: &Settings,
    ) -> Result<Self> {
        let name = build.map_or("strongSwan", |build| &build.name);
        let binaries = build.map_or_else(|| Path::new(""), |build| build.directory.as_path());
        let site = Site::new(logs, number, &format!("{}.{name}", settings.ike), binaries)?;
        let lab = Lab::new(site.prefix(), lab::Path::Plain)?;
        let socket = site.socket(Role::Hub);
        let directory = site.directory();
        let process = match build {
            None => Process::StrongSwan(
                Charon::start(&lab, Role::Hub, settings, directory, &socket)
                    .context("strongSwan")?,
            ),
            Some(build) => Process::Ours(
                Daemon::start(&lab, Role::Hub, settings, binaries, directory, &socket)
                    .with_context(|| build.name.clone())?,
            ),
        };
        let mut responder = Self {
            name: name.to_owned(),
            process,
            lab,
            idle: CpuTime::default(),
            costs: Vec::new(),
            outcome: Outcome::default(),
        };
        // Whatever it prepares after its start is no part of a handshake.
        clock::pause(IDLE)?;
        let before = responder.cpu_time()?;
        clock::pause(IDLE)?;
        responder.idle = responder.cpu_time()?.since(&before);
        Ok(responder)
    }

    fn cpu_time(&self) -> Result<CpuTime> {
        CpuTime::of(match &self.process {
            Process::StrongSwan(charon) => charon.id(),
            Process::Ours(daemon) => daemon.id(),
        })
    }

    /// Every branch calls once.
    fn round(&mut self, ike: &str, branches: usize) -> Result<()> {
        let before = self.cpu_time()?;
        let outcome = Plan::new(ike, branches).run_in(self.lab.end(Role::Branch))?;
        let spent = self.cpu_time()?.since(&before);
        ensure!(outcome.handshakes != 0, "no handshake took place");
        self.costs
            .push(spent.precise() / u32::try_from(outcome.handshakes)?);
        self.outcome.add(&outcome);
        match &mut self.process {
            Process::StrongSwan(charon) => charon.alive(),
            Process::Ours(daemon) => daemon.alive(),
        }
    }

    fn row(&self) -> Option<Row> {
        Row::of(&self.name, &self.costs, &self.outcome, self.idle)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Nothing depends on a good end: the network goes next.
        match &mut self.process {
            Process::StrongSwan(charon) => drop(charon.stop()),
            Process::Ours(daemon) => drop(daemon.stop()),
        }
    }
}

/// How long all handshakes of a round may take.
fn limit(branches: usize) -> Duration {
    let one = Duration::from_millis(300);
    u32::try_from(branches).map_or(one, |branches| 3 * BRIEF + one * branches)
}

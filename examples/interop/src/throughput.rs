//! How fast traffic goes through a tunnel, ours and those that a user would otherwise take, measured side by side.
//!
//! Absolute figures of a machine that others use as well drift from hour to hour; ratios taken in one run hold. So every
//! contender has its own network, all of them are up at the same time, and the rounds go from one to the next.

mod contender;
mod load;
mod packages;
mod report;
mod wireguard;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use self::contender::{Contender, Kind};
use self::load::{Load, Sample};
use self::report::Row;
use crate::build::{self, Build};
use crate::clock;
use crate::drops::Drops;
use crate::site::Site;

/// Octets of the transfer that is compared by checksum.
const TRANSFER: u64 = 1_000_000_000;
/// The same for a quick look.
const QUICK_TRANSFER: u64 = 50_000_000;

/// What to measure, and how often.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only sections whose name contains one of these; `--list` shows them.
    sections: Vec<String>,
    /// Lists the sections.
    #[arg(long)]
    list: bool,
    /// Our daemons, as NAME=DIRECTORY; several builds are measured side by side [default: ours=the directory of this program].
    #[arg(long = "build", value_name = "NAME=DIRECTORY")]
    builds: Vec<String>,
    /// Only our daemons and the bare wire.
    #[arg(long)]
    alone: bool,
    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// One round of one second and a small transfer: whether everything works.
    #[arg(long)]
    quick: bool,
    /// TCP's congestion control between all contenders, whatever this machine is set to; the default is Linux's own.
    #[arg(long, value_name = "NAME", default_value = "cubic")]
    congestion: String,
    /// Where boringtun-cli is or is to be installed.
    #[arg(long, default_value = "/usr/local/bin")]
    tools: PathBuf,
    /// Directory for logs [default: a new one among the system's temporary files].
    #[arg(long)]
    logs: Option<PathBuf>,
}

/// One table.
struct Section {
    name: &'static str,
    title: &'static str,
    kinds: Vec<Kind>,
    load: Load,
}

/// How often and how long, and what TCP does.
#[derive(Clone, Debug)]
struct Effort {
    rounds: usize,
    length: Duration,
    transfer: u64,
    congestion: String,
}

/// Measures and prints.
///
/// # Errors
///
/// When something does not start, when a packet of ours was not authentic or out of its window, and when the transfer differs.
pub fn run(arguments: Arguments) -> Result<()> {
    let builds = build::given(&arguments.builds)?;
    let sections: Vec<Section> = sections(&builds, arguments.alone)
        .into_iter()
        .filter(|section| {
            arguments.sections.is_empty()
                || arguments
                    .sections
                    .iter()
                    .any(|wanted| section.name.contains(wanted.as_str()))
        })
        .collect();
    if arguments.list {
        for Section { name, title, .. } in &sections {
            println!("{name:<14} {title}");
        }
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    let foreign = |kind: &Kind| matches!(kind, Kind::WireGuardGo | Kind::BoringTun);
    let wireguard = sections
        .iter()
        .any(|section| section.kinds.iter().any(foreign));
    packages::install(wireguard.then_some(arguments.tools.as_path()))?;
    let effort = if arguments.quick {
        Effort {
            rounds: 1,
            length: Duration::from_secs(1),
            transfer: QUICK_TRANSFER,
            congestion: arguments.congestion,
        }
    } else {
        Effort {
            rounds: arguments.rounds.max(1),
            length: Duration::from_secs(arguments.seconds.max(1)),
            transfer: TRANSFER,
            congestion: arguments.congestion,
        }
    };
    clock::heed_signals()?;
    let logs = arguments
        .logs
        .unwrap_or_else(|| std::env::temp_dir().join(format!("throughput-{}", std::process::id())));
    let mut drops = Drops::default();
    for (number, section) in sections.iter().enumerate() {
        drops.add(
            &section
                .measure(&logs, number * 100, &arguments.tools, &effort)
                .with_context(|| format!("{}; logs in {}", section.name, logs.display()))?,
        );
    }
    println!(
        "\nPackets of ours that were not authentic: {}, replayed: {}, out of the window: {}",
        drops.bad_icv, drops.replayed, drops.late
    );
    ensure!(
        drops.suspicious() == 0,
        "packets were damaged, doubled or out of the window; logs in {}",
        logs.display()
    );
    Ok(std::fs::remove_dir_all(&logs)?)
}

fn sections(builds: &[Build], alone: bool) -> Vec<Section> {
    let ours = |esp, encapsulated| -> Vec<Kind> {
        let kind = |build: &Build| Kind::Ours {
            build: build.clone(),
            esp,
            encapsulated,
            realtime: false,
        };
        builds.iter().map(kind).collect()
    };
    let swan = |esp| Kind::StrongSwan { esp };
    let beside = |mut first: Vec<Kind>, others: Vec<Kind>, own: Vec<Kind>| {
        first.extend(if alone { Vec::new() } else { others });
        first.extend(own);
        first
    };
    let everybody = beside(
        vec![Kind::Veth],
        vec![swan("aes128gcm16"), Kind::WireGuardGo, Kind::BoringTun],
        ours("aes128gcm16", true),
    );
    let with_sha1 = beside(
        Vec::new(),
        vec![swan("aes128-sha1")],
        ours("aes128-sha1", true),
    );
    let gcm = ours("aes128gcm16", true);
    let with_wire = beside(vec![Kind::Veth], Vec::new(), gcm.clone());
    let mut sections = vec![
        Section::new("tcp", "one TCP stream", everybody.clone(), Load::Tcp),
        Section::new(
            "split",
            "one TCP stream on a wire without super-packets",
            everybody.clone(),
            Load::Tcp,
        ),
        Section::new(
            "raw",
            "one TCP stream, ESP right above IP",
            ours("aes128gcm16", false),
            Load::Tcp,
        ),
        Section::new("sha1", "one TCP stream, CBC and HMAC", with_sha1, Load::Tcp),
    ];
    sections.extend(other_loads(&gcm, &with_wire));
    sections.extend(latencies(&everybody));
    sections
}

fn other_loads(ours: &[Kind], with_wire: &[Kind]) -> Vec<Section> {
    let (ours, with_wire) = (|| ours.to_vec(), || with_wire.to_vec());
    vec![
        Section::new(
            "udp100",
            "UDP at 100 Mbit/s",
            with_wire(),
            Load::Udp { megabits: 100 },
        ),
        Section::new(
            "udp500",
            "UDP at 500 Mbit/s",
            with_wire(),
            Load::Udp { megabits: 500 },
        ),
        Section::new(
            "forwarded",
            "one TCP stream between hosts behind the gateways",
            ours(),
            Load::Forwarded,
        ),
        Section::new(
            "both-ways",
            "one TCP stream each way at once, the sum",
            with_wire(),
            Load::BothWays,
        ),
        Section::new(
            "transfer",
            "a transfer compared by SHA-256",
            ours(),
            Load::Transfer,
        ),
    ]
}

/// Ours stand there twice: as they are, and before all that is ordinary.
fn latencies(kinds: &[Kind]) -> [Section; 2] {
    let realtime = |kind: &Kind| match kind.clone() {
        Kind::Ours {
            build,
            esp,
            encapsulated,
            ..
        } => Some(Kind::Ours {
            build,
            esp,
            encapsulated,
            realtime: true,
        }),
        Kind::Veth | Kind::StrongSwan { .. } | Kind::WireGuardGo | Kind::BoringTun => None,
    };
    let kinds: Vec<Kind> = kinds
        .iter()
        .cloned()
        .chain(kinds.iter().filter_map(realtime))
        .collect();
    let section =
        |name, title, flood| Section::new(name, title, kinds.clone(), Load::Ping { flood });
    [
        section("idle", "ping, nothing else", false),
        section("flood", "ping beside one TCP stream", true),
    ]
}

impl Section {
    fn new(name: &'static str, title: &'static str, kinds: Vec<Kind>, load: Load) -> Self {
        Self {
            name,
            title,
            kinds,
            load,
        }
    }

    /// Whether the wires carry UDP segments unsplit, as veth does by default.
    fn super_packets(&self) -> bool {
        self.name != "split"
    }

    /// Starts every contender, goes round, prints the table, ends every contender.
    fn measure(
        &self,
        logs: &std::path::Path,
        first: usize,
        tools: &std::path::Path,
        effort: &Effort,
    ) -> Result<Drops> {
        let mut contenders = Vec::new();
        for (number, kind) in self.kinds.iter().enumerate() {
            let site = Site::new(
                logs,
                first + number,
                &format!("{}.{}", self.name, kind.name().replace(' ', "-")),
                kind.binaries(),
            )?;
            let contender = Contender::start(kind, &site, self.load == Load::Forwarded, tools)
                .with_context(|| kind.name())?;
            if !self.super_packets() {
                contender.lab().split_on_the_wire()?;
            }
            contenders.push((contender, Vec::new()));
        }
        for _ in 0..effort.rounds {
            for (contender, samples) in &mut contenders {
                let sample = self
                    .load
                    .run(contender, effort)
                    .with_context(|| contender.name().to_owned())?;
                samples.push(sample);
            }
        }
        self.print(&contenders);
        let mut drops = Drops::default();
        for (contender, _) in &contenders {
            drops.add(&contender.drops()?);
        }
        if drops.other != 0 {
            println!(
                "dropped by our daemons for other reasons: {}",
                drops.reasons
            );
        }
        Ok(drops)
    }

    fn print(&self, contenders: &[(Contender, Vec<Sample>)]) {
        let rows: Vec<Row> = contenders
            .iter()
            .filter_map(|(contender, samples)| Row::of(contender.name(), samples))
            .collect();
        println!("\n{} ({})", self.title, self.name);
        report::print(&rows);
    }
}

/// Fails where a number is not in what a program printed.
fn wanted<T>(found: Option<T>, what: &str) -> Result<T> {
    match found {
        Some(found) => Ok(found),
        None => bail!("no {what} in the answer"),
    }
}

//! Thousands of branches in one process, which all come at once; and how soon a hub answers its operator meanwhile.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use daemons::io::{EspBy, OuterSockets, ReceiveBuffers};
use daemons::settings::BranchSettings;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trigger::ike_core::{Encapsulation, EndpointConfig, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{Branch, BranchConfig, CryptoProvider, Event, PairConfig, ProbeMode, Trigger};

use crate::clock;
use crate::lab::PSK;
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};
use crate::runner::Case;
use crate::site::Site;

/// Branches of the case; the command takes more.
const BRANCHES: u32 = 2_000;
/// How long the hub may take to answer, with a machine that has other things to do as well.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long the branches may take in all, for each thousand of them.
const LIMIT_PER_THOUSAND: Duration = Duration::from_secs(60);
/// Between two questions.
const QUESTION_INTERVAL: Duration = Duration::from_millis(100);
/// Now and then nobody asks for so many intervals, which is longer than the hub tells what it has told before: whoever asks next
/// is a first one again.
const PAUSE: u32 = 25;
/// Questions between two pauses.
const QUESTIONS: usize = 20;
/// How much is received, and how many timers are handled, at a time. Each branch stands for a machine of its own, which would
/// not send again because others have much to do: answers come first.
const BATCHES: usize = 16;
const TIMERS: usize = 32;

const HUB: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HUB_PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 61, 3, 26));
const IKE_PORT: u16 = 1500;
const NAT_PORT: u16 = 14_500;

/// How many branches.
#[derive(Args, Clone, Copy, Debug)]
pub struct Arguments {
    /// How many branches come at once.
    #[arg(long, default_value_t = 10_000)]
    branches: u32,
    /// Ends after so many seconds even if branches are missing; without it, all have to come.
    #[arg(long)]
    seconds: Option<u64>,
    /// How nice the branches are to the hub, with which they share the machine.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=19))]
    nice: u8,
    /// Threads of the hub that share the branches.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
}

/// `operate/control-under-load`.
pub fn cases() -> Vec<Case> {
    vec![Case::new("operate/control-under-load".to_owned(), |site| {
        measure(site, Load::of(BRANCHES))
    })]
}

/// Prints what the case measures, with any number of branches.
///
/// # Errors
///
/// When the branches do not all come, or the hub takes too long to answer.
pub fn control(root: &Path, binaries: &Path, arguments: Arguments) -> Result<()> {
    let site = Site::new(root, 0, "control", binaries)?;
    let load = Load {
        branches: arguments.branches,
        enough: arguments.seconds.map(Duration::from_secs),
        nice: arguments.nice,
        workers: arguments.workers,
    };
    println!("{}", measure(&site, load)?);
    site.clear()
}

/// Plays the branches until all of them are up.
///
/// # Errors
///
/// When they cannot be made, or not all of them come up in time.
pub fn play(arguments: Arguments) -> Result<()> {
    Swarm::new(arguments.branches)?.run(limit(arguments.branches))
}

fn limit(branches: u32) -> Duration {
    LIMIT_PER_THOUSAND * branches.div_ceil(1000)
}

/// Who comes, and how.
#[derive(Clone, Copy)]
struct Load {
    branches: u32,
    enough: Option<Duration>,
    nice: u8,
    workers: u8,
}

impl Load {
    const fn of(branches: u32) -> Self {
        Self {
            branches,
            enough: None,
            nice: 0,
            workers: 1,
        }
    }
}

fn measure(site: &Site, load: Load) -> Result<String> {
    let Load {
        branches,
        enough,
        nice,
        workers,
    } = load;
    let namespace = Namespace::new(format!("{}-swarm", site.prefix()))?;
    let socket = site.socket(crate::lab::Role::Hub);
    let config = site.directory().join("hub.toml");
    fs::write(&config, hub_settings(branches, workers, &socket))?;
    let binary = site.binaries().join("hub");
    let argv = [
        &*binary.to_string_lossy(),
        "run",
        "--config",
        &*config.to_string_lossy(),
    ];
    let level = [("RUST_LOG", "warn,daemons=warn")];
    let mut hub = namespace.start("our hub", &argv, &level, &site.directory().join("log"))?;
    clock::within(BRIEF, "the hub's control socket", || {
        hub.alive()?;
        Ok(UnixStream::connect(&socket).ok().map(drop))
    })?;
    let program = site.binaries().join("interop");
    let argv = [
        "nice",
        "-n",
        &nice.to_string(),
        &*program.to_string_lossy(),
        "swarm",
        "--branches",
        &branches.to_string(),
    ];
    let began = clock::now();
    let mut swarm = namespace.start(
        "the branches",
        &argv,
        &[],
        &site.directory().join("swarm.log"),
    )?;
    let waited = Waited::of(&hub);
    let answers = ask_until_ended(&socket, &mut hub, &mut swarm, enough, limit(branches))?;
    let waited = Waited::of(&hub).since(waited);
    let took = clock::since(began);
    let came = swarm.has_ended()?.is_some();
    let Answers {
        first,
        after_pauses,
        others,
        up,
    } = answers;
    let longest = |answers: &[Duration]| answers.iter().max().copied().unwrap_or_default();
    let (paused, later) = (longest(&after_pauses), longest(&others));
    let median = {
        let mut sorted = others.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    ensure!(
        first.max(paused).max(later) < ANSWER_LIMIT,
        "the control socket took {:?} for an answer while {branches} branches came",
        first.max(paused).max(later)
    );
    Ok(format!(
        "{branches} branches {} {:.0} s, {up} up; the first answer after {:.0} ms, the longest of {} after a pause after {:.0} ms, the longest of {} others after {:.0} ms, half of them within {:.0} ms; {waited}",
        if came { "up in" } else { "coming for" },
        took.as_secs_f64(),
        first.as_secs_f64() * 1e3,
        after_pauses.len(),
        paused.as_secs_f64() * 1e3,
        others.len(),
        later.as_secs_f64() * 1e3,
        median.as_secs_f64() * 1e3
    ))
}

/// How long each whole answer took, and how many pairs were up in the last.
#[derive(Debug, Default)]
struct Answers {
    first: Duration,
    after_pauses: Vec<Duration>,
    others: Vec<Duration>,
    up: usize,
}

/// Asks for the status again and again, with a pause now and then.
fn ask_until_ended(
    socket: &Path,
    hub: &mut Running,
    swarm: &mut Running,
    enough: Option<Duration>,
    limit: Duration,
) -> Result<Answers> {
    let (began, mut answers) = (clock::now(), Answers::default());
    for number in 0_usize.. {
        let after_pause = 0 < number && number.is_multiple_of(QUESTIONS);
        let intervals = match number {
            0 => 0,
            _ if after_pause => PAUSE,
            _ => 1,
        };
        for _ in 0..intervals {
            if swarm.has_ended()?.is_none() {
                clock::pause(QUESTION_INTERVAL)?;
            }
        }
        let asked = clock::now();
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(BRIEF))?;
        stream.write_all(b"{\"command\":\"status\"}\n")?;
        let mut line = Vec::new();
        BufReader::new(stream).read_until(b'\n', &mut line)?;
        ensure!(line.starts_with(b"{\"status\":"), "no status");
        let took = clock::since(asked);
        match number {
            0 => answers.first = took,
            _ if after_pause => answers.after_pauses.push(took),
            _ => answers.others.push(took),
        }
        hub.alive()?;
        let ended = swarm.has_ended()?;
        if let Some(status) = ended {
            ensure!(status.success(), "the branches: {}", swarm.log()?);
        }
        if ended.is_some() || enough.is_some_and(|enough| clock::since(began) >= enough) {
            answers.up = up_in(&line);
            break;
        }
        ensure!(
            clock::since(began) < limit,
            "the branches have not come within {limit:?}"
        );
    }
    Ok(answers)
}

/// How many pairs are up in an answer.
fn up_in(line: &[u8]) -> usize {
    let up = b"\"state\":\"up\"";
    line.windows(up.len()).filter(|part| part == up).count()
}

/// How long the hub's threads ran, and how long they could have run but for others.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    ran: Duration,
    waited: Duration,
}

impl Waited {
    /// As the kernel counts; nothing where it does not.
    fn of(process: &Running) -> Self {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", process.id()));
        let text = text.unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        let mut next = || Duration::from_nanos(numbers.next().and_then(Result::ok).unwrap_or(0));
        Self {
            ran: next(),
            waited: next(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

impl fmt::Display for Waited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ran, waited) = (self.ran.as_secs_f64(), self.waited.as_secs_f64());
        write!(
            formatter,
            "the hub's main thread ran for {ran:.1} s and waited for a processor for {waited:.1} s"
        )
    }
}

fn hub_settings(branches: u32, workers: u8, socket: &Path) -> String {
    let mut text = format!(
        "identity = \"hub\"\nlisten = [\"{HUB}\"]\nencapsulation = \"always\"\ncontrol = \"{}\"\nroll = \"{}\"\nworkers = {workers}\n\
         [tun]\nname = \"hub0\"\naddresses = [\"{HUB_PRIVATE}/24\"]\n",
        socket.display(),
        socket.with_extension("roll").display(),
    );
    for number in 0..branches {
        let subnet = Place::of(number).subnet;
        text.push_str(&format!(
            "[[branch]]\nidentity = \"b{number}\"\npsk = \"{PSK}\"\n[[branch.pair]]\nname = \"p\"\nlocal = \"10.61.3.0/24\"\nremote = \"{subnet}\"\n"
        ));
    }
    text
}

/// Where one of the branches is.
struct Place {
    outer: Ipv4Addr,
    inner: Ipv4Addr,
    subnet: String,
}

impl Place {
    fn of(number: u32) -> Self {
        // 127.16.0.0 and 10.100.0.0 upwards.
        let outer = Ipv4Addr::from(0x7f10_0000 + number);
        let subnet = Ipv4Addr::from(0x0a64_0000 + (number << 8));
        Self {
            outer,
            inner: Ipv4Addr::from(u32::from(subnet) + 1),
            subnet: format!("{subnet}/24"),
        }
    }

    /// Whose outer address this is.
    fn number(outer: IpAddr) -> Option<usize> {
        let IpAddr::V4(outer) = outer else {
            return None;
        };
        usize::try_from(u32::from(outer).checked_sub(0x7f10_0000)?).ok()
    }
}

/// The branches and their sockets.
struct Swarm {
    branches: Vec<(Branch, Option<Instant>)>,
    due: BTreeSet<(Instant, usize)>,
    /// How many are to come.
    count: u32,
    sockets: OuterSockets,
    up: usize,
}

impl Swarm {
    fn new(count: u32) -> Result<Self> {
        let text = format!(
            "identity = \"swarm\"\nhubs = [\"{HUB}\"]\nhub_identity = \"hub\"\npsk = \"{PSK}\"\nencapsulation = \"always\"\n\
             ike_port = {IKE_PORT}\nnat_port = {NAT_PORT}\n[[pair]]\nname = \"p\"\nlocal = \"10.100.0.0/24\"\nremote = \"10.61.3.0/24\"\n\
             trigger = {{ source = \"10.100.0.1\", target = \"{HUB_PRIVATE}\" }}\n"
        );
        let accepted = BranchSettings::parse(&PathBuf::from("swarm"), &text)
            .map_err(|report| anyhow::anyhow!(report.render(false)))?;
        let sockets = OuterSockets::open(
            &accepted.settings.gateway,
            EspBy::Program,
            &mut Default::default(),
        )?;
        Ok(Self {
            branches: Vec::new(),
            due: BTreeSet::new(),
            count,
            sockets,
            up: 0,
        })
    }

    /// The next one begins, if one is left.
    fn begin_next(&mut self, now: Instant) -> Result<bool> {
        let index = self.branches.len();
        let number = u32::try_from(index)?;
        if number == self.count {
            return Ok(false);
        }
        self.branches.push((branch(number, now)?, None));
        self.drain(index);
        Ok(true)
    }

    fn run(mut self, limit: Duration) -> Result<()> {
        let began = clock::now();
        let mut buffers = ReceiveBuffers::default();
        let count = usize::try_from(self.count)?;
        while self.up < count {
            ensure!(
                clock::since(began) < limit,
                "{} of {} up within {limit:?}",
                self.up,
                count
            );
            // Who has begun is served before the next ones begin, as each would be by a machine of its own.
            if !self.begin_next(clock::now())? {
                self.wait()?;
            }
            let now = clock::now();
            let sockets = self.sockets.fds().len();
            for index in (0..sockets).cycle().take(BATCHES * sockets) {
                self.receive(now, index, &mut buffers);
            }
            for _ in 0..TIMERS {
                let Some(&(_, index)) = self.due.first().filter(|(at, _)| *at <= now) else {
                    break;
                };
                if let Some((branch, _)) = self.branches.get_mut(index) {
                    branch.handle_timeout(now);
                }
                self.drain(index);
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let left = self
            .due
            .first()
            .map(|(at, _)| at.saturating_duration_since(clock::now()));
        let left = left.unwrap_or(QUESTION_INTERVAL).min(QUESTION_INTERVAL);
        let mut fds: Vec<_> = self
            .sockets
            .fds()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        poll(&mut fds, Timespec::try_from(left).ok().as_ref())?;
        Ok(())
    }

    fn receive(&mut self, now: Instant, index: usize, buffers: &mut ReceiveBuffers) {
        let Self {
            branches, sockets, ..
        } = self;
        let mut touched = BTreeSet::new();
        // Nothing there is no failure.
        let Ok(received) = sockets.receive(index, buffers) else {
            return;
        };
        for datagram in received {
            let Some(number) = Place::number(datagram.destination.ip()) else {
                continue;
            };
            if let Some((branch, _)) = branches.get_mut(number) {
                // What it drops it sends again, or the hub does.
                let _ = branch.handle_datagram(
                    now,
                    datagram.source,
                    datagram.destination,
                    datagram.contents,
                );
                touched.insert(number);
            }
        }
        for number in touched {
            self.drain(number);
        }
    }

    fn drain(&mut self, index: usize) {
        let Some((branch, armed)) = self.branches.get_mut(index) else {
            return;
        };
        while let Some(transmit) = branch.poll_transmit() {
            // A full buffer loses it as a full link would.
            let _ = self.sockets.send(&transmit.path, &transmit.contents);
        }
        while let Some(event) = branch.poll_event() {
            if let Event::PairUp { .. } = event {
                self.up += 1;
            } else if let Event::PairDown { .. } = event {
                self.up = self.up.saturating_sub(1);
            }
        }
        if let Some(at) = armed.take() {
            self.due.remove(&(at, index));
        }
        *armed = branch.poll_timeout();
        if let Some(at) = *armed {
            self.due.insert((at, index));
        }
    }
}

fn branch(number: u32, now: Instant) -> Result<Branch> {
    let site = Place::of(number);
    let crypto = CryptoProvider::rustcrypto();
    let endpoint = EndpointConfig::builder(crypto.ike.clone())
        .ike_port(IKE_PORT)
        .nat_port(NAT_PORT)
        .exponent_pool(0)
        .build()?;
    let peer = PeerConfig::builder(
        format!("b{number}").parse()?,
        "hub".parse()?,
        PreSharedKey::new(PSK.as_bytes()),
    )
    .encapsulation(Encapsulation::Always);
    let trigger = Trigger::new(site.inner.into(), HUB_PRIVATE).with_mode(ProbeMode::Client);
    let pair = PairConfig::new("p", site.subnet.parse()?, "10.61.3.0/24".parse()?)
        .with_trigger(trigger)?;
    let config = BranchConfig::builder(endpoint, peer, crypto)
        .ike_port(IKE_PORT)
        .hub_at(SocketAddr::new(HUB, 500))
        .pair(pair)
        .build()
        .context("a branch's settings")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a test harness has the time of the machine"
    )]
    let wall = NtpTimestamp::from_system_time(SystemTime::now());
    let mut branch = Branch::new(Arc::new(config), now, wall);
    branch.handle_link_up(now, site.outer.into());
    Ok(branch)
}

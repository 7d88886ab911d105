//! What a machine expects of a daemon besides packets: systemd is told how it goes, the journal gets fields, programs are
//! run when a pair comes and goes, and nobody keeps more rights than he needs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::lab::{BRANCH_IDENTITY, PAIRS, PSK, Path as Way, Role};
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::Tunnel;

/// CAP_NET_ADMIN alone, as the kernel prints a set.
const ROUTES_ONLY: &str = "0000000000001000";
const NOTHING: &str = "0000000000000000";
/// How long systemd waits for a sign of life in these cases.
const WATCHDOG: Duration = Duration::from_secs(2);

/// `operation/…`.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("operation/systemd".to_owned(), under_systemd),
        Case::new("operation/hook".to_owned(), hooked),
    ]
}

/// A socket that a daemon tells something, as systemd's and the journal's are.
struct Ear(UnixDatagram);

impl Ear {
    fn at(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| format!("{}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self(socket))
    }

    /// Waits for something that holds all of `words`.
    fn hear(&self, words: &[&str]) -> Result<()> {
        let mut octets = vec![0; 65_536];
        clock::within(BRIEF, &words.join(" and "), || {
            let Ok(len) = self.0.recv(&mut octets) else {
                return Ok(None);
            };
            let text = String::from_utf8_lossy(octets.get(..len).unwrap_or_default());
            Ok(words.iter().all(|word| text.contains(word)).then_some(()))
        })
    }
}

/// A hub alone, between a systemd and a journal that are ours.
fn under_systemd(site: &Site) -> Result<String> {
    let directory = site.directory();
    let (log, control) = (directory.join("log"), site.socket(Role::Hub));
    let journal = directory.join("journal");
    fs::create_dir_all(&journal)?;
    let manager = Ear::at(&directory.join("notify"))?;
    let journald = Ear::at(&journal.join("socket"))?;
    let configuration = lonely_hub(directory, &control)?;

    let namespace = Namespace::new(format!("{}-alone", site.prefix()))?;
    let stderr = fs::File::create(&log)?.metadata()?;
    let hub = site.binaries().join("hub");
    let argv = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && mount --bind \"$1\" /run/systemd/journal \
         && shift && exec \"$@\"",
        "sh",
        &journal.to_string_lossy(),
        &hub.to_string_lossy(),
        "run",
        "--config",
        &configuration.to_string_lossy(),
    ];
    let mut running = namespace.start(
        "our hub",
        &argv,
        &[
            ("NOTIFY_SOCKET", &directory.join("notify").to_string_lossy()),
            ("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string()),
            (
                "JOURNAL_STREAM",
                &format!("{}:{}", stderr.dev(), stderr.ino()),
            ),
        ],
        &log,
    )?;
    manager.hear(&["READY=1"]).or_else(|error| {
        running.alive()?;
        Err(error)
    })?;
    ensure!(control.exists(), "ready, but there is no control socket");
    manager.hear(&["WATCHDOG=1", "STATUS=0 of 1 pairs up"])?;
    manager.hear(&["WATCHDOG=1"])?;
    journald.hear(&["hub begins branches=1", "VPN_BRANCHES", "PRIORITY"])?;
    ensure!(
        !running.log()?.contains("hub begins"),
        "told standard error as well as the journal"
    );
    rights(running.id())?;
    signal(&running, Signal::HUP)?;
    manager.hear(&["RELOADING=1", "MONOTONIC_USEC="])?;
    manager.hear(&["READY=1"])?;
    let status = running.end(Signal::TERM, BRIEF)?;
    ensure!(status.success(), "ended with {status}");
    manager.hear(&["STOPPING=1"])?;
    Ok(String::new())
}

fn lonely_hub(directory: &Path, control: &Path) -> Result<PathBuf> {
    let (file, program) = (directory.join("hub.toml"), script(directory, "true")?);
    fs::write(
        &file,
        format!(
            "identity = \"hub\"\ncontrol = \"{}\"\n[hook]\ncommand = [\"{}\"]\n\
             [[branch]]\nidentity = \"branch1\"\npsk = \"{PSK}\"\n\
             [[branch.pair]]\nname = \"lan\"\nlocal = \"10.0.0.0/24\"\nremote = \"10.0.1.0/24\"\n",
            control.display(),
            program.display()
        ),
    )?;
    Ok(file)
}

/// The loop keeps what routes take, the other threads nothing.
fn rights(process: u32) -> Result<()> {
    let mut seen = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let name = field("Name:");
        let kept = if matches!(name.as_str(), "status" | "hook") {
            NOTHING
        } else {
            ROUTES_ONLY
        };
        for set in ["CapEff:", "CapPrm:"] {
            ensure!(field(set) == kept, "thread {name}: {set} {}", field(set));
        }
        for set in ["CapInh:", "CapAmb:"] {
            ensure!(field(set) == NOTHING, "thread {name}: {set} {}", field(set));
        }
        if name == "hook" {
            let limits = (field("CapBnd:"), field("NoNewPrivs:"));
            ensure!(
                limits == (NOTHING.to_owned(), "1".to_owned()),
                "thread hook: {limits:?}"
            );
        }
        seen.push(name);
    }
    for name in ["hub", "status", "hook"] {
        ensure!(seen.iter().any(|seen| seen == name), "threads {seen:?}");
    }
    Ok(())
}

fn signal(running: &Running, signal: Signal) -> Result<()> {
    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.context("no such process")?, signal)?)
}

fn script(directory: &Path, body: &str) -> Result<PathBuf> {
    let program = directory.join("changed");
    fs::write(&program, format!("#!/bin/sh\n{body}\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// Pairs come up, and go when the branch says goodbye; each time the program of the hub's settings is told.
fn hooked(site: &Site) -> Result<String> {
    let told = site.directory().join("told");
    let body = format!(
        "rights=$(sed -n 's/^CapEff:.//p' /proc/self/status)\n\
         echo \"$VPN_EVENT $VPN_PEER $VPN_PAIR $VPN_LOCAL $VPN_REMOTE $rights\" >> '{}'",
        told.display()
    );
    let mut settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
    settings.hook = Some(script(site.directory(), &body)?);
    let ends = Ends {
        branch: (
            Make::Ours,
            Settings {
                hook: None,
                ..settings.clone()
            },
        ),
        hub: (Make::Ours, settings),
    };
    let mut tunnel = Tunnel::up(site, Way::Plain, ends)?;
    await_lines(&told, "pair_up")?;
    tunnel.branch.stop()?;
    await_lines(&told, "pair_down")?;
    tunnel.hub.stop()?;
    Ok(String::new())
}

fn await_lines(told: &Path, event: &str) -> Result<()> {
    let wanted = PAIRS.map(|pair| {
        format!(
            "{event} {BRANCH_IDENTITY} {} {} {} {NOTHING}",
            pair.name, pair.hub_subnet, pair.branch_subnet
        )
    });
    let mut text = String::new();
    let heard = clock::within(BRIEF, "the hook's lines", || {
        text = fs::read_to_string(told).unwrap_or_default();
        let all = wanted
            .iter()
            .all(|line| text.lines().any(|said| said == line));
        Ok(all.then_some(()))
    });
    if heard.is_err() {
        bail!("the hook was told\n{text}and not\n{}", wanted.join("\n"));
    }
    Ok(())
}

//! A program that is run when something has happened: without a shell, with bounded time, number and memory, and
//! with no more rights than a file's owner has.
//!
//! It is told what has happened in environment variables. What can come from a peer is escaped so that no shell,
//! however careless the script, finds an operator or an option in it.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::fact::Fact;
use crate::io::SystemError;
use crate::privileges;
use crate::role::Role;
use crate::settings::HookSettings;

/// How many run at the same time; those about the same peer run one after the other.
const AT_A_TIME: usize = 8;
/// How many events may wait; more are dropped and counted.
const WAITING: usize = 4096;
/// The longest value of a variable, in octets.
const MAX_VALUE: usize = 1024;
/// Where the program finds others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the runs ended, for the metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookRuns(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    success: AtomicU64,
    failure: AtomicU64,
    timeout: AtomicU64,
    dropped: AtomicU64,
}

impl HookRuns {
    /// Result, count.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let Counters {
            success,
            failure,
            timeout,
            dropped,
        } = &*self.0;
        [
            ("success", success),
            ("failure", failure),
            ("timeout", timeout),
            ("dropped", dropped),
        ]
        .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
        .to_vec()
    }
}

/// Begins to listen to `facts` on a thread of its own, which gives up all its capabilities.
pub(crate) fn begin(
    settings: &HookSettings,
    role: Role,
    facts: Receiver<Arc<Fact>>,
) -> Result<HookRuns, SystemError> {
    let runs = HookRuns::default();
    let runner = Runner {
        settings: settings.clone(),
        role,
        runs: runs.clone(),
        waiting: VecDeque::new(),
        busy: BTreeSet::new(),
        failing: false,
    };
    let failed = |error: io::Error| {
        let remedy =
            "give the daemon CAP_SETPCAP, or run it as a user of its own, or leave `[hook]` out";
        SystemError::new("deprive the hook of all capabilities", error, remedy)
    };
    let (deprived, outcome) = std::sync::mpsc::channel();
    thread::Builder::new()
        .name("hook".to_owned())
        .spawn(move || {
            let begun = privileges::give_up_all().and_then(|()| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
            });
            match begun {
                Ok(runtime) => {
                    // Whoever waits for it has not gone.
                    let _ = deprived.send(Ok(()));
                    runtime.block_on(runner.serve(facts));
                }
                Err(error) => {
                    let _ = deprived.send(Err(error));
                }
            }
        })
        .map_err(failed)?;
    let gone = || Err(io::Error::other("its thread has ended"));
    outcome.recv().unwrap_or_else(|_| gone()).map_err(failed)?;
    Ok(runs)
}

struct Runner {
    settings: HookSettings,
    role: Role,
    runs: HookRuns,
    waiting: VecDeque<Arc<Fact>>,
    /// Peers about which one is running.
    busy: BTreeSet<String>,
    /// A failure has been logged, and no success has come since.
    failing: bool,
}

/// How one run ended.
enum Ended {
    Success,
    /// Not so, and how.
    Failure(String),
    Timeout,
}

impl Runner {
    async fn serve(mut self, mut facts: Receiver<Arc<Fact>>) {
        let mut running: JoinSet<(String, Ended)> = JoinSet::new();
        loop {
            tokio::select! {
                fact = facts.recv() => match fact {
                    Ok(fact) => self.enqueue(fact),
                    Err(RecvError::Lagged(count)) => self.drop_facts(count),
                    Err(RecvError::Closed) => return,
                },
                Some(ended) = running.join_next() => {
                    if let Ok((peer, ended)) = ended {
                        self.busy.remove(&peer);
                        self.record(&ended);
                    }
                }
            }
            while running.len() < AT_A_TIME
                && let Some(fact) = self.next()
            {
                self.busy.insert(fact.peer.clone());
                let (command, timeout) = (self.command(&fact), self.settings.timeout);
                running.spawn(async move { (fact.peer.clone(), run(command, timeout).await) });
            }
        }
    }

    fn enqueue(&mut self, fact: Arc<Fact>) {
        if !self.settings.events.contains(&fact.event.label()) {
            return;
        }
        if WAITING <= self.waiting.len() {
            self.drop_facts(1);
        } else {
            self.waiting.push_back(fact);
        }
    }

    /// The oldest fact about a peer that nothing runs about.
    fn next(&mut self) -> Option<Arc<Fact>> {
        let free = |fact: &Arc<Fact>| !self.busy.contains(&fact.peer);
        let position = self.waiting.iter().position(free)?;
        self.waiting.remove(position)
    }

    fn drop_facts(&mut self, count: u64) {
        self.runs.0.dropped.fetch_add(count, Ordering::Relaxed);
        self.complain("it is too slow: events are dropped");
    }

    fn record(&mut self, ended: &Ended) {
        let Counters {
            success,
            failure,
            timeout,
            ..
        } = &*self.runs.0;
        match ended {
            Ended::Success => {
                success.fetch_add(1, Ordering::Relaxed);
                if core::mem::take(&mut self.failing) {
                    info!("the hook works again");
                }
            }
            Ended::Failure(how) => {
                failure.fetch_add(1, Ordering::Relaxed);
                self.complain(how);
            }
            Ended::Timeout => {
                timeout.fetch_add(1, Ordering::Relaxed);
                self.complain("it took longer than `timeout` and was killed");
            }
        }
    }

    /// Once, until it works again: thousands of branches can go dark at once.
    fn complain(&mut self, reason: &str) {
        if !core::mem::replace(&mut self.failing, true) {
            let program = self.settings.program.display();
            warn!(%program, reason, "the hook failed; further failures are only counted until it works again");
        }
    }

    fn command(&self, fact: &Fact) -> Command {
        let mut command = Command::new(&self.settings.program);
        command
            .args(&self.settings.arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(variables(self.role, fact))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            // So that whatever it has started can be killed with it.
            .process_group(0);
        command
    }
}

/// What the program is told.
fn variables(role: Role, fact: &Fact) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("VPN_ROLE", role.name().to_owned()),
        ("VPN_EVENT", fact.event.label().to_owned()),
        ("VPN_AT", format!("{:.3}", fact.at)),
        ("VPN_PEER", escaped(&fact.peer)),
    ];
    if let Some(pair) = &fact.pair {
        variables.extend([
            ("VPN_PAIR", escaped(&pair.name)),
            ("VPN_LOCAL", escaped(&pair.local)),
            ("VPN_REMOTE", escaped(&pair.remote)),
        ]);
    }
    if let Some(detail) = &fact.detail {
        variables.push(("VPN_DETAIL", escaped(detail)));
    }
    variables
}

/// Letters, digits and what names and prefixes need stay; every other octet becomes `%` and two hexadecimal digits,
/// and so does a minus sign at the front, which would make an option of it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (index, octet) in text.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric()
            || matches!(octet, b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b',')
            || octet == b'-' && index != 0;
        if plain {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
        if MAX_VALUE < out.len() {
            break;
        }
    }
    out
}

async fn run(mut command: Command, timeout: Duration) -> Ended {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::Failure(format!("cannot be started: {error}")),
    };
    let group = group_of(&child);
    match tokio::time::timeout(timeout, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ended::Success,
        Ok(Ok(status)) => Ended::Failure(status.to_string()),
        Ok(Err(error)) => Ended::Failure(error.to_string()),
        Err(_) => {
            if let Some(group) = group {
                // It may have ended this very moment.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait().await;
            Ended::Timeout
        }
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use tokio::sync::broadcast;

    use super::*;
    use crate::fact::{FactKind, FactPair};

    /// A directory with a script, removed when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str, script: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("daemons-hook-{name}-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let program = directory.join("program");
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            Self(directory)
        }

        fn settings(&self, arguments: &[&str], timeout: Duration) -> HookSettings {
            HookSettings {
                program: self.0.join("program"),
                arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
                events: vec!["pair_up", "pair_down"],
                timeout,
            }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn fact(event: FactKind, peer: &str) -> Arc<Fact> {
        Arc::new(Fact {
            at: 1.5,
            event,
            peer: peer.to_owned(),
            pair: Some(FactPair {
                name: "lan".to_owned(),
                local: "10.0.0.0/24".to_owned(),
                remote: "2001:db8::/32".to_owned(),
            }),
            detail: None,
        })
    }

    /// Waits until as many runs have ended as were asked for.
    fn await_runs(runs: &HookRuns, wanted: u64) -> Vec<(&'static str, u64)> {
        for _ in 0..6000 {
            let counts = runs.counts();
            if counts.iter().map(|(_, count)| count).sum::<u64>() == wanted {
                return counts;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{:?}", runs.counts());
    }

    fn text(file: &Path) -> String {
        fs::read_to_string(file).unwrap_or_default()
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_hostile_identity_runs_nothing() {
        let place = Place::new(
            "hostile",
            "echo \"$@\" > \"$1.arguments\"; env > \"$1.environment\"\neval \"x=$VPN_PEER\"; eval \"$VPN_PEER\"; true",
        );
        let trap = place.file("trap");
        let settings = place.settings(
            &[&place.file("said").to_string_lossy(), "$(id);`id`"],
            PATIENCE,
        );
        let (sender, facts) = broadcast::channel(16);
        let runs = begin(&settings, Role::Hub, facts).unwrap();
        let touch = format!("touch {}", trap.display());
        let hostile = [
            format!("a\";{touch};echo \""),
            format!("$({touch})"),
            format!("`{touch}`\n{touch}\n"),
            format!("x & {touch} | {touch} > {}", trap.display()),
            "-rf ünïcode \u{7f}\0".to_owned(),
        ];
        for peer in &hostile {
            sender.send(fact(FactKind::PairUp, peer)).unwrap();
        }
        let counts = await_runs(&runs, 5);
        assert!(!trap.exists(), "a peer's name was run");
        assert_eq!(counts.first(), Some(&("success", 5)));
        assert_eq!(
            text(&place.file("said.arguments")).trim_end(),
            format!("{} $(id);`id`", place.file("said").display()),
            "arguments stay as they are"
        );
        let environment = text(&place.file("said.environment"));
        for line in [
            "VPN_EVENT=pair_up",
            "VPN_PAIR=lan",
            "VPN_LOCAL=10.0.0.0/24",
            "VPN_REMOTE=2001:db8::/32",
            "VPN_ROLE=hub",
            "VPN_AT=1.500",
        ] {
            assert!(
                environment.lines().any(|found| found == line),
                "{environment}"
            );
        }
        assert!(!environment.contains("HOME="), "{environment}");
    }

    #[test]
    fn only_harmless_characters_are_left() {
        assert_eq!(escaped("branch-1@site.example"), "branch-1@site.example");
        assert_eq!(escaped("-rf $x;\n"), "%2Drf%20%24x%3B%0A");
        assert_eq!(escaped("100%"), "100%25");
        assert_eq!(escaped("ü"), "%C3%BC");
        assert!(escaped(&"\n".repeat(100_000)).len() <= MAX_VALUE + 3);
    }

    #[test]
    fn one_that_hangs_is_killed_with_its_children() {
        let place = Place::new(
            "hang",
            "sh -c 'sleep 60; touch \"$0\"' \"$1\" & echo $! > \"$1.child\"; wait",
        );
        let settings = place.settings(
            &[&place.file("late").to_string_lossy()],
            Duration::from_millis(500),
        );
        let (sender, facts) = broadcast::channel(16);
        let runs = begin(&settings, Role::Hub, facts).unwrap();
        sender.send(fact(FactKind::PairUp, "branch1")).unwrap();
        assert_eq!(await_runs(&runs, 1).get(2), Some(&("timeout", 1)));
        let child: i32 = text(&place.file("late.child")).trim().parse().unwrap();
        let child = Pid::from_raw(child).unwrap();
        // Killed, and taken leave of by whoever adopts orphans; where nobody does, it is left as a zombie.
        let gone = || {
            rustix::process::test_kill_process(child).is_err()
                || text(Path::new(&format!("/proc/{}/stat", child.as_raw_nonzero())))
                    .contains(") Z ")
        };
        for _ in 0..1000 {
            if gone() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the child of the hook lives");
    }

    #[test]
    fn events_of_one_peer_run_in_their_order_and_failures_are_counted() {
        let place = Place::new(
            "order",
            "echo \"$VPN_EVENT\" >> \"$1.$VPN_PEER\"; test \"$VPN_EVENT\" = pair_up",
        );
        let settings = place.settings(&[&place.file("said").to_string_lossy()], PATIENCE);
        let (sender, facts) = broadcast::channel(256);
        let runs = begin(&settings, Role::Branch, facts).unwrap();
        for peer in ["one", "two"] {
            for kind in [FactKind::PairUp, FactKind::PairDown, FactKind::SaUp].repeat(8) {
                sender.send(fact(kind, peer)).unwrap();
            }
        }
        let counts = await_runs(&runs, 32);
        assert_eq!(counts[..2], [("success", 16), ("failure", 16)]);
        for peer in ["one", "two"] {
            assert_eq!(
                text(&place.file(&format!("said.{peer}"))),
                "pair_up\npair_down\n".repeat(8)
            );
        }
    }

    #[test]
    fn its_children_have_no_capability() {
        let place = Place::new("rights", "cat /proc/self/status > \"$1\"");
        let settings = place.settings(&[&place.file("status").to_string_lossy()], PATIENCE);
        let (sender, facts) = broadcast::channel(16);
        let runs = begin(&settings, Role::Hub, facts).unwrap();
        sender.send(fact(FactKind::PairUp, "branch1")).unwrap();
        await_runs(&runs, 1);
        let status = text(&place.file("status"));
        for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(
                status.contains(&format!("{field}:\t0000000000000000")),
                "{status}"
            );
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
}

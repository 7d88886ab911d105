//! Our own `hub` and `branch` as either end, with a settings file each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use crate::clock;
use crate::drops::METRICS;
use crate::lab::{BRANCH_IDENTITY, HUB_ADDRESS, HUB_IDENTITY, Lab, PAIRS, PSK, Pair, Role};
use crate::process::{self, BRIEF, Running};
use crate::settings::Settings;

/// How long our branch may take from its start to three proven pairs.
pub const START_LIMIT: Duration = Duration::from_secs(10);

/// One of our daemons.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    role: Role,
    executable: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    level: &'static str,
    key_log: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it. `socket` is a short path for its control socket.
    ///
    /// # Errors
    ///
    /// When it does not start or refuses its settings.
    pub fn start(
        lab: &Lab,
        role: Role,
        settings: &Settings,
        binaries: &Path,
        directory: &Path,
        socket: &Path,
    ) -> Result<Self> {
        let executable = binaries.join(role.label());
        let directory = directory.join(role.label());
        let key_log = directory.join("keys");
        fs::create_dir_all(&key_log)?;
        let configuration = directory.join(format!("{}.toml", role.label()));
        fs::write(directory.join("psk"), format!("{PSK}\n"))?;
        restrict(&directory.join("psk"))?;
        fs::write(
            &configuration,
            settings_file(role, settings, socket, &directory.join("psk"), &key_log),
        )?;
        let log = directory.join("log");
        let level = if settings.measured { "info" } else { "debug" };
        let running = launch(lab, role, &executable, &configuration, level, &log)?;
        let mut daemon = Self {
            running,
            role,
            executable,
            configuration,
            log,
            level,
            key_log,
            socket: socket.to_owned(),
        };
        daemon.await_socket()?;
        Ok(daemon)
    }

    /// Kills it, as a power failure would.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.running.kill()
    }

    /// Starts it again after [`Daemon::kill`], without waiting for anything.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_again(&mut self, lab: &Lab) -> Result<()> {
        self.running = launch(
            lab,
            self.role,
            &self.executable,
            &self.configuration,
            self.level,
            &self.log,
        )?;
        self.running.alive()
    }

    /// Its settings file.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Has it read its settings file again; how that ended.
    ///
    /// # Errors
    ///
    /// When the command cannot be run.
    pub fn reload(&self) -> Result<process::Finished> {
        let config = self.configuration.to_string_lossy();
        let executable = self.executable.to_string_lossy();
        process::run(BRIEF, &[&executable, "reload", "--config", &config])
    }

    /// Runs a successor with this settings file, which must not get as far as taking over; what it says.
    ///
    /// # Errors
    ///
    /// When it does not end by itself, or ends well.
    pub fn fail_to_take_over(&self, lab: &Lab, configuration: &Path) -> Result<String> {
        let finished = lab.end(self.role).run(
            BRIEF,
            &[
                &self.executable.to_string_lossy(),
                "run",
                "--takeover",
                "--config",
                &configuration.to_string_lossy(),
            ],
        )?;
        match finished.stdout() {
            Ok(_) => bail!("a successor that cannot run ended well"),
            Err(error) => Ok(error.to_string()),
        }
    }

    /// Puts a successor in its place.
    ///
    /// # Errors
    ///
    /// When it does not take over, or its predecessor does not end well.
    pub fn take_over(&mut self, lab: &Lab) -> Result<()> {
        let successor = lab.end(self.role).start(
            &format!("our {}", self.role.label()),
            &[
                &self.executable.to_string_lossy(),
                "run",
                "--takeover",
                "--config",
                &self.configuration.to_string_lossy(),
            ],
            &[("RUST_LOG", self.level), ("NO_COLOR", "1")],
            &self.log,
        )?;
        let mut predecessor = core::mem::replace(&mut self.running, successor);
        let status = predecessor.ended(BRIEF)?;
        if !status.success() {
            bail!(
                "the predecessor of our {} ended with {status}",
                self.role.label()
            );
        }
        self.running.alive()
    }

    fn await_socket(&mut self) -> Result<()> {
        clock::within(
            BRIEF,
            &format!("the control socket of our {}", self.role.label()),
            || {
                self.running.alive()?;
                Ok(self.socket.exists().then_some(()))
            },
        )
    }

    /// What `status --json` says.
    ///
    /// # Errors
    ///
    /// When it does not answer, or not in the documented form.
    pub fn status(&self) -> Result<Status> {
        let text = process::run(
            BRIEF,
            &[
                &self.executable.to_string_lossy(),
                "status",
                "--config",
                &self.configuration.to_string_lossy(),
                "--json",
            ],
        )?
        .stdout()?;
        let status: Status = serde_json::from_str(&text)
            .with_context(|| format!("`{} status --json` printed {text}", self.role.label()))?;
        if status.role != self.role.label() {
            bail!("the {} calls itself {}", self.role.label(), status.role);
        }
        Ok(status)
    }

    /// The directory that Wireshark can take its keys from.
    pub fn key_log(&self) -> &Path {
        &self.key_log
    }

    /// What its key log says of phase 1: an initiator's cookie and a key for each ISAKMP SA.
    ///
    /// # Errors
    ///
    /// When the key log cannot be read.
    pub fn phase_one_keys(&self) -> Result<BTreeSet<String>> {
        self.logged_keys("ikev1_decryption_table")
    }

    /// What its key log says of ESP: a line for each direction of each pair.
    ///
    /// # Errors
    ///
    /// When the key log cannot be read.
    pub fn phase_two_keys(&self) -> Result<BTreeSet<String>> {
        self.logged_keys("esp_sa")
    }

    fn logged_keys(&self, file: &str) -> Result<BTreeSet<String>> {
        let path = self.key_log.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        Ok(text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn alive(&mut self) -> Result<()> {
        self.running.alive()
    }

    /// SIGTERM; it must say goodbye to its peer and end with 0.
    ///
    /// # Errors
    ///
    /// When it does not end, or not with 0.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.running.end(Signal::TERM, BRIEF)?;
        if !status.success() {
            bail!("our {} ended on SIGTERM with {status}", self.role.label());
        }
        Ok(())
    }
}

fn launch(
    lab: &Lab,
    role: Role,
    executable: &Path,
    configuration: &Path,
    level: &str,
    log: &Path,
) -> Result<Running> {
    lab.end(role).start(
        &format!("our {}", role.label()),
        &[
            &executable.to_string_lossy(),
            "run",
            "--config",
            &configuration.to_string_lossy(),
        ],
        &[("RUST_LOG", level), ("NO_COLOR", "1")],
        log,
    )
}

fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o600),
    )?)
}

/// hub.toml or branch.toml.
fn settings_file(
    role: Role,
    settings: &Settings,
    socket: &Path,
    psk: &Path,
    key_log: &Path,
) -> String {
    let Settings {
        ike,
        esp,
        ike_lifetime,
        sa_lifetime,
        dpd_delay,
        always_encapsulate,
        data_path,
        offload,
        realtime,
        measured,
        metrics,
        absent_branches,
        hook,
    } = settings;
    let psk = psk.display();
    let (head, peer) = match role {
        Role::Branch => (
            format!(
                "identity = \"{BRANCH_IDENTITY}\"\n\
                 hubs = [\"{HUB_ADDRESS}\"]\n\
                 hub_identity = \"{HUB_IDENTITY}\"\n\
                 psk_file = \"{psk}\"\n"
            ),
            String::new(),
        ),
        Role::Hub => (
            format!("identity = \"{HUB_IDENTITY}\"\nlisten = [\"{HUB_ADDRESS}\"]\n"),
            format!(
                "[ntp]\nserve = true\n\n[[branch]]\nidentity = \"{BRANCH_IDENTITY}\"\npsk_file = \"{psk}\"\n\n"
            ),
        ),
    };
    let outlet = match (measured, metrics) {
        (true, true) => format!("metrics = \"{METRICS}\""),
        (true, false) => String::new(),
        (false, _) => format!("key_log = \"{}\"", key_log.display()),
    };
    let hook = hook.as_ref().map_or_else(String::new, |program| {
        format!("[hook]\ncommand = [\"{}\"]\n\n", program.display())
    });
    let offload = if *offload { "" } else { "offload = false\n" };
    let pairs: String = PAIRS.iter().map(|pair| pair_table(pair, role)).collect();
    let absent: String = (0..*absent_branches).map(absent_branch).collect();
    format!(
        "{head}\
         ike = [\"{ike}\"]\n\
         esp = [\"{esp}\"]\n\
         ike_lifetime = \"{}s\"\n\
         sa_lifetime = \"{}s\"\n\
         dpd_delay = \"{}s\"\n\
         realtime = {realtime}\n\
         dataplane = \"{}\"\n\
         encapsulation = \"{}\"\n\
         control = \"{}\"\n\
         {outlet}\n\
         \n\
         [tun]\n\
         name = \"pairs0\"\n\
         mtu = 1400\n\
         {offload}\
         \n\
         {hook}{peer}{pairs}{absent}",
        ike_lifetime.as_secs(),
        sa_lifetime.as_secs(),
        dpd_delay.as_secs(),
        data_path.label(),
        if *always_encapsulate {
            "always"
        } else {
            "auto"
        },
        socket.display()
    )
}

fn pair_table(pair: &Pair, role: Role) -> String {
    let Pair {
        name,
        branch_subnet,
        branch_address,
        hub_subnet,
        hub_address,
    } = pair;
    match role {
        Role::Branch => format!(
            "[[pair]]\n\
             name = \"{name}\"\n\
             local = \"{branch_subnet}\"\n\
             remote = \"{hub_subnet}\"\n\
             trigger = {{ source = \"{branch_address}\", target = \"{hub_address}\", mode = \"client\" }}\n\
             \n"
        ),
        Role::Hub => format!(
            "[[branch.pair]]\n\
             name = \"{name}\"\n\
             local = \"{hub_subnet}\"\n\
             remote = \"{branch_subnet}\"\n\
             \n"
        ),
    }
}

/// The identity of a branch that no daemon plays.
pub fn absent_identity(number: usize) -> String {
    format!("absent{number}")
}

/// The subnet behind such a branch.
pub fn absent_subnet(number: usize) -> String {
    format!("172.{}.{}.0/24", 16 + number / 256, number % 256)
}

/// A branch with three pairs that no daemon plays.
fn absent_branch(number: usize) -> String {
    let pairs: String = PAIRS
        .iter()
        .map(|pair| {
            format!(
                "[[branch.pair]]\nname = \"{}\"\nlocal = \"{}\"\nremote = \"{}\"\n\n",
                pair.name,
                pair.hub_subnet,
                absent_subnet(number)
            )
        })
        .collect();
    format!(
        "[[branch]]\nidentity = \"{}\"\npsk = \"{PSK}\"\n\n{pairs}",
        absent_identity(number)
    )
}

/// `status --json`, as far as the cases look at it.
#[derive(Debug, Deserialize)]
pub struct Status {
    role: String,
    /// Who seals and opens ESP.
    pub data_path: String,
    /// The other ends.
    pub peers: Vec<PeerStatus>,
}

/// One peer of [`Status`].
#[derive(Debug, Deserialize)]
pub struct PeerStatus {
    /// Whether an address is translated on the way.
    pub nat: bool,
    /// "up" when there is an ISAKMP SA.
    pub ike: String,
    /// Every configured pair.
    pub pairs: Vec<PairStatus>,
}

/// One pair of [`PeerStatus`].
#[derive(Debug, Deserialize)]
pub struct PairStatus {
    /// Its name in the settings.
    pub name: String,
    /// "up", "unproven" or "down".
    pub state: String,
    /// Why it is not up.
    pub last_failure: Option<String>,
}

impl Status {
    /// Whether every pair of the lab is listed and has carried a reply.
    pub fn every_pair_up(&self) -> bool {
        PAIRS.iter().all(|pair| {
            self.pairs()
                .any(|status| status.name == pair.name && status.state == "up")
        })
    }

    /// Whether no ISAKMP SA is left.
    pub fn all_down(&self) -> bool {
        self.peers.iter().all(|peer| peer.ike != "up")
            && self.pairs().all(|pair| pair.state == "down")
    }

    /// One line: the state of each pair.
    pub fn summary(&self) -> String {
        let pairs: Vec<String> = self
            .pairs()
            .map(
                |PairStatus {
                     name,
                     state,
                     last_failure,
                 }| match last_failure {
                    Some(failure) => format!("{name} {state} ({failure})"),
                    None => format!("{name} {state}"),
                },
            )
            .collect();
        pairs.join(", ")
    }

    fn pairs(&self) -> impl Iterator<Item = &PairStatus> {
        self.peers.iter().flat_map(|peer| &peer.pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_one_of_the_pairs_is_not_up() {
        let text = r#"{"role":"hub","identity":"hub","uptime_seconds":1.5,"data_path":"user","peers":[{"identity":"branch1","address":"198.18.1.2:4500",
            "nat":true,"ike":"up","pairs":[{"name":"lan3","local":"10.61.3.0/24","remote":"10.61.1.0/24","state":"up","sa":true,
            "last_proof_seconds":0.1,"rtt_ms":1.0,"path_reach":"377","bytes_in":1,"bytes_out":1,"last_failure":null}]}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert!(!status.every_pair_up());
        assert!(!status.all_down());
        assert_eq!(status.summary(), "lan3 up");
    }
}

//! charon of strongSwan as either end, with a `/run` of its own, driven by `swanctl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::clock;
use crate::lab::{BRANCH_IDENTITY, HUB_ADDRESS, HUB_IDENTITY, Lab, PAIRS, PSK, Pair, Role};
use crate::process::{self, BRIEF, Running};
use crate::settings::Settings;

/// Where Debian puts the daemon.
const CHARON: &str = "/usr/lib/ipsec/charon";
/// All subnets of branches that no daemon plays.
const ABSENT_SUBNETS: &str = "172.16.0.0/12";
/// The one connection's name.
const CONNECTION: &str = "vpn";

/// A charon.
#[derive(Debug)]
pub struct Charon {
    running: Running,
    role: Role,
    directory: PathBuf,
    socket: PathBuf,
}

impl Charon {
    /// Starts it; as a branch it begins to negotiate at once. `socket` is a short path for its control socket.
    ///
    /// # Errors
    ///
    /// When it does not start or refuses its configuration.
    pub fn start(
        lab: &Lab,
        role: Role,
        settings: &Settings,
        directory: &Path,
        socket: &Path,
    ) -> Result<Self> {
        let directory = directory.join(format!("strongswan-{}", role.label()));
        fs::create_dir_all(directory.join("run"))?;
        fs::create_dir_all(directory.join("swanctl"))?;
        fs::write(
            directory.join("strongswan.conf"),
            daemon_configuration(&directory, socket, settings),
        )?;
        fs::write(
            directory.join("swanctl/swanctl.conf"),
            connection(role, settings),
        )?;
        let running = launch(lab, role, &directory)?;
        let mut charon = Self {
            running,
            role,
            directory,
            socket: socket.to_owned(),
        };
        charon.load()?;
        Ok(charon)
    }

    /// Kills it, as a power failure would.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self, lab: &Lab) -> Result<()> {
        self.running.kill()?;
        // A router that has lost power keeps no routes; either may be gone already.
        let end = lab.end(self.role);
        end.run(BRIEF, &["ip", "route", "flush", "table", "220"])?;
        end.run(BRIEF, &["ip", "rule", "del", "pref", "220"])?;
        drop(fs::remove_file(self.directory.join("run/charon.pid")));
        drop(fs::remove_file(&self.socket));
        Ok(())
    }

    /// Starts it again after [`Charon::kill`].
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_again(&mut self, lab: &Lab) -> Result<()> {
        self.running = launch(lab, self.role, &self.directory)?;
        self.load()
    }

    /// Waits for its control socket and has it load its connection.
    fn load(&mut self) -> Result<()> {
        clock::within(BRIEF, "charon's control socket", || {
            self.running.alive()?;
            Ok(self.socket.exists().then_some(()))
        })?;
        self.control(&["--load-all"]).map(drop)
    }

    /// What is established, by its own account.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn sas(&self) -> Result<Sas> {
        Ok(Sas::parse(&self.control(&["--list-sas"])?))
    }

    /// Negotiates phase 1 anew.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn rekey_phase_one(&self) -> Result<()> {
        self.control(&["--rekey", "--ike", CONNECTION]).map(drop)
    }

    /// Negotiates one pair's IPsec SA anew.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn rekey_phase_two(&self, pair: &str) -> Result<()> {
        self.control(&["--rekey", "--child", pair]).map(drop)
    }

    /// Ends phase 1 and all that hangs on it, with Deletes.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn terminate(&self) -> Result<()> {
        self.control(&["--terminate", "--ike", CONNECTION, "--timeout", "3"])
            .map(drop)
    }

    /// Ends it in good order.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.running.end(Signal::TERM, BRIEF).map(drop)
    }

    /// Its own log.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn log(&self) -> Result<String> {
        let path = self.directory.join("charon.log");
        fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
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

    fn control(&self, arguments: &[&str]) -> Result<String> {
        let uri = format!("unix://{}", self.socket.display());
        let argv: Vec<&str> = ["swanctl"]
            .into_iter()
            .chain(arguments.iter().copied())
            .chain(["--uri", &uri])
            .collect();
        let environment = [
            (
                "SWANCTL_DIR",
                self.directory
                    .join("swanctl")
                    .to_string_lossy()
                    .into_owned(),
            ),
            (
                "STRONGSWAN_CONF",
                self.directory
                    .join("strongswan.conf")
                    .to_string_lossy()
                    .into_owned(),
            ),
        ];
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        process::feed(BRIEF, &argv, &environment, "")?.stdout()
    }
}

/// charon's pid file has a compiled-in place, so each gets a /run of its own; `ip netns exec` has made a private mount namespace
/// already.
fn launch(lab: &Lab, role: Role, directory: &Path) -> Result<Running> {
    let script = format!("mount --make-rprivate / && mount --bind \"$1\" /run && exec {CHARON}");
    lab.end(role).start(
        &format!("charon as {}", role.label()),
        &[
            "sh",
            "-c",
            &script,
            "sh",
            &directory.join("run").to_string_lossy(),
        ],
        &[(
            "STRONGSWAN_CONF",
            &directory.join("strongswan.conf").to_string_lossy(),
        )],
        &directory.join("charon.out"),
    )
}

/// strongswan.conf: only what is needed is loaded, its data plane runs in user space, and keys go into its log.
fn daemon_configuration(directory: &Path, socket: &Path, settings: &Settings) -> String {
    let (default, level) = if settings.measured { (0, 0) } else { (1, 4) };
    format!(
        "charon {{\n\
           load = random nonce openssl aes sha1 sha2 hmac kdf gcm gmp curve25519 kernel-libipsec kernel-netlink socket-default vici updown\n\
           load_modular = no\n\
           i_dont_care_about_security_and_use_aggressive_mode_psk = yes\n\
           install_virtual_ip = no\n\
           dos_protection = no\n\
           plugins {{\n\
             vici {{ socket = unix://{} }}\n\
           }}\n\
           filelog {{ log {{\n\
             path = {}\n\
             time_format = %H:%M:%S\n\
             ike_name = yes\n\
             flush_line = yes\n\
             default = {default}\n\
             ike = {level}\n\
             chd = {level}\n\
           }} }}\n\
         }}\n",
        socket.display(),
        directory.join("charon.log").display()
    )
}

/// swanctl.conf: one connection with the lab's pairs. A hub of many branches takes them all by that one, which saves it the search.
fn connection(role: Role, settings: &Settings) -> String {
    let (local, remote, remote_address) = match role {
        Role::Branch => (BRANCH_IDENTITY, HUB_IDENTITY, HUB_ADDRESS),
        Role::Hub => (HUB_IDENTITY, BRANCH_IDENTITY, "%any"),
    };
    let children: String = PAIRS
        .iter()
        .map(|pair| child(pair, role, settings))
        .collect();
    let (remote, owners) = if role == Role::Hub && 0 < settings.absent_branches {
        ("%any".to_owned(), String::new())
    } else {
        (
            format!("@{remote}"),
            format!("id-hub = @{HUB_IDENTITY}\n id-branch = @{BRANCH_IDENTITY}\n"),
        )
    };
    format!(
        "connections {{ {CONNECTION} {{\n\
           version = 1\n\
           aggressive = yes\n\
           remote_addrs = {remote_address}\n\
           proposals = {}\n\
           dpd_delay = {}s\n\
           reauth_time = {}s\n\
           keyingtries = 0\n\
           unique = replace\n\
           local {{\n auth = psk\n id = @{local}\n }}\n\
           remote {{\n auth = psk\n id = {remote}\n }}\n\
           children {{\n{children}}}\n\
         }} }}\n\
         secrets {{ ike-vpn {{\n\
           {owners}\
           secret = \"{PSK}\"\n\
         }} }}\n",
        settings.ike,
        settings.dpd_delay.as_secs(),
        settings.ike_lifetime.as_secs()
    )
}

fn child(pair: &Pair, role: Role, settings: &Settings) -> String {
    let (local, remote, start, after_silence) = match role {
        Role::Branch => (pair.branch_subnet, pair.hub_subnet, "start", "restart"),
        Role::Hub if 0 < settings.absent_branches => {
            (pair.hub_subnet, ABSENT_SUBNETS, "none", "clear")
        }
        Role::Hub => (pair.hub_subnet, pair.branch_subnet, "none", "clear"),
    };
    format!(
        "{} {{\n\
           local_ts = {local}\n\
           remote_ts = {remote}\n\
           esp_proposals = {}\n\
           start_action = {start}\n\
           dpd_action = {after_silence}\n\
           rekey_time = {}s\n\
         }}\n",
        pair.name,
        settings.esp,
        settings.sa_lifetime.as_secs()
    )
}

/// What `swanctl --list-sas` shows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sas {
    /// Cookies of each phase 1 that has been established, initiator's and responder's.
    pub phase_one: Vec<(String, String)>,
    /// Each installed IPsec SA.
    pub phase_two: Vec<ChildSa>,
}

/// One installed IPsec SA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChildSa {
    /// The pair's name.
    pub name: String,
    /// SPI of what arrives, as eight hexadecimal digits.
    pub inbound_spi: String,
    /// SPI of what is sent.
    pub outbound_spi: String,
}

impl Sas {
    fn parse(text: &str) -> Self {
        let mut sas = Self::default();
        let mut installed = None;
        let mut inbound = None;
        for line in text.lines() {
            let trimmed = line.trim_start();
            let mut words = trimmed.split([' ', ',']).filter(|word| !word.is_empty());
            if let Some((name, rest)) = trimmed.split_once(": #") {
                let state: Vec<&str> = rest.split(", ").collect();
                installed = state.contains(&"INSTALLED").then(|| name.to_owned());
                if state.contains(&"IKEv1") && !state.contains(&"CONNECTING") {
                    // "… IKEv1, 0011223344556677_i* 8899aabbccddeeff_r": the asterisk marks our own.
                    let mut cookies = rest
                        .rsplit(' ')
                        .take(2)
                        .map(|cookie| cookie.chars().take_while(char::is_ascii_hexdigit).collect());
                    if let (Some(responder), Some(initiator)) = (cookies.next(), cookies.next()) {
                        sas.phase_one.push((initiator, responder));
                    }
                }
            } else if let (Some(name), Some(direction), Some(spi)) =
                (&installed, words.next(), words.next())
            {
                match direction {
                    "in" => inbound = Some(spi.to_owned()),
                    "out" => {
                        if let Some(inbound_spi) = inbound.take() {
                            sas.phase_two.push(ChildSa {
                                name: name.clone(),
                                inbound_spi,
                                outbound_spi: spi.to_owned(),
                            });
                        }
                    }
                    _ => {}
                }
            }
        }
        sas
    }

    /// Whether every pair of the lab has an SA.
    pub fn every_pair(&self) -> bool {
        PAIRS
            .iter()
            .all(|pair| self.phase_two.iter().any(|sa| sa.name == pair.name))
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.phase_one.is_empty() && self.phase_two.is_empty()
    }
}

/// Fails unless strongSwan is here.
///
/// # Errors
///
/// When it is not.
pub fn installed() -> Result<()> {
    if !Path::new(CHARON).exists() {
        bail!(
            "{CHARON} is missing: apt-get install strongswan-charon strongswan-swanctl libcharon-extra-plugins libstrongswan-extra-plugins"
        );
    }
    Ok(())
}

/// How long charon may take from its start to three pairs: room for one retransmission of its own, 4 s.
pub const START_LIMIT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
vpn: #2, CONNECTING, IKEv1, 1111111111111111_i 2222222222222222_r*
vpn: #1, ESTABLISHED, IKEv1, 0011223344556677_i* 8899aabbccddeeff_r
  local  'branch1' @ 198.18.1.2[4500]
  remote 'hub' @ 198.18.2.2[4500]
  AES_CBC-128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048
  established 3s ago, reauth in 14393s
  lan3: #1, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-128
    installed 3s ago, rekeying in 3270s, expires in 3957s
    in  c0ffee01,    168 bytes,     2 packets,     1s ago
    out 00000abc,    168 bytes,     2 packets,     1s ago
    local  10.61.1.0/24
    remote 10.61.3.0/24
  lo61: #3, reqid 3, REKEYED, TUNNEL-in-UDP, ESP:AES_GCM_16-128
    in  c0ffee03,      0 bytes,     0 packets
    out 00000abd,      0 bytes,     0 packets
";

    #[test]
    fn a_list_of_sas_is_read() {
        assert_eq!(
            Sas::parse(LIST),
            Sas {
                phase_one: vec![("0011223344556677".to_owned(), "8899aabbccddeeff".to_owned())],
                phase_two: vec![ChildSa {
                    name: "lan3".to_owned(),
                    inbound_spi: "c0ffee01".to_owned(),
                    outbound_spi: "00000abc".to_owned(),
                }],
            }
        );
    }

    #[test]
    fn an_empty_list_is_empty() {
        assert!(Sas::parse("").is_empty());
    }
}

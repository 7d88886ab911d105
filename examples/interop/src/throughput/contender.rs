//! What carries the traffic: nothing but the wire, or a tunnel of some make.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::wireguard::WireGuard;
use super::{Build, wanted};
use crate::lab::{self, Lab, Role};
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::Tunnel;

/// Phase 1 of every IPsec contender; it does not matter to the data path.
const IKE: &str = "aes128-sha256-modp2048";
/// Where our daemons show their counters, each in its own namespace.
pub const METRICS: &str = "127.0.0.1:9464";

/// The makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The bare wire.
    Veth,
    /// Our daemons at both ends.
    Ours {
        build: Build,
        esp: &'static str,
        encapsulated: bool,
    },
    /// charon with kernel-libipsec at both ends.
    StrongSwan { esp: &'static str },
    /// wireguard-go at both ends.
    WireGuardGo,
    /// boringtun-cli at both ends.
    BoringTun,
}

impl Kind {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Veth => "bare veth".to_owned(),
            Self::Ours {
                build,
                esp,
                encapsulated,
            } => {
                let way = if *encapsulated { "UDP" } else { "raw" };
                format!("{} {esp} {way}", build.name)
            }
            Self::StrongSwan { esp } => format!("strongSwan {esp}"),
            Self::WireGuardGo => "wireguard-go".to_owned(),
            Self::BoringTun => "boringtun".to_owned(),
        }
    }

    /// Where its daemons are, if they are ours.
    pub(super) fn binaries(&self) -> &Path {
        match self {
            Self::Ours { build, .. } => &build.directory,
            Self::Veth | Self::StrongSwan { .. } | Self::WireGuardGo | Self::BoringTun => {
                Path::new("")
            }
        }
    }
}

/// The programs of a tunnel, with the network that they are in. Everything ends when it is dropped.
enum Carrier {
    Wire(Lab),
    Ipsec(Box<Tunnel>),
    WireGuard(WireGuard, Lab),
}

/// Hosts in the networks behind the gateways.
struct Hosts {
    branch: Namespace,
    hub: Namespace,
}

/// A running contender.
pub(super) struct Contender {
    name: String,
    /// Ended before the network that it listens in.
    server: Running,
    hosts: Option<Hosts>,
    carrier: Carrier,
    source: &'static str,
    target: &'static str,
    ours: bool,
}

/// What our daemons have dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Drops {
    pub(super) bad_icv: u64,
    pub(super) replayed: u64,
    pub(super) late: u64,
    pub(super) other: u64,
    pub(super) reasons: String,
}

impl Contender {
    /// Starts it and waits until it carries traffic.
    pub(super) fn start(kind: &Kind, site: &Site, hosts: bool, tools: &Path) -> Result<Self> {
        let lab = Lab::new(site.prefix(), lab::Path::Plain)?;
        let hosts = hosts.then(|| Hosts::new(&lab, site)).transpose()?;
        let carrier = match kind {
            Kind::Veth => Carrier::Wire(lab),
            Kind::Ours {
                esp, encapsulated, ..
            } => ipsec(lab, site, Make::Ours, esp, *encapsulated)?,
            Kind::StrongSwan { esp } => ipsec(lab, site, Make::StrongSwan, esp, false)?,
            Kind::WireGuardGo => Carrier::WireGuard(
                WireGuard::start(&lab, "wireguard-go", &["-f"], site.directory())?,
                lab,
            ),
            Kind::BoringTun => {
                let program = tools.join("boringtun-cli");
                let options = ["-f", "--disable-drop-privileges", "-v", "error"];
                let program = program.to_string_lossy();
                Carrier::WireGuard(
                    WireGuard::start(&lab, &program, &options, site.directory())?,
                    lab,
                )
            }
        };
        let (source, target) = match (kind, &hosts) {
            (Kind::Veth, _) => ("198.18.1.2", "198.18.2.2"),
            (_, Some(_)) => ("10.61.1.10", "10.61.3.10"),
            (_, None) => ("10.61.1.1", "10.61.3.26"),
        };
        let log = site.directory().join("iperf3");
        let server = place(&hosts, carrier.lab(), Role::Hub).start(
            "iperf3",
            &["iperf3", "-s", "-B", target],
            &[],
            &log,
        )?;
        let contender = Self {
            name: kind.name(),
            server,
            hosts,
            carrier,
            source,
            target,
            ours: matches!(kind, Kind::Ours { .. }),
        };
        contender.ping_once()?;
        Ok(contender)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    pub(super) fn target(&self) -> &'static str {
        self.target
    }

    /// Where the traffic begins or ends.
    pub(super) fn place(&self, role: Role) -> &Namespace {
        place(&self.hosts, self.carrier.lab(), role)
    }

    /// The process of each end, and the thread groups' times with it.
    pub(super) fn ids(&self) -> Vec<u32> {
        match &self.carrier {
            Carrier::Wire(_) => Vec::new(),
            Carrier::Ipsec(tunnel) => vec![tunnel.branch.id(), tunnel.hub.id()],
            Carrier::WireGuard(ends, _) => ends.ids(),
        }
    }

    fn ping_once(&self) -> Result<()> {
        self.place(Role::Branch)
            .run(
                BRIEF,
                &[
                    "ping",
                    "-q",
                    "-c",
                    "3",
                    "-i",
                    "0.3",
                    "-W",
                    "2",
                    "-I",
                    self.source,
                    self.target,
                ],
            )?
            .stdout()
            .map(drop)
            .context("the tunnel carries nothing")
    }

    /// The network that it is in.
    pub(super) fn lab(&self) -> &Lab {
        self.carrier.lab()
    }

    /// What both ends have dropped since they began; nothing for those that are not ours.
    pub(super) fn drops(&self) -> Result<Drops> {
        let mut drops = Drops::default();
        if self.ours {
            for role in [Role::Branch, Role::Hub] {
                drops.add(&Drops::read(&page(self.carrier.lab().end(role))?)?);
            }
        }
        Ok(drops)
    }
}

fn place<'a>(hosts: &'a Option<Hosts>, lab: &'a Lab, role: Role) -> &'a Namespace {
    match (hosts, role) {
        (Some(hosts), Role::Branch) => &hosts.branch,
        (Some(hosts), Role::Hub) => &hosts.hub,
        (None, role) => lab.end(role),
    }
}

fn ipsec(
    lab: Lab,
    site: &Site,
    make: Make,
    esp: &'static str,
    encapsulated: bool,
) -> Result<Carrier> {
    let settings = Settings {
        always_encapsulate: encapsulated,
        measured: true,
        ..Settings::new(IKE, esp)
    };
    let ends = Ends::alike(make, make, &settings);
    let tunnel = Tunnel::up_in(lab, site, lab::Path::Plain, ends)?;
    Ok(Carrier::Ipsec(Box::new(tunnel)))
}

/// The page of counters of a daemon in that namespace.
fn page(namespace: &Namespace) -> Result<String> {
    let script =
        "exec 3<>/dev/tcp/${0/:/\\/} && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
    namespace
        .run(BRIEF, &["bash", "-c", script, METRICS])?
        .stdout()
}

impl Carrier {
    fn lab(&self) -> &Lab {
        match self {
            Self::Wire(lab) | Self::WireGuard(_, lab) => lab,
            Self::Ipsec(tunnel) => &tunnel.lab,
        }
    }
}

impl Hosts {
    /// Gives each local network, so far a wire that nobody listens at, a host.
    fn new(lab: &Lab, site: &Site) -> Result<Self> {
        let host = |role: Role, address: &str, gateway: &str| -> Result<Namespace> {
            let host = Namespace::new(format!("{}-{}host", site.prefix(), role.label()))?;
            lab.end(role)
                .ip(&format!("link set lan0peer netns {}\n", host.name()))?;
            host.ip(&format!(
                "addr add {address}/24 dev lan0peer\nlink set lan0peer up\nroute add default via {gateway}\n"
            ))?;
            Ok(host)
        };
        Ok(Self {
            branch: host(Role::Branch, "10.61.1.10", "10.61.1.1")?,
            hub: host(Role::Hub, "10.61.3.10", "10.61.3.26")?,
        })
    }
}

impl Drops {
    fn read(page: &str) -> Result<Self> {
        let mut drops = Self::default();
        let mut found = false;
        for line in page.lines() {
            let Some((reason, count)) = line
                .strip_prefix("vpn_drops_total{reason=\"")
                .and_then(|rest| rest.split_once("\"} "))
            else {
                continue;
            };
            found = true;
            let count: u64 = wanted(count.trim().parse().ok(), "count")?;
            match reason {
                "bad_icv" => drops.bad_icv += count,
                "replayed" => drops.replayed += count,
                "late" => drops.late += count,
                _ if count != 0 => {
                    drops.other += count;
                    drops.reasons += &format!("{reason} {count}, ");
                }
                _ => {}
            }
        }
        if !found {
            bail!("a page of metrics without drops: {page}");
        }
        Ok(drops)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.bad_icv += other.bad_icv;
        self.replayed += other.replayed;
        self.late += other.late;
        self.other += other.other;
        self.reasons += &other.reasons;
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // A server that has ended already is not signalled.
        drop(self.server.kill());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_by_reason() {
        let page = "HTTP/1.0 200 OK\r\n\r\n# HELP vpn_drops_total Packets and datagrams dropped.\n\
                    vpn_drops_total{reason=\"bad_icv\"} 1\nvpn_drops_total{reason=\"late\"} 2\n\
                    vpn_drops_total{reason=\"tun_send\"} 3\nvpn_drops_total{reason=\"replayed\"} 0\n";
        let drops = Drops::read(page).unwrap();
        assert_eq!(
            (drops.bad_icv, drops.late, drops.replayed, drops.other),
            (1, 2, 0, 3)
        );
        assert_eq!(drops.reasons, "tun_send 3, ");
        assert!(Drops::read("HTTP/1.0 404 Not Found").is_err());
    }
}

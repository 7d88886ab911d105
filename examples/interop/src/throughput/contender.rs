//! What carries the traffic: nothing but the wire, or a tunnel of some make.

use std::path::Path;

use anyhow::{Context, Result};

use super::wireguard::WireGuard;
use crate::build::Build;
use crate::drops::Drops;
use crate::lab::{self, Lab, Role};
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::Tunnel;

/// Phase 1 of every IPsec contender; it does not matter to the data path.
const IKE: &str = "aes128-sha256-modp2048";

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
        realtime: bool,
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
                realtime,
            } => {
                let way = if *encapsulated { "UDP" } else { "raw" };
                let first = if *realtime { " realtime" } else { "" };
                format!("{} {esp} {way}{first}", build.name)
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

impl Contender {
    /// Starts it and waits until it carries traffic.
    pub(super) fn start(kind: &Kind, site: &Site, hosts: bool, tools: &Path) -> Result<Self> {
        let lab = Lab::new(site.prefix(), lab::Path::Plain)?;
        let hosts = hosts.then(|| Hosts::new(&lab, site)).transpose()?;
        let carrier = match kind {
            Kind::Veth => Carrier::Wire(lab),
            Kind::Ours {
                esp,
                encapsulated,
                realtime,
                ..
            } => {
                let settings = Settings {
                    always_encapsulate: *encapsulated,
                    realtime: *realtime,
                    ..Settings::new(IKE, esp)
                };
                ipsec(lab, site, Make::Ours, settings)?
            }
            Kind::StrongSwan { esp } => {
                ipsec(lab, site, Make::StrongSwan, Settings::new(IKE, esp))?
            }
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
                drops.add(&Drops::of_daemon_in(self.carrier.lab().end(role))?);
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

fn ipsec(lab: Lab, site: &Site, make: Make, settings: Settings) -> Result<Carrier> {
    let settings = Settings {
        measured: true,
        ..settings
    };
    let ends = Ends::alike(make, make, &settings);
    let tunnel = Tunnel::up_in(lab, site, lab::Path::Plain, ends)?;
    Ok(Carrier::Ipsec(Box::new(tunnel)))
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

impl Drop for Contender {
    fn drop(&mut self) {
        // A server that has ended already is not signalled.
        drop(self.server.kill());
    }
}

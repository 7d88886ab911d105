//! The network of two hubs, and what runs in it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::clock;
use crate::frr::Frr;
use crate::lab::PSK;
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};
use crate::site::Site;

/// One branch.
#[derive(Debug)]
pub struct Branch {
    /// Its identity.
    pub name: &'static str,
    number: u8,
    /// Its address in its subnet.
    pub address: &'static str,
    subnet: &'static str,
}

/// All branches.
pub const BRANCHES: [Branch; 3] = [
    Branch {
        name: "branch1",
        number: 11,
        address: "10.61.11.1",
        subnet: "10.61.11.0/24",
    },
    Branch {
        name: "branch2",
        number: 12,
        address: "10.61.12.1",
        subnet: "10.61.12.0/24",
    },
    Branch {
        name: "branch3",
        number: 13,
        address: "10.61.13.1",
        subnet: "10.61.13.0/24",
    },
];

/// Routes of a hub's daemon to a branch that it has proved.
pub const ROUTES_TO_A_BRANCH: usize = 3;

/// Either hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hub {
    /// The one that branches try first.
    First,
    /// The one that they turn to.
    Second,
}

impl Hub {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    fn name(self) -> String {
        format!("hub{}", self.number())
    }

    fn outer(self) -> String {
        format!("198.18.{}.2", self.number() + 1)
    }

    /// Its address on the wire to the core.
    fn inner(self) -> String {
        format!("10.0.{}.1", self.number())
    }
}

/// In what a case differs from another one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Lines of each branch's settings.
    pub branch: &'static str,
    /// Whether the core takes the first hub where it has the choice.
    pub first_is_preferred: bool,
}

/// One gateway, and its daemon while it runs.
#[derive(Debug)]
struct Gateway {
    namespace: Namespace,
    settings: PathBuf,
    daemon: Option<Running>,
}

/// The whole network, taken down when dropped.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they are to end.
    routers: Vec<Frr>,
    branches: Vec<Gateway>,
    hubs: [Gateway; 2],
    core: Namespace,
    host: Namespace,
    _isp: Namespace,
    binaries: PathBuf,
    directory: PathBuf,
}

impl Lab {
    /// Builds the network and starts BGP; no daemon of ours runs yet.
    ///
    /// # Errors
    ///
    /// When the kernel, `ip` or FRR refuse.
    pub fn new(site: &Site, habits: Habits) -> Result<Self> {
        let namespace = |name: &str| Namespace::new(format!("{}-{name}", site.prefix()));
        let isp = namespace("isp")?;
        let core = namespace("core")?;
        let host = namespace("host")?;
        let hub = |which: Hub| -> Result<Gateway> {
            let namespace = namespace(&which.name())?;
            build_hub(which, &namespace, &isp, &core)?;
            let settings = site.directory().join(format!("{}.toml", which.name()));
            fs::write(&settings, hub_settings(which, &site.short(&which.name())))?;
            Ok(Gateway {
                namespace,
                settings,
                daemon: None,
            })
        };
        let hubs = [hub(Hub::First)?, hub(Hub::Second)?];
        let branch = |branch: &Branch| -> Result<Gateway> {
            let namespace = namespace(branch.name)?;
            build_branch(branch, &namespace, &isp)?;
            let settings = site.directory().join(format!("{}.toml", branch.name));
            let text = branch_settings(branch, habits, &site.short(branch.name));
            fs::write(&settings, text)?;
            Ok(Gateway {
                namespace,
                settings,
                daemon: None,
            })
        };
        let branches = BRANCHES.iter().map(branch).collect::<Result<_>>()?;
        core.ip(&format!(
            "link add lan type veth peer name lan netns {}\n\
             addr add 10.61.3.254/24 dev lan\n\
             link set lan up\n",
            host.name()
        ))?;
        host.ip("addr add 10.61.3.100/24 dev lan\n\
             link set lan up\n\
             route add default via 10.61.3.254\n")?;
        let mut lab = Self {
            routers: Vec::new(),
            branches,
            hubs,
            core,
            host,
            _isp: isp,
            binaries: site.binaries().to_owned(),
            directory: site.directory().to_owned(),
        };
        lab.start_routers(site, habits)?;
        Ok(lab)
    }

    fn start_routers(&mut self, site: &Site, habits: Habits) -> Result<()> {
        let of_first = include_str!("frr-hub.conf");
        let of_second = of_first
            .replace("65001", "65002")
            .replace("10.0.1.", "10.0.2.");
        let of_second = if habits.first_is_preferred {
            let match_metric = " match metric 10\n";
            let further = format!("{match_metric} set as-path prepend 65002\n");
            of_second.replace(match_metric, &further)
        } else {
            of_second
        };
        for (namespace, name, configuration) in [
            (&self.hubs[0].namespace, "hub1", of_first),
            (&self.hubs[1].namespace, "hub2", &of_second),
            (&self.core, "core", include_str!("frr-core.conf")),
        ] {
            let place = site.short(&format!("frr-{name}"));
            let frr = Frr::start(namespace, name, configuration, &place, site.directory())?;
            self.routers.push(frr);
        }
        Ok(())
    }

    /// Starts a hub's daemon, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_hub(&mut self, hub: Hub) -> Result<()> {
        let (name, binaries, directory) = (hub.name(), &self.binaries, &self.directory);
        let gateway = match hub {
            Hub::First => &mut self.hubs[0],
            Hub::Second => &mut self.hubs[1],
        };
        gateway.start("hub", &name, binaries, directory)
    }

    /// Kills a hub's daemon, as a power failure would; its machine lives on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill_hub(&mut self, hub: Hub) -> Result<()> {
        let gateway = match hub {
            Hub::First => &mut self.hubs[0],
            Hub::Second => &mut self.hubs[1],
        };
        if let Some(mut daemon) = gateway.daemon.take() {
            daemon.kill()?;
        }
        Ok(())
    }

    /// Starts all branches' daemons.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub fn start_branches(&mut self) -> Result<()> {
        for (gateway, branch) in self.branches.iter_mut().zip(&BRANCHES) {
            gateway.start("branch", branch.name, &self.binaries, &self.directory)?;
        }
        Ok(())
    }

    /// Fails when something has ended that should run.
    ///
    /// # Errors
    ///
    /// When something has ended that should run.
    pub fn alive(&mut self) -> Result<()> {
        for router in &mut self.routers {
            router.alive()?;
        }
        for gateway in self.branches.iter_mut().chain(&mut self.hubs) {
            if let Some(daemon) = &mut gateway.daemon {
                daemon.alive()?;
            }
        }
        Ok(())
    }

    /// Waits until the core's routes to all branches lead through this hub.
    ///
    /// # Errors
    ///
    /// When they do not in time.
    pub fn await_routes(&self, hub: Hub, limit: Duration) -> Result<()> {
        let through = format!("via {}", hub.inner());
        clock::within(limit, &format!("routes through {}", hub.name()), || {
            let routes = self.core_routes()?;
            let led = |branch: &Branch| {
                routes
                    .lines()
                    .any(|line| line.starts_with(branch.subnet) && line.contains(&through))
            };
            Ok(BRANCHES.iter().all(led).then_some(()))
        })
    }

    /// Waits until a hub's router has heard from the core.
    ///
    /// # Errors
    ///
    /// When it has not in time.
    pub fn await_session(&self, hub: Hub) -> Result<()> {
        clock::within(BRIEF, &format!("BGP at {}", hub.name()), || {
            let routes = self.gateway(hub).routes(&["proto", "bgp"])?;
            Ok(routes.contains("10.61.3.0/24").then_some(()))
        })
    }

    /// How often each branch has turned to another hub since it began.
    ///
    /// # Errors
    ///
    /// When its log cannot be read.
    pub fn turns(&self) -> Result<Vec<usize>> {
        let turns = |branch: &Gateway| branch.said("turning to another hub");
        self.branches.iter().map(turns).collect()
    }

    /// How often a branch has connected to a hub since its daemon began.
    ///
    /// # Errors
    ///
    /// When its log cannot be read.
    pub fn connections(&self, hub: Hub) -> Result<usize> {
        self.gateway(hub).said("IKE up")
    }

    /// Waits until a hub has proved every branch.
    ///
    /// # Errors
    ///
    /// When it has not in time.
    pub fn await_proof(&self, hub: Hub, limit: Duration) -> Result<()> {
        let proofs = format!("{}'s proof of every branch", hub.name());
        clock::within(limit, &proofs, || {
            let routes = self.routes_of(hub)?.lines().count();
            Ok((routes == ROUTES_TO_A_BRANCH * BRANCHES.len()).then_some(()))
        })
    }

    /// The core's routing table.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn core_routes(&self) -> Result<String> {
        self.core
            .run(BRIEF, &["ip", "route", "show", "proto", "bgp"])?
            .stdout()
    }

    /// All routes that are a hub's daemon's.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn routes_of(&self, hub: Hub) -> Result<String> {
        let gateway = self.gateway(hub);
        Ok(gateway.routes(&["proto", "178"])? + &gateway.routes(&["proto", "180"])?)
    }

    /// Ends a hub's daemon in good order.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop_hub(&mut self, hub: Hub) -> Result<()> {
        let gateway = match hub {
            Hub::First => &mut self.hubs[0],
            Hub::Second => &mut self.hubs[1],
        };
        if let Some(mut daemon) = gateway.daemon.take() {
            let status = daemon.end(Signal::TERM, BRIEF)?;
            if !status.success() {
                bail!("{} ended on SIGTERM with {status}", hub.name());
            }
        }
        Ok(())
    }

    /// How a hub's machine reaches an address.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn way(&self, hub: Hub, address: &str) -> Result<String> {
        self.gateway(hub)
            .namespace
            .run(BRIEF, &["ip", "route", "get", address])?
            .stdout()
    }

    /// The router behind the hubs.
    pub fn core(&self) -> &Namespace {
        &self.core
    }

    /// The host that reads.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    fn gateway(&self, hub: Hub) -> &Gateway {
        match hub {
            Hub::First => &self.hubs[0],
            Hub::Second => &self.hubs[1],
        }
    }
}

impl Gateway {
    fn start(
        &mut self,
        program: &str,
        name: &str,
        binaries: &std::path::Path,
        directory: &std::path::Path,
    ) -> Result<()> {
        let program = binaries.join(program);
        let log = directory.join(format!("{name}.log"));
        let mut daemon = self.namespace.start(
            name,
            &[
                &program.to_string_lossy(),
                "run",
                "--config",
                &self.settings.to_string_lossy(),
            ],
            &[("RUST_LOG", "debug"), ("NO_COLOR", "1")],
            &log,
        )?;
        clock::within(BRIEF, &format!("{name}'s start"), || {
            daemon.alive()?;
            let status = self.namespace.run(
                BRIEF,
                &[
                    &program.to_string_lossy(),
                    "status",
                    "--config",
                    &self.settings.to_string_lossy(),
                ],
            )?;
            Ok(status.success().then_some(()))
        })?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// How many lines of the daemon's log say so.
    fn said(&self, what: &str) -> Result<usize> {
        let log = self.daemon.as_ref().map(Running::log).transpose()?;
        let log = log.unwrap_or_default();
        Ok(log.lines().filter(|line| line.contains(what)).count())
    }

    fn routes(&self, selection: &[&str]) -> Result<String> {
        let argv: Vec<&str> = ["ip", "route", "show"]
            .into_iter()
            .chain(selection.iter().copied())
            .collect();
        self.namespace.run(BRIEF, &argv)?.stdout()
    }
}

fn build_hub(which: Hub, namespace: &Namespace, isp: &Namespace, core: &Namespace) -> Result<()> {
    let (name, number) = (which.name(), which.number());
    let (outer, inner) = (which.outer(), which.inner());
    isp.ip(&format!(
        "link add {name} type veth peer name wan netns {}\n\
         addr add 198.18.{}.1/24 dev {name}\n\
         link set {name} up\n",
        namespace.name(),
        number + 1
    ))?;
    core.ip(&format!(
        "link add {name} type veth peer name core netns {}\n\
         addr add 10.0.{number}.2/30 dev {name}\n\
         link set {name} up\n",
        namespace.name()
    ))?;
    namespace.ip(&format!(
        "addr add {outer}/24 dev wan\n\
         link set wan up\n\
         route add 198.18.0.0/16 via 198.18.{}.1\n\
         addr add {inner}/30 dev core\n\
         link set core up\n\
         addr add 10.61.3.26/32 dev lo\n",
        number + 1
    ))
}

fn build_branch(branch: &Branch, namespace: &Namespace, isp: &Namespace) -> Result<()> {
    let Branch {
        name,
        number,
        address,
        ..
    } = branch;
    isp.ip(&format!(
        "link add {name} type veth peer name wan netns {}\n\
         addr add 198.18.{number}.1/24 dev {name}\n\
         link set {name} up\n",
        namespace.name()
    ))?;
    namespace.ip(&format!(
        "addr add 198.18.{number}.2/24 dev wan\n\
         link set wan up\n\
         route add default via 198.18.{number}.1\n\
         addr add {address}/24 dev lo\n"
    ))
}

fn hub_settings(which: Hub, socket: &std::path::Path) -> String {
    let branches: String = BRANCHES
        .iter()
        .map(|Branch { name, subnet, .. }| {
            format!(
                "[[branch]]\nidentity = \"{name}\"\npsk = \"{PSK}\"\n\
                 [[branch.pair]]\nname = \"readings\"\nlocal = \"10.61.3.0/24\"\nremote = \"{subnet}\"\n\n"
            )
        })
        .collect();
    // Of the three names the first thread's hub has one, the other's two.
    let workers = match which {
        Hub::First => "",
        Hub::Second => "workers = 2\n",
    };
    format!(
        "identity = \"hub\"\nlisten = [\"{}\"]\ncontrol = \"{}\"\n{workers}\n[tun]\nname = \"pairs0\"\n\n{branches}",
        which.outer(),
        socket.display()
    )
}

fn branch_settings(branch: &Branch, habits: Habits, socket: &std::path::Path) -> String {
    let Branch {
        name,
        address,
        subnet,
        ..
    } = branch;
    format!(
        "identity = \"{name}\"\nhubs = [\"{}\", \"{}\"]\nhub_identity = \"hub\"\npsk = \"{PSK}\"\ncontrol = \"{}\"\n{}\n\
         [tun]\nname = \"pairs0\"\n\n\
         [[pair]]\nname = \"readings\"\nlocal = \"{subnet}\"\nremote = \"10.61.3.0/24\"\n\
         trigger = {{ source = \"{address}\", target = \"10.61.3.26\", mode = \"client\" }}\n",
        Hub::First.outer(),
        Hub::Second.outer(),
        socket.display(),
        habits.branch
    )
}

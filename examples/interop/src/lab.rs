//! The network of the scenario: a branch, the Internet, a hub, and the flows between them.
//!
//! ```text
//!   10.61.1.1, 192.168.1.1          masquerades if asked to            10.61.3.26, 10.61.253.1, 192.168.61.1
//!   branch 198.18.1.2 ------------- 198.18.1.1 isp 198.18.2.1 ------------- 198.18.2.2 hub
//! ```

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::namespace::Namespace;
use crate::process::BRIEF;

/// The hub's outer address.
pub const HUB_ADDRESS: &str = "198.18.2.2";
/// The hub's identity, an FQDN.
pub const HUB_IDENTITY: &str = "hub";
/// The branch's identity, an FQDN.
pub const BRANCH_IDENTITY: &str = "branch1";
/// For the lab only: 256 bits that everybody knows.
pub const PSK: &str = "lab-only-Zk3tq0Vw9yX7mB1cR5uJ8nL2sD6hF4aE-0PgTi9oUbQ";

/// One flow of the scenario.
#[derive(Debug)]
pub struct Pair {
    /// Its name in every settings file.
    pub name: &'static str,
    /// Subnet behind the branch.
    pub branch_subnet: &'static str,
    /// The branch's address in it.
    pub branch_address: &'static str,
    /// Subnet behind the hub.
    pub hub_subnet: &'static str,
    /// The hub's address in it.
    pub hub_address: &'static str,
}

/// The three flows of the scenario; two share the branch's subnet.
pub const PAIRS: [Pair; 3] = [
    Pair {
        name: "lan3",
        branch_subnet: "10.61.1.0/24",
        branch_address: "10.61.1.1",
        hub_subnet: "10.61.3.0/24",
        hub_address: "10.61.3.26",
    },
    Pair {
        name: "lan253",
        branch_subnet: "10.61.1.0/24",
        branch_address: "10.61.1.1",
        hub_subnet: "10.61.253.0/24",
        hub_address: "10.61.253.1",
    },
    Pair {
        name: "lo61",
        branch_subnet: "192.168.1.0/24",
        branch_address: "192.168.1.1",
        hub_subnet: "192.168.61.0/24",
        hub_address: "192.168.61.1",
    },
];

/// What lies between branch and hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Path {
    /// Routers only.
    Plain,
    /// A router that hides the branch behind its own address and moves its ports.
    Nat,
}

impl Path {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Nat];

    /// Its word in the name of a case.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Nat => "nat",
        }
    }
}

/// Which end of the tunnel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Initiates.
    Branch,
    /// Answers.
    Hub,
}

impl Role {
    /// Its word in names of files and cases.
    pub fn label(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Hub => "hub",
        }
    }
}

/// The three namespaces and the wires between them, removed when dropped.
#[derive(Debug)]
pub struct Lab {
    branch: Namespace,
    isp: Namespace,
    hub: Namespace,
}

impl Lab {
    /// Builds it; the names of the namespaces begin with `prefix`.
    ///
    /// # Errors
    ///
    /// When the kernel, `ip` or `nft` refuse.
    pub fn new(prefix: &str, path: Path) -> Result<Self> {
        let lab = Self {
            branch: Namespace::new(format!("{prefix}-branch"))?,
            isp: Namespace::new(format!("{prefix}-isp"))?,
            hub: Namespace::new(format!("{prefix}-hub"))?,
        };
        // Private addresses are unknown to the Internet. The kernel of a small machine may lack dummy devices: each local
        // network is one end of a wire whose other end nobody listens at.
        lab.isp.ip(&format!(
            "link add tobranch type veth peer name wan netns {}\n\
             link add tohub type veth peer name wan netns {}\n\
             addr add 198.18.1.1/24 dev tobranch\n\
             addr add 198.18.2.1/24 dev tohub\n\
             link set tobranch up\n\
             link set tohub up\n\
             route add blackhole 10.0.0.0/8\n\
             route add blackhole 192.168.0.0/16\n",
            lab.branch.name(),
            lab.hub.name()
        ))?;
        lab.branch.ip("addr add 198.18.1.2/24 dev wan\n\
             link set wan up\n\
             route add default via 198.18.1.1\n\
             link add lan0 type veth peer name lan0peer\n\
             addr add 10.61.1.1/24 dev lan0\n\
             link set lan0 up\n\
             link set lan0peer up\n\
             addr add 192.168.1.1/24 dev lo\n")?;
        lab.hub.ip("addr add 198.18.2.2/24 dev wan\n\
             link set wan up\n\
             route add default via 198.18.2.1\n\
             link add lan0 type veth peer name lan0peer\n\
             addr add 10.61.3.26/24 dev lan0\n\
             link set lan0 up\n\
             link set lan0peer up\n\
             link add lan1 type veth peer name lan1peer\n\
             addr add 10.61.253.1/24 dev lan1\n\
             link set lan1 up\n\
             link set lan1peer up\n\
             addr add 192.168.61.1/24 dev lo\n")?;
        lab.isp
            .feed(BRIEF, &["nft", "-f", "-"], &rules(path))?
            .stdout()?;
        Ok(lab)
    }

    /// One end.
    pub fn end(&self, role: Role) -> &Namespace {
        match role {
            Role::Branch => &self.branch,
            Role::Hub => &self.hub,
        }
    }

    /// The Internet, where traffic is captured.
    pub fn isp(&self) -> &Namespace {
        &self.isp
    }

    /// Makes every wire carry UDP datagrams one by one, as all wires do but those between namespaces: these take a segmented
    /// send as it is, and a capture would show it as one datagram.
    ///
    /// # Errors
    ///
    /// When `ethtool` refuses.
    pub fn split_on_the_wire(&self) -> Result<()> {
        for (namespace, device) in [
            (&self.branch, "wan"),
            (&self.hub, "wan"),
            (&self.isp, "tobranch"),
            (&self.isp, "tohub"),
        ] {
            namespace
                .run(
                    BRIEF,
                    &["ethtool", "-K", device, "tx-udp-segmentation", "off"],
                )?
                .stdout()?;
        }
        Ok(())
    }

    /// The branch's line goes dead, and its routes with it.
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn take_branch_link(&self) -> Result<()> {
        self.branch.ip("link set wan down\n")
    }

    /// The branch's line is there again, as a DHCP client would set it up.
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn give_branch_link(&self) -> Result<()> {
        self.branch
            .ip("link set wan up\nroute add default via 198.18.1.1\n")
    }

    /// The router that translates forgets what it knew and chooses from other ports.
    ///
    /// # Errors
    ///
    /// When `ip` or `nft` refuse.
    pub fn rebind(&self) -> Result<()> {
        self.isp
            .feed(
                BRIEF,
                &["nft", "-f", "-"],
                &format!("delete table ip nat\n{}", translation("30000-39999")),
            )?
            .stdout()?;
        // The kernel forgets masqueraded flows when the address they were given goes.
        self.isp
            .ip("addr del 198.18.2.1/24 dev tohub\naddr add 198.18.2.1/24 dev tohub\n")
    }

    /// How many packets with a private address one end has let out in clear.
    ///
    /// # Errors
    ///
    /// When `nft` does not answer as expected.
    pub fn leaked(&self, role: Role) -> Result<u64> {
        let text = self
            .isp
            .run(BRIEF, &["nft", "-j", "list", "counters"])?
            .stdout()?;
        let answer: Value = serde_json::from_str(&text).context("the counters of nft")?;
        let wanted = format!("from_{}", role.label());
        let packets = answer
            .get("nftables")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|object| object.get("counter"))
            .find(|counter| counter.get("name").and_then(Value::as_str) == Some(&wanted))
            .and_then(|counter| counter.get("packets")?.as_u64());
        let Some(packets) = packets else {
            bail!("nft lists no counter {wanted}");
        };
        Ok(packets)
    }
}

/// What the Internet's router does: it counts leaks, and translates if it is asked to.
fn rules(path: Path) -> String {
    let mut rules = String::from(
        "table ip watch {\n\
           counter from_branch { }\n\
           counter from_hub { }\n\
           set private { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 } }\n\
           chain arriving {\n\
             type filter hook prerouting priority -300;\n\
             iifname tobranch ip saddr @private counter name from_branch drop\n\
             iifname tobranch ip daddr @private counter name from_branch drop\n\
             iifname tohub ip saddr @private counter name from_hub drop\n\
             iifname tohub ip daddr @private counter name from_hub drop\n\
           }\n\
         }\n",
    );
    if path == Path::Nat {
        rules.push_str(&translation("20000-29999"));
    }
    rules
}

fn translation(ports: &str) -> String {
    format!(
        "table ip nat {{\n\
           chain leaving {{\n\
             type nat hook postrouting priority 100;\n\
             oifname tohub ip saddr 198.18.1.0/24 meta l4proto udp masquerade to :{ports}\n\
             oifname tohub ip saddr 198.18.1.0/24 masquerade\n\
           }}\n\
         }}\n"
    )
}

//! The case's addresses: two subnets of a branch, two of its hub, three pairs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use trigger::{PairConfig, Subnet, Trigger};

/// The identities and the key that the two ends share; a demonstration needs no secret.
pub const HUB: &str = "hub";
pub const BRANCH: &str = "branch1";
pub const PRE_SHARED_KEY: &[u8] = b"HV2m7rTq0cWbX9sLd4KfYe81uNpZgJ36aQoRiCtB5yE";

/// The port of the data service behind the branch.
pub const SERVICE_PORT: u16 = 7000;

/// One pair, and who reads what through it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub name: &'static str,
    branch: (Ipv4Addr, u8),
    hub: (Ipv4Addr, u8),
    source: Ipv4Addr,
    target: Ipv4Addr,
    service: Ipv4Addr,
}

/// The three flows of the case.
pub const FLOWS: [Flow; 3] = [
    Flow {
        name: "telemetry",
        branch: (Ipv4Addr::new(10, 61, 1, 0), 24),
        hub: (Ipv4Addr::new(10, 61, 3, 0), 24),
        source: Ipv4Addr::new(10, 61, 1, 1),
        target: Ipv4Addr::new(10, 61, 3, 26),
        service: Ipv4Addr::new(10, 61, 1, 10),
    },
    Flow {
        name: "cameras",
        branch: (Ipv4Addr::new(192, 168, 1, 0), 24),
        hub: (Ipv4Addr::new(192, 168, 61, 0), 24),
        source: Ipv4Addr::new(192, 168, 1, 1),
        target: Ipv4Addr::new(192, 168, 61, 1),
        service: Ipv4Addr::new(192, 168, 1, 10),
    },
    Flow {
        name: "archive",
        branch: (Ipv4Addr::new(192, 168, 1, 0), 24),
        hub: (Ipv4Addr::new(10, 61, 3, 0), 24),
        source: Ipv4Addr::new(192, 168, 1, 1),
        target: Ipv4Addr::new(10, 61, 3, 26),
        service: Ipv4Addr::new(192, 168, 1, 10),
    },
];

impl Flow {
    fn branch_subnet(&self) -> anyhow::Result<Subnet> {
        Ok(Subnet::new(IpAddr::V4(self.branch.0), self.branch.1)?)
    }

    fn hub_subnet(&self) -> anyhow::Result<Subnet> {
        Ok(Subnet::new(IpAddr::V4(self.hub.0), self.hub.1)?)
    }

    /// The pair as the hub sees it.
    pub fn at_hub(&self) -> anyhow::Result<PairConfig> {
        Ok(PairConfig::new(
            self.name,
            self.hub_subnet()?,
            self.branch_subnet()?,
        ))
    }

    /// The pair as the branch sees it, with its trigger.
    pub fn at_branch(&self) -> anyhow::Result<PairConfig> {
        let pair = PairConfig::new(self.name, self.branch_subnet()?, self.hub_subnet()?);
        Ok(pair.with_trigger(Trigger::new(
            IpAddr::V4(self.source),
            IpAddr::V4(self.target),
        ))?)
    }

    /// Where the hub's NTP server is.
    pub fn target(&self) -> IpAddr {
        IpAddr::V4(self.target)
    }

    /// Where the hub's reader is, by the number of the flow.
    pub fn reader(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.target(), port)
    }

    /// Where the data service is.
    pub fn service(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.service), SERVICE_PORT)
    }
}

//! The two ends: their settings, and how each is started on its ports.

use std::sync::Arc;
use std::time::SystemTime;

use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::{Encapsulation, EndpointConfig, Identity, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{Branch, BranchConfig, CryptoProvider, Hub, HubConfig, MemberConfig, RollEntry};

use crate::node::{Machine, Node, Ports, Sockets, clock};
use crate::reading;
use crate::scenario::{BRANCH, FLOWS, HUB, PRE_SHARED_KEY};

/// Starts the hub with what it has stored of its branches.
pub fn start_hub(
    sockets: Sockets,
    own: Ports,
    branch: Ports,
    roll: Vec<RollEntry>,
) -> anyhow::Result<Node> {
    let crypto = CryptoProvider::rustcrypto();
    let config = HubConfig::builder(endpoint(&crypto, own)?, crypto)
        .serve_ntp(FLOWS.iter().map(|flow| flow.target()))
        .build();
    let mut hub = Hub::new(config, roll, clock(), wall_clock());
    let pairs = FLOWS
        .iter()
        .map(|flow| flow.at_hub())
        .collect::<Result<_, _>>()?;
    hub.add_member(MemberConfig::new(peer(HUB, BRANCH, branch)?, pairs)?)?;
    Node::start(Machine::Hub(hub), sockets, |_| None)
}

/// Starts the branch, with its data service inside; the link is up at once.
pub fn start_branch(sockets: Sockets, own: Ports, hub: Ports) -> anyhow::Result<Node> {
    let crypto = CryptoProvider::rustcrypto();
    let mut builder =
        BranchConfig::builder(endpoint(&crypto, own)?, peer(BRANCH, HUB, hub)?, crypto)
            .ike_port(own.ike)
            .hub_at((hub.address, hub.ike).into());
    for flow in &FLOWS {
        builder = builder.pair(flow.at_branch()?);
    }
    let now = clock();
    let mut branch = Branch::new(Arc::new(builder.build()?), now, wall_clock());
    branch.handle_link_up(now, own.address);
    Node::start(Machine::Branch(branch), sockets, reading::answer)
}

/// IKE with its default algorithms; ports that need no root ask for UDP encapsulation.
fn peer(local: &str, remote: &str, far: Ports) -> anyhow::Result<PeerConfigBuilder> {
    let (local, remote): (Identity, Identity) = (local.parse()?, remote.parse()?);
    Ok(
        PeerConfig::builder(local, remote, PreSharedKey::new(PRE_SHARED_KEY))
            .encapsulation(Encapsulation::Always)
            .remote_nat_port(far.nat),
    )
}

fn endpoint(crypto: &CryptoProvider, own: Ports) -> anyhow::Result<EndpointConfig> {
    Ok(EndpointConfig::builder(crypto.ike.clone())
        .ike_port(own.ike)
        .nat_port(own.nat)
        .build()?)
}

fn wall_clock() -> NtpTimestamp {
    #[expect(clippy::disallowed_methods, reason = "the demonstration's own clock")]
    NtpTimestamp::from_system_time(SystemTime::now())
}

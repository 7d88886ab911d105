//! The initiators: branches that call one after the other, played by `ike-core` over two UDP sockets.
//!
//! A program of its own, for it runs in the branch's namespace; it prints what it has seen as JSON.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ike_core::crypto::rustcrypto;
use ike_core::wire::Message;
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::{
    Datagram, Encapsulation, Endpoint, EndpointConfig, Event, PairIndex, PeerConfig, PeerId,
    PreSharedKey, SelectorPair,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::limit;
use crate::clock;
use crate::lab::{HUB_ADDRESS, HUB_IDENTITY, PAIRS, PSK};
use crate::namespace::Namespace;

/// The one phase 2 proposal.
pub(super) const ESP: &str = "aes128gcm16";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const IKE_PORT: u16 = 500;
const NAT_PORT: u16 = 4500;
/// Octets in front of IKE on the NAT port.
const MARKER_LEN: usize = 4;
/// Calls in a row: fewer than our hub has values prepared.
const BURST: usize = 20;
/// Silence after a burst, in which our hub prepares values anew.
const SILENCE: Duration = Duration::from_millis(200);
/// Pause between two datagrams: strongSwan's threads process what comes at once in any order, and drop what comes too early.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who calls, and how.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The one phase 1 proposal.
    ike: String,
    /// How many branches call.
    branches: usize,
}

/// What the initiators have seen.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// Handshakes that ended with an SA.
    pub(super) handshakes: usize,
    /// Different public values of the responder, in messages in clear.
    pub(super) public_values: usize,
    /// Datagrams that had to be sent again.
    pub(super) repeated: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Self) {
        self.handshakes += other.handshakes;
        self.public_values += other.public_values;
        self.repeated += other.repeated;
    }
}

impl Plan {
    pub(super) fn new(ike: &str, branches: usize) -> Self {
        Self {
            ike: ike.to_owned(),
            branches,
        }
    }

    /// Has another process of this program carry it out in a namespace.
    pub(super) fn run_in(&self, namespace: &Namespace) -> Result<Outcome> {
        let program = std::env::current_exe()?;
        let (program, branches) = (program.to_string_lossy(), self.branches.to_string());
        let argv = [&*program, "initiate", &self.ike, &branches];
        let text = namespace.run(limit(self.branches), &argv)?.stdout()?;
        serde_json::from_str(&text).with_context(|| format!("the initiators printed {text}"))
    }

    /// Carries it out here.
    ///
    /// # Errors
    ///
    /// When a handshake fails or takes too long.
    pub fn carry_out(&self) -> Result<()> {
        let mut caller = Caller::new()?;
        for number in 0..self.branches {
            caller
                .call(self.config(number)?)
                .with_context(|| format!("branch {number}"))?;
            if (number + 1) % BURST == 0 || number + 1 == self.branches {
                thread::sleep(SILENCE);
            }
        }
        let outcome = Outcome {
            handshakes: self.branches,
            public_values: caller.public_values.len(),
            repeated: caller.endpoint.stats().retransmissions,
        };
        println!("{}", serde_json::to_string(&outcome)?);
        Ok(())
    }

    /// The branch of that number, as the settings of the hubs have it.
    fn config(&self, number: usize) -> Result<Arc<PeerConfig>> {
        let [first, ..] = &PAIRS;
        let pair = SelectorPair {
            local: crate::ours::absent_subnet(number).parse()?,
            remote: first.hub_subnet.parse()?,
        };
        let local = crate::ours::absent_identity(number).parse()?;
        let builder = PeerConfig::builder(
            local,
            HUB_IDENTITY.parse()?,
            PreSharedKey::new(PSK.as_bytes()),
        )
        .pairs(vec![pair])
        .encapsulation(Encapsulation::Always)
        .ike_proposals(vec![self.ike.parse()?])
        .esp_proposals(vec![ESP.parse()?]);
        Ok(Arc::new(builder.build()?))
    }
}

/// All branches, one at a time, behind one address.
struct Caller {
    endpoint: Endpoint,
    ike: UdpSocket,
    nat: UdpSocket,
    public_values: BTreeSet<Vec<u8>>,
}

impl Caller {
    fn new() -> Result<Self> {
        let config = EndpointConfig::builder(rustcrypto::legacy_provider()).build()?;
        let bind = |port| -> Result<UdpSocket> {
            let socket = UdpSocket::bind((ADDRESS, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Self {
            endpoint: Endpoint::new(config, clock::now()),
            ike: bind(IKE_PORT)?,
            nat: bind(NAT_PORT)?,
            public_values: BTreeSet::new(),
        })
    }

    /// Negotiates one pair and deletes everything again.
    fn call(&mut self, config: Arc<PeerConfig>) -> Result<()> {
        let start = clock::now();
        let local = SocketAddr::from((ADDRESS, IKE_PORT));
        let remote = SocketAddr::new(HUB_ADDRESS.parse()?, IKE_PORT);
        let peer = self.endpoint.add_peer(start, config, local, remote);
        self.endpoint.acquire(start, peer, PairIndex::new(0))?;
        while !self.step(peer)? {
            ensure!(clock::since(start) < PATIENCE, "no SA after {PATIENCE:?}");
            self.wait()?;
        }
        self.endpoint.remove_peer(clock::now(), peer);
        self.step(peer)?;
        Ok(())
    }

    /// Sends, receives and does what is due. `true` once the pair has its SA.
    fn step(&mut self, peer: PeerId) -> Result<bool> {
        self.receive()?;
        self.endpoint.handle_timeout(clock::now());
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let socket = if transmit.source.port() == NAT_PORT {
                &self.nat
            } else {
                &self.ike
            };
            socket.send_to(&transmit.contents, transmit.destination)?;
            thread::sleep(PAUSE);
        }
        let mut up = false;
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::PhaseOneFailed { error, .. } = &event {
                bail!("phase 1: {error}");
            }
            if let Event::QuickModeFailed { error, .. } = &event {
                bail!("quick mode: {error}");
            }
            up |= matches!(event, Event::SaConfirmed { peer: of, .. } if of == peer);
        }
        Ok(up)
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        for port in [IKE_PORT, NAT_PORT] {
            let socket = if port == NAT_PORT {
                &self.nat
            } else {
                &self.ike
            };
            while let Ok((len, source)) = socket.recv_from(&mut buffer) {
                let contents = buffer.get(..len).unwrap_or_default();
                let message = match port {
                    NAT_PORT => contents.get(MARKER_LEN..).unwrap_or_default(),
                    _ => contents,
                };
                self.public_values.extend(public_value(message));
                let datagram = Datagram {
                    source,
                    destination: SocketAddr::from((ADDRESS, port)),
                    contents,
                };
                // A late answer to what is deleted already says nothing.
                drop(self.endpoint.handle_datagram(clock::now(), datagram));
            }
        }
        Ok(())
    }

    /// Until something arrives or is due.
    fn wait(&self) -> Result<()> {
        let until = self.endpoint.poll_timeout();
        let left = until.map_or(PATIENCE, |at: Instant| {
            at.saturating_duration_since(clock::now())
        });
        let left = Timespec::try_from(left)?;
        let mut sockets = [
            PollFd::new(&self.ike, PollFlags::IN),
            PollFd::new(&self.nat, PollFlags::IN),
        ];
        poll(&mut sockets, Some(&left))?;
        Ok(())
    }
}

/// The responder's public value, if this is message 2 of aggressive mode.
fn public_value(octets: &[u8]) -> Option<Vec<u8>> {
    let message = Message::decode(octets).ok()?;
    if message.header().exchange_type() != ExchangeType::AGGRESSIVE {
        return None;
    }
    let payloads = message.payloads().ok()?;
    let value = payloads.exactly_one(PayloadType::KEY_EXCHANGE).ok()?;
    Some(value.body().to_vec())
}

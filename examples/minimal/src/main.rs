//! The smallest embedding of `trigger`: a branch on two UDP sockets, with nothing but std.
//!
//!     minimal LOCAL_ADDRESS HUB_ADDRESS PRE_SHARED_KEY
//!
//! It brings one pair up (10.61.1.0/24 to 10.61.3.0/24), keeps it reachable and prints what
//! happens. A router would hand what `Received::Packet` carries to its network stack, and give
//! what its network stack routes to the pair to `Branch::encapsulate`; here an echo request is
//! answered on the spot. It uses ports 10500 and 14500, so it needs no root; the hub's are 500
//! and 4500.

#![expect(
    clippy::disallowed_methods,
    reason = "a driver has to read the clock somewhere"
)]

use std::error::Error;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trigger::ike_core::{Encapsulation, EndpointConfig, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, CryptoProvider, Encapsulated, MAX_OVERHEAD, PairConfig, Received, Trigger,
};

const IKE_PORT: u16 = 10_500;
const NAT_PORT: u16 = 14_500;
/// Two sockets are polled in turn; a router would wait on both at once.
const TURN: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [local, hub, key] = arguments.as_slice() else {
        return Err("usage: minimal LOCAL_ADDRESS HUB_ADDRESS PRE_SHARED_KEY".into());
    };
    let (local, hub): (IpAddr, IpAddr) = (local.parse()?, hub.parse()?);
    let sockets = [
        UdpSocket::bind((local, IKE_PORT))?,
        UdpSocket::bind((local, NAT_PORT))?,
    ];
    for socket in &sockets {
        socket.set_read_timeout(Some(TURN))?;
    }
    let wall = NtpTimestamp::from_system_time(SystemTime::now());
    let mut branch = Branch::new(Arc::new(config(hub, key)?), Instant::now(), wall);
    branch.handle_link_up(Instant::now(), local);
    let mut buffer = vec![0; 65_536];
    loop {
        flush(&mut branch, &sockets);
        for socket in &sockets {
            receive(&mut branch, socket, &sockets, &mut buffer)?;
        }
        if branch.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            branch.handle_timeout(Instant::now());
        }
    }
}

/// One pair, with the probe that triggers and proves it.
fn config(hub: IpAddr, key: &str) -> Result<BranchConfig, Box<dyn Error>> {
    let crypto = CryptoProvider::rustcrypto();
    let endpoint = EndpointConfig::builder(crypto.ike.clone())
        .ike_port(IKE_PORT)
        .nat_port(NAT_PORT)
        .build()?;
    let ike = PeerConfig::builder(
        "branch1".parse()?,
        "hub".parse()?,
        PreSharedKey::new(key.as_bytes()),
    )
    .encapsulation(Encapsulation::Always);
    let pair = PairConfig::new(
        "telemetry",
        "10.61.1.0/24".parse()?,
        "10.61.3.0/24".parse()?,
    )
    .with_trigger(Trigger::new("10.61.1.1".parse()?, "10.61.3.26".parse()?))?;
    Ok(BranchConfig::builder(endpoint, ike, crypto)
        .ike_port(IKE_PORT)
        .hub(hub)
        .pair(pair)
        .build()?)
}

/// Sends and prints all that the branch has to say.
fn flush(branch: &mut Branch, sockets: &[UdpSocket; 2]) {
    while let Some(transmit) = branch.poll_transmit() {
        send(sockets, transmit.path, &transmit.contents);
    }
    while let Some(event) = branch.poll_event() {
        println!("{event:?}");
    }
}

/// What the kernel does not take is lost, as on any wire: the machines retransmit.
fn send(sockets: &[UdpSocket; 2], path: trigger::Path, octets: &[u8]) {
    let [ike, nat] = sockets;
    let socket = if path.source.port() == NAT_PORT {
        nat
    } else {
        ike
    };
    let _ = socket.send_to(octets, path.destination);
}

fn receive(
    branch: &mut Branch,
    socket: &UdpSocket,
    sockets: &[UdpSocket; 2],
    buffer: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let Ok((len, source)) = socket.recv_from(buffer) else {
        return Ok(());
    };
    let local: SocketAddr = socket.local_addr()?;
    match branch.handle_datagram(Instant::now(), source, local, &mut buffer[..len]) {
        Ok(Received::Packet { packet, .. }) => {
            let mut sealed = vec![0; packet.len() + MAX_OVERHEAD];
            if let Some(reply) = echo_reply(packet)
                && let Ok(Encapsulated::Sealed { path, len, .. }) =
                    branch.encapsulate(Instant::now(), reply, &mut sealed)
            {
                send(sockets, path, &sealed[..len]);
            }
        }
        Ok(_) => {}
        Err(error) => eprintln!("dropped: {error}"),
    }
    Ok(())
}

/// Turns an ICMP echo request into its reply, in place; the sums stay right, or are mended.
fn echo_reply(packet: &mut [u8]) -> Option<&[u8]> {
    if packet.len() < 28 || packet[0] != 0x45 || packet[9] != 1 || packet[20] != 8 {
        return None;
    }
    let (source, destination) = packet[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    packet[20] = 0;
    let sum = u16::from_be_bytes([packet[22], packet[23]]);
    let (sum, carry) = sum.overflowing_add(0x0800);
    packet[22..24].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    Some(packet)
}

//! Inner packets of the daemon itself, where the kernel seals and opens: raw sockets send them whole, and what comes
//! for the probes is heard on NTP's port.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use esp_core::ip::{Dscp, InnerPacket, udp_packet};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::io::{SystemError, would_block};

/// NTP's.
pub(super) const PORT: u16 = 123;
/// `IPPROTO_RAW`: whoever sends writes the header.
const WHOLE_PACKETS: i32 = 255;
/// The longest datagram that is of any interest: NTP with extension fields.
const MAX_LEN: usize = 2048;
/// Datagrams taken from one socket in one turn at most.
const BATCH: usize = 64;

/// Sends inner packets, which the kernel's policies lead into their SAs.
pub(super) struct InnerSender {
    /// For IPv4 and, where there is such, IPv6.
    sockets: Vec<(bool, Socket, UdpSocketState)>,
}

/// Hears what comes to one own private address, of anybody or of one peer.
pub(super) struct Ear {
    socket: UdpSocket,
    own: IpAddr,
    peer: Option<IpAddr>,
}

impl InnerSender {
    pub(super) fn open() -> Result<Self, SystemError> {
        let refused = |error| {
            let remedy = "see that the kernel allows raw sockets";
            SystemError::privileged("open a raw socket for probes", error, remedy)
        };
        let mut sockets = vec![sender(Domain::IPV4).map_err(refused)?];
        // A kernel without IPv6 has no such pairs.
        sockets.extend(sender(Domain::IPV6));
        Ok(Self { sockets })
    }

    /// Sends a whole IP packet from the source that stands in it, whether that is an own address or not.
    pub(super) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let inner =
            InnerPacket::parse(packet).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let family = inner.source().is_ipv4();
        let socket = self.sockets.iter().find(|(four, ..)| *four == family);
        let (_, socket, state) = socket.ok_or(io::ErrorKind::Unsupported)?;
        let transmit = Transmit {
            destination: SocketAddr::new(inner.destination(), 0),
            ecn: None,
            contents: packet,
            segment_size: None,
            src_ip: Some(inner.source()),
        };
        state.try_send(UdpSockRef::from(socket), &transmit)
    }
}

fn sender(domain: Domain) -> io::Result<(bool, Socket, UdpSocketState)> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(WHOLE_PACKETS)))?;
    let four = domain == Domain::IPV4;
    // What was held is from hosts behind this machine.
    if four {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    Ok((four, socket, state))
}

impl Ear {
    /// `own` need not be an address of this machine yet.
    pub(super) fn open(own: IpAddr, peer: Option<IpAddr>) -> Result<Self, SystemError> {
        let listen = || -> io::Result<Self> {
            let address = SocketAddr::new(own, PORT);
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
            socket.set_reuse_address(true)?;
            if own.is_ipv4() {
                socket.set_freebind_v4(true)?;
            } else {
                socket.set_only_v6(true)?;
                socket.set_freebind_v6(true)?;
            }
            socket.bind(&address.into())?;
            if let Some(peer) = peer {
                socket.connect(&SocketAddr::new(peer, PORT).into())?;
            }
            socket.set_nonblocking(true)?;
            Ok(Self {
                socket: socket.into(),
                own,
                peer,
            })
        };
        listen().map_err(|error| {
            let action = format!("hear the probes on {own}, UDP port {PORT}");
            let remedy = "another NTP daemon has the port and shares it with nobody (`ss -lunp` names it): stop it, or set `dataplane = \"user\"`";
            SystemError::privileged(action, error, remedy)
        })
    }

    pub(super) fn is_for(&self, own: IpAddr, peer: Option<IpAddr>) -> bool {
        self.own == own && self.peer == peer
    }

    /// What has come, each as the whole IP packet that it was.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut datagram = [0; MAX_LEN];
        for _ in 0..BATCH {
            let (len, source) = match self.socket.recv_from(&mut datagram) {
                Ok(received) => received,
                Err(error) if would_block(&error) => break,
                // An answer "unreachable" to a probe is an error of this socket, once.
                Err(_) => continue,
            };
            let payload = datagram.get(..len).unwrap_or_default();
            let mut packet = Vec::new();
            let destination = SocketAddr::new(self.own, PORT);
            let made = udp_packet(source, destination, Dscp::default(), payload, &mut packet);
            if made.is_ok() {
                packets.push(packet);
            }
        }
        packets
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

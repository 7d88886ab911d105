//! The outer side: UDP sockets for IKE and encapsulated ESP, raw sockets for ESP right above IP.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ike_core::Encapsulation;
use nix::sys::socket::sockopt::{ReceiveTimestampns, UdpGroSegment};
use nix::sys::socket::{getsockopt, setsockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::info;
use trigger::{Carrier, Datagram, Path};

use super::batch::{self, Way};
use super::train::Train;
use super::udp_encap::{ESP_IN_UDP, NOTHING, UdpEncap};
use super::{SystemError, is_errno};
use crate::handover::{Handover, Piece};
use crate::settings::GatewaySettings;

/// Octets that one call may receive into one buffer: the most that the kernel merges.
const BUFFER_LEN: usize = 65_536;
/// From one buffer to the next. Were it a power of two, single datagrams would all lie in the same few lines of the cache.
const BUFFER_STRIDE: usize = BUFFER_LEN + 1_536;
/// IP protocol number of ESP, RFC 4303.
const ESP: i32 = 50;
/// Socket buffers: some 10 ms of a gigabit link, and a burst of a thousand branches.
const RECEIVE_BUFFER: usize = 8 << 20;
const SEND_BUFFER: usize = 4 << 20;

/// Who seals and opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EspBy {
    /// This program: its sockets receive ESP.
    Program,
    /// The kernel: ESP never comes to a socket.
    Kernel,
}

impl EspBy {
    /// By the kernel, or not.
    #[must_use]
    pub const fn of(kernel: bool) -> Self {
        if kernel { Self::Kernel } else { Self::Program }
    }
}

/// Memory for one batch of received datagrams.
pub struct ReceiveBuffers {
    octets: Vec<u8>,
    meta: Vec<RecvMeta>,
}

/// One socket of the outer side.
struct OuterSocket {
    socket: Socket,
    state: UdpSocketState,
    carrier: Carrier,
    /// What it is bound to; the address may be unspecified.
    bound: SocketAddr,
    /// Whether the kernel cuts one long send into datagrams.
    cuts: Cell<bool>,
}

/// All sockets of the outer side.
pub struct OuterSockets {
    sockets: Vec<OuterSocket>,
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self {
            octets: vec![0; BATCH_SIZE * BUFFER_STRIDE],
            meta: vec![RecvMeta::default(); BATCH_SIZE],
        }
    }
}

impl OuterSockets {
    /// Opens a socket on each port of each address, and for ESP above IP where the settings leave that open. What
    /// a predecessor has handed over is open already.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(
        settings: &GatewaySettings,
        esp: EspBy,
        handover: &mut Handover,
    ) -> Result<Self, SystemError> {
        let mut sockets = Vec::new();
        for (address, required) in addresses(&settings.listen) {
            let opened = open_address(settings, address, esp, handover);
            match opened {
                Ok(opened) => sockets.extend(opened),
                Err(error) if required => return Err(error),
                Err(error) => info!(%error, "IPv4 only"),
            }
        }
        if !settings.tun.offload {
            info!("`offload = false`: packets travel one by one");
            sockets.iter().for_each(OuterSocket::do_without_offload);
        }
        let lacks = sockets.iter().filter(|_| settings.tun.offload);
        for lack in lacking(lacks) {
            info!("{lack}");
        }
        Ok(Self { sockets })
    }

    /// The sockets of `nat_port` give ESP from now on, or leave it to the kernel. A predecessor has the same sockets, so
    /// this is for when it has departed.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn leave_esp_to(&self, esp: EspBy, nat_port: u16) -> Result<(), SystemError> {
        let is_nat =
            |outer: &&OuterSocket| outer.carrier == Carrier::Udp && outer.bound.port() == nat_port;
        for outer in self.sockets.iter().filter(is_nat) {
            outer.leave_esp_to(esp).map_err(|error| {
                let action = format!("leave ESP on {} to the kernel", outer.bound);
                SystemError::new(action, error, "set `dataplane = \"user\"`")
            })?;
        }
        Ok(())
    }

    /// The same sockets for another thread, which sends through them.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let sockets = self.sockets.iter().map(OuterSocket::try_clone);
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
        })
    }

    /// What a successor is handed.
    pub(crate) fn pieces(&self) -> io::Result<Vec<(Piece, OwnedFd)>> {
        let piece = |outer: &OuterSocket| {
            let piece = match outer.carrier {
                Carrier::Udp => Piece::Udp { bound: outer.bound },
                Carrier::Esp | _ => Piece::Esp {
                    address: outer.bound.ip(),
                },
            };
            Ok((piece, outer.socket.as_fd().try_clone_to_owned()?))
        };
        self.sockets.iter().map(piece).collect()
    }

    /// The sockets to wait for, in the order of their indices.
    pub fn fds(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|outer| outer.socket.as_fd())
    }

    /// Receives one batch from the socket at `index` and gives its datagrams one by one.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` when there is nothing.
    pub fn receive<'b>(
        &self,
        index: usize,
        buffers: &'b mut ReceiveBuffers,
    ) -> io::Result<impl Iterator<Item = Datagram<'b>> + use<'b>> {
        let outer = self
            .sockets
            .get(index)
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let ReceiveBuffers { octets, meta } = buffers;
        let mut slices: Vec<_> = octets
            .chunks_exact_mut(BUFFER_STRIDE)
            .map(IoSliceMut::new)
            .collect();
        let count = outer
            .state
            .recv(UdpSockRef::from(&outer.socket), &mut slices, meta)?;
        let (bound, carrier) = (outer.bound, outer.carrier);
        let received = meta.iter().zip(octets.chunks_exact_mut(BUFFER_STRIDE));
        Ok(received.take(count).flat_map(move |(meta, buffer)| {
            let destination =
                SocketAddr::new(meta.dst_ip.unwrap_or_else(|| bound.ip()), bound.port());
            let received = buffer.get_mut(..meta.len).unwrap_or_default();
            let (octets, len, source) = match carrier {
                // The kernel merges datagrams of one flow; each of them is looked at by itself.
                Carrier::Udp => (received, meta.stride, meta.addr),
                Carrier::Esp | _ => {
                    let esp = esp_of(received, meta.addr.is_ipv4()).unwrap_or_default();
                    let len = esp.len();
                    (esp, len, SocketAddr::new(meta.addr.ip(), 0))
                }
            };
            octets
                .chunks_mut(len.max(1))
                .map(move |octets| Datagram::new(source, destination, carrier, octets))
        }))
    }

    /// Sends one datagram along `path`.
    ///
    /// # Errors
    ///
    /// What the system says. The datagram is then lost as it might be on the way.
    pub fn send(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let outer = self.sender(path).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let destination = match path.carrier {
            Carrier::Udp => path.destination,
            Carrier::Esp | _ => SocketAddr::new(path.destination.ip(), 0),
        };
        let source = path.source.ip();
        let transmit = quinn_udp::Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: (!source.is_unspecified()).then_some(source),
        };
        outer
            .state
            .try_send(UdpSockRef::from(&outer.socket), &transmit)
    }

    /// Sends the packets of a train, which are sealed; how many were lost, and why the last of those.
    pub fn send_train(&self, path: &Path, train: &Train) -> (u64, Option<io::Error>) {
        let count = train.len() as u64;
        let first = train.ranges().next().unwrap_or_default();
        let Some(outer) = self.sender(path) else {
            return (count, Some(io::ErrorKind::AddrNotAvailable.into()));
        };
        if first.end == train.contents().len() {
            return match self.send(path, train.contents()) {
                Ok(()) => (0, None),
                Err(error) => (count, Some(error)),
            };
        }
        let source = path.source.ip();
        let way = Way {
            source: (!source.is_unspecified()).then_some(source),
            destination: match path.carrier {
                Carrier::Udp => path.destination,
                Carrier::Esp | _ => SocketAddr::new(path.destination.ip(), 0),
            },
        };
        if outer.cuts.get()
            && let Ok(segment_len) = u16::try_from(first.len())
        {
            match batch::segmented(&outer.socket, way, train.contents(), segment_len) {
                Ok(()) => return (0, None),
                // The device can compute no checksums, so that the kernel will not cut for it.
                Err(error) if is_errno(&error, Errno::IO) => {
                    outer.cuts.set(false);
                    info!(
                        bound = %outer.bound,
                        "a network device computes no checksums: datagrams are sent one by one"
                    );
                }
                // Longer than this path's MTU: what is sent one by one may be fragmented.
                Err(error)
                    if is_errno(&error, Errno::INVAL) || is_errno(&error, Errno::MSGSIZE) => {}
                Err(error) => return (count, Some(error)),
            }
        }
        outer.send_listed(way, train)
    }

    /// The socket that may send from the path's source: the one bound to it, else one bound to any address.
    fn sender(&self, path: &Path) -> Option<&OuterSocket> {
        let suits = |outer: &&OuterSocket| {
            outer.carrier == path.carrier
                && outer.bound.is_ipv4() == path.destination.is_ipv4()
                && (outer.carrier == Carrier::Esp || outer.bound.port() == path.source.port())
        };
        let candidates = || self.sockets.iter().filter(suits);
        candidates()
            .find(|outer| outer.bound.ip() == path.source.ip())
            .or_else(|| candidates().find(|outer| outer.bound.ip().is_unspecified()))
    }
}

/// What the kernel cannot do, each said once however many sockets there are; it is done without, at more cost for each packet.
fn lacking<'s>(
    sockets: impl Iterator<Item = &'s OuterSocket> + Clone,
) -> impl Iterator<Item = &'static str> {
    let mut udp = sockets.filter(|outer| outer.carrier == Carrier::Udp);
    let cuts = udp.clone().all(|outer| outer.cuts.get());
    let merges = udp.all(|outer| outer.state.gro_segments() != 1);
    let cutting = "this kernel cuts no datagrams (UDP_SEGMENT): they are sent one by one";
    let merging = "this kernel merges no datagrams (UDP_GRO): they are received one by one";
    [(cuts, cutting), (merges, merging)]
        .into_iter()
        .filter_map(|(there, lack)| (!there).then_some(lack))
}

/// The addresses to bind, and whether failing to is an error.
fn addresses(listen: &[IpAddr]) -> Vec<(IpAddr, bool)> {
    if listen.is_empty() {
        return vec![
            (Ipv4Addr::UNSPECIFIED.into(), true),
            (Ipv6Addr::UNSPECIFIED.into(), false),
        ];
    }
    listen.iter().map(|address| (*address, true)).collect()
}

fn open_address(
    settings: &GatewaySettings,
    address: IpAddr,
    esp: EspBy,
    handover: &mut Handover,
) -> Result<Vec<OuterSocket>, SystemError> {
    let mut opened = Vec::new();
    for (port, name) in [
        (settings.ike_port, "ike_port"),
        (settings.nat_port, "nat_port"),
    ] {
        let bound = SocketAddr::new(address, port);
        let inherited = handover.take(|piece| *piece == Piece::Udp { bound });
        let socket = OuterSocket::udp(bound, inherited.map(|(_, fd)| fd));
        opened.push(socket.map_err(|error| udp_error(bound, name, error))?);
    }
    if settings.encapsulation == Encapsulation::Auto && esp == EspBy::Program {
        let inherited = handover.take(|piece| *piece == Piece::Esp { address });
        let socket = OuterSocket::esp(address, inherited.map(|(_, fd)| fd));
        opened.push(socket.map_err(|error| {
            SystemError::privileged(
                format!("open a raw socket for ESP on {address}"),
                error,
                "set `encapsulation = \"always\"` to do without",
            )
        })?);
    }
    Ok(opened)
}

fn udp_error(bound: SocketAddr, name: &str, error: io::Error) -> SystemError {
    let action = format!("open UDP port {bound}");
    if error.kind() == io::ErrorKind::AddrInUse {
        let remedy = format!(
            "another IKE daemon has the port (`ss -lunp` names it): stop it, or set another {name}"
        );
        SystemError::new(action, error, remedy)
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        SystemError::new(
            action,
            error,
            "this machine lacks the address: correct `listen`, or leave it out for any",
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        let remedy =
            format!("run as root or with CAP_NET_BIND_SERVICE, or set an {name} above 1023");
        SystemError::new(action, error, remedy)
    } else {
        SystemError::new(action, error, format!("check `listen` and `{name}`"))
    }
}

impl OuterSocket {
    fn send_listed(&self, way: Way, train: &Train) -> (u64, Option<io::Error>) {
        let (mut sent, mut lost, mut reason) = (0, 0, None);
        while sent < train.len() {
            match batch::listed(
                &self.socket,
                way,
                train.contents(),
                train.ranges().skip(sent),
            ) {
                Ok(count) if count != 0 => sent += count,
                refused => {
                    reason = refused.err().or(reason);
                    sent += 1;
                    lost += 1;
                }
            }
        }
        (lost, reason)
    }

    /// A socket for ESP in UDP gives only IKE from now on, if the kernel is to take the rest.
    fn leave_esp_to(&self, esp: EspBy) -> io::Result<()> {
        match esp {
            EspBy::Kernel => {
                // Merged datagrams would not be taken apart again for the kernel's own ESP.
                let _ = setsockopt(&self.socket, UdpGroSegment, &false);
                Ok(setsockopt(&self.socket, UdpEncap, &ESP_IN_UDP)?)
            }
            EspBy::Program => {
                // Only after a predecessor that left it to the kernel: to a socket that was ever asked, even for
                // nothing, the kernel gives datagrams one by one.
                if getsockopt(&self.socket, UdpEncap).is_ok_and(|former| former != NOTHING) {
                    info!(
                        "the predecessor left ESP to the kernel: until the next start, datagrams are received one by one"
                    );
                    setsockopt(&self.socket, UdpEncap, &NOTHING)?;
                }
                Ok(())
            }
        }
    }

    /// Sends and receives datagrams one by one from now on.
    fn do_without_offload(&self) {
        self.cuts.set(false);
        if self.carrier == Carrier::Udp {
            // A kernel that knows no merging has nothing to switch off.
            let _ = setsockopt(&self.socket, UdpGroSegment, &false);
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        let socket = self.socket.try_clone()?;
        Ok(Self {
            state: UdpSocketState::new(UdpSockRef::from(&socket))?,
            socket,
            carrier: self.carrier,
            bound: self.bound,
            cuts: self.cuts.clone(),
        })
    }

    fn udp(bound: SocketAddr, inherited: Option<OwnedFd>) -> io::Result<Self> {
        let socket = match inherited {
            Some(fd) => Socket::from(fd),
            None => Self::bind(Type::DGRAM, Protocol::UDP, bound)?,
        };
        Self::new(socket, Carrier::Udp, bound)
    }

    fn esp(address: IpAddr, inherited: Option<OwnedFd>) -> io::Result<Self> {
        let bound = SocketAddr::new(address, 0);
        let socket = match inherited {
            Some(fd) => Socket::from(fd),
            None => Self::bind(Type::RAW, Protocol::from(ESP), bound)?,
        };
        Self::new(socket, Carrier::Esp, bound)
    }

    fn bind(kind: Type, protocol: Protocol, bound: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(bound), kind, Some(protocol))?;
        // A raw IPv6 socket has no other choice, and refuses to be asked.
        if bound.is_ipv6() && kind == Type::DGRAM {
            socket.set_only_v6(true)?;
        }
        socket.bind(&bound.into())?;
        Ok(socket)
    }

    fn new(socket: Socket, carrier: Carrier, bound: SocketAddr) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        ask_for_less(&socket, bound);
        // A gateway must not lose what does not fit the next link: let routers fragment.
        if bound.is_ipv4() {
            sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
        } else {
            sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        }
        enlarge_buffers(&socket)?;
        let cuts = carrier == Carrier::Udp && state.max_gso_segments() != 1;
        Ok(Self {
            cuts: Cell::new(cuts),
            socket,
            state,
            carrier,
            bound,
        })
    }
}

/// quinn-udp has the kernel say of each datagram when it came and with which type of service. Nobody here reads that, and where
/// datagrams come one by one it is a part of their cost. A kernel that does not know an option has nothing to say.
fn ask_for_less(socket: &Socket, bound: SocketAddr) {
    let _ = setsockopt(socket, ReceiveTimestampns, &false);
    let _ = if bound.is_ipv4() {
        sockopt::set_ip_recvtos(socket, false)
    } else {
        sockopt::set_ipv6_recvtclass(socket, false)
    };
}

/// Asks for large buffers, beyond the system's limit where we may.
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_send_buffer_size(SEND_BUFFER)
}

/// The ESP packet within what a raw socket gives: IPv4 comes with its header, IPv6 without.
fn esp_of(received: &mut [u8], ipv4: bool) -> Option<&mut [u8]> {
    let header = match received.first() {
        Some(first) if ipv4 => usize::from(first & 0x0f) * 4,
        Some(_) | None => 0,
    };
    received.get_mut(header..).filter(|esp| !esp.is_empty())
}

/// Whether a failed send is the network's doing and not worth more than a counter.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    super::would_block(error)
        || [
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
            Errno::NETDOWN,
            Errno::NOBUFS,
            Errno::CONNREFUSED,
            Errno::ADDRNOTAVAIL,
        ]
        .iter()
        .any(|errno| is_errno(error, *errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_socket_gives_ipv4_with_its_header() {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[20] = 7;
        assert_eq!(esp_of(&mut packet, true).unwrap(), [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(esp_of(&mut packet, false).unwrap().len(), 28);
        assert!(esp_of(&mut [0x4f; 20], true).is_none());
        assert!(esp_of(&mut [], true).is_none());
    }

    #[test]
    fn an_address_we_lack_is_named_with_a_remedy() {
        let bound = SocketAddr::from(([192, 0, 2, 77], 5500));
        let error = udp_error(
            bound,
            "ike_port",
            OuterSocket::udp(bound, None).err().unwrap(),
        );
        let text = error.to_string();
        assert!(
            text.contains("192.0.2.77:5500") && text.contains("`listen`"),
            "{text}"
        );
    }

    #[test]
    fn a_port_in_use_is_named_with_a_remedy() {
        let first = OuterSocket::udp(([127, 0, 0, 1], 0).into(), None).unwrap();
        let taken = first.socket.local_addr().unwrap().as_socket().unwrap();
        let error = udp_error(
            taken,
            "nat_port",
            OuterSocket::udp(taken, None).err().unwrap(),
        );
        let text = error.to_string();
        assert!(
            text.contains("another IKE daemon") && text.contains("nat_port"),
            "{text}"
        );
    }

    /// A socket, and another to which it has sent packets as one train: what arrived, in its order.
    fn sent(prepare: impl Fn(&OuterSocket), packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (arrived, _) = received(prepare, packets);
        arrived
    }

    /// The same, and whether the kernel gave several of them at once.
    fn received(prepare: impl Fn(&OuterSocket), packets: &[Vec<u8>]) -> (Vec<Vec<u8>>, bool) {
        let [sender, receiver] =
            [(); 2].map(|()| OuterSocket::udp(([127, 0, 0, 1], 0).into(), None));
        let [mut sender, receiver] = [sender.unwrap(), receiver.unwrap()];
        let address = |outer: &OuterSocket| {
            let address = outer.socket.local_addr().unwrap();
            address.as_socket().unwrap()
        };
        let path = trigger_path(address(&sender), address(&receiver));
        sender.bound = address(&sender);
        prepare(&sender);
        prepare(&receiver);
        let [sender, receiver] = [sender, receiver].map(|outer| OuterSockets {
            sockets: vec![outer],
        });
        let lost = sender.send_train(&path, &Train::of(packets));
        assert!(matches!(lost, (0, None)), "{lost:?}");
        let mut buffers = ReceiveBuffers::default();
        let (mut arrived, mut merged) = (Vec::new(), false);
        while arrived.len() < packets.len() {
            match receiver.receive(0, &mut buffers) {
                Ok(datagrams) => arrived.extend(datagrams.map(|datagram| {
                    assert_eq!(datagram.source, path.source);
                    datagram.contents.to_vec()
                })),
                Err(error) => assert!(super::super::would_block(&error), "{error}"),
            }
            merged |= buffers.meta.iter().any(|meta| meta.stride < meta.len);
        }
        (arrived, merged)
    }

    #[test]
    fn the_kernel_gives_datagrams_together_unless_it_takes_the_esp_out() {
        let packets = vec![vec![1; 1000]; 8];
        let by = |esp: EspBy| move |outer: &OuterSocket| outer.leave_esp_to(esp).unwrap();
        let (_, untouched) = received(|_| {}, &packets);
        let (_, by_program) = received(by(EspBy::Program), &packets);
        assert_eq!(by_program, untouched);
        let (_, without) = received(OuterSocket::do_without_offload, &packets);
        assert!(!without);
    }

    fn trigger_path(source: SocketAddr, destination: SocketAddr) -> Path {
        Path::new(source, destination, Carrier::Udp)
    }

    #[test]
    fn a_train_arrives_as_datagrams_in_their_order_whether_the_kernel_cuts_or_not() {
        let packets: Vec<Vec<u8>> = (0..40_u8)
            .map(|number| vec![number; if number == 39 { 7 } else { 1000 }])
            .collect();
        assert_eq!(sent(|_| {}, &packets), packets);
        assert_eq!(sent(|outer| outer.cuts.set(false), &packets), packets);
        assert_eq!(sent(OuterSocket::do_without_offload, &packets), packets);
    }

    #[test]
    fn what_the_kernel_lacks_is_said_once_for_all_sockets() {
        let sockets: Vec<OuterSocket> = (0..3)
            .map(|_| OuterSocket::udp(([127, 0, 0, 1], 0).into(), None).unwrap())
            .collect();
        assert_eq!(lacking(sockets.iter()).count(), 0);
        for outer in &sockets {
            outer.cuts.set(false);
            let lacks: Vec<_> = lacking(sockets.iter()).collect();
            assert_eq!(lacks.len(), 1);
            assert!(lacks[0].contains("UDP_SEGMENT"));
        }
    }

    #[test]
    fn a_datagram_says_which_own_address_it_came_to() {
        let any = OuterSocket::udp(([0, 0, 0, 0], 0).into(), None).unwrap();
        let port = any.socket.local_addr().unwrap().as_socket().unwrap().port();
        let outer = OuterSockets {
            sockets: vec![OuterSocket {
                bound: ([0, 0, 0, 0], port).into(),
                ..any
            }],
        };
        let peer = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
        peer.send_to(b"hello", ("127.0.0.3", port)).unwrap();
        let mut seen = None;
        let mut buffers = ReceiveBuffers::default();
        while seen.is_none() {
            match outer.receive(0, &mut buffers) {
                Ok(received) => {
                    seen = received
                        .map(|datagram| {
                            (
                                datagram.source,
                                datagram.destination,
                                datagram.contents.to_vec(),
                            )
                        })
                        .next();
                }
                Err(error) => assert!(super::super::would_block(&error), "{error}"),
            }
        }
        let (source, destination, octets) = seen.unwrap();
        assert_eq!(
            (source, octets.as_slice()),
            (peer.local_addr().unwrap(), b"hello".as_slice())
        );
        assert_eq!(destination, SocketAddr::from(([127, 0, 0, 3], port)));
    }
}

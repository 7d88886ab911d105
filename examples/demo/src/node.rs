//! One machine on real UDP sockets, in a thread of its own. To kill it is to drop it: no
//! Delete, no farewell, as when the power fails.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use trigger::{Branch, Encapsulated, Event, Hub, MAX_OVERHEAD, Path, Received, Transmit};

const IKE: Token = Token(0);
const NAT: Token = Token(1);
const WAKE: Token = Token(2);

/// The two sockets of a machine.
#[derive(Debug)]
pub struct Sockets {
    ike: UdpSocket,
    nat: UdpSocket,
}

/// Ports of a machine: IKE's and NAT traversal's.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub address: IpAddr,
    pub ike: u16,
    pub nat: u16,
}

impl Sockets {
    /// Binds both sockets; port 0 takes any that is free.
    pub fn bind(address: IpAddr, ike: u16, nat: u16) -> anyhow::Result<(Self, Ports)> {
        let bind = |port| {
            UdpSocket::bind(SocketAddr::new(address, port))
                .with_context(|| format!("cannot bind UDP {address}:{port}"))
        };
        let sockets = Self {
            ike: bind(ike)?,
            nat: bind(nat)?,
        };
        let ports = Ports {
            address,
            ike: sockets.ike.local_addr()?.port(),
            nat: sockets.nat.local_addr()?.port(),
        };
        Ok((sockets, ports))
    }
}

/// A branch or a hub.
#[expect(clippy::large_enum_variant, reason = "there are two of them")]
#[derive(Debug)]
pub enum Machine {
    Branch(Branch),
    Hub(Hub),
}

/// What a node reports.
#[derive(Debug)]
pub enum Report {
    /// A fact of the machine.
    Event(Event),
    /// An inner packet that came out of the tunnel.
    Delivered(Vec<u8>),
}

/// A running machine.
#[derive(Debug)]
pub struct Node {
    packets: Option<Sender<Vec<u8>>>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    pub reports: Receiver<(Instant, Report)>,
}

impl Node {
    /// Runs `machine`. What comes out of the tunnel is given to `inside`, whose answer goes back
    /// in; what it does not answer is reported.
    pub fn start(
        machine: Machine,
        mut sockets: Sockets,
        inside: fn(&[u8]) -> Option<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut sockets.ike, IKE, Interest::READABLE)?;
        poll.registry()
            .register(&mut sockets.nat, NAT, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (packets, inbox) = channel();
        let (outbox, reports) = channel();
        let running = Running {
            machine,
            sockets,
            poll,
            inside,
            inbox,
            outbox,
        };
        let thread = std::thread::spawn(move || running.run());
        Ok(Self {
            packets: Some(packets),
            waker,
            thread: Some(thread),
            reports,
        })
    }

    /// Hands an inner packet to the machine.
    pub fn send(&self, packet: Vec<u8>) {
        if let Some(packets) = &self.packets
            && packets.send(packet).is_ok()
        {
            let _ = self.waker.wake();
        }
    }

    /// Ends it at once. The sockets are closed when this returns.
    pub fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.packets = None;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Running {
    machine: Machine,
    sockets: Sockets,
    poll: Poll,
    inside: fn(&[u8]) -> Option<Vec<u8>>,
    inbox: Receiver<Vec<u8>>,
    outbox: Sender<(Instant, Report)>,
}

impl Running {
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        let mut buffer = vec![0; 65_536];
        loop {
            self.flush();
            let now = clock();
            let timeout = self
                .machine
                .poll_timeout()
                .map(|at| at.saturating_duration_since(now));
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                return;
            }
            self.receive(NAT, &mut buffer);
            self.receive(IKE, &mut buffer);
            loop {
                match self.inbox.try_recv() {
                    Ok(packet) => self.encapsulate(&packet),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.machine.handle_timeout(clock());
        }
    }

    /// Sends and reports all that the machine has to say.
    fn flush(&mut self) {
        while let Some(Transmit { path, contents, .. }) = self.machine.poll_transmit() {
            self.transmit(path, &contents);
        }
        while let Some(event) = self.machine.poll_event() {
            let _ = self.outbox.send((clock(), Report::Event(event)));
        }
    }

    fn transmit(&self, path: Path, contents: &[u8]) {
        let on_nat = self
            .sockets
            .nat
            .local_addr()
            .is_ok_and(|local| local.port() == path.source.port());
        let socket = if on_nat {
            &self.sockets.nat
        } else {
            &self.sockets.ike
        };
        // What the kernel does not take is lost, as it may be on any wire.
        let _ = socket.send_to(contents, path.destination);
    }

    fn receive(&mut self, token: Token, buffer: &mut [u8]) {
        loop {
            let socket = if token == NAT {
                &self.sockets.nat
            } else {
                &self.sockets.ike
            };
            let Ok(local) = socket.local_addr() else {
                return;
            };
            let Ok((len, source)) = socket.recv_from(buffer) else {
                return;
            };
            let Some(contents) = buffer.get_mut(..len) else {
                return;
            };
            if let Ok(Received::Packet { packet, .. }) =
                self.machine
                    .handle_datagram(clock(), source, local, contents)
            {
                match (self.inside)(packet) {
                    Some(answer) => self.encapsulate(&answer),
                    None => {
                        let _ = self
                            .outbox
                            .send((clock(), Report::Delivered(packet.to_vec())));
                    }
                }
            }
            self.flush();
        }
    }

    fn encapsulate(&mut self, packet: &[u8]) {
        let mut out = vec![0; packet.len() + MAX_OVERHEAD];
        if let Ok(Encapsulated::Sealed { path, len, .. }) =
            self.machine.encapsulate(clock(), packet, &mut out)
            && let Some(sealed) = out.get(..len)
        {
            self.transmit(path, sealed);
        }
    }
}

impl Machine {
    fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &'a mut [u8],
    ) -> Result<Received<'a>, trigger::DatagramError> {
        match self {
            Self::Branch(branch) => branch.handle_datagram(now, source, destination, contents),
            Self::Hub(hub) => hub.handle_datagram(now, source, destination, contents),
        }
    }

    fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, trigger::EncapsulateError> {
        match self {
            Self::Branch(branch) => branch.encapsulate(now, packet, out),
            Self::Hub(hub) => hub.encapsulate(now, packet, out),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Branch(branch) => branch.handle_timeout(now),
            Self::Hub(hub) => hub.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Branch(branch) => branch.poll_transmit(),
            Self::Hub(hub) => hub.poll_transmit(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Branch(branch) => branch.poll_event(),
            Self::Hub(hub) => hub.poll_event(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Branch(branch) => branch.poll_timeout(),
            Self::Hub(hub) => hub.poll_timeout(),
        }
    }
}

/// The only clock of the demonstration.
#[expect(
    clippy::disallowed_methods,
    reason = "a driver has to read the clock somewhere"
)]
pub fn clock() -> Instant {
    Instant::now()
}

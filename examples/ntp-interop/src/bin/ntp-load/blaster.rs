//! The load: a fixed number of requests on their way at any time, from many ports.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result};
use ntp_core::{Mode, Packet, Version};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

/// Ports that requests come from.
const SOCKETS: usize = 32;
/// Requests on their way per port.
const WINDOW: usize = 16;
/// After this long without an answer, a port's requests are given up as lost.
const PATIENCE: Duration = Duration::from_millis(20);
const BUFFER_LEN: usize = 2048;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volley {
    /// Answers received.
    pub answers: u64,
    /// For how long requests were sent.
    pub elapsed: Duration,
}

struct Client {
    socket: UdpSocket,
    state: UdpSocketState,
    open: usize,
    last: Instant,
}

/// Loads a server for that long.
pub fn blast(server: SocketAddr, length: Duration) -> Result<Volley> {
    let mut request = Packet::new(Version::V4, Mode::Client);
    request.transmit.0 = 0x0123_4567_89AB_CDEF;
    let request = request.encode();
    let began = Instant::now();
    let mut clients = (0..SOCKETS)
        .map(|_| Client::new(server, began))
        .collect::<Result<Vec<_>>>()?;
    let mut answers = 0;
    while began.elapsed() < length {
        for client in &mut clients {
            answers += client.receive()?;
            client.send(&request);
        }
    }
    Ok(Volley {
        answers,
        elapsed: began.elapsed(),
    })
}

impl Client {
    fn new(server: SocketAddr, now: Instant) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("a port to send from")?;
        socket.connect(server)?;
        let state = UdpSocketState::new((&socket).into()).context("preparing a socket")?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            state,
            open: 0,
            last: now,
        })
    }

    fn receive(&mut self) -> Result<u64> {
        let mut storage = [[0; BUFFER_LEN]; BATCH_SIZE];
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut buffers = storage.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let count = match self
            .state
            .recv((&self.socket).into(), &mut buffers, &mut metas)
        {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("receiving answers"),
        };
        let answers: usize = metas
            .iter()
            .take(count)
            .map(|meta| meta.len.div_ceil(meta.stride.max(1)))
            .sum();
        if 0 < answers {
            self.last = Instant::now();
        } else if PATIENCE < self.last.elapsed() {
            self.open = 0;
        }
        self.open = self.open.saturating_sub(answers);
        Ok(answers as u64)
    }

    /// Fills the window up, half a window at a time so that a call carries several.
    fn send(&mut self, request: &[u8]) {
        let free = WINDOW - self.open;
        if free < WINDOW / 2 {
            return;
        }
        let slice = [IoSlice::new(request)];
        let mut controls: [_; WINDOW] = core::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut messages: Vec<_> = controls
            .iter_mut()
            .take(free)
            .map(|control| MMsgHdr::new(&slice, control))
            .collect();
        // What the socket has no room for goes with the next call.
        self.open += sendmmsg(&self.socket, &mut messages, SendFlags::DONTWAIT).unwrap_or(0);
    }
}

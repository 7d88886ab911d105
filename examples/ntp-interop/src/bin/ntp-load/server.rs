//! ntp-core's server with batched system calls: up to 32 requests per call in, as many replies per call out.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use ntp_core::crypto::rustcrypto::OsRandom;
use ntp_core::message::MAX_MESSAGE_LEN;
use ntp_core::{Datagram, NtpTimestamp, Server, ServerConfig, Stratum, SystemVariables};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// Room for one received buffer; the kernel may put several datagrams of one sender into it.
const BUFFER_LEN: usize = 2048;

/// How long requests gather while they keep coming: a batch costs hardly more than one of them.
const GATHER: Duration = Duration::from_micros(100);

/// Requests per system call that are answered together.
const MAX_REPLIES: usize = 64;

/// Replies that wait for one system call.
#[derive(Default)]
struct Replies {
    waiting: Vec<(SocketAddrAny, usize, [u8; MAX_MESSAGE_LEN])>,
}

/// Serves until the process is ended.
pub fn serve(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("binding to {address}"))?;
    let state = UdpSocketState::new((&socket).into()).context("preparing the socket")?;
    socket.set_nonblocking(true)?;
    let mut server = Server::new(ServerConfig::new(), &OsRandom, Instant::now());
    server.set_system(SystemVariables::local(Stratum(5)));
    let mut storage = vec![[0; BUFFER_LEN]; BATCH_SIZE];
    let mut metas = vec![RecvMeta::default(); BATCH_SIZE];
    let mut replies = Replies::default();
    let mut is_busy = false;
    loop {
        let mut buffers: Vec<_> = storage
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer))
            .collect();
        let count = match state.recv((&socket).into(), &mut buffers, &mut metas) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if is_busy {
                    // Lets a batch gather. The kernel notes when each request arrives, so no time is lost.
                    sleep(GATHER);
                } else {
                    poll(&mut [PollFd::new(&socket, PollFlags::IN)], None)?;
                }
                is_busy = false;
                continue;
            }
            Err(error) => return Err(error).context("receiving"),
        };
        is_busy = true;
        let now = Instant::now();
        for (meta, buffer) in metas.iter().zip(&storage).take(count) {
            let received = buffer.get(..meta.len).unwrap_or_default();
            for contents in received.chunks(meta.stride.max(1)) {
                let request = Datagram::new(meta.addr, address, contents);
                replies.add(&mut server, now, meta, request);
                if replies.waiting.len() == MAX_REPLIES {
                    replies.send(&socket)?;
                }
            }
        }
        replies.send(&socket)?;
    }
}

impl Replies {
    fn add(&mut self, server: &mut Server, now: Instant, meta: &RecvMeta, request: Datagram<'_>) {
        let wall = SystemTime::now();
        // The kernel noted when the request arrived, before it waited for us.
        let arrived = meta
            .timestamp
            .map_or(wall, |since| SystemTime::UNIX_EPOCH + since);
        let (receive, transmit) = (
            NtpTimestamp::from_system_time(arrived),
            NtpTimestamp::from_system_time(wall),
        );
        let mut reply = [0; MAX_MESSAGE_LEN];
        if let Ok(len) = server.respond_into(now, receive, transmit, request, &mut reply) {
            self.waiting.push((request.source.into(), len, reply));
        }
    }

    fn send(&mut self, socket: &UdpSocket) -> Result<()> {
        let slices: Vec<_> = self
            .waiting
            .iter()
            .map(|(_, len, reply)| [IoSlice::new(reply.get(..*len).unwrap_or_default())])
            .collect();
        let mut controls: Vec<_> = slices
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let mut messages: Vec<_> = self
            .waiting
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|(((address, ..), slice), control)| {
                MMsgHdr::new_with_addr(address, slice, control)
            })
            .collect();
        if !messages.is_empty() {
            // A reply that the socket has no room for is lost, as it would be on the wire.
            let _ = sendmmsg(socket, &mut messages, SendFlags::DONTWAIT);
        }
        drop(messages);
        drop(controls);
        drop(slices);
        self.waiting.clear();
        Ok(())
    }
}

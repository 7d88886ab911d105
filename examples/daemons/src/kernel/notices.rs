//! What the kernel says of its own accord: a packet without an SA, an SA that is worn out, a peer that has moved.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_xfrm::XfrmMessage;
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};

use super::netlink::messages;
use crate::io::would_block;

/// Multicast groups of XFRM.
const ACQUIRE: u32 = 1;
const EXPIRE: u32 = 2;
const MAPPING: u32 = 8;

/// Datagrams taken in one turn at most.
const BATCH: usize = 64;

/// Listens to the kernel.
pub(super) struct Notices {
    socket: Socket,
}

impl Notices {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in [ACQUIRE, EXPIRE, MAPPING] {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    /// What has been said, up to a limit. Some of it may be lost: probes find out what that was about.
    pub(super) fn take(&self) -> Vec<XfrmMessage> {
        let mut taken = Vec::new();
        for _ in 0..BATCH {
            match self.socket.recv_from_full() {
                Ok((datagram, _)) => {
                    for (_, payload) in messages(&datagram) {
                        if let NetlinkPayload::InnerMessage(message) = payload {
                            taken.push(message);
                        }
                    }
                }
                Err(error) => {
                    if !would_block(&error) {
                        tracing::debug!(%error, "missed what the kernel said of its SAs");
                    }
                    break;
                }
            }
        }
        taken
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

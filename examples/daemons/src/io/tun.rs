//! The TUN device: inner packets from and to this machine and the networks behind it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::{SystemError, is_errno};
use crate::settings::TunSettings;

/// Packets the kernel keeps for us while we are busy, beyond which it drops.
const QUEUE_LEN: u32 = 1000;

/// A TUN device that goes away with this value.
pub struct Tun {
    device: SyncDevice,
    index: u32,
}

impl Tun {
    /// Makes the device, sets its MTU and brings it up. Addresses are for [`Routes`](super::Routes).
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(settings: &TunSettings) -> Result<Self, SystemError> {
        let refused = |error: io::Error| {
            let action = format!("make the TUN device {}", settings.name);
            // A device of another kind with this name is an invalid argument to the kernel.
            if is_errno(&error, Errno::BUSY) || is_errno(&error, Errno::INVAL) {
                SystemError::new(
                    action,
                    error,
                    "the name is taken (`ip link` shows by what): stop that program, or set another [tun] name",
                )
            } else if error.kind() == io::ErrorKind::NotFound || is_errno(&error, Errno::NODEV) {
                SystemError::new(
                    action,
                    error,
                    "load the kernel's tun module (`modprobe tun`), and let /dev/net/tun in",
                )
            } else {
                SystemError::privileged(
                    action,
                    error,
                    "see that /dev/net/tun exists and the name is free",
                )
            }
        };
        let device = DeviceBuilder::new()
            .name(&settings.name)
            .mtu(settings.mtu)
            .with(|builder| {
                builder.tx_queue_len(QUEUE_LEN);
            })
            .build_sync()
            .map_err(refused)?;
        device.set_nonblocking(true).map_err(refused)?;
        let index = device.if_index().map_err(refused)?;
        Ok(Self { device, index })
    }

    /// The interface's index.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Reads one packet; its length.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.device.recv(buffer)
    }

    /// Writes one packet.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the kernel has no room, `InvalidInput` where it is no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(packet).map(drop)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

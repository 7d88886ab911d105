//! The TUN device: inner packets from and to this machine and the networks behind it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use tracing::{info, trace};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::incoming::{Headers, Incoming};
use super::offload::OffloadHeader;
use super::outgoing::Outgoing;
use super::{SystemError, is_errno};
use crate::handover::{Handover, Piece};
use crate::settings::TunSettings;

/// Packets the kernel keeps for us while we are busy, beyond which it drops.
const QUEUE_LEN: u32 = 1000;
/// The most that the kernel gives at once.
const MAX_READ: usize = OffloadHeader::LEN + 65_536;

/// A TUN device that goes away with this value, unless a successor has it as well.
pub struct Tun {
    device: Device,
    name: String,
    index: u32,
    mtu: u16,
    /// Whether packets go through it together, behind a header of their own.
    offload: bool,
    /// Whether UDP datagrams do.
    udp: bool,
}

enum Device {
    Made(SyncDevice),
    /// A predecessor has made it.
    Inherited(OwnedFd),
}

/// Room for what one read gives.
pub struct TunBuffer(Vec<u8>);

impl Default for TunBuffer {
    fn default() -> Self {
        Self(vec![0; MAX_READ])
    }
}

impl Tun {
    /// Takes the device over, or makes it, sets its MTU and brings it up. Addresses are for [`Routes`](super::Routes).
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(settings: &TunSettings, handover: &mut Handover) -> Result<Self, SystemError> {
        let ours =
            |piece: &Piece| matches!(piece, Piece::Tun { name, .. } if *name == settings.name);
        match handover.take(ours) {
            Some((piece, fd)) => Self::inherit(settings, piece, fd),
            None => Self::make(settings),
        }
    }

    fn inherit(settings: &TunSettings, piece: Piece, fd: OwnedFd) -> Result<Self, SystemError> {
        let device = Device::Inherited(fd);
        match piece {
            Piece::Tun {
                name,
                index,
                mtu,
                offload,
                udp,
            } if mtu == settings.mtu => Ok(Self {
                device,
                name,
                index,
                mtu,
                offload,
                udp,
            }),
            _ => Err(SystemError::new(
                format!("take over the TUN device {}", settings.name),
                io::Error::other("its MTU is another one"),
                "a new MTU needs a new device: stop the daemon, and start this one without `--takeover`",
            )),
        }
    }

    /// What a successor is handed.
    pub(crate) fn piece(&self) -> io::Result<(Piece, OwnedFd)> {
        let piece = Piece::Tun {
            name: self.name.clone(),
            index: self.index,
            mtu: self.mtu,
            offload: self.offload,
            udp: self.udp,
        };
        Ok((piece, self.as_fd().try_clone_to_owned()?))
    }

    fn make(settings: &TunSettings) -> Result<Self, SystemError> {
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
        let build = |offload| {
            DeviceBuilder::new()
                .name(&settings.name)
                .mtu(settings.mtu)
                .with(|builder| {
                    builder.tx_queue_len(QUEUE_LEN).offload(offload);
                })
                .build_sync()
        };
        let device = build(settings.offload)
            .or_else(|error| {
                if !settings.offload {
                    return Err(error);
                }
                let device = build(false)?;
                info!(%error, "this kernel passes packets through the TUN one by one");
                Ok(device)
            })
            .map_err(refused)?;
        if device.tcp_gso() && !device.udp_gso() {
            info!("this kernel passes UDP through the TUN packet by packet; Linux 6.2 would not");
        }
        device.set_nonblocking(true).map_err(refused)?;
        let index = device.if_index().map_err(refused)?;
        let (offload, udp) = (device.tcp_gso(), device.udp_gso());
        Ok(Self {
            device: Device::Made(device),
            name: settings.name.clone(),
            index,
            mtu: settings.mtu,
            offload,
            udp,
        })
    }

    /// The interface's index.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Reads a packet, or several of one flow in one. `None` where the kernel gave what it should not.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none.
    pub fn receive<'b>(&self, buffer: &'b mut TunBuffer) -> io::Result<Option<Outgoing<'b>>> {
        let len = rustix::io::read(&self.device, &mut buffer.0)?;
        let octets = buffer.0.get_mut(..len).unwrap_or_default();
        if !self.offload {
            return Ok(Some(Outgoing::whole(octets)));
        }
        Ok(octets
            .split_first_chunk_mut::<{ OffloadHeader::LEN }>()
            .and_then(|(header, packet)| Outgoing::new(OffloadHeader::decode(*header)?, packet)))
    }

    /// Room for packets that are to be written together as far as this device can.
    #[must_use]
    pub fn incoming<'a>(&self) -> Incoming<'a> {
        Incoming::new(self.offload, self.udp)
    }

    /// Writes packets; how many the kernel did not take.
    pub fn send(&self, packets: &Incoming<'_>) -> u64 {
        let mut headers = Headers::default();
        let mut lost = 0;
        for group in packets.groups() {
            let written = if self.offload {
                rustix::io::writev(&self.device, &group.pieces(&mut headers))
            } else {
                rustix::io::write(&self.device, group.packet())
            };
            if let Err(error) = written {
                lost += group.count() as u64;
                trace!(%error, "the TUN did not take a packet");
            }
        }
        lost
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Made(device) => device.as_fd(),
            Self::Inherited(fd) => fd.as_fd(),
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

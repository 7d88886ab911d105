//! Many datagrams in one call: cut by the kernel where it can (UDP GSO), else as a list (`sendmmsg`).
//!
//! quinn-udp sends one datagram, or one cut one, per call, and after one refusal never tries again; a refusal here is that of
//! one path, whose MTU may be less than that of others.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg,
};

/// Who sends to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The own address, if the kernel is not to choose.
    pub(super) source: Option<IpAddr>,
    pub(super) destination: SocketAddr,
}

/// What tells the kernel the source.
enum PacketInfo {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Way {
    fn packet_info(&self) -> Option<PacketInfo> {
        Some(match self.source? {
            IpAddr::V4(source) => PacketInfo::V4(in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from_ne_bytes(source.octets()),
                },
                ipi_addr: in_addr { s_addr: 0 },
            }),
            IpAddr::V6(source) => PacketInfo::V6(in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: source.octets(),
                },
                ipi6_ifindex: 0,
            }),
        })
    }
}

impl PacketInfo {
    fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }

    fn space(&self) -> Vec<u8> {
        match self {
            Self::V4(_) => cmsg_space!(in_pktinfo),
            Self::V6(_) => cmsg_space!(in6_pktinfo),
        }
    }
}

/// Sends `contents` as datagrams of `segment_len` octets each, the last of which may be shorter.
pub(super) fn segmented(
    socket: &impl AsRawFd,
    way: Way,
    contents: &[u8],
    segment_len: u16,
) -> io::Result<()> {
    let info = way.packet_info();
    let segments = ControlMessage::UdpGsoSegments(&segment_len);
    let messages = [Some(segments), info.as_ref().map(PacketInfo::message)];
    let messages: Vec<_> = messages.into_iter().flatten().collect();
    let destination = SockaddrStorage::from(way.destination);
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(contents)],
        &messages,
        MsgFlags::empty(),
        Some(&destination),
    )?;
    Ok(())
}

/// Sends each of `ranges` of `contents` as a datagram of its own, in one call; how many of them left.
/// The one behind those was refused, which is an error only if it is the first.
pub(super) fn listed(
    socket: &impl AsRawFd,
    way: Way,
    contents: &[u8],
    ranges: impl Iterator<Item = Range<usize>>,
) -> io::Result<usize> {
    let info = way.packet_info();
    let slices: Vec<[IoSlice<'_>; 1]> = ranges
        .map(|range| [IoSlice::new(contents.get(range).unwrap_or_default())])
        .collect();
    let destinations = vec![Some(SockaddrStorage::from(way.destination)); slices.len()];
    let mut headers = MultiHeaders::preallocate(slices.len(), info.as_ref().map(PacketInfo::space));
    let messages: Vec<_> = info.iter().map(PacketInfo::message).collect();
    let sent = sendmmsg(
        socket.as_raw_fd(),
        &mut headers,
        &slices,
        &destinations,
        &messages,
        MsgFlags::empty(),
    )?;
    Ok(sent.count())
}

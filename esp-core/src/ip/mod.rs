//! IP packets: those inside the tunnel, those that are built to go through it, and what the header
//! outside has of the one inside.

mod checksum;
mod dscp;
mod ecn;
mod fragment;
mod icmp;
mod mss;
mod outer;
mod packet;
mod protocol;
mod udp;

pub use crate::error::{IcmpError, IpError};
pub use checksum::Checksum;
pub use dscp::Dscp;
pub use ecn::Ecn;
pub use fragment::Fragments;
pub use icmp::packet_too_big;
pub use mss::clamp_mss;
pub use outer::{DontFragment, DscpPolicy, EcnMode, OuterFields, OuterHeader, OuterPolicy};
pub use packet::{Fit, InnerPacket, MAX_EXTENSION_HEADERS};
pub use protocol::Protocol;
pub use udp::{UdpDatagram, udp_packet};

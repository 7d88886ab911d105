//! The kernel as data path: XFRM seals and opens, and IKE, NAT traversal and probes stay here.
//!
//! Of each SA that the machine negotiates both directions are added, with the pair's subnets as selector; nothing is
//! sent by them yet. A policy then leads what is sent into one of them, which it names by its SPI: a pair never has two
//! at once, and a rekey is the change of that one policy. While a pair has no SA it has no such policy either, and its
//! packets come by the route into the TUN, where the machine holds them and negotiates. Nothing leaves in clear.
//!
//! What comes from a pair's remote subnet has to come through its SAs, from beginning to end: so what is heard on
//! NTP's port is as authentic as what the machine opens itself.

#[cfg(test)]
mod flow;
mod inner;
mod netlink;
mod notices;
mod path;
mod plane;
mod policy;
#[cfg(test)]
mod real;
#[cfg(test)]
mod recorded;
mod sa;
#[cfg(test)]
mod simulated;
mod trial;

use std::net::IpAddr;

use netlink_packet_xfrm::Address;
use netlink_packet_xfrm::constants::AF_INET;

pub(crate) use self::path::News;
pub(crate) use self::plane::{KernelPlane, Reasons, sweep};

fn ip(address: &Address, family: u16) -> IpAddr {
    if family == AF_INET {
        address.to_ipv4().into()
    } else {
        address.to_ipv6().into()
    }
}

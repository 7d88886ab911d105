//! The socket option by which the kernel takes ESP out of a UDP socket, RFC 3948; nix has the means to name it, and not its name.

use nix::libc;
use nix::setsockopt_impl;
use nix::sys::socket::sockopt::SetUsize;

/// `UDP_ENCAP_ESPINUDP`: what is marked as IKE stays, the rest is ESP and the kernel's.
pub(super) const ESP_IN_UDP: usize = 2;
/// Everything stays.
pub(super) const NOTHING: usize = 0;

/// `UDP_ENCAP`.
#[derive(Clone, Copy, Debug)]
pub(super) struct UdpEncap;

setsockopt_impl!(
    UdpEncap,
    libc::IPPROTO_UDP,
    libc::UDP_ENCAP,
    usize,
    SetUsize
);

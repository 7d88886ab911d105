//! The socket option by which the kernel takes ESP out of a UDP socket, RFC 3948; nix has the means to name it, and not its name.

use nix::libc;
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

/// `UDP_ENCAP_ESPINUDP`: what is marked as IKE stays, the rest is ESP and the kernel's.
pub(super) const ESP_IN_UDP: i32 = 2;
/// Everything stays.
pub(super) const NOTHING: i32 = 0;

sockopt_impl!(
    /// `UDP_ENCAP`.
    UdpEncap,
    Both,
    libc::IPPROTO_UDP,
    libc::UDP_ENCAP,
    i32
);

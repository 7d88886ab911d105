//! What goes in and comes out: UDP payloads with their addresses.

use core::net::SocketAddr;

use bytes::Bytes;

/// A received UDP payload.
#[expect(
    clippy::exhaustive_structs,
    reason = "an argument, built by every caller"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// Which local address it was sent to.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub contents: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// A payload with the addresses that it came from and was sent to.
    #[must_use]
    pub const fn new(source: SocketAddr, destination: SocketAddr, contents: &'a [u8]) -> Self {
        Self {
            source,
            destination,
            contents,
        }
    }
}

/// A UDP payload to send.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a packet that is not sent is lost"]
#[non_exhaustive]
pub struct Transmit {
    /// The local address and port to send from. Port 0 means any.
    pub source: SocketAddr,
    /// The address to send to.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub contents: Bytes,
}

//! What leaves for the outer network.

use core::net::SocketAddr;

use bytes::Bytes;

/// How a datagram travels on the outer network.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Carrier {
    /// UDP from and to the ports of the path.
    Udp,
    /// IP protocol 50; the ports of the path mean nothing.
    Esp,
}

/// From where to where, and how.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Path {
    /// The own outer address.
    pub source: SocketAddr,
    /// The peer's outer address.
    pub destination: SocketAddr,
    /// UDP, or ESP right above IP.
    pub carrier: Carrier,
}

impl Path {
    /// The way between two addresses.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr, carrier: Carrier) -> Self {
        Self {
            source,
            destination,
            carrier,
        }
    }
}

/// A datagram to send: an IKE message, a keepalive, or a sealed probe or held packet.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Transmit {
    /// Its way.
    pub path: Path,
    /// The UDP payload, or the ESP packet.
    pub contents: Bytes,
}

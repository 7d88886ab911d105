//! Datagrams in and out: the currency between an endpoint and its embedder.

use core::net::SocketAddr;

use bytes::Bytes;

/// A UDP datagram as it was received.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "embedders build it field by field"
)]
pub struct Datagram<'a> {
    /// Address and port it came from.
    pub source: SocketAddr,
    /// Local address and port it came to. The port tells whether the non-ESP marker is expected.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub contents: &'a [u8],
}

/// A UDP datagram to send.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
#[expect(clippy::exhaustive_structs, reason = "embedders take it apart")]
pub struct Transmit {
    /// Local address and port to send from.
    pub source: SocketAddr,
    /// Address and port to send to.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub contents: Bytes,
}

//! What comes from the outer network.

use core::net::SocketAddr;

use crate::transmit::Carrier;

/// A datagram from the outer network.
#[derive(Debug)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// Where it came from; for ESP right above IP the port means nothing.
    pub source: SocketAddr,
    /// The own address it came to.
    pub destination: SocketAddr,
    /// UDP, or ESP right above IP.
    pub carrier: Carrier,
    /// The UDP payload, or the ESP packet from its SPI on. It is decrypted in place.
    pub contents: &'a mut [u8],
}

impl<'a> Datagram<'a> {
    /// A datagram with all that is known of it.
    #[must_use]
    pub fn new(
        source: SocketAddr,
        destination: SocketAddr,
        carrier: Carrier,
        contents: &'a mut [u8],
    ) -> Self {
        Self {
            source,
            destination,
            carrier,
            contents,
        }
    }
}

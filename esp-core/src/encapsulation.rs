//! ESP in UDP, RFC 3948: what a datagram on port 4500 holds.

/// UDP port of IKE and ESP behind address translation, RFC 3948 section 2.1.
pub const NAT_TRAVERSAL_PORT: u16 = 4500;

/// What precedes an IKE message on [`NAT_TRAVERSAL_PORT`], RFC 3948 section 2.2: where ESP has its
/// SPI.
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// The one octet that keeps an address translator's mapping alive, RFC 3948 section 2.3.
pub const KEEPALIVE: [u8; 1] = [0xFF];

/// Whether ESP travels directly in IP or in UDP.
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 3948 knows these two and no third is to come"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Encapsulation {
    /// IP protocol 50.
    None,
    /// RFC 3948, eight octets more.
    Udp,
}

impl Encapsulation {
    /// Octets that stand between the outer IP header and the SPI.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Udp => 8,
        }
    }
}

/// What the payload of one datagram on the NAT traversal port is.
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 3948 section 2 leaves nothing else"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UdpPayload<'a> {
    /// An IKE message, without its non-ESP marker.
    Ike(&'a [u8]),
    /// An ESP packet; it starts at the first octet.
    Esp,
    /// A NAT keepalive, to be ignored.
    Keepalive,
    /// None of these: too short for what its first octets claim.
    Malformed,
}

/// Tells what a UDP payload on the NAT traversal port is, RFC 3948 section 2.
///
/// Cheap and without state; an ESP packet is then found by [`Spi`](crate::Spi) with
/// [`EspHeader::parse`](crate::wire::EspHeader::parse).
#[must_use]
pub fn classify(udp_payload: &[u8]) -> UdpPayload<'_> {
    match udp_payload {
        [0, 0, 0, 0, message @ ..] => UdpPayload::Ike(message),
        [0xFF] => UdpPayload::Keepalive,
        [_, _, _, _, _, _, _, _, ..] => UdpPayload::Esp,
        _ => UdpPayload::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_four_octets_decide() {
        assert_eq!(classify(&[0, 0, 0, 0, 1, 2]), UdpPayload::Ike(&[1, 2]));
        assert_eq!(classify(&[0, 0, 0, 0]), UdpPayload::Ike(&[]));
        assert_eq!(classify(&[0, 0, 1, 0, 0, 0, 0, 1]), UdpPayload::Esp);
        assert_eq!(classify(&KEEPALIVE), UdpPayload::Keepalive);
    }

    #[test]
    fn what_is_too_short_is_malformed() {
        for payload in [
            &[][..],
            &[0],
            &[0xFE],
            &[0, 0, 0],
            &[0xFF, 0xFF],
            &[0, 0, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(classify(payload), UdpPayload::Malformed, "{payload:?}");
        }
    }
}

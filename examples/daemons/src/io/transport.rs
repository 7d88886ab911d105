//! Headers of TCP and UDP, as far as it takes to cut packets and to put them together.

use esp_core::ip::Checksum;

/// What can be cut and put together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub(super) fn of_protocol(protocol: u8) -> Option<Self> {
        match protocol {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Where in the header the checksum is.
    pub(super) fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }

    /// Length of the header that `octets` begin with.
    pub(super) fn header_len(self, octets: &[u8]) -> Option<usize> {
        match self {
            Self::Tcp => {
                let len = usize::from(octets.get(12)? >> 4) * 4;
                (20 <= len).then_some(len)
            }
            Self::Udp => Some(8),
        }
    }

    /// The checksum as it goes into the header: UDP has another word for zero, RFC 768.
    pub(super) fn finish(self, sum: Checksum) -> [u8; 2] {
        match (self, sum.finish()) {
            (Self::Udp, [0, 0]) => [0xFF, 0xFF],
            (_, checksum) => checksum,
        }
    }
}

/// Writes the length of the whole packet into its IP header, and the header's checksum.
pub(super) fn set_ip_len(packet: &mut [u8]) -> Option<()> {
    let len = packet.len();
    if packet.first()? >> 4 == 4 {
        let header_len = usize::from(packet.first()? & 0x0F) * 4;
        let header = packet.get_mut(..header_len)?;
        let len = u16::try_from(len).ok()?;
        header.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
        header.get_mut(10..12)?.fill(0);
        let mut sum = Checksum::default();
        sum.add(header);
        header.get_mut(10..12)?.copy_from_slice(&sum.finish());
    } else {
        let len = u16::try_from(len.checked_sub(40)?).ok()?;
        packet.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
    }
    Some(())
}

/// The sum of the pseudo-header of a datagram of `len` octets in `packet`.
pub(super) fn pseudo_header(packet: &[u8], transport: Transport, len: usize) -> Option<Checksum> {
    let addresses = match packet.first()? >> 4 {
        4 => packet.get(12..20)?,
        _ => packet.get(8..40)?,
    };
    let mut sum = Checksum::default();
    sum.add(addresses);
    sum.add(&u32::from(transport.protocol()).to_be_bytes());
    sum.add(&u32::try_from(len).ok()?.to_be_bytes());
    Some(sum)
}

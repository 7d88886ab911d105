//! The Internet checksum, RFC 1071.

use core::net::{IpAddr, SocketAddr};

use super::Protocol;

/// A ones' complement sum in the making.
///
/// Words are added four octets at a time in native order: the sum does not mind the byte order
/// until the end (RFC 1071 section 2). No carry is lost below 16 GiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    sum: u64,
}

impl Checksum {
    /// The pseudo-header of RFC 768 or RFC 8200 section 8.1; both come to the same sum.
    #[must_use]
    pub fn pseudo_header(
        source: IpAddr,
        destination: IpAddr,
        protocol: Protocol,
        len: u32,
    ) -> Self {
        let mut checksum = Self::default();
        checksum.add_address(source);
        checksum.add_address(destination);
        checksum.add(&u32::from(protocol.0).to_be_bytes());
        checksum.add(&len.to_be_bytes());
        checksum
    }

    /// Adds octets; all but the last call must give an even number.
    #[inline]
    pub fn add(&mut self, octets: &[u8]) {
        // Independent sums of 32-bit words: the compiler makes vector additions of them.
        let (words, rest) = octets.as_chunks::<4>();
        let sum: u64 = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)))
            .sum();
        let mut last = [0; 4];
        if let Some(head) = last.get_mut(..rest.len()) {
            head.copy_from_slice(rest);
        }
        self.sum += sum + u64::from(u32::from_ne_bytes(last));
    }

    /// The checksum to put into the packet.
    #[must_use]
    pub fn finish(self) -> [u8; 2] {
        let halves = (self.sum & 0xFFFF_FFFF) + (self.sum >> 32);
        let quarters = (halves & 0xFFFF) + (halves >> 16);
        let folded = (quarters & 0xFFFF) + (quarters >> 16);
        let folded = (folded & 0xFFFF) + (folded >> 16);
        let [.., low, high] = folded.to_be_bytes();
        (!u16::from_be_bytes([low, high])).to_ne_bytes()
    }

    /// Whether a packet that was added with its checksum in it is sound.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.finish() == [0; 2]
    }

    fn add_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.add(&address.octets()),
            IpAddr::V6(address) => self.add(&address.octets()),
        }
    }
}

/// The checksum of a UDP datagram that is complete but for it; zero goes as all ones (RFC 768).
pub(crate) fn udp(
    source: SocketAddr,
    destination: SocketAddr,
    datagram: &[u8],
    len: u16,
) -> [u8; 2] {
    let mut checksum =
        Checksum::pseudo_header(source.ip(), destination.ip(), Protocol::UDP, len.into());
    checksum.add(datagram);
    match checksum.finish() {
        [0, 0] => [0xFF, 0xFF],
        checksum => checksum,
    }
}

/// The checksum of a packet in which two octets at an even place have changed, RFC 1624 section 3.
pub(crate) fn updated(checksum: [u8; 2], old: &[u8; 2], new: &[u8; 2]) -> [u8; 2] {
    let mut sum = Checksum::default();
    sum.add(&checksum.map(|octet| !octet));
    sum.add(&old.map(|octet| !octet));
    sum.add(new);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(octets: &[u8]) -> [u8; 2] {
        let mut checksum = Checksum::default();
        checksum.add(octets);
        checksum.finish()
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // RFC 1071 section 3: the sum is ddf2, the checksum its complement.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]),
            [0x22, 0x0D]
        );
        assert_eq!(checksum(&[]), [0xFF, 0xFF]);
        assert_eq!(checksum(&[0xFF; 40]), [0, 0]);
    }

    #[test]
    fn every_length_agrees_with_the_sum_word_by_word() {
        let octets: Vec<u8> = (0..97_u32)
            .map(|index| (index * 89 + 7).to_le_bytes()[0])
            .collect();
        for len in 0..octets.len() {
            let mut sum = 0_u32;
            for pair in octets[..len].chunks(2) {
                sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
            }
            while sum > 0xFFFF {
                sum = (sum & 0xFFFF) + (sum >> 16);
            }
            assert_eq!(
                u16::from_be_bytes(checksum(&octets[..len])),
                !u16::try_from(sum).unwrap(),
                "{len}"
            );
        }
    }
}

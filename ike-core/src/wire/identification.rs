//! Identification payload of the IPsec DOI, RFC 2407 section 4.6.2.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use super::DecodeError;
use super::limits::MAX_IDENTIFICATION_LEN;
use super::numbers::IdentificationType;
use super::reader::Reader;

/// Protocol number of UDP, the only one besides zero that a phase 1 identity may name.
const UDP: u8 = 17;

/// Identification payload body: who a peer is in phase 1, or which traffic in phase 2.
///
/// The data has the length that its type asks for; whether it is a sensible name or a subnet
/// without host bits is for its user to judge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identification<'a> {
    id_type: IdentificationType,
    protocol: u8,
    port: u16,
    data: Cow<'a, [u8]>,
}

impl<'a> Identification<'a> {
    /// Joins a type and its data, for any protocol and port.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadLength`] if the data has not the length that the type asks for.
    pub fn new(
        id_type: IdentificationType,
        data: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, DecodeError> {
        let data = data.into();
        if !length_is_right(id_type, data.len()) {
            return Err(DecodeError::BadLength {
                what: "Identification",
            });
        }
        Ok(Self {
            id_type,
            protocol: 0,
            port: 0,
            data,
        })
    }

    /// One address, for any protocol and port.
    pub fn address(address: IpAddr) -> Self {
        let (id_type, data) = match address {
            IpAddr::V4(address) => (IdentificationType::IPV4_ADDR, address.octets().to_vec()),
            IpAddr::V6(address) => (IdentificationType::IPV6_ADDR, address.octets().to_vec()),
        };
        Self {
            id_type,
            protocol: 0,
            port: 0,
            data: Cow::Owned(data),
        }
    }

    /// A subnet, for any protocol and port. A prefix longer than the address counts as its length.
    pub fn subnet(address: IpAddr, prefix_len: u8) -> Self {
        let (id_type, data) = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(prefix_len.min(32)))
                    .unwrap_or(0);
                let data = [address.octets(), mask.to_be_bytes()].concat();
                (IdentificationType::IPV4_ADDR_SUBNET, data)
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(prefix_len.min(128)))
                    .unwrap_or(0);
                let data = [address.octets(), mask.to_be_bytes()].concat();
                (IdentificationType::IPV6_ADDR_SUBNET, data)
            }
        };
        Self {
            id_type,
            protocol: 0,
            port: 0,
            data: Cow::Owned(data),
        }
    }

    /// The same identification for one protocol and port only.
    #[must_use]
    pub fn with_protocol(mut self, protocol: u8, port: u16) -> Self {
        self.protocol = protocol;
        self.port = port;
        self
    }

    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] under four octets, [`DecodeError::BadLength`] if the data has
    /// not the length that the type asks for: exact for addresses, and never empty.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Identification");
        let id_type = IdentificationType(reader.u8()?);
        let protocol = reader.u8()?;
        let port = reader.u16()?;
        Ok(Self::new(id_type, reader.rest())?.with_protocol(protocol, port))
    }

    /// The body as it goes on the wire and into the hashes.
    pub fn encode(&self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        let mut out = vec![self.id_type.0, self.protocol, high, low];
        out.extend_from_slice(&self.data);
        out
    }

    /// The type.
    pub const fn id_type(&self) -> IdentificationType {
        self.id_type
    }

    /// IP protocol number, zero for any.
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Port, zero for any.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The data whose form the type decides.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Whether protocol and port are such as a phase 1 identity may have.
    ///
    /// RFC 2407 section 4.6.2 allows 0/0 and UDP port 500. Behind a NAT, peers write UDP with port
    /// zero or 4500 instead, which means the same and is accepted.
    pub const fn is_phase_one(&self) -> bool {
        matches!((self.protocol, self.port), (0, 0) | (UDP, 0 | 500 | 4500))
    }

    /// The address, if the type is one address.
    pub fn as_address(&self) -> Option<IpAddr> {
        match self.id_type {
            IdentificationType::IPV4_ADDR | IdentificationType::IPV6_ADDR => address(&self.data),
            _ => None,
        }
    }

    /// Address and prefix length, if the type is a subnet with a contiguous mask or one address,
    /// which is a subnet of its full length. Host bits are as received.
    pub fn as_subnet(&self) -> Option<(IpAddr, u8)> {
        match self.id_type {
            IdentificationType::IPV4_ADDR => Some((address(&self.data)?, 32)),
            IdentificationType::IPV6_ADDR => Some((address(&self.data)?, 128)),
            IdentificationType::IPV4_ADDR_SUBNET | IdentificationType::IPV6_ADDR_SUBNET => {
                let (low, high) = self.halves();
                Some((address(low)?, prefix_len(high)?))
            }
            _ => None,
        }
    }

    /// First and last address, if the type is a range. The last may be below the first.
    pub fn as_range(&self) -> Option<(IpAddr, IpAddr)> {
        match self.id_type {
            IdentificationType::IPV4_ADDR_RANGE | IdentificationType::IPV6_ADDR_RANGE => {
                let (low, high) = self.halves();
                Some((address(low)?, address(high)?))
            }
            _ => None,
        }
    }

    fn halves(&self) -> (&[u8], &[u8]) {
        self.data.split_at(self.data.len() / 2)
    }
}

fn length_is_right(id_type: IdentificationType, len: usize) -> bool {
    match id_type {
        IdentificationType::IPV4_ADDR => len == 4,
        IdentificationType::IPV4_ADDR_SUBNET | IdentificationType::IPV4_ADDR_RANGE => len == 8,
        IdentificationType::IPV6_ADDR => len == 16,
        IdentificationType::IPV6_ADDR_SUBNET | IdentificationType::IPV6_ADDR_RANGE => len == 32,
        _ => (1..=MAX_IDENTIFICATION_LEN).contains(&len),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(octets).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// The number of leading ones of a mask that has no other ones.
fn prefix_len(mask: &[u8]) -> Option<u8> {
    let ones: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let mut leading = 0;
    for octet in mask {
        leading += octet.leading_ones();
        if *octet != u8::MAX {
            break;
        }
    }
    if leading == ones {
        u8::try_from(ones).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(hex: &str) -> Result<Identification<'static>, DecodeError> {
        let body = hex::decode(hex).unwrap();
        let Identification {
            id_type,
            protocol,
            port,
            data,
        } = Identification::decode(&body)?;
        Ok(Identification {
            id_type,
            protocol,
            port,
            data: Cow::Owned(data.into_owned()),
        })
    }

    #[test]
    fn addresses_have_exact_lengths() {
        assert!(decode("010000000a000001").is_ok());
        assert!(decode("010000000a0000").is_err());
        assert!(decode("010000000a00000101").is_err());
        assert!(decode("0400000001020304ffffff").is_err());
        assert!(decode("05000000000102030405060708090a0b0c0d0e0f").is_ok());
        assert!(decode("05000000000102030405060708090a0b0c0d0e").is_err());
    }

    #[test]
    fn names_are_not_empty_and_not_endless() {
        assert_eq!(
            decode("02000000"),
            Err(DecodeError::BadLength {
                what: "Identification"
            })
        );
        assert_eq!(
            decode("0b0000"),
            Err(DecodeError::Truncated {
                what: "Identification"
            })
        );
        let long = vec![b'a'; MAX_IDENTIFICATION_LEN + 1];
        assert!(Identification::new(IdentificationType::FQDN, &long[1..]).is_ok());
        assert!(Identification::new(IdentificationType::FQDN, &long[..]).is_err());
    }

    #[test]
    fn phase_one_allows_no_port_or_ikes_own() {
        let any = decode("020000006162").unwrap();
        assert!(any.is_phase_one());
        for (protocol, port, allowed) in [
            (17, 500, true),
            (17, 0, true),
            (17, 4500, true),
            (17, 501, false),
            (6, 500, false),
            (0, 500, false),
        ] {
            assert_eq!(
                any.clone().with_protocol(protocol, port).is_phase_one(),
                allowed
            );
        }
    }

    #[test]
    fn a_subnet_is_read_with_its_prefix_length() {
        let subnet = decode("040000000a3d0300ffffff00").unwrap();
        assert_eq!(subnet.as_subnet(), Some(("10.61.3.0".parse().unwrap(), 24)));
        assert_eq!(subnet.as_address(), None);
        let host = decode("010000000a3d0301").unwrap();
        assert_eq!(host.as_subnet(), Some(("10.61.3.1".parse().unwrap(), 32)));
        let all = decode("040000000000000000000000").unwrap();
        assert_eq!(all.as_subnet(), Some(("0.0.0.0".parse().unwrap(), 0)));
    }

    #[test]
    fn a_mask_with_a_hole_is_no_subnet() {
        assert_eq!(
            decode("040000000a000000ff00ff00").unwrap().as_subnet(),
            None
        );
        assert_eq!(
            decode("040000000a000000ff7f0000").unwrap().as_subnet(),
            None
        );
        assert_eq!(
            decode("040000000a00000000000001").unwrap().as_subnet(),
            None
        );
        assert_eq!(
            decode("02000000616263646566676869").unwrap().as_subnet(),
            None
        );
    }

    #[test]
    fn a_range_is_read_as_two_addresses() {
        let range = decode("070000000a0000010a0000ff").unwrap();
        assert_eq!(
            range.as_range(),
            Some(("10.0.0.1".parse().unwrap(), "10.0.0.255".parse().unwrap()))
        );
        assert_eq!(range.as_subnet(), None);
    }

    #[test]
    fn every_prefix_length_survives_encoding() {
        for len in 0..=32 {
            let body = Identification::subnet("0.0.0.0".parse().unwrap(), len).encode();
            let decoded = Identification::decode(&body).unwrap();
            assert_eq!(decoded.as_subnet(), Some(("0.0.0.0".parse().unwrap(), len)));
        }
        for len in 0..=128 {
            let body = Identification::subnet("::".parse().unwrap(), len).encode();
            let decoded = Identification::decode(&body).unwrap();
            assert_eq!(decoded.as_subnet(), Some(("::".parse().unwrap(), len)));
        }
    }
}

//! Payloads of NAT traversal, RFC 3947 sections 3.2 and 5.2.
//!
//! A NAT-D body is a bare hash and needs no codec; its payload types are
//! [`NAT_D`](super::numbers::PayloadType::NAT_D) and, in the drafts,
//! [`NAT_D_DRAFT`](super::numbers::PayloadType::NAT_D_DRAFT).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::DecodeError;
use super::numbers::IdentificationType;
use super::reader::Reader;

/// NAT-OA payload body: an address as one side sees it without the NAT. Of use in transport mode
/// only; decoded so that it can be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NatOriginalAddress(IpAddr);

impl NatOriginalAddress {
    /// Wraps an address.
    pub const fn new(address: IpAddr) -> Self {
        Self(address)
    }

    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadValue`] unless the type is an IPv4 or IPv6 address, and the length errors
    /// of one that is not as long as its type says.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "NAT-OA");
        let id_type = IdentificationType(reader.u8()?);
        // RFC 3947 section 5.2: reserved, ignored.
        reader.array::<3>()?;
        let address = match id_type {
            IdentificationType::IPV4_ADDR => Ipv4Addr::from(reader.array::<4>()?).into(),
            IdentificationType::IPV6_ADDR => Ipv6Addr::from(reader.array::<16>()?).into(),
            _ => {
                return Err(DecodeError::BadValue {
                    what: "NAT-OA type",
                });
            }
        };
        reader.finish()?;
        Ok(Self(address))
    }

    /// The body as it goes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self.0 {
            IpAddr::V4(address) => [
                &[IdentificationType::IPV4_ADDR.0, 0, 0, 0][..],
                &address.octets(),
            ]
            .concat(),
            IpAddr::V6(address) => [
                &[IdentificationType::IPV6_ADDR.0, 0, 0, 0][..],
                &address.octets(),
            ]
            .concat(),
        }
    }

    /// The address.
    pub const fn address(&self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_encoding() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let original = NatOriginalAddress::new(address.parse().unwrap());
            assert_eq!(NatOriginalAddress::decode(&original.encode()), Ok(original));
        }
    }

    #[test]
    fn type_and_length_must_agree() {
        assert!(NatOriginalAddress::decode(&[1, 0, 0, 0, 1, 2, 3]).is_err());
        assert!(NatOriginalAddress::decode(&[1, 0, 0, 0, 1, 2, 3, 4, 5]).is_err());
        assert!(NatOriginalAddress::decode(&[5, 0, 0, 0, 1, 2, 3, 4]).is_err());
        assert_eq!(
            NatOriginalAddress::decode(&[2, 0, 0, 0, 1, 2, 3, 4]),
            Err(DecodeError::BadValue {
                what: "NAT-OA type"
            })
        );
    }
}

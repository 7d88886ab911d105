//! Client identities of quick mode: which traffic an SA is for, RFC 2407 section 4.6.2.

use crate::config::Subnet;
use crate::wire::Identification;

impl Subnet {
    /// The body of the Identification payload. A single address is written as one: some peers compare the form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.is_host() {
            Identification::address(self.address()).encode()
        } else {
            Identification::subnet(self.address(), self.prefix_len()).encode()
        }
    }

    /// Reads the body of an Identification payload: a subnet, a single address, or a range that is a subnet, for any
    /// protocol and port. `None` for anything else, such as the name that crashed others (CVE-2023-38711).
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let id = Identification::decode(body).ok()?;
        if id.protocol() != 0 || id.port() != 0 {
            return None;
        }
        if let Some((address, prefix_len)) = id.as_subnet() {
            return Self::around(address, prefix_len);
        }
        let (first, last) = id.as_range()?;
        Self::spanning(first, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::numbers::IdentificationType;

    #[test]
    fn address_subnet_and_range_mean_the_same() {
        let host: Subnet = "10.61.1.1/32".parse().unwrap();
        assert_eq!(
            host.encode(),
            Identification::address(host.address()).encode()
        );
        assert_eq!(Subnet::decode(&host.encode()), Some(host));
        let as_subnet = Identification::subnet(host.address(), 32);
        assert_eq!(Subnet::decode(&as_subnet.encode()), Some(host));
        let v6: Subnet = "2001:db8::1/128".parse().unwrap();
        assert_eq!(v6.encode().first(), Some(&5), "ID_IPV6_ADDR");
        assert_eq!(Subnet::decode(&v6.encode()), Some(v6));
        let range = Identification::new(
            IdentificationType::IPV4_ADDR_RANGE,
            &[10, 61, 0, 0, 10, 61, 255, 255][..],
        );
        assert_eq!(
            Subnet::decode(&range.unwrap().encode()),
            "10.61.0.0/16".parse().ok()
        );
        let odd = Identification::new(
            IdentificationType::IPV4_ADDR_RANGE,
            &[10, 61, 0, 1, 10, 61, 0, 9][..],
        );
        assert_eq!(Subnet::decode(&odd.unwrap().encode()), None);
    }

    #[test]
    fn names_and_ports_are_no_subnets() {
        let name = Identification::new(IdentificationType::FQDN, &b"crash"[..]).unwrap();
        assert_eq!(Subnet::decode(&name.encode()), None);
        let port = Identification::address([10, 0, 0, 1].into()).with_protocol(17, 1701);
        assert_eq!(Subnet::decode(&port.encode()), None);
        assert_eq!(Subnet::decode(&[]), None);
    }
}

//! IP protocol numbers, as far as a tunnel needs them.

use core::fmt;

/// IP protocol number, which is also IPv6's and ESP's next header.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Protocol(pub u8);

impl Protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// An IPv4 packet, as ESP in tunnel mode carries it.
    pub const IPV4: Self = Self(4);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// An IPv6 packet, as ESP in tunnel mode carries it.
    pub const IPV6: Self = Self(41);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// ESP.
    pub const ESP: Self = Self(50);
    /// Authentication header.
    pub const AH: Self = Self(51);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// Nothing follows; in ESP a dummy packet (RFC 4303 section 2.6).
    pub const NO_NEXT_HEADER: Self = Self(59);
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: Self = Self(60);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HOP_BY_HOP => "HOP_BY_HOP",
            Self::ICMP => "ICMP",
            Self::IPV4 => "IPV4",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::IPV6 => "IPV6",
            Self::ROUTING => "ROUTING",
            Self::FRAGMENT => "FRAGMENT",
            Self::ESP => "ESP",
            Self::AH => "AH",
            Self::ICMPV6 => "ICMPV6",
            Self::NO_NEXT_HEADER => "NO_NEXT_HEADER",
            Self::DESTINATION_OPTIONS => "DESTINATION_OPTIONS",
            Self(_) => return None,
        })
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(formatter, "Protocol({name})"),
            None => write!(formatter, "Protocol({})", self.0),
        }
    }
}

//! The `[tun]` table: the device that inner packets go through.

use ipnet::IpNet;

use super::section::{Item, Key, Section};
use super::value;

const TUN: Key = Key::new("tun", "[tun]");
const NAME: Key = Key::new("name", "name = \"hub0\"");
const ADDRESSES: Key = Key::new("addresses", "addresses = [\"10.61.3.26/24\"]");
const MTU: Key = Key::new("mtu", "mtu = 1400");
const OFFLOAD: Key = Key::new("offload", "offload = false");

const DEFAULT_MTU: u16 = 1400;
/// The smallest MTU of an IPv4 host, RFC 791, and the largest of common Ethernet.
const MTU_RANGE: core::ops::RangeInclusive<u16> = 576..=9000;
/// The smallest MTU that IPv6 allows, RFC 8200 section 5.
const MIN_IPV6_MTU: u16 = 1280;
/// Room that the largest ESP and outer headers may take of an Ethernet frame's 1500 octets.
const OVERHEAD: u16 = 90;

/// The TUN device.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TunSettings {
    /// Name of the interface.
    pub name: String,
    /// Addresses to give it; none where other interfaces have the private addresses.
    pub addresses: Vec<IpNet>,
    /// Its MTU in octets.
    pub mtu: u16,
    /// Whether packets go to and from the kernel many in one, as far as it can.
    pub offload: bool,
}

/// Reads the table; everything in it has a default.
pub(super) fn read(root: &mut Section<'_>, default_name: &str) -> TunSettings {
    let mut tun = TunSettings {
        name: default_name.to_owned(),
        addresses: Vec::new(),
        mtu: DEFAULT_MTU,
        offload: true,
    };
    let Some(mut section) = root.section(TUN) else {
        return tun;
    };
    if let Some(name) = section
        .optional(NAME)
        .and_then(|item| interface_name(&item))
    {
        tun.name = name;
    }
    if let Some(item) = section.optional(ADDRESSES) {
        let elements = item.elements().unwrap_or_default();
        tun.addresses = elements
            .iter()
            .filter_map(value::interface_address)
            .collect();
    }
    if let Some(item) = section.optional(MTU) {
        tun.mtu = item.integer(MTU_RANGE).unwrap_or(DEFAULT_MTU);
        if 1500 < tun.mtu + OVERHEAD {
            item.warning(
                format!(
                    "packets of {} octets may not fit an outer MTU of 1500 once encrypted",
                    tun.mtu
                ),
                "write `mtu = 1400` unless every link to the peer carries more than 1500 octets",
            );
        }
        if tun.mtu < MIN_IPV6_MTU && tun.addresses.iter().any(|net| net.addr().is_ipv6()) {
            item.error(
                format!("IPv6 needs an MTU of at least {MIN_IPV6_MTU}"),
                format!("write `mtu = {MIN_IPV6_MTU}` or more"),
            );
        }
    }
    if let Some(item) = section.optional(OFFLOAD) {
        tun.offload = item.boolean().unwrap_or(true);
    }
    section.finish(super::home);
    tun
}

/// An interface name as the kernel takes it: up to 15 octets, no slash, no blank.
fn interface_name(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    let fits = (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'/' | b':' | b'%'));
    if !fits {
        item.error(
            format!("\"{name}\" is not an interface name"),
            "write 1 to 15 letters and digits, as \"hub0\"",
        );
    }
    fits.then(|| name.to_owned())
}

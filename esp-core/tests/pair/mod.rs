//! An outbound and an inbound SA under one key, and packets to send through them.
#![allow(dead_code, reason = "each test uses a part of it")]

use core::net::{Ipv4Addr, Ipv6Addr};

use esp_core::crypto::rustcrypto;
use esp_core::{
    CryptoProvider, EspSuite, InboundSa, OutboundSa, SaParameters, Selector, Spi, WindowSize,
};

/// Every suite without extended sequence numbers; the last ones need feature `legacy`.
pub(crate) const SUITES: &[&str] = &[
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "chacha20poly1305",
    "aes128gmac",
    "aes192gmac",
    "aes256gmac",
    "aes128-sha1",
    "aes128-sha256",
    "aes128-sha256_96",
    "aes192-sha384",
    "aes256-sha512",
    "aes128ctr-sha1",
    "aes192ctr-sha256",
    "aes256ctr-sha512",
    "null-sha1",
    "null-sha256",
    "null-sha384",
    "null-sha512",
    #[cfg(feature = "legacy")]
    "des-md5",
    #[cfg(feature = "legacy")]
    "3des-sha1",
    #[cfg(feature = "legacy")]
    "null-md5",
];

/// Every suite, with and without extended sequence numbers.
pub(crate) fn suites() -> Vec<EspSuite> {
    let plain = SUITES.iter().map(|name| name.parse::<EspSuite>().unwrap());
    plain.flat_map(|suite| [suite, suite.with_esn()]).collect()
}

/// Every provider that the features give, by name.
pub(crate) fn providers() -> Vec<(&'static str, CryptoProvider)> {
    vec![
        ("rustcrypto", rustcrypto::provider()),
        #[cfg(feature = "ring")]
        (
            "ring",
            CryptoProvider {
                backends: &[&esp_core::crypto::ring::Ring, &rustcrypto::RustCrypto],
                ..rustcrypto::provider()
            },
        ),
    ]
}

/// How a pair of SAs is made.
pub(crate) struct Setup {
    pub(crate) suite: EspSuite,
    pub(crate) provider: CryptoProvider,
    pub(crate) selector: Selector,
    pub(crate) window: WindowSize,
    pub(crate) last_sequence: u64,
    pub(crate) key: u8,
}

impl Setup {
    pub(crate) fn new(suite: &str) -> Self {
        Self::of(suite.parse().unwrap(), rustcrypto::provider())
    }

    pub(crate) fn of(suite: EspSuite, provider: CryptoProvider) -> Self {
        let window = WindowSize::default();
        Self {
            suite,
            provider,
            selector: hub_selector(),
            window,
            last_sequence: 0,
            key: 0,
        }
    }

    pub(crate) fn pair(&self) -> (OutboundSa, InboundSa) {
        let keymat: Vec<u8> = (0..self.suite.keymat_len())
            .map(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ self.key)
            .collect();
        let spi = Spi::new(0x1001).unwrap();
        let parameters = SaParameters::builder(spi, self.suite, &keymat, self.selector)
            .replay_window(self.window)
            .last_sequence(self.last_sequence)
            .build()
            .unwrap();
        (
            OutboundSa::new(&parameters, &self.provider).unwrap(),
            InboundSa::new(&parameters, &self.provider).unwrap(),
        )
    }
}

/// Of the hub, which receives what the branch at 10.61.1.0/24 sends.
pub(crate) fn hub_selector() -> Selector {
    Selector::new(
        "10.61.3.0/24".parse().unwrap(),
        "10.61.1.0/24".parse().unwrap(),
    )
    .unwrap()
}

/// An IPv4 packet of that length in all, from the branch to the hub.
pub(crate) fn packet(total_len: usize) -> Vec<u8> {
    packet_between([10, 61, 1, 9].into(), [10, 61, 3, 26].into(), total_len)
}

pub(crate) fn packet_between(source: Ipv4Addr, destination: Ipv4Addr, total_len: usize) -> Vec<u8> {
    let len = u16::try_from(total_len).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, 255, 0, 0];
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&destination.octets());
    packet.extend((packet.len()..total_len).map(|index| index.to_le_bytes()[0]));
    packet
}

pub(crate) fn packet_v6(source: Ipv6Addr, destination: Ipv6Addr, total_len: usize) -> Vec<u8> {
    let len = u16::try_from(total_len - 40).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], 255, 64];
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&destination.octets());
    packet.extend((packet.len()..total_len).map(|index| index.to_le_bytes()[0]));
    packet
}

/// One packet, sealed.
pub(crate) fn sealed(outbound: &mut OutboundSa, packet: &[u8]) -> Vec<u8> {
    let mut esp = vec![0; outbound.sealed_len(packet.len())];
    let len = outbound.seal(packet, &mut esp).unwrap();
    assert_eq!(len, esp.len());
    esp
}

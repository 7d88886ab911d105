//! An outbound and an inbound SA under one key, over every suite.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use core::net::{IpAddr, SocketAddr};

use esp_core::crypto::rustcrypto;
use esp_core::ip::{Dscp, Protocol, udp_packet};
use esp_core::{EspSuite, InboundSa, OpenError, OutboundSa, SaParameters, Selector, Spi};

const SUITES: &[&str] = &[
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16-esn",
    "aes128-sha1",
    "aes192-sha256",
    "aes256-sha512-esn",
    "null-sha384",
];

fn pair(suite: &str) -> (OutboundSa, InboundSa) {
    let suite: EspSuite = suite.parse().unwrap();
    let keymat = vec![0x5A; suite.keymat_len()];
    let spi = Spi::new(0x1001).unwrap();
    let selector = Selector::new(
        "10.61.3.0/24".parse().unwrap(),
        "10.61.1.0/24".parse().unwrap(),
    )
    .unwrap();
    let parameters = SaParameters::builder(spi, suite, &keymat, selector)
        .build()
        .unwrap();
    let provider = rustcrypto::provider();
    (
        OutboundSa::new(&parameters, &provider).unwrap(),
        InboundSa::new(&parameters, &provider).unwrap(),
    )
}

fn packet(payload_len: usize) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) =
        ("10.61.1.9".parse().unwrap(), "10.61.3.26".parse().unwrap());
    let mut out = Vec::new();
    udp_packet(
        SocketAddr::new(source, 123),
        SocketAddr::new(destination, 123),
        Dscp::DEFAULT,
        &vec![7; payload_len],
        &mut out,
    )
    .unwrap();
    out
}

#[test]
fn what_is_sealed_is_opened() {
    for suite in SUITES {
        let (mut outbound, mut inbound) = pair(suite);
        for payload_len in [0, 1, 2, 15, 16, 48, 576, 1372] {
            let packet = packet(payload_len);
            let mut esp = vec![0; outbound.sealed_len(packet.len())];
            let len = outbound.seal(&packet, &mut esp).unwrap();
            assert_eq!(len, esp.len());
            let copy = esp.clone();
            let opened = inbound.open_in_place(&mut esp).unwrap();
            assert_eq!(opened.packet, packet, "{suite} {payload_len}");
            assert_eq!(opened.next_header, Protocol::IPV4);
            let again = inbound.open_in_place(&mut copy.clone()).unwrap_err();
            assert_eq!(
                again,
                OpenError::Replayed {
                    sequence: outbound.last_sequence()
                }
            );
        }
        assert_eq!(inbound.usage(), outbound.usage());
    }
}

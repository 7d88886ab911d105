//! Inner packets of both families, and steps for an SA of each suite.

use std::net::SocketAddr;

use esp_core::ip::{Dscp, udp_packet};

use super::{Seed, string};

pub(super) fn seeds() -> Vec<Seed> {
    let v4 = udp("10.61.3.26:123", "10.61.1.1:123");
    let v6 = udp("[2001:db8::1]:123", "[2001:db8::2]:123");
    vec![
        Seed::new("esp_inner_packet", "udp_v4", v4.clone()),
        Seed::new("esp_inner_packet", "udp_v6", v6.clone()),
        Seed::new("esp_inner_packet", "options_v6", with_extensions(&v6)),
        Seed::new("esp_encapsulation", "ike", vec![0, 0, 0, 0, 1, 2, 3]),
        Seed::new("esp_encapsulation", "esp", vec![0, 0, 0x10, 1, 0, 0, 0, 1]),
        Seed::new("esp_encapsulation", "keepalive", vec![0xFF]),
        Seed::new("esp_open", "gcm", steps(0, &v4)),
        Seed::new("esp_open", "gcm_esn", steps(1, &v4)),
        Seed::new("esp_open", "null", steps(2, &v4)),
        Seed::new("esp_open", "cbc", steps(3, &v4)),
        Seed::new("esp_open", "cbc_esn", steps(4, &v4)),
    ]
}

fn udp(source: &str, destination: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let parse = |text: &str| text.parse::<SocketAddr>().ok();
    let (Some(source), Some(destination)) = (parse(source), parse(destination)) else {
        panic!("{source} and {destination} are addresses");
    };
    if let Err(error) = udp_packet(source, destination, Dscp::new(46), b"reading", &mut packet) {
        panic!("a packet: {error}");
    }
    packet
}

/// Hop-by-hop and destination options between the IPv6 header and UDP.
fn with_extensions(packet: &[u8]) -> Vec<u8> {
    let (header, udp) = packet.split_at(40);
    let mut header = header.to_vec();
    header[6] = 0;
    header[5] += 16;
    [
        &header[..],
        &[60, 0, 1, 4, 0, 0, 0, 0],
        &[17, 0, 1, 4, 0, 0, 0, 0],
        udp,
    ]
    .concat()
}

/// An authentic packet, the same once more, a dummy, an altered packet, and noise.
fn steps(suite: u8, packet: &[u8]) -> Vec<u8> {
    let mut plaintext = packet.to_vec();
    let padding = 14 - plaintext.len() % 16;
    plaintext.extend((1..=15).take(padding));
    plaintext.extend([u8::try_from(padding).unwrap_or(0), 4]);
    let authentic = |sequence: u16, plaintext: &[u8]| {
        [&sequence.to_be_bytes()[..], &string(plaintext)].concat()
    };
    [
        &[suite, 0][..],
        &authentic(1, &plaintext),
        &[3, 0],
        &authentic(7, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 14, 59]),
        &[1],
        &authentic(9, &plaintext),
        &[0, 12, 0x80, 2],
        &string(&[0, 0, 0x10, 1, 0, 0, 0, 3]),
    ]
    .concat()
}

//! Packets with each kind of ending, and lives of associations and of the server.

use ntp_core::packet::{Mode, Packet, Version};

use super::{Seed, string};

pub(super) fn seeds() -> Vec<Seed> {
    let request = request();
    let mut seeds = vec![
        Seed::new("ntp_message", "client", request.clone()),
        Seed::new("ntp_message", "mac", with(&request, &mac())),
        Seed::new("ntp_message", "crypto_nak", with(&request, &[0; 4])),
        Seed::new(
            "ntp_message",
            "extension_and_mac",
            with(&request, &[extension(16), mac()].concat()),
        ),
        Seed::new("ntp_extensions", "one", extension(28)),
        Seed::new(
            "ntp_extensions",
            "two_and_mac",
            [extension(16), extension(24), mac()].concat(),
        ),
        Seed::new("ntp_server", "plain", server(0x08, &request)),
        Seed::new("ntp_server", "mac", server(0x0E, &with(&request, &mac()))),
        Seed::new(
            "ntp_server",
            "false_mac",
            server(0x0E, &with(&request, &[1; 20])),
        ),
        Seed::new("ntp_server", "limited", server(0x09, &request)),
    ];
    const NAMES: [&str; 6] = [
        "client",
        "symmetric_active",
        "symmetric_passive",
        "broadcast_server",
        "broadcast_client",
        "h3c",
    ];
    for (settings, name) in (0..).zip(NAMES) {
        let mode = [4, 2, 1, 3, 4, 4][usize::from(settings)];
        seeds.push(Seed::new(
            "ntp_association",
            name,
            association(settings, mode),
        ));
    }
    seeds
}

fn request() -> Vec<u8> {
    let mut packet = Packet::new(Version::V4, Mode::Client);
    packet.transmit.0 = 0xED00_0000_8000_0001;
    packet.encode().to_vec()
}

fn with(request: &[u8], end: &[u8]) -> Vec<u8> {
    [request, end].concat()
}

fn mac() -> Vec<u8> {
    [&[0, 0, 0, 1][..], &[0; 16]].concat()
}

fn extension(len: u16) -> Vec<u8> {
    let mut field = [&[1, 4][..], &len.to_be_bytes()].concat();
    field.resize(len.into(), 0xEE);
    field
}

/// The request four times from two addresses, with time in between.
fn server(settings: u8, request: &[u8]) -> Vec<u8> {
    let request = |from: u8| [&[from][..], &string(request)].concat();
    [
        &[settings][..],
        &request(2),
        &request(2),
        &[0, 0x10, 0],
        &request(5),
        &request(2),
    ]
    .concat()
}

/// Polls and answers, a broadcast, a step of the clock, kicks, and the end.
fn association(settings: u8, mode: u8) -> Vec<u8> {
    // Stratum 2, and a receive and a transmit timestamp near the association's own wall clock.
    let times = [0xED, 0x02, 0, 0, 0, 0, 0, 1, 0xED, 0x02, 0, 0, 0, 0, 0, 2];
    let fields = [
        [6, 0xEC, 0, 0, 0, 1, 0, 0, 0, 1, 10, 0, 0, 1].as_slice(),
        &times,
    ]
    .concat();
    let answer = |mode: u8| [&[1, 0x20 | mode, 2][..], &string(&fields)].concat();
    let mut broadcast = [&[0x25, 2][..], &fields[..14], &[0; 24]].concat();
    broadcast.extend_from_slice(&times[8..]);
    broadcast.resize(48, 0);
    [
        &[settings][..],
        &[3],
        &answer(mode),
        &[3],
        &answer(mode),
        &[4, 1],
        &answer(mode),
        &[0],
        &string(&broadcast),
        &[3, 3],
        &answer(mode),
        &[5, 1, 3],
        &answer(mode),
        &[6, 0x90, 0, 3],
        &answer(mode),
        &[7, 1, 8, 5, 0, 2, 0x40, 0, 3],
        &answer(mode),
        &[9],
    ]
    .concat()
}

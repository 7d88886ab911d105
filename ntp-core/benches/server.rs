//! Parse, validate and build a reply: what a server does for each request besides the system calls.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "criterion's macros are undocumented, the clock is real, and a benchmark may panic"
)]

use core::hint::black_box;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ntp_core::crypto::rustcrypto::{OsRandom, provider};
use ntp_core::mac::{KeyId, KeyTable, MacKind, SymmetricKey};
use ntp_core::message::{MAX_MESSAGE_LEN, Message};
use ntp_core::rate_limit::RateLimit;
use ntp_core::{
    Datagram, Mode, NtpTimestamp, Packet, Server, ServerConfig, Stratum, SystemVariables, Version,
};

fn key(kind: MacKind) -> SymmetricKey {
    SymmetricKey::new(KeyId(1), kind, &[7; 16], &provider())
        .expect("16 octets suit every kind here")
}

fn request(key: Option<&SymmetricKey>) -> Vec<u8> {
    let mut packet = Packet::new(Version::V4, Mode::Client);
    packet.transmit.0 = 0x0123_4567_89AB_CDEF;
    let header = packet.encode();
    let mut octets = header.to_vec();
    if let Some(key) = key {
        octets.extend_from_slice(&key.id().0.to_be_bytes());
        octets.extend_from_slice(key.sign(&header, packet.version).as_ref());
    }
    octets
}

fn respond(criterion: &mut Criterion) {
    let source = SocketAddr::from(([10, 61, 0, 1], 123));
    let destination = SocketAddr::from(([10, 61, 3, 26], 123));
    let wall = NtpTimestamp::RELEASE;
    let kinds = [
        MacKind::Md5,
        MacKind::Sha1,
        MacKind::Sha256,
        MacKind::Aes128Cmac,
    ];
    let keys = kinds
        .into_iter()
        .map(|kind| (kind.to_string(), Some(key(kind))));
    let mut group = criterion.benchmark_group("server/respond");
    group.throughput(Throughput::Elements(1));
    for (name, key) in [("plain".to_owned(), None)].into_iter().chain(keys) {
        let now = Instant::now();
        let contents = request(key.as_ref());
        let mut table = KeyTable::new();
        if let Some(key) = key {
            table.insert(key);
        }
        let limit = RateLimit::new(Duration::from_nanos(1), u16::MAX);
        let limited = ServerConfig::new().keys(table.clone()).rate_limit(limit);
        for (suffix, config) in [("", ServerConfig::new().keys(table)), ("+limit", limited)] {
            let mut server = Server::new(config, &OsRandom, now);
            server.set_system(SystemVariables::local(Stratum(2)));
            let mut out = [0; MAX_MESSAGE_LEN];
            let request = Datagram {
                source,
                destination,
                contents: &contents,
            };
            let answered = server.respond_into(now, wall, wall, request, &mut out);
            assert_eq!(answered, Ok(contents.len()));
            // Time goes on, or the limit would refuse most requests, which is cheap.
            let mut now = now;
            group.bench_function(format!("{name}{suffix}"), |bencher| {
                bencher.iter(|| {
                    now += Duration::from_micros(1);
                    server.respond_into(now, wall, wall, black_box(request), black_box(&mut out))
                });
            });
            assert_eq!(server.stats().rate_limited, 0, "every request was answered");
        }
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let contents = request(Some(&key(MacKind::Aes128Cmac)));
    criterion.bench_function("message/decode", |bencher| {
        bencher.iter(|| Message::decode(black_box(&contents)).map(|message| *message.packet()));
    });
}

criterion_group!(benches, respond, decode);
criterion_main!(benches);

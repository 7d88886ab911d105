//! One poll of a client: request out, reply in, sample filtered.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "criterion's macros are undocumented, the clock is real, and a benchmark may panic"
)]

use core::hint::black_box;
use core::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use ntp_core::crypto::rustcrypto::OsRandom;
use ntp_core::select::{Candidate, SelectionConfig, select};
use ntp_core::{
    Association, AssociationConfig, Datagram, NtpDuration, NtpTimestamp, Purpose, Schedule, Server,
    ServerConfig, Stratum, SystemVariables,
};

fn poll(criterion: &mut Criterion) {
    let local = SocketAddr::from(([10, 61, 0, 1], 123));
    let remote = SocketAddr::from(([10, 61, 3, 26], 123));
    let now = Instant::now();
    let wall = NtpTimestamp::RELEASE;
    let config = AssociationConfig::builder(local, remote)
        .schedule(Schedule::Manual)
        .build();
    let config = Arc::new(config.expect("the settings agree"));
    let mut association = Association::new(config, Arc::new(OsRandom), now);
    let mut server = Server::new(ServerConfig::new(), &OsRandom, now);
    server.set_system(SystemVariables::local(Stratum(2)));
    criterion.bench_function("association/poll", |bencher| {
        bencher.iter(|| {
            association.poll_now(now, wall, Purpose::Measure);
            let request = association.poll_transmit()?;
            let datagram = Datagram {
                source: local,
                destination: remote,
                contents: &request.contents,
            };
            let reply = server.respond(now, wall, wall, datagram).ok()?;
            let datagram = Datagram {
                source: remote,
                destination: local,
                contents: &reply.contents,
            };
            let outcome = association.handle_datagram(now, wall, datagram);
            while association.poll_event().is_some() {}
            black_box(outcome).ok()?.sample
        });
    });
}

fn selection(criterion: &mut Criterion) {
    let candidates: Vec<_> = (0..10)
        .map(|index| {
            let milliseconds = |count: i64| NtpDuration::from_nanoseconds(count * 1_000_000);
            Candidate::new(
                milliseconds(index),
                milliseconds(20 + index),
                milliseconds(1),
                Stratum(2),
            )
        })
        .collect();
    let config = SelectionConfig::default();
    criterion.bench_function("select/10", |bencher| {
        bencher.iter(|| select(black_box(&candidates), None, &config).is_ok());
    });
}

criterion_group!(benches, poll, selection);
criterion_main!(benches);

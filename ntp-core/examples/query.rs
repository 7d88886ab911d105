//! Asks an NTP server for the time: `cargo run --example query -- 127.0.0.1:123`.
#![allow(clippy::disallowed_methods, reason = "reads the clock")]
#![allow(clippy::print_stdout, reason = "prints the answer")]

use core::error::Error;
use core::time::Duration;
use std::net::{ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ntp_core::crypto::rustcrypto::OsRandom;
use ntp_core::{Association, AssociationConfig, Datagram, NtpTimestamp, Purpose, Schedule};

fn main() -> Result<(), Box<dyn Error>> {
    let server = std::env::args().nth(1).ok_or("usage: query HOST:PORT")?;
    let server = server.to_socket_addrs()?.next().ok_or("no address")?;
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let local = socket.local_addr()?;

    let config = AssociationConfig::builder(local, server)
        .schedule(Schedule::Manual)
        .build()?;
    let mut association = Association::new(Arc::new(config), Arc::new(OsRandom), Instant::now());
    association.poll_now(Instant::now(), wall_clock(), Purpose::Measure);
    while let Some(request) = association.poll_transmit() {
        socket.send(&request.contents)?;
    }

    let mut buffer = [0; 1024];
    loop {
        let len = socket.recv(&mut buffer)?;
        let (now, wall) = (Instant::now(), wall_clock());
        let contents = buffer.get(..len).unwrap_or_default();
        let datagram = Datagram::new(server, local, contents);
        // What does not answer us is dropped with a reason; the answer may still come.
        let Ok(reply) = association.handle_datagram(now, wall, datagram) else {
            continue;
        };
        if let Some(unusable) = reply.unusable {
            return Err(unusable.into());
        }
        if let Some(sample) = reply.sample {
            let (offset, delay, stratum) = (sample.offset, sample.delay, sample.stratum);
            println!("offset {offset} s, delay {delay} s, stratum {stratum}");
            return Ok(());
        }
    }
}

fn wall_clock() -> NtpTimestamp {
    NtpTimestamp::from_system_time(SystemTime::now())
}

//! Our server against chronyd: answers per second of processor time, with the same blaster, in one run.
//!
//! Both serve on loopback, one at a time and in turns. The processor time is that of the server's process
//! alone, as the scheduler counts it, so the blaster's own cost is no part of the figure.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod blaster;
mod server;

use core::time::Duration;
use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitCode};
use std::thread::sleep;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ntp_interop::chrony::Chrony;
use ntp_interop::daemon::free_port;

/// Our server against chronyd: answers per second of processor time.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Side>,
    /// Length of each measurement in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Measurements of each server.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Only serves, until it is stopped.
    Serve {
        /// Where.
        address: SocketAddr,
    },
}

/// What a server did in one measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    answers: u64,
    /// Processor time of the server.
    busy: Duration,
    elapsed: Duration,
}

impl Score {
    fn per_busy_second(&self) -> f64 {
        per_second(self.answers, self.busy)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Side::Serve { address }) => server::serve(address).map(|()| ExitCode::SUCCESS),
        None => compare(Duration::from_secs(arguments.seconds), arguments.rounds),
    };
    result.unwrap_or_else(|error| {
        eprintln!("ntp-load: {error:#}");
        ExitCode::FAILURE
    })
}

fn compare(length: Duration, rounds: u32) -> Result<ExitCode> {
    let (mut best_ours, mut best_theirs) = (Score::default(), Score::default());
    for round in 1..=rounds {
        let ours = measure_ours(length).context("our server")?;
        report(round, "ours", &ours);
        let theirs = measure_theirs(length).context("chronyd")?;
        report(round, "chronyd", &theirs);
        best_ours = better(best_ours, ours);
        best_theirs = better(best_theirs, theirs);
    }
    let ratio = best_ours.per_busy_second() / best_theirs.per_busy_second();
    println!(
        "best of {rounds}: ours gives {ratio:.2} times the answers of chronyd per second of processor time"
    );
    Ok(if 1.0 <= ratio {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Our server in a process of its own, ended when the measurement is over.
struct OwnServer(Child);

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure_ours(length: Duration) -> Result<Score> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let program = env::current_exe().context("this program's own path")?;
    let child = Command::new(program)
        .arg("serve")
        .arg(address.to_string())
        .spawn();
    let server = OwnServer(child.context("starting our server")?);
    sleep(Duration::from_millis(300));
    measure(server.0.id(), address, length)
}

fn measure_theirs(length: Duration) -> Result<Score> {
    let chrony = Chrony::start("local stratum 5\nnoclientlog")?;
    measure(chrony.id(), chrony.address, length)
}

fn measure(process: u32, server: SocketAddr, length: Duration) -> Result<Score> {
    // Warm up: pages, caches, the processor's clock.
    blaster::blast(server, Duration::from_millis(200))?;
    let before = busy(process)?;
    let volley = blaster::blast(server, length)?;
    let busy = busy(process)?.saturating_sub(before);
    Ok(Score {
        answers: volley.answers,
        busy,
        elapsed: volley.elapsed,
    })
}

/// Processor time of a process so far, all its threads together.
fn busy(process: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("the server has ended")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?;
        total += Duration::from_nanos(nanoseconds.parse().context("schedstat")?);
    }
    Ok(total)
}

fn report(round: u32, name: &str, score: &Score) {
    let wall = per_second(score.answers, score.elapsed);
    println!(
        "{round}  {name:<8} {:>9.0} answers per second of processor time, {wall:>9.0} per second",
        score.per_busy_second()
    );
}

fn better(left: Score, right: Score) -> Score {
    if left.per_busy_second() < right.per_busy_second() {
        right
    } else {
        left
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        count as f64 / time.as_secs_f64()
    }
}

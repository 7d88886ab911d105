//! What is sent through a contender, and what came of it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Effort;
use super::contender::Contender;
use super::wanted;
use crate::clock;
use crate::lab::Role;
use crate::process::Running;
use crate::stream::{self, Transfer};

/// Beyond the time that a measurement takes by itself.
const MARGIN: Duration = Duration::from_secs(20);
/// Between two measurements.
const REST: Duration = Duration::from_millis(300);
/// Clock ticks per second in /proc, the same on every Linux.
const TICKS: f64 = 100.0;

/// The kinds of load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// One TCP stream from the branch to the hub.
    Tcp,
    /// The same between hosts behind the gateways.
    Forwarded,
    /// One TCP stream each way.
    BothWays,
    /// UDP datagrams of 1300 octets at a fixed rate.
    Udp { megabits: u32 },
    /// Round-trip time, with a TCP stream beside or without.
    Ping { flood: bool },
    /// A stream whose SHA-256 must be the same at both ends.
    Transfer,
}

/// What one measurement gave.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) gigabits: Option<f64>,
    pub(super) seconds_per_gigabyte: Option<f64>,
    pub(super) loss: Option<f64>,
    pub(super) milliseconds: Option<f64>,
    pub(super) remark: Option<String>,
}

impl Load {
    pub(super) fn run(self, contender: &Contender, effort: &Effort) -> Result<Sample> {
        clock::pause(REST)?;
        let before = processor_seconds(&contender.ids())?;
        let (mut sample, octets) = match self {
            Self::Tcp | Self::Forwarded => flow(contender, effort, &[])?,
            Self::BothWays => flow(contender, effort, &["--bidir"])?,
            Self::Udp { megabits } => udp(contender, effort.length, megabits)?,
            Self::Ping { flood } => (ping(contender, effort, flood)?, 0.0),
            Self::Transfer => send(contender, effort.transfer)?,
        };
        let used = processor_seconds(&contender.ids())? - before;
        if octets != 0.0 && !contender.ids().is_empty() {
            sample.seconds_per_gigabyte = Some(used * 1e9 / octets);
        }
        Ok(sample)
    }
}

/// User and system time of the processes with all their threads.
fn processor_seconds(ids: &[u32]) -> Result<f64> {
    let mut ticks = 0.0;
    for id in ids {
        let path = format!("/proc/{id}/stat");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name in brackets may hold blanks; utime and stime are the 12th and 13th after it.
        let (_, rest) = wanted(text.rsplit_once(')'), "process")?;
        let fields = rest.split_ascii_whitespace().skip(11).take(2);
        ticks += fields
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(ticks / TICKS)
}

fn iperf(contender: &Contender, length: Duration, options: &[&str]) -> Result<Value> {
    let seconds = length.as_secs().to_string();
    let mut argv = vec![
        "iperf3",
        "-J",
        "-c",
        contender.target(),
        "-B",
        contender.source(),
        "-t",
        &seconds,
    ];
    argv.extend(options);
    let text = contender
        .place(Role::Branch)
        .run(length + MARGIN, &argv)?
        .stdout()?;
    let answer: Value = serde_json::from_str(&text).context("the answer of iperf3")?;
    wanted(answer.get("end").cloned(), "end")
}

fn number(end: &Value, sum: &str, field: &str) -> Option<f64> {
    end.get(sum)?.get(field)?.as_f64()
}

fn flow(contender: &Contender, effort: &Effort, options: &[&str]) -> Result<(Sample, f64)> {
    let mut argv = vec!["-C", &effort.congestion];
    argv.extend(options);
    let end = iperf(contender, effort.length, &argv)?;
    let sums = ["sum_received", "sum_received_bidir_reverse"];
    let total =
        |field: &str| -> f64 { sums.iter().filter_map(|sum| number(&end, sum, field)).sum() };
    let gigabits = total("bits_per_second") / 1e9;
    ensure!(gigabits != 0.0, "nothing was received");
    let sample = Sample {
        gigabits: Some(gigabits),
        ..Sample::default()
    };
    Ok((sample, total("bytes")))
}

fn udp(contender: &Contender, length: Duration, megabits: u32) -> Result<(Sample, f64)> {
    let rate = format!("{megabits}M");
    let end = iperf(contender, length, &["-u", "-l", "1300", "-b", &rate])?;
    let loss = wanted(number(&end, "sum", "lost_percent"), "loss")?;
    let received = 1.0 - loss / 100.0;
    let octets = wanted(number(&end, "sum", "bytes"), "octets")? * received;
    let bits = wanted(number(&end, "sum", "bits_per_second"), "rate")? * received;
    let sample = Sample {
        gigabits: Some(bits / 1e9),
        loss: Some(loss),
        ..Sample::default()
    };
    Ok((sample, octets))
}

fn ping(contender: &Contender, effort: &Effort, flood: bool) -> Result<Sample> {
    let length = effort.length;
    let place = contender.place(Role::Branch);
    let seconds = (length.as_secs() + 2).to_string();
    let log = std::env::temp_dir().join(format!("throughput-flood-{}", std::process::id()));
    let flood: Option<Running> = if flood {
        let argv = [
            "iperf3",
            "-c",
            contender.target(),
            "-B",
            contender.source(),
            "-t",
            &seconds,
            "-C",
            &effort.congestion,
        ];
        let running = place.start("iperf3", &argv, &[], &log)?;
        clock::pause(Duration::from_secs(1))?;
        Some(running)
    } else {
        None
    };
    let count = (length.as_millis() / 20).to_string();
    let text = place
        .run(
            length + MARGIN,
            &[
                "ping",
                "-n",
                "-q",
                "-i",
                "0.02",
                "-c",
                &count,
                "-W",
                "2",
                "-I",
                contender.source(),
                contender.target(),
            ],
        )?
        .stdout()?;
    if let Some(mut flood) = flood {
        clock::within(MARGIN, "the end of the flood", || {
            Ok(flood.alive().err().map(drop))
        })?;
        drop(fs::remove_file(log));
    }
    // "rtt min/avg/max/mdev = 0.1/0.2/0.3/0.0 ms"
    let (_, times) = wanted(text.rsplit_once("= "), "round-trip time")?;
    let times: Vec<f64> = times
        .split('/')
        .filter_map(|time| time.parse().ok())
        .collect();
    let average = wanted(times.get(1).copied(), "average")?;
    let longest = times.get(2).copied().unwrap_or_default();
    Ok(Sample {
        milliseconds: Some(average),
        remark: Some(format!(" on average, {longest:.1} at most")),
        ..Sample::default()
    })
}

fn send(contender: &Contender, len: u64) -> Result<(Sample, f64)> {
    let ends = [Role::Branch, Role::Hub].map(|role| contender.place(role));
    let Transfer { elapsed, hash } = stream::transfer(ends, contender.target(), len)?;
    let octets = len as f64;
    let sample = Sample {
        gigabits: Some(octets * 8.0 / 1e9 / elapsed.as_secs_f64()),
        remark: Some(format!(
            "  {len} octets equal, SHA-256 {}…",
            hash.get(..16).unwrap_or_default()
        )),
        ..Sample::default()
    };
    Ok((sample, octets))
}

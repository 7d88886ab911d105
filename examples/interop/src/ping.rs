//! Traffic through the pairs: short bursts, and streams that must not lose a packet.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::clock;
use crate::lab::{Lab, PAIRS, Pair, Role};
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};

/// Between the packets of a stream.
pub const STREAM_INTERVAL: Duration = Duration::from_millis(50);

/// A stream that nobody ends, ends after a quarter of an hour. A limit of time would end it at the first error as well.
const STREAM_LIMIT: &str = "18000";

/// Source and target of a ping that `from` sends through a pair.
fn ends(pair: &Pair, from: Role) -> (&'static str, &'static str) {
    match from {
        Role::Branch => (pair.branch_address, pair.hub_address),
        Role::Hub => (pair.hub_address, pair.branch_address),
    }
}

/// Three pings through every pair from both ends, at the same time; none may be lost.
///
/// # Errors
///
/// When one is lost; says where.
pub fn every_pair(lab: &Lab) -> Result<()> {
    thread::scope(|scope| {
        let bursts: Vec<_> = [Role::Branch, Role::Hub]
            .into_iter()
            .flat_map(|from| PAIRS.iter().map(move |pair| (from, pair)))
            .map(|(from, pair)| scope.spawn(move || burst(lab, from, pair)))
            .collect();
        for burst in bursts {
            burst
                .join()
                .map_err(|_| anyhow::anyhow!("a ping thread failed"))??;
        }
        Ok(())
    })
}

fn burst(lab: &Lab, from: Role, pair: &Pair) -> Result<()> {
    let (source, target) = ends(pair, from);
    let done = lab.end(from).run(
        BRIEF,
        &[
            "ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "2", "-I", source, target,
        ],
    )?;
    if !done.stdout.contains(" 3 received") {
        let summary = done
            .stdout
            .lines()
            .find(|line| line.contains("transmitted"))
            .unwrap_or("no summary");
        bail!(
            "ping through {} from the {}: {summary}",
            pair.name,
            from.label()
        );
    }
    Ok(())
}

/// Pings that go on until [`Stream::finish`].
#[derive(Debug)]
pub struct Stream {
    running: Running,
    name: String,
}

impl Stream {
    /// Starts to ping through a pair.
    ///
    /// # Errors
    ///
    /// When `ping` cannot be started.
    pub fn start(lab: &Lab, from: Role, pair: &Pair, directory: &Path) -> Result<Self> {
        Self::start_every(STREAM_INTERVAL, lab, from, pair, directory)
    }

    /// The same with another time between two packets.
    ///
    /// # Errors
    ///
    /// When `ping` cannot be started.
    pub fn start_every(
        interval: Duration,
        lab: &Lab,
        from: Role,
        pair: &Pair,
        directory: &Path,
    ) -> Result<Self> {
        let name = format!("ping-{}-{}", from.label(), pair.name);
        Self::every(interval, lab.end(from), name, ends(pair, from), directory)
    }

    /// Starts to ping from an address of a namespace to another address.
    ///
    /// # Errors
    ///
    /// When `ping` cannot be started.
    pub fn between(
        namespace: &Namespace,
        name: String,
        ends: (&str, &str),
        directory: &Path,
    ) -> Result<Self> {
        Self::every(STREAM_INTERVAL, namespace, name, ends, directory)
    }

    fn every(
        interval: Duration,
        namespace: &Namespace,
        name: String,
        (source, target): (&str, &str),
        directory: &Path,
    ) -> Result<Self> {
        let interval = format!("{:.3}", interval.as_secs_f64());
        let running = namespace.start(
            &name,
            &[
                "ping",
                "-n",
                "-D",
                "-c",
                STREAM_LIMIT,
                "-i",
                &interval,
                "-I",
                source,
                target,
            ],
            &[],
            &directory.join(format!("{name}.log")),
        )?;
        Ok(Self { running, name })
    }

    /// A stream through every pair from both ends.
    ///
    /// # Errors
    ///
    /// When `ping` cannot be started.
    pub fn everywhere(lab: &Lab, directory: &Path) -> Result<Vec<Self>> {
        [Role::Branch, Role::Hub]
            .into_iter()
            .flat_map(|from| PAIRS.iter().map(move |pair| (from, pair)))
            .map(|(from, pair)| Self::start(lab, from, pair, directory))
            .collect()
    }

    /// When the first answer after `unix_seconds` came.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn answered_after(&self, unix_seconds: f64) -> Result<Option<f64>> {
        Ok(answers(&self.running.log()?)
            .map(|answer| answer.at)
            .find(|&at| unix_seconds < at))
    }

    /// How many pings between two moments had no answer, by their own account: gaps in what was answered.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn lost_between(&self, from: f64, to: f64) -> Result<usize> {
        Ok(gaps(&self.running.log()?, from, to))
    }

    /// The longest time between two answers that came after `unix_seconds`, the first of them counted from there.
    ///
    /// # Errors
    ///
    /// When the log cannot be read, or nothing came.
    pub fn longest_gap_after(&self, unix_seconds: f64) -> Result<f64> {
        let log = self.running.log()?;
        let times = answers(&log).map(|answer| answer.at);
        let mut last = unix_seconds;
        let mut longest = None;
        for at in times.filter(|at| unix_seconds < *at) {
            longest = Some(longest.unwrap_or(0.0_f64).max(at - last));
            last = at;
        }
        longest.with_context(|| format!("{}: no answer", self.name))
    }

    /// Stops and counts.
    ///
    /// # Errors
    ///
    /// When `ping` does not end.
    pub fn finish(self) -> Result<Tally> {
        let Self { mut running, name } = self;
        running.end(Signal::INT, BRIEF)?;
        tally(&running.log()?).with_context(|| format!("{name}: no summary"))
    }
}

/// Stops all streams; none may have lost a packet. Returns how many were sent in all.
///
/// # Errors
///
/// When one lost a packet; says which.
pub fn none_lost(streams: Vec<Stream>) -> Result<u64> {
    // What is on its way may arrive.
    clock::pause(STREAM_INTERVAL)?;
    let mut sent = 0;
    for stream in streams {
        let name = stream.name.clone();
        let tally = stream.finish()?;
        if !tally.lost.is_empty() {
            bail!(
                "{name} lost {} of {}: icmp_seq {:?}",
                tally.lost.len(),
                tally.sent,
                tally.lost
            );
        }
        sent += tally.sent;
    }
    Ok(sent)
}

/// What became of a stream.
#[derive(Debug, Eq, PartialEq)]
pub struct Tally {
    /// Pings sent.
    pub sent: u64,
    /// Sequence numbers without an answer, but for the very last, which may still have been on its way.
    pub lost: Vec<u64>,
}

/// One line of `ping -D`.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// In seconds since 1970.
    pub at: f64,
    sequence: u64,
}

/// The answers in what `ping -D` has printed.
pub fn answers(log: &str) -> impl Iterator<Item = Answer> {
    log.lines().filter_map(|line| {
        let (at, rest) = line.strip_prefix('[')?.split_once(']')?;
        if !rest.contains("bytes from") {
            return None;
        }
        let (sequence, _) = rest.split_once("icmp_seq=")?.1.split_once(' ')?;
        Some(Answer {
            at: at.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    })
}

/// Pings missing between the first and the last answer of a span of time, and one for each end of it that nothing answered.
fn gaps(log: &str, from: f64, to: f64) -> usize {
    let slack = 20.0 * STREAM_INTERVAL.as_secs_f64();
    let within: Vec<Answer> = answers(log)
        .filter(|answer| from <= answer.at && answer.at <= to)
        .collect();
    let (Some(first), Some(last)) = (within.first(), within.last()) else {
        return 2;
    };
    let answered = u64::try_from(within.len()).unwrap_or(u64::MAX);
    let missing = (last.sequence + 1).saturating_sub(first.sequence + answered);
    usize::try_from(missing).unwrap_or(usize::MAX)
        + usize::from(from + slack < first.at)
        + usize::from(last.at + slack < to)
}

fn tally(log: &str) -> Option<Tally> {
    let summary = log
        .lines()
        .rev()
        .find(|line| line.contains("packets transmitted"))?;
    let sent: u64 = summary.split_whitespace().next()?.parse().ok()?;
    let answered: std::collections::BTreeSet<u64> =
        answers(log).map(|answer| answer.sequence).collect();
    let lost = (1..sent)
        .filter(|sequence| !answered.contains(sequence))
        .collect();
    Some(Tally { sent, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
PING 10.61.1.1 (10.61.1.1) from 10.61.3.26 : 56(84) bytes of data.
[1700000000.100000] 64 bytes from 10.61.1.1: icmp_seq=1 ttl=64 time=0.9 ms
[1700000000.150000] From 10.61.3.26 icmp_seq=2 Destination Host Unreachable
[1700000000.200000] 64 bytes from 10.61.1.1: icmp_seq=3 ttl=64 time=0.9 ms

--- 10.61.1.1 ping statistics ---
4 packets transmitted, 2 received, 50% packet loss, time 150ms
";

    #[test]
    fn a_ping_without_an_answer_is_lost_unless_it_was_the_last() {
        assert_eq!(
            tally(LOG),
            Some(Tally {
                sent: 4,
                lost: vec![2]
            })
        );
    }

    #[test]
    fn pings_missing_from_a_span_are_counted() {
        assert_eq!(gaps(LOG, 1_700_000_000.0, 1_700_000_000.3), 1);
        assert_eq!(gaps(LOG, 1_700_000_000.0, 1_700_000_000.1), 0);
        assert_eq!(gaps(LOG, 1_700_000_000.0, 1_700_000_009.0), 2);
        assert_eq!(gaps(LOG, 1_700_000_001.0, 1_700_000_009.0), 2);
    }

    #[test]
    fn an_error_message_is_no_answer() {
        let sequences: Vec<_> = answers(LOG).map(|answer| answer.sequence).collect();
        assert_eq!(sequences, [1, 3]);
    }

    #[test]
    fn a_log_without_a_summary_has_no_tally() {
        assert_eq!(tally("PING\n"), None);
    }
}

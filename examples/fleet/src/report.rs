//! The table for people and the line for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::campaign::Summary;

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    scenarios: Vec<Row>,
    control_octets_per_branch_hour: u64,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    runs: u32,
    branches: u32,
    p50_s: Option<f64>,
    p90_s: Option<f64>,
    p99_s: Option<f64>,
    max_s: Option<f64>,
    bound_p50_s: Option<f64>,
    bound_p99_s: Option<f64>,
    unreached: usize,
    peak_half_open: usize,
    peak_queue: usize,
    retransmissions_per_branch: f64,
    exponentiations_s: f64,
    failures: Vec<String>,
    ok: bool,
}

impl Row {
    fn new(summary: &Summary) -> Self {
        let percentile = |percent| summary.times.percentile(percent).map(seconds);
        let failures = summary.failures();
        Self {
            name: summary.campaign.scenario.name(),
            runs: summary.campaign.runs,
            branches: summary.campaign.branches,
            p50_s: percentile(50),
            p90_s: percentile(90),
            p99_s: percentile(99),
            max_s: summary.times.max().map(seconds),
            bound_p50_s: summary.bound.p50.map(seconds),
            bound_p99_s: summary.bound.p99.map(seconds),
            unreached: summary.unreached,
            peak_half_open: summary.peak_half_open,
            peak_queue: summary.peak_queue,
            retransmissions_per_branch: round(summary.retransmissions),
            exponentiations_s: seconds(summary.exponentiation_time),
            ok: failures.is_empty(),
            failures,
        }
    }
}

/// One line of JSON.
pub(crate) fn json(summaries: &[Summary], control_octets: u64) -> serde_json::Result<String> {
    let scenarios: Vec<Row> = summaries.iter().map(Row::new).collect();
    let ok = scenarios.iter().all(|row| row.ok);
    serde_json::to_string(&Report {
        scenarios,
        control_octets_per_branch_hour: control_octets,
        ok,
    })
}

/// The heading of the table.
pub(crate) fn heading() -> String {
    format!(
        "{:<24} {:>6} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}  {}",
        "time to reach",
        "runs",
        "branches",
        "p50",
        "p90",
        "p99",
        "max",
        "p50 bound",
        "p99 bound",
        "verdict"
    )
}

/// One row of the table, and a line for everything that speaks against it.
pub(crate) fn row(summary: &Summary) -> String {
    let row = Row::new(summary);
    let cell =
        |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3} s"));
    let mut text = format!(
        "{:<24} {:>6} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}  {}",
        row.name,
        row.runs,
        row.branches,
        cell(row.p50_s),
        cell(row.p90_s),
        cell(row.p99_s),
        cell(row.max_s),
        cell(row.bound_p50_s),
        cell(row.bound_p99_s),
        if row.ok { "met" } else { "MISSED" }
    );
    for failure in &row.failures {
        // Writing to a String does not fail.
        let _ = write!(text, "\n    {failure}");
    }
    text
}

/// What else was counted.
pub(crate) fn footing(summaries: &[Summary], control_octets: u64) -> String {
    let half_open = summaries
        .iter()
        .map(|summary| summary.peak_half_open)
        .max()
        .unwrap_or(0);
    let queue = summaries
        .iter()
        .map(|summary| summary.peak_queue)
        .max()
        .unwrap_or(0);
    let retransmissions = summaries
        .iter()
        .map(|summary| summary.retransmissions)
        .fold(0.0, f64::max);
    format!(
        "peak half-open {half_open}, peak queue {queue} datagrams, retransmissions per branch at most {retransmissions:.2}, \
         control {control_octets} octets per idle branch and hour"
    )
}

fn seconds(time: Duration) -> f64 {
    round(time.as_secs_f64())
}

/// To a microsecond: more digits are noise.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

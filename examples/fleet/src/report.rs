//! The table for people and the line for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::campaign::Summary;
use crate::cost::Work;

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
    /// One for each branch.
    exponentiations_s: f64,
    /// What the hub did until the last pair was read, in the longest run.
    hub_busy_s: f64,
    work: Vec<Share>,
    failures: Vec<String>,
    ok: bool,
}

/// One kind of work of the hub.
#[derive(Debug, Serialize)]
struct Share {
    kind: &'static str,
    per_branch: f64,
    busy_s: f64,
}

impl Share {
    fn new(summary: &Summary, work: Work) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let count = summary.tally.count(work) as f64;
        Self {
            kind: work.name(),
            per_branch: round(count / f64::from(summary.campaign.branches)),
            busy_s: seconds(summary.busy_with(work)),
        }
    }
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
            exponentiations_s: seconds(summary.exponentiations_alone()),
            hub_busy_s: seconds(Work::ALL.iter().map(|work| summary.busy_with(*work)).sum()),
            work: Work::ALL.map(|work| Share::new(summary, work)).into(),
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
    if 1 < row.branches {
        text += &stampede(summary, &row);
    }
    for failure in &row.failures {
        // Writing to a String does not fail.
        let _ = write!(text, "\n    {failure}");
    }
    text
}

/// What a whole fleet at once asks of the hub.
fn stampede(summary: &Summary, row: &Row) -> String {
    let alone = seconds(summary.exponentiations_alone());
    let share = |time: Option<f64>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time / alone))
    };
    let mut text = format!(
        "\n    one exponentiation per branch: {alone:.3} s; the last branch took {} of that, half of them {}\n    \
         retransmissions per branch {:.2}, half-open at most {}, queue at most {} datagrams\n    \
         the hub was busy for {:.3} s:",
        share(row.max_s),
        share(row.p50_s),
        row.retransmissions_per_branch,
        row.peak_half_open,
        row.peak_queue,
        row.hub_busy_s,
    );
    for work in row.work.iter().filter(|work| 0.0 < work.busy_s) {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n      {:<18} {:>7.2} per branch {:>8.3} s",
            work.kind, work.per_branch, work.busy_s
        );
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

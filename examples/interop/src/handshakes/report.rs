//! The table of one group, and which goals were missed.

use std::time::Duration;

use super::cpu_time::CpuTime;
use super::initiator::Outcome;

/// One responder.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    median: Duration,
    least: Duration,
    most: Duration,
    outcome: Outcome,
    idle: CpuTime,
}

impl Row {
    pub(super) fn of(
        name: &str,
        costs: &[Duration],
        outcome: &Outcome,
        idle: CpuTime,
    ) -> Option<Self> {
        let mut costs = costs.to_vec();
        costs.sort_unstable();
        Some(Self {
            name: name.to_owned(),
            median: *costs.get(costs.len() / 2)?,
            least: *costs.first()?,
            most: *costs.last()?,
            outcome: outcome.clone(),
            idle,
        })
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A goal that was not met.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) reason: String,
    /// Not too slow, but without doing all the work.
    pub(super) is_shortcut: bool,
}

/// Prints the rows, the first of which is the reference, and returns what was missed.
pub(super) fn print(group: &str, rows: &[Row], goal: impl Fn(&str) -> f64) -> Vec<Missed> {
    let mut missed = Vec::new();
    let Some((reference, ours)) = rows.split_first() else {
        return missed;
    };
    println!("{}", line(reference));
    for row in ours {
        let (ratio, goal) = (
            row.median.as_secs_f64() / reference.median.as_secs_f64(),
            goal(&row.name),
        );
        let verdict = if ratio <= goal { "met" } else { "MISSED" };
        println!(
            "{}, {ratio:.3} of strongSwan's, goal {goal:.2}: {verdict}",
            line(row)
        );
        if goal < ratio {
            let reason = format!(
                "{group}: {} took {ratio:.3} of strongSwan's processor time, {goal:.2} is the goal",
                row.name
            );
            missed.push(Missed {
                reason,
                is_shortcut: false,
            });
        }
        if row.outcome.public_values < row.outcome.handshakes {
            let reason = format!(
                "{group}: {} used {} public values for {} handshakes: its pool was empty, and the ratio leaves exponentiations out",
                row.name, row.outcome.public_values, row.outcome.handshakes
            );
            missed.push(Missed {
                reason,
                is_shortcut: true,
            });
        }
    }
    missed
}

fn line(row: &Row) -> String {
    let Outcome {
        handshakes,
        public_values,
        repeated,
    } = &row.outcome;
    format!(
        "  {:<12} {:7.1} us ({:.1}-{:.1}), {handshakes} handshakes, {public_values} public values, {repeated} datagrams repeated, \
         idle {:.1} us/s",
        row.name,
        micros(row.median),
        micros(row.least),
        micros(row.most),
        micros(row.idle.precise())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, micros: &[u64], public_values: usize) -> Row {
        let costs: Vec<_> = micros.iter().map(|us| Duration::from_micros(*us)).collect();
        let outcome = Outcome {
            handshakes: 10,
            public_values,
            repeated: 0,
        };
        Row::of(name, &costs, &outcome, CpuTime::default()).unwrap()
    }

    #[test]
    fn medians_are_compared_with_the_goal() {
        let rows = [
            row("strongSwan", &[1000, 900, 5000], 10),
            row("one", &[240, 260, 100], 10),
            row("two", &[260, 260, 260], 10),
        ];
        let missed = print("group", &rows, |_| 0.25);
        assert_eq!(missed.len(), 1);
        assert_eq!(
            missed[0].reason,
            "group: two took 0.260 of strongSwan's processor time, 0.25 is the goal"
        );
    }

    #[test]
    fn exponentiations_that_were_left_out_do_not_count_as_speed() {
        let rows = [row("strongSwan", &[1000], 10), row("one", &[100], 9)];
        let missed = print("group", &rows, |_| 0.25);
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].is_shortcut);
    }
}

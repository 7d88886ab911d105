//! Medians, and the ratios between contenders.

use super::load::Sample;

/// One line of a table.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    gigabits: Vec<f64>,
    /// CPU seconds of both tunnel programs per gigabyte received.
    seconds: Option<f64>,
    loss: Option<f64>,
    milliseconds: Option<f64>,
    remark: Option<String>,
}

impl Row {
    pub(super) fn of(name: &str, samples: &[Sample]) -> Option<Self> {
        let values = |value: fn(&Sample) -> Option<f64>| samples.iter().filter_map(value).collect();
        let mut gigabits: Vec<f64> = values(|sample| sample.gigabits);
        gigabits.sort_by(f64::total_cmp);
        Some(Self {
            name: name.to_owned(),
            gigabits,
            seconds: median(values(|sample| sample.seconds_per_gigabyte)),
            loss: median(values(|sample| sample.loss)),
            milliseconds: median(values(|sample| sample.milliseconds)),
            remark: samples.last()?.remark.clone(),
        })
    }

    fn gigabits(&self) -> Option<f64> {
        median(self.gigabits.clone())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + values.get(middle - 1)?) / 2.0)
}

/// Prints a table; ratios are to strongSwan and to boringtun where they took part.
pub(super) fn print(rows: &[Row]) {
    let reference = |name: &str| rows.iter().find(|row| row.name.starts_with(name));
    let (swan, boring) = (reference("strongSwan"), reference("boringtun"));
    for row in rows {
        let mut line = format!("  {:<34}", row.name);
        if let (Some(median), Some(least), Some(most)) =
            (row.gigabits(), row.gigabits.first(), row.gigabits.last())
        {
            line += &format!(" {median:6.3} Gbit/s ({least:.3}-{most:.3})");
        }
        if let Some(seconds) = row.seconds {
            line += &format!("  {seconds:6.2} CPU-s/GB");
        }
        if let Some(loss) = row.loss {
            line += &format!("  {loss:.2} % lost");
        }
        if let Some(milliseconds) = row.milliseconds {
            line += &format!("  {milliseconds:.3} ms");
        }
        for (reference, word) in [(swan, "strongSwan"), (boring, "boringtun")] {
            line += &reference.map_or_else(String::new, |reference| ratio(row, reference, word));
        }
        line += row.remark.as_deref().unwrap_or_default();
        println!("{line}");
    }
}

/// How much faster, and with what part of the CPU time.
fn ratio(row: &Row, reference: &Row, word: &str) -> String {
    let faster = row.gigabits().zip(reference.gigabits());
    let Some((own, other)) = faster.filter(|_| row.name != reference.name) else {
        return String::new();
    };
    let cheaper = row.seconds.zip(reference.seconds);
    let cheaper = cheaper.map_or_else(String::new, |(own, other)| {
        format!(" at 1/{:.1} CPU", other / own)
    });
    format!("  {:.1}x {word}{cheaper}", own / other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}

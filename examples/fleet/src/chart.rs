//! The distributions as a chart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::campaign::Summary;

/// The shortest and the longest time on the axis, in seconds.
const RANGE: (f64, f64) = (0.05, 300.0);

/// Draws the share of runs that were reached, over time, a line per scenario. `reference` is drawn dashed: the case's own
/// polling.
pub(crate) fn draw(path: &Path, summaries: &[Summary], reference: &Summary) -> Result<()> {
    let root = SVGBackend::new(path, (960, 600)).into_drawing_area();
    plot(&root, summaries, reference).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn plot<'a>(
    root: &DrawingArea<SVGBackend<'a>, Shift>,
    summaries: &[Summary],
    reference: &Summary,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(
            "Time until the hub reads every pair again",
            ("sans-serif", 22),
        )
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d((RANGE.0..RANGE.1).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("seconds (logarithmic)")
        .y_desc("branches reached, per cent")
        .x_label_formatter(&|seconds| format!("{seconds}"))
        .draw()?;
    for (index, summary) in summaries.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let series = LineSeries::new(steps(summary), colour.stroke_width(2));
        let label = summary.campaign.scenario.name();
        chart
            .draw_series(series)?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let grey = BLACK.mix(0.6);
    chart
        .draw_series(DashedLineSeries::new(
            steps(reference),
            6,
            4,
            grey.stroke_width(2),
        ))?
        .label("branch-reboot, polling every 64 to 72 s")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], grey));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()
}

/// The distribution as a stair.
fn steps(summary: &Summary) -> Vec<(f64, f64)> {
    let times = summary.times.times();
    let all = times.len() + summary.unreached;
    let mut points = vec![(RANGE.0, 0.0)];
    let mut share = 0.0;
    for (index, time) in times.iter().enumerate() {
        let x = clamp(*time);
        points.push((x, share));
        share = percent(index + 1, all);
        points.push((x, share));
    }
    points.push((RANGE.1, share));
    points
}

fn clamp(time: Duration) -> f64 {
    time.as_secs_f64().clamp(RANGE.0, RANGE.1)
}

#[expect(clippy::cast_precision_loss, reason = "a position on a chart")]
fn percent(part: usize, all: usize) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

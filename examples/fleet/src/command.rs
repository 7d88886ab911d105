//! The command line.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::campaign::{Campaign, Summary, control_octets_per_hour};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::{chart, report};

/// Hub against a fleet, in virtual time: how soon is every pair readable again after a fault?
#[derive(Clone, Debug, Parser)]
#[command(name = "fleet", version)]
#[non_exhaustive]
pub struct Command {
    /// Branches in one world, all of which the fault strikes. Without it: one branch each in many worlds.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub branches: Option<u32>,
    /// The hub takes so many times longer for everything: with 20, five hundred branches are to it as ten thousand.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub slowness: u32,
    /// Loss in each direction: a share such as 0.01, or per cent such as 1%.
    #[arg(long, default_value = "0.01", value_parser = share)]
    pub loss: f64,
    /// The first seed; equal seeds give equal results.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// One scenario, or all.
    #[arg(long, default_value = "all", value_parser = selection)]
    pub scenario: Selection,
    /// Worlds per scenario, each with the next seed. Default: 1000, and 1 with --branches.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,
    /// End with one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Draw the distributions to this SVG file.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    /// Worlds with the case's own polling, which the chart shows beside them.
    #[arg(long, default_value_t = 200, hide = true)]
    pub reference_runs: u32,
}

/// Which scenarios to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// Every one.
    All,
    /// One.
    One(Scenario),
}

/// Does what the command line says. Returns whether every bound was met.
///
/// # Errors
///
/// If a world cannot be set up or the chart not be written.
pub fn run(command: &Command) -> Result<bool> {
    say(&report::heading())?;
    let mut summaries = Vec::new();
    for scenario in command.scenarios() {
        let summary = campaign(command.campaign(*scenario))?;
        say(&report::row(&summary))?;
        summaries.push(summary);
    }
    let control_octets = control_octets_per_hour(command.seed, command.loss)?;
    say(&report::footing(&summaries, control_octets))?;
    if let Some(path) = &command.plot {
        let reference = Campaign {
            runs: command.reference_runs,
            branches: 1,
            ..command.campaign(Scenario::H3c)
        };
        chart::draw(path, &summaries, &campaign(reference)?)?;
    }
    if command.json {
        say(&report::json(&summaries, control_octets)?)?;
    }
    Ok(summaries.iter().all(Summary::is_ok))
}

impl Command {
    /// The defaults of the command line.
    #[must_use]
    pub const fn new(scenario: Selection) -> Self {
        Self {
            branches: None,
            slowness: 1,
            loss: 0.01,
            seed: 1,
            scenario,
            runs: None,
            json: false,
            plot: None,
            reference_runs: 200,
        }
    }

    fn scenarios(&self) -> &[Scenario] {
        match &self.scenario {
            Selection::All => Scenario::value_variants(),
            Selection::One(scenario) => std::slice::from_ref(scenario),
        }
    }

    fn campaign(&self, scenario: Scenario) -> Campaign {
        let default_runs = if self.branches.is_some() { 1 } else { 1_000 };
        Campaign {
            scenario,
            runs: self.runs.unwrap_or(default_runs),
            branches: self.branches.unwrap_or(1),
            seed: self.seed,
            loss: self.loss,
            slowness: self.slowness,
        }
    }
}

fn campaign(campaign: Campaign) -> Result<Summary> {
    let progress = Progress::new(campaign.scenario.name(), campaign.runs);
    let summary = campaign.run(&|done| progress.show(done));
    progress.clear();
    summary
}

fn say(line: &str) -> Result<()> {
    writeln!(stdout().lock(), "{line}").context("standard output")
}

fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text
        .strip_suffix('%')
        .map_or((text, 1.0), |number| (number, 100.0));
    let share = number
        .trim()
        .parse::<f64>()
        .map_err(|error| error.to_string())?
        / scale;
    if (0.0..1.0).contains(&share) {
        Ok(share)
    } else {
        Err("a share from 0 up to 1, or per cent".to_owned())
    }
}

fn selection(text: &str) -> Result<Selection, String> {
    if text == "all" {
        return Ok(Selection::All);
    }
    Scenario::from_str(text, false)
        .map(Selection::One)
        .map_err(|_| {
            let names: Vec<&str> = Scenario::value_variants()
                .iter()
                .map(|scenario| scenario.name())
                .collect();
            format!("no such scenario; there are all, {}", names.join(", "))
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn loss_is_a_share_or_per_cent() {
        assert_eq!(share("0.05"), Ok(0.05));
        assert_eq!(share("5%"), Ok(0.05));
        assert!(share("5").is_err() && share("x").is_err());
    }

    #[test]
    fn scenarios_go_by_the_names_that_reports_print() {
        for scenario in Scenario::value_variants() {
            assert_eq!(selection(scenario.name()), Ok(Selection::One(*scenario)));
        }
        assert_eq!(selection("all"), Ok(Selection::All));
        assert!(
            selection("earthquake")
                .unwrap_err()
                .contains("branch-reboot")
        );
    }
}

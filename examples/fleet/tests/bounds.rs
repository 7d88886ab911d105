//! The bounds, over a few seeds of each fault; the binary runs a thousand.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use fleet::cost::Work;
use fleet::{Campaign, Command, NotUp, Scenario, Selection, Summary};

fn summary(scenario: Scenario, runs: u32, branches: u32) -> Summary {
    let campaign = Campaign::new(scenario).runs(runs).branches(branches);
    campaign.run(&|_| {}).unwrap()
}

fn holds(scenario: Scenario) {
    let summary = summary(scenario, 12, 1);
    assert_eq!(summary.failures(), [] as [&str; 0], "{}", scenario.name());
    assert_eq!(summary.times.len(), 12);
}

#[test]
fn a_branch_that_reboots_is_readable_in_time() {
    holds(Scenario::BranchReboot);
}

#[test]
fn a_hub_that_reboots_reads_again_in_time() {
    holds(Scenario::HubReboot);
}

#[test]
fn a_new_mapping_of_the_nat_is_learned_in_time() {
    holds(Scenario::NatRebinding);
}

#[test]
fn a_black_hole_is_repaired_in_time_and_alone() {
    holds(Scenario::BlackHole);
}

#[test]
fn a_path_that_was_dead_for_an_hour_carries_again_in_time() {
    holds(Scenario::LongOutage);
}

#[test]
fn the_second_hub_takes_over_in_time() {
    holds(Scenario::SecondHub);
}

#[test]
fn a_second_hub_that_is_kept_ready_reads_at_once() {
    holds(Scenario::SecondHubHot);
}

#[test]
fn the_first_hub_has_its_branch_again_without_a_gap() {
    holds(Scenario::FailBack);
}

#[test]
fn without_its_file_a_hub_reads_again_in_time() {
    holds(Scenario::HubRebootFileLost);
}

#[test]
fn a_branch_with_another_address_is_readable_in_time() {
    holds(Scenario::AddressChange);
}

#[test]
fn a_link_event_ends_a_long_outage_in_time() {
    holds(Scenario::LongOutageLinkEvent);
}

#[test]
fn a_step_of_the_clock_has_no_effect() {
    holds(Scenario::ClockStep);
}

#[test]
fn the_polling_of_the_case_brings_every_pair_up_in_its_own_time() {
    let summary = summary(Scenario::H3c, 12, 1);
    assert_eq!(summary.failures(), [] as [&str; 0]);
    // Without a word about the path, it takes the next poll: up to 72 s, and not at once.
    assert!(summary.times.max().unwrap() <= Duration::from_secs(80));
    assert!(Duration::from_secs(15) < summary.times.percentile(50).unwrap());
}

#[test]
fn a_small_fleet_comes_back_whole_after_its_hub() {
    let summary = summary(Scenario::HubReboot, 1, 40);
    assert_eq!((summary.times.len(), summary.unreached), (40, 0));
    assert!(0 < summary.peak_half_open);
}

/// To a hub that is fifty times slower, two hundred branches are as ten thousand: the bounds are those of the binary.
#[test]
fn the_branches_of_a_slow_hub_come_back_at_the_pace_of_its_exponentiations() {
    let campaign = Campaign::new(Scenario::HubReboot).runs(1).branches(200);
    let summary = campaign.slowness(50).run(&|_| {}).unwrap();
    assert_eq!((summary.times.len(), summary.unreached), (200, 0));
    let alone = Work::Exponentiation.time() * 200 * 50;
    let (p50, max) = (
        summary.times.percentile(50).unwrap(),
        summary.times.max().unwrap(),
    );
    assert!(max <= alone * 3 / 2, "{max:?} of {alone:?}");
    assert!(p50 <= alone * 3 / 4, "{p50:?} of {alone:?}");
    assert!(max <= p50 * 3, "{p50:?}, {max:?}");
    let repeated = summary.retransmissions;
    assert!(repeated <= 3.0, "{repeated}");
    assert_eq!(summary.failures(), [] as [&str; 0]);
}

/// Half a minute of key exchanges: whoever is served keeps the hub busy while the others wait.
#[test]
fn no_branch_of_a_very_slow_hub_starves() {
    let campaign = Campaign::new(Scenario::HubReboot).runs(1).branches(300);
    let summary = campaign.slowness(100).run(&|_| {}).unwrap();
    assert_eq!((summary.times.len(), summary.unreached), (300, 0));
    assert!(summary.peak_queue < 1_000, "{}", summary.peak_queue);
}

#[test]
fn a_fleet_that_its_hub_has_no_time_for_is_told_apart_from_one_that_starves() {
    let campaign = Campaign::new(Scenario::HubReboot).runs(1).branches(40);
    let error = campaign.slowness(8_000).run(&|_| {}).unwrap_err();
    let error = error.downcast_ref::<NotUp>().unwrap();
    assert!(matches!(error, NotUp::Overloaded(_)), "{error}");
}

/// So many at once that slots are given. Against detection and round trips, the exponentiations of a hub as it is are
/// nothing yet.
fn stampede(scenario: Scenario) {
    let summary = summary(scenario, 1, 200);
    assert_eq!((summary.times.len(), summary.unreached), (200, 0));
    let half_a_minute = Duration::from_secs(30);
    assert!(
        summary.times.max().unwrap() < half_a_minute,
        "{scenario:?} {:?}",
        summary.times.max()
    );
    assert!(
        summary.times.percentile(90).unwrap() < Duration::from_secs(6),
        "{scenario:?}"
    );
    assert!(
        summary.retransmissions <= 3.0,
        "{scenario:?} {}",
        summary.retransmissions
    );
    // One for each branch, and what is prepared in quiet time.
    let exponentiations = summary.tally.count(Work::Exponentiation);
    assert!(
        exponentiations < 200 * 2,
        "{scenario:?} wastes exponentiations: {exponentiations}"
    );
}

#[test]
fn after_its_hub_a_fleet_comes_back_without_repeating_itself() {
    stampede(Scenario::HubReboot);
    stampede(Scenario::HubRebootFileLost);
}

#[test]
fn a_fleet_that_reboots_at_once_comes_up_without_repeating_itself() {
    stampede(Scenario::BranchReboot);
}

#[test]
fn equal_seeds_give_equal_results() {
    let times = |_| summary(Scenario::HubReboot, 3, 1).times;
    assert_eq!(times(1), times(2));
}

#[test]
fn the_command_draws_its_chart() {
    let plot = std::env::temp_dir().join(format!("fleet-{}.svg", std::process::id()));
    let mut command = Command::new(Selection::One(Scenario::BranchReboot));
    command.runs = Some(2);
    command.reference_runs = 2;
    command.json = true;
    command.plot = Some(plot.clone());
    assert!(fleet::run(&command).unwrap());
    let svg = std::fs::read_to_string(&plot).unwrap();
    std::fs::remove_file(&plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("branch-reboot"));
}

//! Two hubs, and a router behind them that BGP tells which of them reaches which branch.
//!
//! ```text
//!   branch1 10.61.11.1 ---+                +--- 198.18.2.2 hub1 10.0.1.1 ---+
//!   branch2 10.61.12.1 ---+ isp ---------- +                                +--- core --- host 10.61.3.100
//!   branch3 10.61.13.1 ---+                +--- 198.18.3.2 hub2 10.0.2.1 ---+
//! ```
//!
//! Both hubs answer the branches' probes at 10.61.3.26, an address that each of them has. The second one shares its branches
//! out among two threads.

mod lab;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::lab::{BRANCHES, Habits, Hub, Lab, ROUTES_TO_A_BRANCH};
use crate::clock;
use crate::ping::Stream;
use crate::process::Running;
use crate::runner::Case;
use crate::site::Site;

/// How long a branch may take to be readable through its other hub, as the suite promises.
const FAIL_OVER: Duration = Duration::from_secs(15);
/// How long is watched whether anything moves that should not.
const CALM: Duration = Duration::from_secs(12);
/// `failback_hold` where it is waited for.
const HOLD: Duration = Duration::from_secs(10);
/// How long a branch may take until it tries a hub again that was away: the longest wait between two tries and a quarter of
/// it.
const FOUND_AGAIN: Duration = Duration::from_secs(18);
/// How long BGP and three branches may take to start.
const START: Duration = Duration::from_secs(20);

/// `several-hubs/…`: the measured times are the remark of the case.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Site) -> Result<String>| {
        Case::new(format!("several-hubs/{name}"), run)
    };
    vec![
        case("bgp-follows-the-proof", run),
        case("fail-back", fail_back),
        case("hot-standby", hot_standby),
    ]
}

fn run(site: &Site) -> Result<String> {
    let mut lab = Lab::new(site, Habits::default())?;
    nothing_is_told_before_its_time(&mut lab)?;
    lab.start_branches()?;
    lab.await_routes(Hub::First, START)?;
    let readers = read_all(&lab, site.directory())?;
    clock::pause(Duration::from_secs(1))?;

    let first = fail_over(&mut lab, &readers, Hub::First)?;
    waiting_routes_yield(&lab)?;

    let changes = RouteChanges::watch(&lab, site.directory())?;
    let back = clock::unix_seconds();
    lab.start_hub(Hub::First)?;
    clock::pause(CALM)?;
    lab.await_session(Hub::First)?;
    let moved = changes.count()?;
    if moved != 0 {
        bail!(
            "{moved} changes of routes at the core after the first hub's return: {}",
            changes.text()?
        );
    }
    let lost: usize = readers
        .iter()
        .map(|reader| reader.lost_between(back, clock::unix_seconds() - 1.0))
        .sum::<Result<usize>>()?;
    if lost != 0 {
        bail!("{lost} reads lost after the first hub's return");
    }
    lab.alive()?;

    let second = fail_over(&mut lab, &readers, Hub::Second)?;
    nothing_is_left(&mut lab, Hub::First)?;
    Ok(format!(
        "fail-over {first:.2} s, back {second:.2} s; {CALM:?} of calm between"
    ))
}

/// The first hub comes back, is proved for the time of the settings, and is turned back to, without a read lost.
fn fail_back(site: &Site) -> Result<String> {
    let habits = Habits {
        branch: "failback_hold = \"10s\"\n",
        first_is_preferred: true,
    };
    let (mut lab, readers) = all_read_through_the_first(site, habits)?;
    let before = lab.turns()?;
    let away = fail_over(&mut lab, &readers, Hub::First)?;
    turned_once(&lab, &before)?;
    let back = return_of_the_first(&mut lab, &readers)?;
    Ok(format!(
        "fail-over {away:.2} s; back {back:.2} s after the first hub's return, with {HOLD:?} of proof; no read lost"
    ))
}

/// Every branch has its SAs with both hubs, and needs no negotiation when one dies.
fn hot_standby(site: &Site) -> Result<String> {
    let habits = Habits {
        branch: "standby = \"hot\"\nfailback_hold = \"10s\"\n",
        first_is_preferred: true,
    };
    let (mut lab, readers) = all_read_through_the_first(site, habits)?;
    lab.await_proof(Hub::Second, START)?;
    let (before, connected) = (lab.turns()?, lab.connections(Hub::Second)?);
    let away = fail_over(&mut lab, &readers, Hub::First)?;
    clock::within(FAIL_OVER, "every branch's turn to the second hub", || {
        let turns = lab.turns()?;
        let turned = turns.iter().zip(&before).all(|(now, before)| before < now);
        Ok(turned.then_some(()))
    })?;
    turned_once(&lab, &before)?;
    let again = lab.connections(Hub::Second)? - connected;
    ensure!(
        again == 0,
        "{again} negotiations with the hub that was kept ready"
    );
    let back = return_of_the_first(&mut lab, &readers)?;
    Ok(format!(
        "fail-over {away:.2} s without a negotiation; back {back:.2} s after the first hub's return; no read lost"
    ))
}

fn all_read_through_the_first(site: &Site, habits: Habits) -> Result<(Lab, Vec<Stream>)> {
    let mut lab = Lab::new(site, habits)?;
    for hub in Hub::BOTH {
        lab.start_hub(hub)?;
        lab.await_session(hub)?;
    }
    lab.start_branches()?;
    lab.await_proof(Hub::First, START)?;
    lab.await_routes(Hub::First, START)?;
    let readers = read_all(&lab, site.directory())?;
    clock::pause(Duration::from_secs(1))?;
    Ok((lab, readers))
}

fn turned_once(lab: &Lab, before: &[usize]) -> Result<()> {
    let turns = lab.turns()?;
    let once = turns
        .iter()
        .zip(before)
        .all(|(now, before)| *now == before + 1);
    ensure!(
        once,
        "turns to another hub: {before:?} before, {turns:?} after"
    );
    Ok(())
}

/// Seconds from the first hub's return until all branches have turned back to it. Nothing is lost on the way, and nothing
/// moves afterwards.
fn return_of_the_first(lab: &mut Lab, readers: &[Stream]) -> Result<f64> {
    let before = lab.turns()?;
    let (began, back) = (clock::now(), clock::unix_seconds());
    lab.start_hub(Hub::First)?;
    clock::within(HOLD + FOUND_AGAIN, "every branch's turn back", || {
        lab.alive()?;
        let turns = lab.turns()?;
        ensure!(
            turns == before || HOLD <= clock::since(began),
            "turned back before the first hub was proved for {HOLD:?}"
        );
        let turned = turns.iter().zip(&before).all(|(now, before)| before < now);
        Ok(turned.then_some(()))
    })?;
    let took = clock::since(began);
    lab.await_proof(Hub::First, START)?;
    lab.await_routes(Hub::First, START)?;
    clock::pause(CALM)?;
    turned_once(lab, &before)?;
    let lost: usize = readers
        .iter()
        .map(|reader| reader.lost_between(back, clock::unix_seconds() - 1.0))
        .sum::<Result<usize>>()?;
    ensure!(lost == 0, "{lost} reads lost after the first hub's return");
    lab.alive()?;
    Ok(took.as_secs_f64())
}

/// A hub has routes to its branches from the start, so that what is meant for them does not leave in clear; the core must not
/// hear of them before a pair is proved.
fn nothing_is_told_before_its_time(lab: &mut Lab) -> Result<()> {
    for hub in Hub::BOTH {
        lab.start_hub(hub)?;
        lab.await_session(hub)?;
    }
    clock::pause(Duration::from_secs(1))?;
    let routes = lab.core_routes()?;
    if routes.contains("10.61.1") {
        bail!("the core has been told of branches that nobody has reached: {routes}");
    }
    for hub in Hub::BOTH {
        let route = lab.way(hub, BRANCHES[0].address)?;
        if !route.contains("dev pairs0") {
            bail!(
                "what is meant for a branch that is down does not reach {hub:?}'s daemon: {route}"
            );
        }
    }
    Ok(())
}

fn read_all(lab: &Lab, directory: &Path) -> Result<Vec<Stream>> {
    BRANCHES
        .iter()
        .map(|branch| {
            Stream::between(
                lab.host(),
                format!("reads-{}", branch.name),
                ("10.61.3.100", branch.address),
                directory,
            )
        })
        .collect()
}

/// A hub's daemon dies; seconds until the host behind the core has read every branch through the other one.
fn fail_over(lab: &mut Lab, readers: &[Stream], dies: Hub) -> Result<f64> {
    let killed = clock::unix_seconds();
    lab.kill_hub(dies)?;
    let other = dies.other();
    lab.await_routes(other, FAIL_OVER)
        .with_context(|| format!("routes after the death of {dies:?}"))?;
    let moved = clock::unix_seconds();
    let mut took = 0.0_f64;
    for (reader, branch) in readers.iter().zip(&BRANCHES) {
        let left = Duration::try_from_secs_f64(killed + FAIL_OVER.as_secs_f64() - moved);
        let answered = clock::within(left.unwrap_or_default(), "a read", || {
            reader.answered_after(killed + 0.1)
        });
        took = took.max(answered.with_context(|| branch.name)? - killed);
    }
    let left = lab.routes_of(dies)?;
    let refusing = left
        .lines()
        .filter(|line| line.starts_with("unreachable 10.61.1"))
        .count();
    if (refusing, left.lines().count()) != (BRANCHES.len(), BRANCHES.len()) {
        bail!("the dead daemon has left other routes than those that refuse: {left}");
    }
    Ok(took)
}

/// A daemon that ends in good order takes everything with it.
fn nothing_is_left(lab: &mut Lab, ends: Hub) -> Result<()> {
    let before = lab.routes_of(ends)?;
    if before.lines().count() != ROUTES_TO_A_BRANCH * BRANCHES.len() {
        bail!("three routes to each branch were expected: {before}");
    }
    lab.stop_hub(ends)?;
    let left = lab.routes_of(ends)?;
    if !left.is_empty() {
        bail!("an orderly end has left routes: {left}");
    }
    Ok(())
}

/// The dead hub's machine itself reaches the branches through its neighbours, as BGP has told it.
fn waiting_routes_yield(lab: &Lab) -> Result<()> {
    for branch in &BRANCHES {
        let route = lab.way(Hub::First, branch.address)?;
        if !route.contains("via 10.0.1.2") {
            bail!("the first hub's machine does not go through the core: {route}");
        }
    }
    Ok(())
}

/// What `ip monitor` says at the core.
struct RouteChanges(Running);

impl RouteChanges {
    fn watch(lab: &Lab, directory: &Path) -> Result<Self> {
        let running = lab.core().start(
            "ip monitor",
            &["ip", "monitor", "route"],
            &[],
            &directory.join("route-changes.log"),
        )?;
        clock::pause(Duration::from_millis(300))?;
        Ok(Self(running))
    }

    fn text(&self) -> Result<String> {
        self.0.log()
    }

    fn count(&self) -> Result<usize> {
        Ok(self
            .text()?
            .lines()
            .filter(|line| line.contains("10.61."))
            .count())
    }
}

#[cfg(test)]
mod tests {
    const PAGE: &str = include_str!("../../../docs/several-hubs.md");

    #[test]
    fn the_page_shows_the_settings_that_are_tested() {
        for tested in [
            include_str!("several_hubs/frr-hub.conf"),
            include_str!("several_hubs/frr-core.conf"),
        ] {
            assert!(PAGE.contains(&format!("```text\n{tested}```")), "{tested}");
        }
    }
}

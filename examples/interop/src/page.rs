//! The status page of our hub, in a real browser.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::browser::{Browser, Window};
use crate::clock;
use crate::drops::METRICS;
use crate::lab::{BRANCH_IDENTITY, PAIRS, Path, Role};
use crate::process::BRIEF;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::{Gateway, Tunnel};

/// Branches that the hub has in its settings besides the one that is there.
const ABSENT: usize = 2_000;
/// The page is to be there within this time after the browser asked for it.
const RENDER_LIMIT: f64 = 1_000.0;
/// How often it may try, on a machine that has other things to do as well.
const RENDER_TRIES: usize = 5;
/// A killed branch is found dead by the age of its last proof at the latest.
const DARK_LIMIT: Duration = Duration::from_secs(120);
/// A branch that starts again is there within this time.
const BACK_LIMIT: Duration = Duration::from_secs(10);

/// `page/…`.
pub fn cases() -> Vec<Case> {
    vec![Case::new(
        "page/two-thousand-branches".to_owned(),
        two_thousand_branches,
    )]
}

fn two_thousand_branches(site: &Site) -> Result<String> {
    let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
    let mut ends = Ends::alike(Make::Ours, Make::Ours, &settings);
    ends.hub.1.measured = true;
    ends.hub.1.absent_branches = ABSENT;
    let tunnel = Tunnel::up(site, Path::Plain, ends)?;
    let mut browser = Browser::start(tunnel.lab.end(Role::Hub), site.directory())?;
    let remark = browser.drive(|window| look(window, tunnel, site))?;
    Ok(remark)
}

async fn look(window: Window, mut tunnel: Tunnel, site: &Site) -> Result<String> {
    let rendered = rendered(&window).await?;
    window
        .screenshot(&site.directory().join("overview.png"))
        .await?;
    find(&window).await?;
    fit_a_phone(&window).await?;

    let states = |state: &str| {
        format!(
            "document.querySelectorAll('article:not([hidden]) .state[data-state={state}]').length"
        )
    };
    let all = json!(PAIRS.len());
    window.fill("#search", BRANCH_IDENTITY).await?;
    window.wait(BRIEF, &states("up"), all.clone()).await?;
    kill(&mut tunnel)?;
    let killed = clock::now();
    window.wait(DARK_LIMIT, &states("up"), json!(0)).await?;
    let dark = clock::since(killed);
    tunnel.branch.start_again(&tunnel.lab)?;
    let started = clock::now();
    window.wait(BACK_LIMIT, &states("up"), all).await?;
    let back = clock::since(started);

    window.click("article:not([hidden]) .identity").await?;
    window
        .wait(
            BRIEF,
            "document.querySelectorAll('.strip').length",
            json!(PAIRS.len()),
        )
        .await?;
    let outcomes = window
        .value("document.querySelectorAll('#outcomes li').length")
        .await?;
    ensure!(
        outcomes.as_u64().is_some_and(|count| 4 <= count),
        "{outcomes} outcomes are listed"
    );
    window
        .wait(BRIEF, &states("up"), json!(PAIRS.len()))
        .await?;
    window
        .screenshot(&site.directory().join("branch.png"))
        .await?;
    Ok(format!(
        "{ABSENT} branches after {rendered:.0} ms; killed: dark after {:.1} s, back {:.1} s after its start",
        dark.as_secs_f64(),
        back.as_secs_f64()
    ))
}

/// Opens the page until it is there in time; the milliseconds that it took.
async fn rendered(window: &Window) -> Result<f64> {
    let mut took = f64::INFINITY;
    for _ in 0..RENDER_TRIES {
        window.go_to(&format!("http://{METRICS}/")).await?;
        window
            .wait(BRIEF, "document.body.dataset.ready", json!("true"))
            .await?;
        let articles = window
            .value("document.querySelectorAll('article').length")
            .await?;
        ensure!(
            articles == json!(ABSENT + 1),
            "{articles} branches on the page"
        );
        let mark = window
            .value("performance.getEntriesByName('ready')[0].startTime")
            .await?;
        took = took.min(mark.as_f64().unwrap_or(f64::INFINITY));
        if took < RENDER_LIMIT {
            return Ok(took);
        }
    }
    anyhow::bail!("the page with {ABSENT} branches takes {took:.0} ms")
}

/// Worst first, and found by name.
async fn find(window: &Window) -> Result<()> {
    let last = "[...document.querySelectorAll('article')].at(-1).dataset.identity";
    window.wait(BRIEF, last, json!(BRANCH_IDENTITY)).await?;
    let found = "document.getElementById('found').textContent";
    for (text, count) in [("absent1234", 1), (BRANCH_IDENTITY, 1), ("nobody", 0)] {
        window.fill("#search", text).await?;
        let wanted = format!("{count} of {}", ABSENT + 1);
        window.wait(BRIEF, found, json!(wanted)).await?;
    }
    window.fill("#search", "").await
}

/// Nothing sticks out of a narrow window.
async fn fit_a_phone(window: &Window) -> Result<()> {
    window.resize(400, 800).await?;
    let overflow = window
        .value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        .await?;
    ensure!(
        overflow == json!(0),
        "{overflow} pixels stick out of a narrow window"
    );
    window.resize(1280, 900).await
}

fn kill(tunnel: &mut Tunnel) -> Result<()> {
    match &mut tunnel.branch {
        Gateway::Ours(daemon) => daemon.kill(),
        Gateway::StrongSwan(_) => anyhow::bail!("the branch is to be ours"),
    }
}

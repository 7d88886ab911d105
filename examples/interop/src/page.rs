//! The status page of our hub, in a real browser.

use std::fs;
use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::browser::{Browser, Scheme, Window};
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
/// Branches that are not there, on the pictures.
const FEW: usize = 3;
/// How many pairs are shown as up.
const UP: &str = "document.querySelectorAll('.state[data-state=up]').length";
/// The least contrast between a text and what is behind it, as WCAG 2.1 counts it.
const CONTRAST: &str = "(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const colour = node ? getComputedStyle(node).backgroundColor : 'rgb(255, 255, 255)';
    return /, 0\\)$/.test(colour) ? behind(node.parentElement) : colour;
  };
  let worst = 21;
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!text || !node.checkVisibility()) continue;
    const [low, high] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => a - b);
    worst = Math.min(worst, (high + 0.05) / (low + 0.05));
  }
  return worst;
})()";
/// A frame is to take less than this while the page is scrolled.
const FRAME_LIMIT: f64 = 100.0;
/// Scrolls from top to bottom in a hundred frames.
const SCROLL: &str = "(() => {
  window.frames90 = undefined;
  const frames = [];
  let before = performance.now();
  const step = () => {
    const now = performance.now();
    frames.push(now - before);
    before = now;
    if (frames.length <= 100) {
      window.scrollTo(0, (document.body.scrollHeight * frames.length) / 100);
      requestAnimationFrame(step);
    } else {
      window.scrollTo(0, 0);
      window.frames90 = frames.sort((a, b) => a - b)[90];
    }
  };
  requestAnimationFrame(step);
})()";
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
    vec![
        Case::new(
            "page/two-thousand-branches".to_owned(),
            two_thousand_branches,
        ),
        Case::new("page/pictures".to_owned(), pictures),
    ]
}

/// A few branches, as a person sees them: on a screen, on a telephone, in the dark; and one of them alone.
fn pictures(site: &Site) -> Result<String> {
    let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
    let mut ends = Ends::alike(Make::Ours, Make::Ours, &settings);
    ends.hub.1.measured = true;
    ends.hub.1.absent_branches = FEW;
    let tunnel = Tunnel::up(site, Path::Nat, ends)?;
    let mut browser = Browser::start(tunnel.lab.end(Role::Hub), site.directory())?;
    browser.drive(Scheme::Light, |window| by_day(window, site))?;
    browser.drive(Scheme::Dark, |window| by_night(window, site))?;
    if let Some(pictures) = site.pictures() {
        for name in ["status-page.png", "status-page-branch.png"] {
            let (from, to) = (site.directory().join(name), pictures.join(name));
            fs::copy(&from, &to).with_context(|| format!("{}", to.display()))?;
        }
    }
    Ok(String::new())
}

async fn by_day(window: Window, site: &Site) -> Result<()> {
    let directory = site.directory();
    window.go_to(&format!("http://{METRICS}/")).await?;
    window.wait(BRIEF, UP, json!(PAIRS.len())).await?;
    window
        .screenshot(&directory.join("status-page.png"))
        .await?;
    fit_a_phone(&window, &directory.join("phone.png")).await?;
    readable(&window).await?;
    window.fill("#search", BRANCH_IDENTITY).await?;
    window.click("article:not([hidden]) .identity").await?;
    let strips = "document.querySelectorAll('.strip').length";
    window.wait(BRIEF, strips, json!(PAIRS.len())).await?;
    window.wait(BRIEF, UP, json!(PAIRS.len())).await?;
    window
        .screenshot(&directory.join("status-page-branch.png"))
        .await?;
    fit_a_phone(&window, &directory.join("phone-branch.png")).await
}

async fn by_night(window: Window, site: &Site) -> Result<()> {
    window.go_to(&format!("http://{METRICS}/")).await?;
    window.wait(BRIEF, UP, json!(PAIRS.len())).await?;
    let dark = "matchMedia('(prefers-color-scheme: dark)').matches";
    ensure!(
        window.value(dark).await? == json!(true),
        "the browser does not like the dark"
    );
    readable(&window).await?;
    window.screenshot(&site.directory().join("dark.png")).await
}

/// Every colour of text has at least the contrast that WCAG 2.1 asks for (section 1.4.3), and every state, dot and strip
/// can be told without seeing it.
async fn readable(window: &Window) -> Result<()> {
    let worst = window.value(CONTRAST).await?;
    ensure!(
        worst.as_f64().is_some_and(|ratio| 4.5 <= ratio),
        "the worst contrast on the page is {worst}"
    );
    let mute = "document.querySelectorAll('.reach:not([aria-label]), .strip:not([aria-label]), .state:empty, \
                input:not([id]), select:not([id])').length";
    let mute = window.value(mute).await?;
    ensure!(
        mute == json!(0),
        "{mute} things say nothing to a screen reader"
    );
    Ok(())
}

fn two_thousand_branches(site: &Site) -> Result<String> {
    let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
    let mut ends = Ends::alike(Make::Ours, Make::Ours, &settings);
    ends.hub.1.measured = true;
    ends.hub.1.absent_branches = ABSENT;
    let tunnel = Tunnel::up(site, Path::Plain, ends)?;
    let mut browser = Browser::start(tunnel.lab.end(Role::Hub), site.directory())?;
    let remark = browser.drive(Scheme::Light, |window| look(window, tunnel))?;
    Ok(remark)
}

async fn look(window: Window, mut tunnel: Tunnel) -> Result<String> {
    let rendered = rendered(&window).await?;
    find(&window).await?;
    let lag = scrolled(&window).await?;

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
    Ok(format!(
        "{ABSENT} branches after {rendered:.0} ms, {lag:.0} ms a frame when scrolled; killed: dark after {:.1} s, back {:.1} s after its start",
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

/// Scrolls through everything, screen by screen; the milliseconds that nine of ten frames took at most.
async fn scrolled(window: &Window) -> Result<f64> {
    let done = "window.frames90 !== undefined";
    let mut took = f64::INFINITY;
    for _ in 0..RENDER_TRIES {
        window.value(SCROLL).await?;
        window.wait(2 * BRIEF, done, json!(true)).await?;
        let frame = window.value("window.frames90").await?;
        took = took.min(frame.as_f64().unwrap_or(f64::INFINITY));
        if took < FRAME_LIMIT {
            return Ok(took);
        }
    }
    anyhow::bail!("a frame takes {took:.0} ms when the page is scrolled")
}

/// Nothing sticks out of a narrow window.
async fn fit_a_phone(window: &Window, picture: &FilePath) -> Result<()> {
    window.resize(400, 800).await?;
    let overflow = window
        .value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        .await?;
    window.screenshot(picture).await?;
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

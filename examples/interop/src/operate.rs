//! What an operator does to a hub at work: other settings, another release, keys that are elsewhere.

use std::fs;
use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock;
use crate::lab::{HUB_ADDRESS, HUB_IDENTITY, PAIRS, PSK, Path, Role};
use crate::ours::Daemon;
use crate::ping::{self, Stream};
use crate::process::BRIEF;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::{Gateway, Tunnel};

/// Between the pings that measure how long a takeover keeps a pair dark.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long a pair may be dark for an upgrade.
const DARKNESS_LIMIT: f64 = 1.0;
/// An SA that is deleted when it is younger counts as a failure at the branch, which then backs off.
const GROWN_UP: Duration = Duration::from_secs(11);
/// How long the slow key store takes.
const STORE: Duration = Duration::from_secs(2);

/// `operate/…`.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = Path::ALL
        .into_iter()
        .map(|path| {
            let name = format!("operate/takeover/{}", path.label());
            Case::new(name, move |site| takeover(site, path))
        })
        .collect();
    cases.push(Case::new("operate/reload".to_owned(), reload));
    cases.push(Case::new(
        "operate/slow-key-store".to_owned(),
        slow_key_store,
    ));
    cases
}

fn ends() -> Ends {
    let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
    Ends::alike(Make::Ours, Make::Ours, &settings)
}

/// Our daemon at one end, and the lab.
fn ours(tunnel: &mut Tunnel, role: Role) -> Result<(&mut Daemon, &crate::lab::Lab)> {
    match tunnel.end_mut(role) {
        (Gateway::Ours(daemon), lab) => Ok((daemon, lab)),
        (Gateway::StrongSwan(_), _) => bail!("not ours"),
    }
}

/// A successor that fails disturbs nobody; one that does not keeps no pair dark for a second.
fn takeover(site: &Site, path: Path) -> Result<String> {
    let mut tunnel = Tunnel::up(site, path, ends())?;
    tunnel.check()?;
    let streams = Stream::everywhere(&tunnel.lab, site.directory())?;
    let (hub, lab) = ours(&mut tunnel, Role::Hub)?;
    let good = fs::read_to_string(hub.configuration())?;
    let bad = site.directory().join("bad.toml");
    // Refused before the predecessor is asked, and after.
    for (wrong, words) in [
        (good.replace("[tun]", "[tnu]"), "did you mean `tun`"),
        (
            good.replace("mtu = 1400", "mtu = 1300"),
            "its MTU is another one",
        ),
    ] {
        fs::write(&bad, wrong)?;
        let said = hub.fail_to_take_over(lab, &bad)?;
        ensure!(
            said.contains(words),
            "a successor that cannot run says: {said}"
        );
        hub.alive()?;
    }
    ping::none_lost(streams).context("successors that failed")?;

    clock::pause(GROWN_UP)?;
    let mut remark = String::new();
    for role in [Role::Hub, Role::Branch] {
        let streams = PAIRS
            .iter()
            .map(|pair| {
                Stream::start_every(INTERVAL, &tunnel.lab, Role::Hub, pair, site.directory())
            })
            .collect::<Result<Vec<_>>>()?;
        clock::pause(Duration::from_secs(1))?;
        let began = clock::unix_seconds();
        let (daemon, lab) = ours(&mut tunnel, role)?;
        daemon.take_over(lab)?;
        clock::pause(Duration::from_secs(5))?;
        let gaps = streams
            .iter()
            .map(|stream| stream.longest_gap_after(began))
            .collect::<Result<Vec<_>>>()?;
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        ensure!(
            longest < DARKNESS_LIMIT,
            "dark for {gaps:.2?} s after the {}'s successor took over",
            role.label()
        );
        remark.push_str(&format!("{} {gaps:.2?} s ", role.label()));
        drop(streams);
        tunnel.await_pairs()?;
        tunnel.check()?;
        // A second stream of the same name begins a log of its own.
        for pair in &PAIRS {
            let log = site.directory().join(format!("ping-hub-{}.log", pair.name));
            fs::rename(&log, log.with_extension(role.label()))?;
        }
    }
    tunnel.part()?;
    Ok(remark.trim_end().to_owned())
}

/// Other settings disturb nobody whom they do not concern, and bad ones nobody at all.
fn reload(site: &Site) -> Result<String> {
    let mut tunnel = Tunnel::up(site, Path::Plain, ends())?;
    tunnel.check()?;
    let streams = Stream::everywhere(&tunnel.lab, site.directory())?;
    let (hub, _) = ours(&mut tunnel, Role::Hub)?;
    let good = fs::read_to_string(hub.configuration())?;
    let directory = hub
        .configuration()
        .parent()
        .context("no directory")?
        .join("branches.d");
    fs::create_dir(&directory)?;
    let including = format!("include = \"branches.d/*.toml\"\n{good}");
    fs::write(hub.configuration(), &including)?;
    let other = directory.join("other.toml");
    fs::write(&other, another_branch("172.16.0.0/24"))?;
    let said = hub.reload()?.stdout()?;
    ensure!(
        said.contains("1 added, 0 changed, 0 removed, 1 untouched"),
        "`hub reload` says: {said}"
    );
    ensure!(
        hub.status()?.peers.len() == 2,
        "the new branch is not listed"
    );

    fs::write(&other, another_branch("172.16.0.0/33"))?;
    let refused = hub
        .reload()?
        .stdout()
        .err()
        .context("bad settings were accepted")?;
    let refused = refused.to_string();
    for words in [
        "other.toml:6:10",
        "172.16.0.0/33",
        "goes on with those it has",
    ] {
        ensure!(refused.contains(words), "`hub reload` says: {refused}");
    }
    ensure!(
        hub.status()?.peers.len() == 2,
        "bad settings have changed something"
    );
    fs::remove_file(&other)?;
    let said = hub.reload()?.stdout()?;
    ensure!(
        said.contains("1 removed, 1 untouched"),
        "`hub reload` says: {said}"
    );
    clock::pause(Duration::from_secs(1))?;
    let lost = ping::none_lost(streams).context("while other branches came and went");
    let sent = lost?;

    // One pair goes; the branch's others carry on.
    let [gone, stays, ..] = &PAIRS;
    let stream = Stream::start(&tunnel.lab, Role::Hub, stays, site.directory())?;
    let (hub, _) = ours(&mut tunnel, Role::Hub)?;
    let table = format!(
        "[[branch.pair]]\nname = \"{}\"\nlocal = \"{}\"\nremote = \"{}\"\n",
        gone.name, gone.hub_subnet, gone.branch_subnet
    );
    ensure!(including.contains(&table), "no {table}");
    fs::write(hub.configuration(), including.replace(&table, ""))?;
    let said = hub.reload()?.stdout()?;
    ensure!(
        said.contains("0 added, 1 changed"),
        "`hub reload` says: {said}"
    );
    clock::pause(Duration::from_secs(1))?;
    ping::none_lost(vec![stream]).context("while another pair of the branch went")?;
    let (hub, _) = ours(&mut tunnel, Role::Hub)?;
    fs::write(hub.configuration(), &good)?;
    hub.reload()?.stdout()?;
    tunnel.await_pairs()?;
    tunnel.check()?;
    Ok(format!("{sent} pings, none lost"))
}

fn another_branch(subnet: &str) -> String {
    format!(
        "[[branch]]\nidentity = \"other\"\npsk = \"{PSK}\"\n[[branch.pair]]\nname = \"data\"\nremote = \"{subnet}\"\nlocal = \"10.61.3.0/24\"\n"
    )
}

/// While a key is looked for, a branch whose key is known connects as ever.
fn slow_key_store(site: &Site) -> Result<String> {
    let lab = crate::lab::Lab::new(site.prefix(), Path::Plain)?;
    let (_, settings) = ends().hub;
    let start = |role| {
        Daemon::start(
            &lab,
            role,
            &settings,
            site.binaries(),
            site.directory(),
            &site.socket(role),
        )
    };
    let mut hub = start(Role::Hub)?;
    let store = site.directory().join("store");
    fs::write(
        &store,
        format!(
            "#!/bin/sh\nsleep {}\n[ \"$1\" = slow ] && echo {PSK}\n",
            STORE.as_secs()
        ),
    )?;
    executable(&store)?;
    let text = fs::read_to_string(hub.configuration())?;
    let slow = format!(
        "[[branch]]\nidentity = \"slow\"\npsk_command = [\"{}\", \"{{identity}}\"]\n[[branch.pair]]\nname = \"data\"\nlocal = \"10.61.3.0/24\"\nremote = \"172.16.1.0/24\"\n",
        store.display()
    );
    fs::write(hub.configuration(), format!("{text}\n{slow}"))?;
    hub.reload()?.stdout()?;

    // The slow branch stands where the Internet is: there is no room for another one.
    let config = site.directory().join("slow.toml");
    let socket = site.socket(Role::Branch).with_extension("slow");
    fs::write(&config, slow_branch(&socket))?;
    lab.isp().ip("addr add 172.16.1.1/24 dev lo\n")?;
    let binary = site.binaries().join("branch");
    let began = clock::now();
    let argv = [
        &*binary.to_string_lossy(),
        "run",
        "--config",
        &*config.to_string_lossy(),
    ];
    let mut running = lab.isp().start(
        "the slow branch",
        &argv,
        &[],
        &site.directory().join("slow.log"),
    )?;
    clock::pause(Duration::from_millis(500))?;
    let quick_began = clock::now();
    let branch = start(Role::Branch)?;
    clock::within(BRIEF, "the quick branch's pairs", || {
        Ok(branch.status()?.every_pair_up().then_some(()))
    })?;
    let quick = clock::since(quick_began);
    let (still_waiting, waited) = (!is_up(&hub, "data")?, clock::since(began));
    ensure!(
        still_waiting && waited < STORE,
        "the branch whose key is known took {quick:?} while another's was looked for"
    );
    clock::within(BRIEF, "the slow branch's pair", || {
        running.alive()?;
        hub.alive()?;
        Ok(is_up(&hub, "data")?.then_some(()))
    })?;
    let slow = clock::since(began);
    drop(fs::remove_file(&socket));
    Ok(format!(
        "known key {:.2} s, slow store {:.2} s",
        quick.as_secs_f64(),
        slow.as_secs_f64()
    ))
}

fn is_up(hub: &Daemon, pair: &str) -> Result<bool> {
    let status = hub.status()?;
    let mut pairs = status.peers.iter().flat_map(|peer| &peer.pairs);
    Ok(pairs.any(|status| status.name == pair && status.state == "up"))
}

fn slow_branch(socket: &FilePath) -> String {
    format!(
        "identity = \"slow\"\nhubs = [\"{HUB_ADDRESS}\"]\nhub_identity = \"{HUB_IDENTITY}\"\npsk = \"{PSK}\"\n\
         ike = [\"aes128-sha256-modp2048\"]\nesp = [\"aes128gcm16\"]\ncontrol = \"{}\"\n[tun]\nname = \"slow0\"\n\
         [[pair]]\nname = \"data\"\nlocal = \"172.16.1.0/24\"\nremote = \"10.61.3.0/24\"\ntrigger = {{ source = \"172.16.1.1\", target = \"10.61.3.26\" }}\n",
        socket.display()
    )
}

fn executable(path: &FilePath) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o700),
    )?)
}

//! The cases with chronyd.
//!
//! Our clock is 250 ms ahead of the machine's, which is chronyd's: an offset of the wrong sign or
//! of nothing cannot pass.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use ntp_core::config::{AssociationConfigBuilder, Interleaving, Prelude};
use ntp_core::crypto::rustcrypto::provider;
use ntp_core::mac::{KeyId, KeyTable, MacKind, SymmetricKey};
use ntp_core::schedule::{Burst, FixedSchedule, RfcSchedule, Spread};
use ntp_core::system::PassivePolicy;
use ntp_core::{
    AssociationConfig, AssociationMode, Mode, Schedule, ServerConfig, Stratum, SystemConfig,
    SystemVariables, Version,
};

use crate::host::{Host, SHIFT, TOLERANCE};
use crate::{Case, Place, ensure};
use ntp_interop::chrony::{Chrony, KEYS};
use ntp_interop::daemon::free_port;

/// How long a case may take to see what it wants to see.
const LIMIT: Duration = Duration::from_secs(25);
/// What a chronyd needs to serve the time without having a source.
const SERVING: &str = "local stratum 5";

/// All of them.
pub const CASES: &[Case] = &[
    case("our client asks chronyd: plain", || {
        client(None, Version::V4)
    }),
    case("our client asks chronyd: NTPv3", || {
        client(None, Version::V3)
    }),
    case("our client asks chronyd: MD5", || {
        client(Some(1), Version::V4)
    }),
    case("our client asks chronyd: SHA-1", || {
        client(Some(2), Version::V4)
    }),
    case("our client asks chronyd: AES-128-CMAC", || {
        client(Some(3), Version::V4)
    }),
    case("our client asks chronyd: SHA-256, truncated", || {
        client(Some(4), Version::V4)
    }),
    case("our client asks chronyd: AES-256-CMAC", || {
        client(Some(5), Version::V4)
    }),
    case("our client asks chronyd: SHA-512, truncated", || {
        client(Some(6), Version::V4)
    }),
    case("our client asks chronyd: over IPv6", client_over_ipv6),
    case("our client asks chronyd: interleaved", interleaved_client),
    case("our client asks chronyd: a burst of four", burst),
    case(
        "our client asks chronyd: with a wrong key, in vain",
        client_with_wrong_key,
    ),
    case(
        "our client asks an unsynchronised chronyd: path only",
        unsynchronised,
    ),
    case("our symmetric active peer, chronyd knows it: plain", || {
        peers(None)
    }),
    case("our symmetric active peer, chronyd knows it: MD5", || {
        peers(Some(1))
    }),
    case(
        "our symmetric active peer, chronyd knows it: AES-128-CMAC",
        || peers(Some(3)),
    ),
    case(
        "our symmetric active peer is a stranger to chronyd",
        stranger,
    ),
    case("our h3c profile: the prelude, then symmetric", prelude),
    case("chronyd asks our server: plain", || server(None, "")),
    case("chronyd asks our server: NTPv3", || {
        server(None, "version 3")
    }),
    case(
        "chronyd asks our server: interleaved, answered in basic mode",
        || server(None, "xleave"),
    ),
    case("chronyd asks our server: interleaved", || {
        interleaved_server(None)
    }),
    case("chronyd asks our server: interleaved, AES-128-CMAC", || {
        interleaved_server(Some(3))
    }),
    case("chronyd asks our server: MD5", || server(Some(1), "")),
    case("chronyd asks our server: SHA-1", || server(Some(2), "")),
    case("chronyd asks our server: AES-128-CMAC", || {
        server(Some(3), "")
    }),
    case("chronyd asks our server: SHA-256, truncated", || {
        server(Some(4), "version 4")
    }),
    case("chronyd asks our server: SHA-256, whole in NTPv3", || {
        server(Some(4), "")
    }),
    case(
        "chronyd asks our server: with a wrong key, in vain",
        server_with_wrong_key,
    ),
    case(
        "chronyd is a peer that we do not know: answered statelessly",
        || passive(PassivePolicy::Stateless),
    ),
    case(
        "chronyd is a peer that we do not know: made an association",
        || passive(PassivePolicy::Anybody { quota: 1 }),
    ),
    case("our client listens to chronyd's broadcasts", broadcast),
];

const fn case(name: &'static str, run: fn() -> Result<String>) -> Case {
    Case {
        name,
        place: Place::Loopback,
        run,
    }
}

fn client(key: Option<u32>, version: Version) -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let builder = AssociationConfig::builder(host.local, chrony.address).version(version);
    host.add(finish(builder.schedule(every(100)), key)?)?;
    let detail = measured(&mut host, &chrony)?;
    ensure(host.modes.iter().all(|mode| *mode == Mode::Server), || {
        format!("modes {:?}", host.modes)
    })?;
    Ok(detail)
}

fn client_over_ipv6() -> Result<String> {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, free_port()?));
    let chrony = Chrony::start_at(address, SERVING)?;
    let mut host = Host::bind(Ipv6Addr::LOCALHOST.into(), SystemConfig::new())?;
    let builder = AssociationConfig::builder(host.local, chrony.address);
    host.add(finish(builder.schedule(every(100)), None)?)?;
    measured(&mut host, &chrony)
}

fn interleaved_client() -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .interleaving(Interleaving::Interleaved);
    let id = host.add(finish(builder.schedule(every(100)), None)?)?;
    let detail = measured(&mut host, &chrony)?;
    let answers = host
        .system
        .association(id)
        .map_or(0, |association| association.stats().interleaved);
    ensure(4 < answers, || format!("{answers} interleaved answers"))?;
    Ok(format!("{detail}; {answers} interleaved answers"))
}

fn burst() -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let schedule = RfcSchedule::default().initial_burst(Burst::default());
    let builder = AssociationConfig::builder(host.local, chrony.address);
    let id = host.add(finish(builder.schedule(Schedule::Rfc(schedule)), None)?)?;
    host.run(Duration::from_secs(9), |_| false)?;
    ensure(host.sent.len() == 4, || {
        format!("{} requests in 9 s", host.sent.len())
    })?;
    let now = std::time::Instant::now();
    let estimate = host
        .system
        .estimate(now)
        .context("four answers make a server selectable")?;
    let error = estimate.offset.as_seconds_f64() + SHIFT.as_secs_f64();
    let distance = estimate.root_distance().as_seconds_f64();
    ensure(error.abs() <= distance, || {
        format!("off by {error:+.6} s, claimed at most {distance:.6} s")
    })?;
    let reach = host
        .system
        .association(id)
        .map(ntp_core::Association::reach);
    Ok(format!(
        "selectable after four samples, reach {}",
        reach.unwrap_or_default()
    ))
}

fn client_with_wrong_key() -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let wrong = SymmetricKey::new(KeyId(1), MacKind::Md5, b"not the key", &provider())?;
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .schedule(every(100))
        .key(wrong);
    host.add(builder.build()?)?;
    host.run(Duration::from_secs(2), |_| false)?;
    ensure(host.samples.is_empty(), || {
        "a sample without a common key".to_owned()
    })?;
    Ok(format!("{} requests, no sample", host.sent.len()))
}

fn unsynchronised() -> Result<String> {
    let chrony = Chrony::start("")?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let builder = AssociationConfig::builder(host.local, chrony.address);
    let id = host.add(finish(builder.schedule(every(100)), None)?)?;
    host.run(LIMIT, |host| 8 <= host.unusable.len())?;
    let association = host.system.association(id).context("our association")?;
    let (path, time) = (association.path_reach(), association.reach());
    ensure(path.is_reachable() && !time.is_reachable(), || {
        format!("path reach {path}, reach {time}")
    })?;
    Ok(format!("path reach {path}, reach {time}"))
}

fn peers(key: Option<u32>) -> Result<String> {
    let mut host = Host::on_loopback(SystemConfig::new())?;
    let option = key.map_or_else(String::new, |key| format!(" key {key}"));
    let peer = format!(
        "{SERVING}\npeer 127.0.0.1 port {} minpoll 0 maxpoll 0 noselect{option}",
        host.local.port()
    );
    let chrony = Chrony::start(&peer)?;
    host.system.set_system(SystemVariables::local(Stratum(5)));
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .mode(AssociationMode::SymmetricActive);
    host.add(finish(builder.schedule(every(1000)), key)?)?;
    let detail = measured(&mut host, &chrony)?;
    ensure(
        host.modes.iter().all(|mode| *mode == Mode::SymmetricActive),
        || format!("modes {:?}", host.modes),
    )?;
    Ok(format!("{detail}; {}", reported(&mut host, &chrony)?))
}

fn stranger() -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    host.system.set_system(SystemVariables::local(Stratum(9)));
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .mode(AssociationMode::SymmetricActive);
    host.add(finish(builder.schedule(every(200)), None)?)?;
    let detail = measured(&mut host, &chrony)?;
    ensure(
        host.modes
            .iter()
            .all(|mode| *mode == Mode::SymmetricPassive),
        || format!("modes {:?}", host.modes),
    )?;
    Ok(detail)
}

fn prelude() -> Result<String> {
    let chrony = Chrony::start(SERVING)?;
    let mut host = Host::on_loopback(SystemConfig::new())?;
    host.system.set_system(SystemVariables::local(Stratum(9)));
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .h3c()
        .prelude(Prelude::ClientServer);
    host.add(builder.schedule(every(200)).build()?)?;
    let detail = measured(&mut host, &chrony)?;
    let (first, rest) = host.modes.split_first().context("an answer")?;
    let is_right =
        *first == Mode::Server && rest.iter().all(|mode| *mode == Mode::SymmetricPassive);
    ensure(is_right, || format!("modes {:?}", host.modes))?;
    Ok(detail)
}

/// Our server with chronyd's keys.
fn serving() -> Result<SystemConfig> {
    Ok(SystemConfig::new().server(keyed_server()?))
}

fn keyed_server() -> Result<ServerConfig> {
    let keys = KeyTable::from_key_file(KEYS, &provider())?;
    Ok(ServerConfig::new().keys(keys))
}

fn interleaved_server(key: Option<u32>) -> Result<String> {
    let config = SystemConfig::new().server(keyed_server()?.interleaved(64));
    let mut host = Host::on_loopback(config)?;
    let (_chrony, detail) = serve(&mut host, key, "xleave")?;
    host.run(Duration::from_secs(3), |_| false)?;
    let answers = host
        .system
        .server()
        .map_or(0, |server| server.stats().interleaved);
    ensure(2 < answers, || format!("{answers} interleaved answers"))?;
    Ok(format!("{detail}; {answers} interleaved answers"))
}

fn server(key: Option<u32>, options: &str) -> Result<String> {
    let (_, detail) = serve(&mut Host::on_loopback(serving()?)?, key, options)?;
    Ok(detail)
}

/// Has chronyd ask our server.
fn serve(host: &mut Host, key: Option<u32>, options: &str) -> Result<(Chrony, String)> {
    host.system.set_system(SystemVariables::local(Stratum(4)));
    let option = key.map_or_else(String::new, |key| format!("key {key}"));
    let source = format!(
        "server 127.0.0.1 port {} minpoll -1 maxpoll -1 noselect {option} {options}",
        host.local.port()
    );
    let chrony = Chrony::start(&source)?;
    let detail = reported(host, &chrony)?;
    Ok((chrony, detail))
}

fn server_with_wrong_key() -> Result<String> {
    let mut keys = KeyTable::new();
    keys.insert(SymmetricKey::new(
        KeyId(1),
        MacKind::Md5,
        b"not the key",
        &provider(),
    )?);
    let mut host = Host::on_loopback(SystemConfig::new().server(ServerConfig::new().keys(keys)))?;
    host.system.set_system(SystemVariables::local(Stratum(4)));
    let port = host.local.port();
    let chrony = Chrony::start(&format!(
        "server 127.0.0.1 port {port} minpoll -1 maxpoll -1 key 1"
    ))?;
    host.run(Duration::from_secs(3), |host| 2 <= host.dropped.len())?;
    let refused = host
        .system
        .server()
        .map_or(0, |server| server.stats().not_authentic);
    ensure(0 < refused, || "chronyd did not ask".to_owned())?;
    ensure(chrony.source()?.is_none(), || {
        "chronyd took an answer".to_owned()
    })?;
    Ok(format!("{refused} requests refused"))
}

fn passive(policy: PassivePolicy) -> Result<String> {
    let mut host = Host::on_loopback(serving()?.passive(policy))?;
    host.system.set_system(SystemVariables::local(Stratum(4)));
    let port = host.local.port();
    let chrony = Chrony::start(&format!(
        "peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 noselect"
    ))?;
    let detail = reported(&mut host, &chrony)?;
    ensure(
        host.sent
            .iter()
            .all(|(_, mode)| *mode == Mode::SymmetricPassive),
        || format!("sent {:?}", host.sent.first()),
    )?;
    Ok(detail)
}

fn broadcast() -> Result<String> {
    let mut host = Host::bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SystemConfig::new())?;
    let lines = format!(
        "{SERVING}\nbroadcast 1 127.255.255.255 {}",
        host.local.port()
    );
    let chrony = Chrony::start(&lines)?;
    let builder = AssociationConfig::builder(host.local, chrony.address)
        .mode(AssociationMode::BroadcastClient)
        .volley_interval(Duration::from_millis(100));
    host.add(builder.build()?)?;
    host.run(LIMIT, |host| {
        6 <= host
            .modes
            .iter()
            .filter(|mode| **mode == Mode::Broadcast)
            .count()
    })?;
    let volley = host
        .modes
        .iter()
        .filter(|mode| **mode == Mode::Server)
        .count();
    ensure(volley == 4, || {
        format!(
            "a volley of {volley}, modes {:?}, dropped {:?}",
            host.modes, host.dropped
        )
    })?;
    let of_broadcasts = host
        .samples
        .iter()
        .skip(4)
        .map(|sample| sample.offset.as_seconds_f64());
    // A busy machine wakes us late, which makes an offset more negative and never less.
    let Some(offset) = of_broadcasts.reduce(f64::max) else {
        bail!("no sample of a broadcast, unusable {:?}", host.unusable);
    };
    agree(
        "offset",
        offset,
        -SHIFT.as_secs_f64() + chrony.correction()?,
    )
}

fn every(milliseconds: u64) -> Schedule {
    Schedule::Fixed(FixedSchedule::new(
        Duration::from_millis(milliseconds),
        Spread::PerMille(100),
    ))
}

fn finish(builder: AssociationConfigBuilder, key: Option<u32>) -> Result<AssociationConfig> {
    let keys = KeyTable::from_key_file(KEYS, &provider())?;
    let builder = match key {
        Some(id) => builder.key(keys.get(KeyId(id)).context("a key of the file")?.clone()),
        None => builder,
    };
    Ok(builder.build()?)
}

/// Our offset against what chronyd says of its own time.
fn measured(host: &mut Host, chrony: &Chrony) -> Result<String> {
    let sample = host.measure(LIMIT)?;
    let expected = chrony.correction()? - SHIFT.as_secs_f64();
    agree("offset", sample.offset.as_seconds_f64(), expected)
}

/// What chronyd measures of us, against what we know.
fn reported(host: &mut Host, chrony: &Chrony) -> Result<String> {
    let mut last = None;
    for _ in 0..LIMIT.as_secs() * 2 {
        host.run(Duration::from_millis(500), |_| false)?;
        let Some(report) = chrony.source()? else {
            continue;
        };
        let expected = chrony.correction()? - SHIFT.as_secs_f64();
        let outcome = agree("chronyd says", report.ahead, expected);
        ensure(matches!(report.stratum, 4 | 5), || {
            format!("chronyd sees stratum {}", report.stratum)
        })?;
        if outcome.is_ok() {
            return outcome;
        }
        last = Some(outcome);
    }
    last.unwrap_or_else(|| {
        bail!(
            "chronyd took no answer of ours; we dropped {:?}",
            host.dropped.first()
        )
    })
}

fn agree(what: &str, got: f64, expected: f64) -> Result<String> {
    let error = got - expected;
    ensure(error.abs() < TOLERANCE, || {
        format!("{what} {got:+.6} s, expected {expected:+.6} s")
    })?;
    Ok(format!("{what} {got:+.6} s, off by {:+.0} us", error * 1e6))
}

//! The cases with OpenNTPD and ntpsec. Both serve on port 123 and see the machine's clock.

use core::time::Duration;
use std::net::SocketAddr;
use std::thread::sleep;

use anyhow::{Result, bail};
use ntp_core::schedule::{FixedSchedule, Spread};
use ntp_core::{
    AssociationConfig, AssociationMode, Mode, Schedule, Stratum, SystemConfig, SystemVariables,
    Version,
};

use crate::foreign::{ntpsec, openntpd};
use crate::host::{Host, SHIFT, TOLERANCE};
use crate::{Case, Place, ensure};
use ntp_interop::daemon::Daemon;

/// All of them.
pub const CASES: &[Case] = &[
    case("our client asks OpenNTPD: NTPv4", OPENNTPD, || {
        ask_openntpd(AssociationMode::Client, Version::V4)
    }),
    case("our client asks OpenNTPD: NTPv3", OPENNTPD, || {
        ask_openntpd(AssociationMode::Client, Version::V3)
    }),
    case("our symmetric active peer asks OpenNTPD", OPENNTPD, || {
        ask_openntpd(AssociationMode::SymmetricActive, Version::V4)
    }),
    case("our client asks ntpsec: NTPv4", NTPSEC, || {
        ask_ntpsec(Version::V4)
    }),
    case("our client asks ntpsec: NTPv3", NTPSEC, || {
        ask_ntpsec(Version::V3)
    }),
];

const OPENNTPD: &str = "openntpd";
const NTPSEC: &str = "ntpsec";

const fn case(name: &'static str, package: &'static str, run: fn() -> Result<String>) -> Case {
    Case {
        name,
        place: Place::Namespace(package),
        run,
    }
}

fn server() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 123))
}

fn asking(mode: AssociationMode, version: Version, interval: Duration) -> Result<Host> {
    let mut host = Host::on_loopback(SystemConfig::new())?;
    host.system.set_system(SystemVariables::local(Stratum(9)));
    let schedule = Schedule::Fixed(FixedSchedule::new(interval, Spread::None));
    let builder = AssociationConfig::builder(host.local, server())
        .mode(mode)
        .version(version);
    host.add(builder.schedule(schedule).build()?)?;
    Ok(host)
}

/// An OpenNTPD without a source proves the path and says that it does not know the time.
fn ask_openntpd(mode: AssociationMode, version: Version) -> Result<String> {
    let daemon = openntpd()?;
    let mut host = asking(mode, version, Duration::from_millis(200))?;
    let is_answered = host.run(Duration::from_secs(10), |host| 8 <= host.unusable.len())?;
    if !is_answered {
        bail!(
            "{} answers, dropped {:?}: {}",
            host.unusable.len(),
            host.dropped.first(),
            daemon.log()
        );
    }
    let expected = if mode == AssociationMode::Client {
        Mode::Server
    } else {
        Mode::SymmetricPassive
    };
    ensure(host.modes.iter().all(|mode| *mode == expected), || {
        format!("modes {:?}", host.modes)
    })?;
    ensure(host.samples.is_empty(), || {
        "a sample from a clock that is not set".to_owned()
    })?;
    let reach = host
        .system
        .associations()
        .next()
        .map(|(_, association)| association.path_reach());
    Ok(format!(
        "path reach {}, not synchronised",
        reach.unwrap_or_default()
    ))
}

/// ntpsec falls silent after twenty packets, so there are few, once it serves.
fn ask_ntpsec(version: Version) -> Result<String> {
    let daemon = ntpsec()?;
    wait_until_orphan(&daemon)?;
    let mut host = asking(AssociationMode::Client, version, Duration::from_millis(700))?;
    let sample = host.measure(Duration::from_secs(9))?;
    let error = sample.offset.as_seconds_f64() + SHIFT.as_secs_f64();
    ensure(error.abs() < TOLERANCE, || {
        format!("offset {} s", sample.offset)
    })?;
    Ok(format!(
        "offset {} s, off by {:+.0} us, stratum {}",
        sample.offset,
        error * 1e6,
        sample.stratum
    ))
}

/// Asks from another socket, once a second, until ntpsec says that it has the time.
fn wait_until_orphan(daemon: &Daemon) -> Result<()> {
    for _ in 0..10 {
        sleep(Duration::from_secs(1));
        let mut host = asking(
            AssociationMode::Client,
            Version::V4,
            Duration::from_secs(60),
        )?;
        if host.run(Duration::from_millis(200), |host| !host.samples.is_empty())? {
            return Ok(());
        }
    }
    bail!("ntpsec does not serve: {}", daemon.log())
}

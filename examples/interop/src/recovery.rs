//! Power failures: how soon the hub can ping through every pair again.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clock;
use crate::lab::{PAIRS, Path, Role};
use crate::ping::Stream;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tunnel::Tunnel;

/// How long a killed gateway stays dark.
const OFF: Duration = Duration::from_millis(500);

/// One power failure.
#[derive(Clone, Copy, Debug)]
struct Failure {
    branch: Make,
    hub: Make,
    path: Path,
    of: Role,
    /// From the restart to the first answer through the last pair.
    limit: Duration,
}

/// `recovery/…`: the measured time is the remark of the case.
pub fn cases() -> Vec<Case> {
    use Make::{Ours, StrongSwan};
    let mut failures = Vec::new();
    for path in Path::ALL {
        failures.push(Failure {
            branch: Ours,
            hub: Ours,
            path,
            of: Role::Branch,
            limit: Duration::from_secs(2),
        });
        failures.push(Failure {
            branch: Ours,
            hub: Ours,
            path,
            of: Role::Hub,
            limit: Duration::from_secs(5),
        });
        failures.push(Failure {
            branch: Ours,
            hub: StrongSwan,
            path,
            of: Role::Branch,
            limit: Duration::from_secs(5),
        });
        // charon says nothing about an SPI that it does not know: the probes have to find out.
        failures.push(Failure {
            branch: Ours,
            hub: StrongSwan,
            path,
            of: Role::Hub,
            limit: Duration::from_secs(30),
        });
    }
    failures
        .into_iter()
        .map(|failure| Case::new(failure.name(), move |site| failure.run(site)))
        .collect()
}

impl Failure {
    fn name(self) -> String {
        let hub = match self.hub {
            Make::Ours => "ours",
            Make::StrongSwan => "strongswan-hub",
        };
        format!(
            "recovery/{hub}/{}-killed/{}",
            self.of.label(),
            self.path.label()
        )
    }

    fn run(self, site: &Site) -> Result<String> {
        let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
        let mut tunnel = Tunnel::up(
            site,
            self.path,
            Ends::alike(self.branch, self.hub, &settings),
        )?;
        tunnel.check()?;
        let streams = PAIRS
            .iter()
            .map(|pair| Stream::start(&tunnel.lab, Role::Hub, pair, site.directory()))
            .collect::<Result<Vec<_>>>()?;
        clock::pause(Duration::from_secs(1))?;

        let (gateway, lab) = tunnel.end_mut(self.of);
        gateway.kill(lab)?;
        clock::pause(OFF)?;
        let start = clock::unix_seconds();
        gateway.start_again(lab)?;
        let mut took = 0.0_f64;
        for stream in &streams {
            let answered = clock::within(2 * self.limit, "the hub can ping again", || {
                stream.answered_after(start)
            })?;
            took = took.max(answered - start);
        }
        drop(streams);
        ensure!(
            took <= self.limit.as_secs_f64(),
            "{took:.2} s until the hub can ping again, more than {:?}",
            self.limit
        );
        tunnel.await_pairs()?;
        tunnel.check()?;
        Ok(format!("{took:.2} s"))
    }
}

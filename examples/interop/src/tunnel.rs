//! A lab with a gateway of either make at each end.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::chrony;
use crate::clock;
use crate::lab::{Lab, Path, Role};
use crate::ours::{self, Daemon};
use crate::ping;
use crate::process::Running;
use crate::settings::{Ends, Make};
use crate::site::Site;
use crate::strongswan::{self, Charon};

/// How long news of an end may take to the other one.
const NEWS_LIMIT: Duration = Duration::from_secs(3);

/// One end's software.
#[derive(Debug)]
pub enum Gateway {
    /// One of our daemons.
    Ours(Daemon),
    /// charon.
    StrongSwan(Charon),
}

impl Gateway {
    fn start(lab: &Lab, role: Role, ends: &Ends, site: &Site) -> Result<Self> {
        let (make, settings) = ends.end(role);
        let socket = site.socket(role);
        Ok(match make {
            Make::Ours => Self::Ours(Daemon::start(
                lab,
                role,
                settings,
                site.binaries(),
                site.directory(),
                &socket,
            )?),
            Make::StrongSwan => Self::StrongSwan(Charon::start(
                lab,
                role,
                settings,
                site.directory(),
                &socket,
            )?),
        })
    }

    /// Kills it, as a power failure would.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self, lab: &Lab) -> Result<()> {
        match self {
            Self::Ours(daemon) => daemon.kill(),
            Self::StrongSwan(charon) => charon.kill(lab),
        }
    }

    /// Starts it again after [`Gateway::kill`].
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_again(&mut self, lab: &Lab) -> Result<()> {
        match self {
            Self::Ours(daemon) => daemon.start_again(lab),
            Self::StrongSwan(charon) => charon.start_again(lab),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Self::Ours(daemon) => daemon.id(),
            Self::StrongSwan(charon) => charon.id(),
        }
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn alive(&mut self) -> Result<()> {
        match self {
            Self::Ours(daemon) => daemon.alive(),
            Self::StrongSwan(charon) => charon.alive(),
        }
    }

    /// Ends it in good order.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        match self {
            Self::Ours(daemon) => daemon.stop(),
            Self::StrongSwan(charon) => charon.stop(),
        }
    }

    /// Whether all pairs are up by its own account; else what it says.
    fn every_pair_up(&self) -> Result<Result<(), String>> {
        Ok(match self {
            Self::Ours(daemon) => {
                let status = daemon.status()?;
                if status.every_pair_up() {
                    Ok(())
                } else {
                    Err(status.summary())
                }
            }
            Self::StrongSwan(charon) => {
                let sas = charon.sas()?;
                if sas.every_pair() {
                    Ok(())
                } else {
                    Err(format!("{sas:?}"))
                }
            }
        })
    }

    /// Whether nothing is up by its own account; else what it says.
    fn nothing_up(&self) -> Result<Result<(), String>> {
        Ok(match self {
            Self::Ours(daemon) => {
                let status = daemon.status()?;
                if status.all_down() {
                    Ok(())
                } else {
                    Err(status.summary())
                }
            }
            Self::StrongSwan(charon) => {
                let sas = charon.sas()?;
                if sas.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{sas:?}"))
                }
            }
        })
    }
}

/// Two gateways and the network between them. All ends when it is dropped, gateways first.
#[derive(Debug)]
pub struct Tunnel {
    /// The end that initiates.
    pub branch: Gateway,
    /// The end that answers.
    pub hub: Gateway,
    _ntp_server: Option<Running>,
    /// The network.
    pub lab: Lab,
    ends: Ends,
    path: Path,
}

impl Tunnel {
    /// Starts both ends and waits until every pair is up.
    ///
    /// # Errors
    ///
    /// When it does not come up; says which pair is not and why.
    pub fn up(site: &Site, path: Path, ends: Ends) -> Result<Self> {
        let lab = Lab::new(site.prefix(), path)?;
        Self::up_in(lab, site, path, ends)
    }

    /// The same in a network that is there already.
    ///
    /// # Errors
    ///
    /// As [`Tunnel::up`].
    pub fn up_in(lab: Lab, site: &Site, path: Path, ends: Ends) -> Result<Self> {
        let ends = ends.with_data_path(site.data_path());
        // Our hub answers NTP itself.
        let ntp_server = match ends.hub.0 {
            Make::Ours => None,
            Make::StrongSwan => Some(chrony::serve(&lab, site.directory())?),
        };
        let hub = Gateway::start(&lab, Role::Hub, &ends, site)?;
        let branch = Gateway::start(&lab, Role::Branch, &ends, site)?;
        let mut tunnel = Self {
            branch,
            hub,
            _ntp_server: ntp_server,
            lab,
            ends,
            path,
        };
        tunnel.await_pairs()?;
        Ok(tunnel)
    }

    /// Waits until every pair is up by the branch's account.
    ///
    /// # Errors
    ///
    /// When they do not come up; says which and why.
    pub fn await_pairs(&mut self) -> Result<()> {
        let limit = match self.branch {
            Gateway::Ours(_) => ours::START_LIMIT,
            Gateway::StrongSwan(_) => strongswan::START_LIMIT,
        };
        let mut said = String::new();
        clock::within(limit, "all pairs up", || {
            self.hub.alive()?;
            self.branch.alive()?;
            Ok(match self.branch.every_pair_up()? {
                Ok(()) => Some(()),
                Err(state) => {
                    said = state;
                    None
                }
            })
        })
        .with_context(|| said)
    }

    /// One end.
    pub fn end(&self, role: Role) -> &Gateway {
        match role {
            Role::Branch => &self.branch,
            Role::Hub => &self.hub,
        }
    }

    /// One end, to change it.
    pub fn end_mut(&mut self, role: Role) -> (&mut Gateway, &Lab) {
        match role {
            Role::Branch => (&mut self.branch, &self.lab),
            Role::Hub => (&mut self.hub, &self.lab),
        }
    }

    /// Pings both ways through every pair, asks both ends what they know of it, and looks for traffic in clear.
    ///
    /// # Errors
    ///
    /// When a ping is lost, an end's status differs from what is, or something left our daemons in clear.
    pub fn check(&self) -> Result<()> {
        ping::every_pair(&self.lab)?;
        for role in [Role::Branch, Role::Hub] {
            if let Err(state) = self.end(role).every_pair_up()? {
                bail!("pings pass, but the {} says: {state}", role.label());
            }
            self.check_nat(role)?;
            self.check_data_path(role)?;
        }
        self.check_leaks()
    }

    /// Our daemons leave ESP to whom they were told to.
    fn check_data_path(&self, role: Role) -> Result<()> {
        let Gateway::Ours(daemon) = self.end(role) else {
            return Ok(());
        };
        let wanted = self.ends.end(role).1.data_path.label();
        let taken = daemon.status()?.data_path;
        if taken != wanted {
            bail!(
                "ESP of the {} is by the {taken}, not by the {wanted}",
                role.label()
            );
        }
        Ok(())
    }

    /// Our daemons know whether an address is translated.
    fn check_nat(&self, role: Role) -> Result<()> {
        let Gateway::Ours(daemon) = self.end(role) else {
            return Ok(());
        };
        // strongSwan's data plane in user space claims a NAT, for the sake of the encapsulation.
        let both_ours = self.ends.branch.0 == Make::Ours && self.ends.hub.0 == Make::Ours;
        let expected = match self.path {
            Path::Nat => true,
            Path::Plain if both_ours && !self.ends.branch.1.always_encapsulate => false,
            Path::Plain => return Ok(()),
        };
        for peer in daemon.status()?.peers {
            if peer.nat != expected {
                bail!(
                    "the {} reports \"nat\": {}, but the path is {}",
                    role.label(),
                    peer.nat,
                    self.path.label()
                );
            }
        }
        Ok(())
    }

    /// Nothing private has left our daemons in clear.
    ///
    /// # Errors
    ///
    /// When something has.
    pub fn check_leaks(&self) -> Result<()> {
        for role in [Role::Branch, Role::Hub] {
            let leaked = self.lab.leaked(role)?;
            if self.ends.end(role).0 == Make::Ours && leaked != 0 {
                bail!(
                    "{leaked} packets with a private address left our {} in clear",
                    role.label()
                );
            }
        }
        Ok(())
    }

    /// Ends the branch in good order; the hub must notice by its Deletes. Then ends the hub.
    ///
    /// # Errors
    ///
    /// When an end does not end well, or the hub keeps something.
    pub fn part(mut self) -> Result<()> {
        match &mut self.branch {
            Gateway::Ours(daemon) => daemon.stop()?,
            Gateway::StrongSwan(charon) => charon.terminate()?,
        }
        let mut said = String::new();
        clock::within(
            NEWS_LIMIT,
            "the hub's side gone after the branch's Deletes",
            || {
                Ok(match self.hub.nothing_up()? {
                    Ok(()) => Some(()),
                    Err(state) => {
                        said = state;
                        None
                    }
                })
            },
        )
        .with_context(|| said)?;
        self.hub.stop()
    }
}

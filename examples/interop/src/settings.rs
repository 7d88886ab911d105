//! What a case varies, in terms that both makes of gateway understand.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::lab::Role;

/// Settings of one end.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one phase 1 proposal, in strongSwan's notation.
    pub ike: &'static str,
    /// The one phase 2 proposal.
    pub esp: &'static str,
    /// Age at which phase 1 is negotiated anew.
    pub ike_lifetime: Duration,
    /// Age at which an IPsec SA is replaced.
    pub sa_lifetime: Duration,
    /// Silence after which the peer is asked whether it lives.
    pub dpd_delay: Duration,
    /// UDP encapsulation even where no address is translated.
    pub always_encapsulate: bool,
    /// Who seals and opens ESP at our ends.
    pub data_path: DataPath,
    /// Packets to and from the kernel many in one.
    pub offload: bool,
    /// Packets before all that is ordinary, at our ends.
    pub realtime: bool,
    /// A short log and no key log, as on a machine at work.
    pub measured: bool,
    /// Counters to read, and the status page with them, where `measured`.
    pub metrics: bool,
    /// Branches in the settings of a hub that no daemon plays.
    pub absent_branches: usize,
    /// A program that our hub runs when a pair comes up or goes down.
    pub hook: Option<PathBuf>,
}

impl Settings {
    /// These proposals, and lifetimes that no case lives to see.
    pub fn new(ike: &'static str, esp: &'static str) -> Self {
        Self {
            ike,
            esp,
            ike_lifetime: Duration::from_secs(8 * 3600),
            sa_lifetime: Duration::from_secs(3600),
            dpd_delay: Duration::from_secs(20),
            always_encapsulate: false,
            data_path: DataPath::User,
            offload: true,
            realtime: false,
            measured: false,
            metrics: true,
            absent_branches: 0,
            hook: None,
        }
    }
}

/// Who seals and opens ESP at an end of ours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum DataPath {
    /// The daemon.
    #[default]
    User,
    /// The kernel, which must have ESP.
    Kernel,
}

impl DataPath {
    /// Its word in settings and status.
    pub fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Kernel => "kernel",
        }
    }
}

/// Whose software stands at an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Make {
    /// The daemons of this repository.
    Ours,
    /// charon, as Debian packages it.
    StrongSwan,
}

/// Both ends of a tunnel.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Make and settings of the branch.
    pub branch: (Make, Settings),
    /// Make and settings of the hub.
    pub hub: (Make, Settings),
}

impl Ends {
    /// The same settings at both.
    pub fn alike(branch: Make, hub: Make, settings: &Settings) -> Self {
        Self {
            branch: (branch, settings.clone()),
            hub: (hub, settings.clone()),
        }
    }

    /// The same with this data path at our ends.
    #[must_use]
    pub fn with_data_path(mut self, data_path: DataPath) -> Self {
        for (_, settings) in [&mut self.branch, &mut self.hub] {
            settings.data_path = data_path;
        }
        self
    }

    /// One of them.
    pub fn end(&self, role: Role) -> &(Make, Settings) {
        match role {
            Role::Branch => &self.branch,
            Role::Hub => &self.hub,
        }
    }
}

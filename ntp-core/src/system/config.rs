//! Settings of a whole host.

use core::net::SocketAddr;

use crate::mac::SymmetricKey;
use crate::ref_id::ReferenceId;
use crate::select::SelectionConfig;
use crate::server::ServerConfig;

/// What happens to a mode 1 packet from a peer that has no association.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PassivePolicy {
    /// It is answered at once with a mode 2 packet and forgotten.
    #[default]
    Stateless,
    /// If it is authentic, it makes a passive association; else it is answered and forgotten.
    Authenticated {
        /// Most associations made in this way.
        quota: usize,
    },
    /// It makes a passive association in any case. The quota is what bounds the harm that strangers can do.
    Anybody {
        /// Most associations made in this way.
        quota: usize,
    },
}

/// What happens to a broadcast from a server that has no association.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum BroadcastPolicy {
    /// It is dropped.
    #[default]
    Ignore,
    /// It makes a broadcast client association.
    Listen {
        /// Our own address, which the volley is sent from.
        local: SocketAddr,
        /// The key of broadcasts and volley.
        key: Option<SymmetricKey>,
        /// Most associations made in this way.
        quota: usize,
    },
}

/// Settings of a [`System`](super::System).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SystemConfig {
    pub(super) server: Option<ServerConfig>,
    pub(super) selection: SelectionConfig,
    pub(super) passive: PassivePolicy,
    pub(super) broadcast: BroadcastPolicy,
    pub(super) own: Vec<ReferenceId>,
}

impl SystemConfig {
    /// Settings of a host that serves nobody and makes no associations on demand.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves clients and peers. Default: nobody is served.
    pub fn server(mut self, server: ServerConfig) -> Self {
        self.server = Some(server);
        self
    }

    /// Settings of the selection.
    pub const fn selection(mut self, selection: SelectionConfig) -> Self {
        self.selection = selection;
        self
    }

    /// What happens to peers without an association. Default: [`PassivePolicy::Stateless`].
    pub const fn passive(mut self, policy: PassivePolicy) -> Self {
        self.passive = policy;
        self
    }

    /// What happens to broadcasts without an association. Default: [`BroadcastPolicy::Ignore`].
    pub fn broadcast(mut self, policy: BroadcastPolicy) -> Self {
        self.broadcast = policy;
        self
    }

    /// The reference identifiers by which other servers know this host: its addresses. Default: none.
    pub fn own_reference_ids(mut self, own: Vec<ReferenceId>) -> Self {
        self.own = own;
        self
    }
}

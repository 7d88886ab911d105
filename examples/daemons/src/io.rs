//! Sockets, TUN, routes and links: everything that touches the system.

mod batch;
mod incoming;
mod link_watch;
mod offload;
mod outer;
mod outgoing;
#[cfg(test)]
mod packets;
mod reach;
mod routes;
mod rtnetlink;
mod train;
mod transport;
mod tun;
mod udp_encap;

use std::io;

use rustix::io::Errno;
use thiserror::Error;

pub use self::incoming::Incoming;
pub use self::link_watch::{LinkWatch, PathChange};
pub(crate) use self::outer::is_transient;
pub use self::outer::{EspBy, OuterSockets, ReceiveBuffers};
pub(crate) use self::outgoing::Cut;
pub use self::outgoing::Outgoing;
pub use self::routes::Routes;
pub use self::rtnetlink::Rtnetlink;
pub use self::train::Train;
pub use self::tun::{Tun, TunBuffer};

/// Something of the system could not be had, and what to do about it.
#[derive(Debug, Error)]
#[error("cannot {action}: {source}; {remedy}")]
pub struct SystemError {
    action: String,
    remedy: String,
    #[source]
    source: io::Error,
}

impl SystemError {
    /// `action` completes "cannot …".
    pub(crate) fn new(
        action: impl Into<String>,
        source: impl Into<io::Error>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            action: action.into(),
            remedy: remedy.into(),
            source: source.into(),
        }
    }

    /// The same for something that takes privileges, with the remedy for lacking them.
    pub(crate) fn privileged(
        action: impl Into<String>,
        source: impl Into<io::Error>,
        otherwise: &str,
    ) -> Self {
        let source = source.into();
        let remedy = if source.kind() == io::ErrorKind::PermissionDenied {
            "run as root, or give the program CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE"
        } else {
            otherwise
        };
        Self::new(action, source, remedy)
    }
}

/// Whether a non-blocking call merely had nothing to do.
pub(crate) fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Whether `error` is this system error.
pub(crate) fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

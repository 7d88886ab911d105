//! What both roles open before they become different.

use std::sync::Arc;

use ike_core::Encapsulation;
use tracing::{info, warn};

use crate::handover::Handover;
use crate::io::{EspBy, OuterSockets, Routes, SystemError, Tun};
use crate::kernel::{KernelPlane, Reasons};
use crate::key_log::WiresharkKeyLog;
use crate::settings::{GatewaySettings, RouteSettings};

/// Sockets, device, routes, and who seals and opens.
pub(super) struct Outside {
    pub(super) key_log: Option<Arc<WiresharkKeyLog>>,
    pub(super) outer: OuterSockets,
    pub(super) kernel: Option<KernelPlane>,
    pub(super) routes: Routes,
    pub(super) tun: Arc<Tun>,
    /// What is left of what a predecessor hands over.
    pub(super) handover: Handover,
}

impl Outside {
    pub(super) fn open(
        gateway: &GatewaySettings,
        routes: RouteSettings,
        reasons: &Reasons<'_>,
        takeover: bool,
    ) -> Result<Self, SystemError> {
        let mut handover = if takeover {
            Handover::ask(&gateway.control)?
        } else {
            Handover::default()
        };
        let key_log = match &gateway.key_log {
            Some(directory) => {
                warn!(directory = %directory.display(), "writing every key: who reads them can read all traffic");
                Some(Arc::new(WiresharkKeyLog::open(directory)?))
            }
            None => None,
        };
        let legacy = gateway.legacy_proposals();
        if !legacy.is_empty() {
            warn!(
                algorithms = legacy.join(" "),
                "algorithms for old peers are allowed; leave them out of `ike` and `esp` if no peer needs them"
            );
        }
        warn_without_forwarding();
        let kernel = KernelPlane::choose(gateway, reasons)?;
        if gateway.encapsulation == Encapsulation::Auto && kernel.is_none() {
            info!(
                "ESP goes right above IP where no NAT is found; `encapsulation = \"always\"` takes a fifth of the CPU time between two of these daemons"
            );
        }
        let esp = EspBy::of(kernel.is_some());
        let outer = OuterSockets::open(gateway, esp, &mut handover)?;
        let tun = Arc::new(Tun::open(&gateway.tun, &mut handover)?);
        let routes = Routes::open(reasons.role, routes, tun.index(), &gateway.tun.addresses)?;
        Ok(Self {
            key_log,
            outer,
            kernel,
            tun,
            routes,
            handover,
        })
    }
}

/// A gateway that does not forward serves only itself.
fn warn_without_forwarding() {
    let forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    if forwards.is_ok_and(|value| value.trim() == "0") {
        warn!(
            "this machine does not forward: hosts behind it cannot be reached (`sysctl -w net.ipv4.ip_forward=1`)"
        );
    }
}

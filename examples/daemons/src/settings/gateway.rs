//! What hub and branch have in common: the outer side, the algorithms, the lifetimes, the outlets.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::{Path, PathBuf};

use ike_core::{Encapsulation, EspProposal, Identity, IkeProposal};

use super::dataplane::{self, DataPlane};
use super::hook::{self, HookSettings};
use super::section::{Item, Key, Section};
use super::tun::{self, TunSettings};
use super::value;
use crate::role::Role;

const IDENTITY: Key = Key::new("identity", "identity = \"hub\"");
const BRANCH_IDENTITY: Key = Key::new("identity", "identity = \"branch1\"");
const LISTEN: Key = Key::new("listen", "listen = [\"198.18.2.2\"]");
const IKE_PORT: Key = Key::new("ike_port", "ike_port = 500");
const NAT_PORT: Key = Key::new("nat_port", "nat_port = 4500");
const ENCAPSULATION: Key = Key::new("encapsulation", "encapsulation = \"auto\"");
const IKE: Key = Key::new("ike", "ike = [\"aes256-sha256-modp2048\"]");
const ESP: Key = Key::new("esp", "esp = [\"aes128gcm16-modp2048\"]");
const IKE_LIFETIME: Key = Key::new("ike_lifetime", "ike_lifetime = \"8h\"");
const SA_LIFETIME: Key = Key::new("sa_lifetime", "sa_lifetime = \"1h\"");
const DPD_DELAY: Key = Key::new("dpd_delay", "dpd_delay = \"20s\"");
const CONTROL: Key = Key::new("control", "control = \"/run/ike-hub.sock\"");
const METRICS: Key = Key::new("metrics", "metrics = \"127.0.0.1:9464\"");
const ALLOW_WEAK_PSK: Key = Key::new("allow_weak_psk", "allow_weak_psk = true");
const REALTIME: Key = Key::new("realtime", "realtime = true");
const KEY_LOG: Key = Key::new("key_log", "key_log = \"keys\"");

const ENCAPSULATIONS: [(&str, Encapsulation); 2] = [
    ("auto", Encapsulation::Auto),
    ("always", Encapsulation::Always),
];

const DEFAULT_IKE: [&str; 2] = ["aes256-sha256-modp2048", "aes128-sha1-modp1024"];
const DEFAULT_ESP: [&str; 3] = ["aes128gcm16-modp2048", "aes128-sha256", "aes128-sha1"];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY.saturating_mul(7);
const DPD_DELAYS: RangeInclusive<Duration> = SECOND..=DAY;

/// Longest path of a unix socket in octets, without its final zero.
const MAX_SOCKET_PATH: usize = 107;

/// Settings that hub and branch share.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GatewaySettings {
    /// Who we are to the peer.
    pub identity: Identity,
    /// Outer addresses to use; empty: any.
    pub listen: Vec<IpAddr>,
    /// Own UDP port of IKE.
    pub ike_port: u16,
    /// Own UDP port of IKE and ESP behind NAT.
    pub nat_port: u16,
    /// Whether ESP may travel without UDP.
    pub encapsulation: Encapsulation,
    /// Who seals and opens.
    pub dataplane: DataPlane,
    /// Proposals of phase 1, in order of preference.
    pub ike: Vec<IkeProposal>,
    /// Proposals of phase 2, in order of preference.
    pub esp: Vec<EspProposal>,
    /// Lifetime of the ISAKMP SA.
    pub ike_lifetime: Duration,
    /// Lifetime of the IPsec SAs.
    pub sa_lifetime: Duration,
    /// Silence after which the peer is asked whether it is alive.
    pub dpd_delay: Duration,
    /// Path of the control socket.
    pub control: PathBuf,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
    /// Whether guessable keys are accepted.
    pub allow_weak_psk: bool,
    /// Whether packets go before whatever else runs on the machine.
    pub realtime: bool,
    /// Directory for Wireshark's key files, if they are to be written.
    pub key_log: Option<PathBuf>,
    /// What is run when something has happened.
    pub hook: Option<HookSettings>,
    /// The TUN device.
    pub tun: TunSettings,
}

impl GatewaySettings {
    /// The proposals that are allowed for old peers only.
    #[must_use]
    pub fn legacy_proposals(&self) -> Vec<String> {
        let ike = self
            .ike
            .iter()
            .filter(|proposal| proposal.is_legacy())
            .map(ToString::to_string);
        let esp = self
            .esp
            .iter()
            .filter(|proposal| proposal.is_legacy())
            .map(ToString::to_string);
        ike.chain(esp).collect()
    }
}

/// Reads the shared keys of the file's top level.
pub(super) fn read(
    root: &mut Section<'_>,
    role: Role,
    directory: &Path,
) -> Option<GatewaySettings> {
    let identity_key = if role == Role::Hub {
        IDENTITY
    } else {
        BRANCH_IDENTITY
    };
    let identity = root
        .required(identity_key)
        .and_then(|item| value::identity(&item));
    let listen = root
        .optional(LISTEN)
        .map(|item| list(&item, value::address));
    let (ike_port, nat_port) = read_ports(root);
    let encapsulation = optional(root, ENCAPSULATION, |item| {
        value::word(item, &ENCAPSULATIONS)
    });
    let dataplane = dataplane::read(root);
    let ike = read_proposals(
        root,
        IKE,
        &DEFAULT_IKE,
        IkeProposal::is_legacy,
        value::ike_proposal,
    );
    let esp = read_proposals(
        root,
        ESP,
        &DEFAULT_ESP,
        EspProposal::is_legacy,
        value::esp_proposal,
    );
    let ike_lifetime = optional(root, IKE_LIFETIME, |item| value::duration(item, LIFETIMES));
    let sa_lifetime = optional(root, SA_LIFETIME, |item| value::duration(item, LIFETIMES));
    let dpd_delay = optional(root, DPD_DELAY, |item| value::duration(item, DPD_DELAYS));
    let control = optional(root, CONTROL, |item| socket_path(item, directory));
    let metrics = optional(root, METRICS, metrics_address);
    let allow_weak_psk = optional(root, ALLOW_WEAK_PSK, |item| item.boolean()).unwrap_or(false);
    let realtime = optional(root, REALTIME, |item| item.boolean()).unwrap_or(false);
    let key_log = optional(root, KEY_LOG, |item| value::path(item, directory));
    let hook = hook::read(root, directory);
    let tun = tun::read(root, &format!("{}0", role.name()));
    Some(GatewaySettings {
        identity: identity?,
        listen: listen.unwrap_or_default(),
        ike_port,
        nat_port,
        encapsulation: encapsulation.unwrap_or(Encapsulation::Auto),
        dataplane,
        ike,
        esp,
        ike_lifetime: ike_lifetime.unwrap_or(8 * Duration::from_secs(3600)),
        sa_lifetime: sa_lifetime.unwrap_or(Duration::from_secs(3600)),
        dpd_delay: dpd_delay.unwrap_or(20 * SECOND),
        control: control.unwrap_or_else(|| default_control(role)),
        metrics,
        allow_weak_psk,
        realtime,
        key_log,
        hook,
        tun,
    })
}

/// Where the control socket is unless the settings say otherwise.
pub(super) fn default_control(role: Role) -> PathBuf {
    format!("/run/ike-{}.sock", role.name()).into()
}

/// A key that has a default; `None` also where its value is wrong, which has then been reported.
pub(super) fn optional<T>(
    section: &mut Section<'_>,
    key: Key,
    parse: impl FnOnce(&Item<'_>) -> Option<T>,
) -> Option<T> {
    section.optional(key).and_then(|item| parse(&item))
}

/// The sound elements of an array.
pub(super) fn list<T>(item: &Item<'_>, parse: impl Fn(&Item<'_>) -> Option<T>) -> Vec<T> {
    item.elements()
        .unwrap_or_default()
        .iter()
        .filter_map(parse)
        .collect()
}

fn read_ports(root: &mut Section<'_>) -> (u16, u16) {
    let port = |item: &Item<'_>| item.integer(1..=u16::MAX);
    let ike_port = optional(root, IKE_PORT, port).unwrap_or(500);
    let nat_item = root.optional(NAT_PORT);
    let nat_port = nat_item.as_ref().and_then(port).unwrap_or(4500);
    if ike_port == nat_port {
        let (key, span) = match nat_item {
            Some(item) => (item.key, item.span),
            None => (root.path("ike_port"), root.header()),
        };
        root.findings().error(
            &key,
            span,
            format!("ike_port and nat_port are both {ike_port}"),
            "give them different ports, as 500 and 4500: on nat_port IKE is marked, on ike_port it is not",
        );
    }
    (ike_port, nat_port)
}

fn read_proposals<T: core::str::FromStr>(
    root: &mut Section<'_>,
    key: Key,
    defaults: &[&str],
    is_legacy: fn(&T) -> bool,
    parse: fn(&Item<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(item) = root.optional(key) else {
        let defaults = defaults.iter().filter_map(|text| text.parse().ok());
        return defaults
            .filter(|proposal| cfg!(feature = "legacy") || !is_legacy(proposal))
            .collect();
    };
    let elements = item.elements();
    if elements.as_ref().is_some_and(Vec::is_empty) {
        item.error("no proposal", item.write_it_as());
    }
    elements
        .unwrap_or_default()
        .iter()
        .filter_map(parse)
        .collect()
}

fn metrics_address(item: &Item<'_>) -> Option<SocketAddr> {
    let address = value::socket_address(item)?;
    if !address.ip().is_loopback() {
        item.warning(
            format!("names and states of all peers can be read by whoever reaches {address}"),
            "write \"127.0.0.1:9464\", or see that a packet filter protects the port",
        );
    }
    Some(address)
}

fn socket_path(item: &Item<'_>, directory: &Path) -> Option<PathBuf> {
    let path = value::path(item, directory)?;
    let len = path.as_os_str().len();
    if MAX_SOCKET_PATH < len {
        item.error(
            format!("the path of the control socket has {len} octets, the system takes {MAX_SOCKET_PATH}"),
            "write a shorter path, as \"/run/ike-hub.sock\"",
        );
        return None;
    }
    Some(path)
}

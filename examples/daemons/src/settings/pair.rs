//! The pairs of one peer, and which of them would fight over a packet.

use core::net::IpAddr;
use core::ops::Range;
use std::rc::Rc;

use ipnet::IpNet;
use trigger::ProbeMode;

use super::diagnostic::Findings;
use super::section::{Home, Item, Key, Section};
use super::value;
use crate::role::Role;

const NAME: Key = Key::new("name", "name = \"telemetry\"");
const LOCAL: Key = Key::new("local", "local = \"10.61.1.0/24\"");
const REMOTE: Key = Key::new("remote", "remote = \"10.61.3.0/24\"");
const TRIGGER: Key = Key::new(
    "trigger",
    "trigger = { source = \"10.61.1.1\", target = \"10.61.3.26\", mode = \"client\" }",
);
const SOURCE: Key = Key::new("source", "source = \"10.61.1.1\"");
const TARGET: Key = Key::new("target", "target = \"10.61.3.26\"");
const MODE: Key = Key::new("mode", "mode = \"client\"");

const MODES: [(&str, ProbeMode); 3] = [
    ("client", ProbeMode::Client),
    ("symmetric", ProbeMode::Symmetric),
    ("h3c", ProbeMode::H3c),
];

/// The longest name of a pair, in characters: it has to fit a line of the status table.
const MAX_NAME: usize = 64;

/// One pair as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PairSettings {
    /// Its name in status, metrics and logs.
    pub name: String,
    /// The subnet on this side.
    pub local: IpNet,
    /// The subnet on the peer's side.
    pub remote: IpNet,
    /// The branch's probe; `None` on a hub.
    pub trigger: Option<TriggerSettings>,
}

/// The probe of a branch's pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TriggerSettings {
    /// An own address in the pair's local subnet.
    pub source: IpAddr,
    /// An address of the hub in the pair's remote subnet.
    pub target: IpAddr,
    /// How it probes.
    pub mode: ProbeMode,
}

/// A pair with the places to point at.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) pair: PairSettings,
    /// Key of the pair, as `branch[0].pair[1]`.
    pub(super) key: String,
    pub(super) remote: Range<usize>,
    name: Range<usize>,
    findings: Rc<Findings>,
}

/// The `[[pair]]` or `[[branch.pair]]` tables below `section`, as far as each is sound in itself.
pub(super) fn read_all(section: &mut Section<'_>, role: Role) -> Vec<Placed> {
    let (key, remedy) = match role {
        Role::Hub => (
            Key::new("pair", "[[branch.pair]]"),
            "add a `[[branch.pair]]` with name, local and remote",
        ),
        Role::Branch => (
            Key::new("pair", "[[pair]]"),
            "add a `[[pair]]` with name, local, remote and trigger",
        ),
    };
    let Some(item) = section.optional(key) else {
        section.missing("pair", remedy);
        return Vec::new();
    };
    let elements = item.elements().unwrap_or_default();
    if elements.is_empty() {
        item.error("no pair", remedy);
    }
    let pairs: Vec<_> = elements
        .into_iter()
        .filter_map(|element| read(element.section()?, role))
        .collect();
    check_names(&pairs);
    pairs
}

fn read(mut section: Section<'_>, role: Role) -> Option<Placed> {
    let key = section.path("");
    let name_item = section.required(NAME);
    let local = section
        .required(LOCAL)
        .and_then(|item| Some((value::subnet(&item)?, item)));
    let remote = section
        .required(REMOTE)
        .and_then(|item| Some((value::subnet(&item)?, item)));
    let trigger = match role {
        Role::Hub => None,
        Role::Branch => Some(section.required(TRIGGER).and_then(|item| {
            let nets = local
                .as_ref()
                .map(|(net, _)| *net)
                .zip(remote.as_ref().map(|(net, _)| *net));
            read_trigger(item.section()?, nets)
        })),
    };
    let name = name_item.as_ref().and_then(read_name);
    let findings = Rc::clone(section.findings());
    section.finish(home);
    let ((local, _), (remote, remote_item), name_item) = (local?, remote?, name_item?);
    if !sides_fit(&local, &remote, &remote_item) {
        return None;
    }
    // `None` for a hub, which needs no trigger; for a branch that of a wrong one ends here.
    let trigger = match trigger {
        None => None,
        Some(read) => Some(read?),
    };
    Some(Placed {
        pair: PairSettings {
            name: name?,
            local,
            remote,
            trigger,
        },
        key: key.trim_end_matches('.').to_owned(),
        remote: remote_item.span,
        name: name_item.span,
        findings,
    })
}

fn read_name(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    let fits =
        (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !fits {
        item.error(
            "not a name",
            format!("write 1 to {MAX_NAME} printable characters"),
        );
    }
    fits.then(|| name.to_owned())
}

fn sides_fit(local: &IpNet, remote: &IpNet, remote_item: &Item<'_>) -> bool {
    if local.addr().is_ipv4() != remote.addr().is_ipv4() {
        remote_item.error(
            format!("{local} and {remote} are of different address families"),
            "a pair is IPv4 on both sides or IPv6 on both: make one pair for each",
        );
        return false;
    }
    if local == remote {
        remote_item.error(
            format!("local and remote are both {local}"),
            "name the subnet behind the peer; two sites need different subnets",
        );
        return false;
    }
    true
}

fn read_trigger(mut section: Section<'_>, nets: Option<(IpNet, IpNet)>) -> Option<TriggerSettings> {
    let source = section
        .required(SOURCE)
        .and_then(|item| Some((value::address(&item)?, item)));
    let target = section
        .required(TARGET)
        .and_then(|item| Some((value::address(&item)?, item)));
    let mode = match section.optional(MODE) {
        Some(item) => value::word(&item, &MODES),
        None => Some(ProbeMode::Client),
    };
    section.finish(home);
    let ((source, source_item), (target, target_item)) = (source?, target?);
    if let Some((local, remote)) = nets {
        let sound = lies_in(source, &source_item, &local, "local")
            & lies_in(target, &target_item, &remote, "remote");
        if !sound {
            return None;
        }
    }
    Some(TriggerSettings {
        source,
        target,
        mode: mode?,
    })
}

fn lies_in(address: IpAddr, item: &Item<'_>, net: &IpNet, side: &str) -> bool {
    let inside = net.contains(&address);
    if !inside {
        let whose = if side == "local" {
            "an own address"
        } else {
            "an address of the hub"
        };
        item.error(
            format!("{address} is not in the pair's {side} subnet {net}"),
            format!("write {whose} within {net}, or the probe would not match its pair"),
        );
    }
    inside
}

fn check_names(pairs: &[Placed]) {
    for (index, second) in pairs.iter().enumerate() {
        if let Some(first) = pairs
            .iter()
            .take(index)
            .find(|first| first.pair.name == second.pair.name)
        {
            second.findings.error(
                &format!("{}.name", second.key),
                second.name.clone(),
                format!(
                    "a pair is already named \"{}\" on {}",
                    second.pair.name,
                    first.findings.line_of(first.name.start, &second.findings)
                ),
                "give each pair of a peer a name of its own",
            );
        }
    }
}

/// Refuses pairs that overlap on both sides, within one peer or, on a hub, across branches.
///
/// Overlapping subnets are nested, so that after sorting by the remote side only the
/// subnets that enclose the present one have to be looked at.
pub(super) fn check_overlaps<'p>(pairs: impl Iterator<Item = &'p Placed>) {
    let mut sorted: Vec<_> = pairs.collect();
    sorted.sort_by_key(|placed| {
        (
            placed.pair.remote.network(),
            placed.pair.remote.prefix_len(),
        )
    });
    let mut enclosing: Vec<&Placed> = Vec::new();
    for placed in sorted {
        while enclosing
            .last()
            .is_some_and(|outer| !outer.pair.remote.contains(&placed.pair.remote))
        {
            enclosing.pop();
        }
        for outer in enclosing
            .iter()
            .filter(|outer| overlap(&outer.pair.local, &placed.pair.local))
        {
            report_overlap(outer, placed);
        }
        enclosing.push(placed);
    }
}

fn report_overlap(one: &Placed, other: &Placed) {
    let place = |placed: &Placed| (placed.findings.file().to_owned(), placed.remote.start);
    let (first, second) = if place(one) < place(other) {
        (one, other)
    } else {
        (other, one)
    };
    let shared = |a: &IpNet, b: &IpNet| if a.contains(b) { *b } else { *a };
    let local = shared(&first.pair.local, &second.pair.local);
    let remote = shared(&first.pair.remote, &second.pair.remote);
    second.findings.error(
        &format!("{}.remote", second.key),
        second.remote.clone(),
        format!(
            "pair \"{}\" overlaps pair \"{}\" of {} on both sides ({local} and {remote})",
            second.pair.name,
            first.pair.name,
            first.findings.line_of(first.remote.start, &second.findings),
        ),
        "a packet may match one pair only: make one side of one of them narrower or different",
    );
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Where a key that is unknown to a pair belongs.
fn home(name: &str) -> Option<Home> {
    match name {
        "source" | "target" | "mode" => Some(Home::Table("`trigger = { … }`")),
        "name" | "local" | "remote" | "trigger" => Some(Home::Table("`[[pair]]`")),
        other => super::home(other),
    }
}

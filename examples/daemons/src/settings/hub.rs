//! `hub.toml`.

use core::num::NonZeroU8;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ike_core::Identity;

use super::dataplane;
use super::diagnostic::Findings;
use super::gateway::{self, GatewaySettings};
use super::key::{self, KeySource, PlacedKey, Terms};
use super::pair::{self, PairSettings, Placed};
use super::routes::{self, RouteSettings};
use super::section::{Home, Item, Key, Section};
use super::{include, value};
use crate::role::Role;

const ROLL: Key = Key::new("roll", "roll = \"/var/lib/ike-hub.roll\"");
const WORKERS: Key = Key::new("workers", "workers = 2");
const NTP: Key = Key::new("ntp", "[ntp]");
const SERVE: Key = Key::new("serve", "serve = true");
const BRANCH: Key = Key::new("branch", "[[branch]]");
const INCLUDE: Key = Key::new("include", "include = \"branches.d/*.toml\"");
const PSK_LIFETIME: Key = Key::new("psk_lifetime", "psk_lifetime = \"1h\"");
const ANSWER_UNKNOWN: Key = Key::new(
    "answer_unknown_identities",
    "answer_unknown_identities = true",
);
const IDENTITY: Key = Key::new("identity", "identity = \"branch1\"");

/// More threads than any machine has use for.
const MAX_WORKERS: u8 = 64;
const HOUR: Duration = Duration::from_secs(3600);
const PSK_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(10)..=HOUR.saturating_mul(24 * 7);

/// The settings of a hub.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HubSettings {
    /// What a branch has as well.
    pub gateway: GatewaySettings,
    /// Where the hub remembers which branches were connected, to call them after a restart.
    pub roll: PathBuf,
    /// Whether the hub answers NTP on its private addresses.
    pub serve_ntp: bool,
    /// How many threads share the branches.
    pub workers: NonZeroU8,
    /// The routes to the branches' subnets.
    pub routes: RouteSettings,
    /// How long a key is kept that `psk_command` has given.
    pub psk_lifetime: Duration,
    /// Whether identities that no branch has are answered as if one had them.
    pub answer_unknown_identities: bool,
    /// The branches.
    pub branches: Vec<BranchEntry>,
}

/// One branch as its hub knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BranchEntry {
    /// Who it says it is.
    pub identity: Identity,
    /// How it proves it.
    pub psk: KeySource,
    /// Its pairs, seen from the hub.
    pub pairs: Vec<PairSettings>,
}

struct PlacedBranch {
    identity: Identity,
    /// Path to it, as `branch[0].identity`.
    key: String,
    span: Range<usize>,
    findings: Rc<Findings>,
    psk: Option<PlacedKey>,
    pairs: Vec<Placed>,
}

/// Reads the whole file. The result counts only if nothing was reported as an error.
pub(super) fn read(mut root: Section<'_>, directory: &Path) -> Option<HubSettings> {
    let gateway = gateway::read(&mut root, Role::Hub, directory);
    let roll = gateway::optional(&mut root, ROLL, |item| value::path(item, directory));
    let serve_ntp = match root.section(NTP) {
        None => true,
        Some(mut ntp) => {
            let serve = gateway::optional(&mut ntp, SERVE, |item| item.boolean());
            ntp.finish(super::home);
            serve.unwrap_or(true)
        }
    };
    let routes = routes::read(&mut root);
    let workers = gateway::optional(&mut root, WORKERS, |item| item.integer(1..=MAX_WORKERS));
    let psk_lifetime = gateway::optional(&mut root, PSK_LIFETIME, |item| {
        value::duration(item, PSK_LIFETIMES)
    });
    let answer_unknown = gateway::optional(&mut root, ANSWER_UNKNOWN, |item| item.boolean());
    let terms = Terms {
        allow_weak: gateway
            .as_ref()
            .is_none_or(|gateway| gateway.allow_weak_psk),
        command: key::read_command(&mut root, directory),
    };
    let branches = read_all_branches(&mut root, directory, &terms);
    check_identities(&branches, gateway.as_ref().map(|gateway| &gateway.identity));
    warn_about_shared_keys(&branches);
    pair::check_overlaps(branches.iter().flat_map(|branch| &branch.pairs));
    let workers = workers.and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN);
    let pairs = branches.iter().flat_map(|branch| &branch.pairs);
    let obstacle = kernel_obstacle(workers, pairs.map(|placed| &placed.pair));
    let chosen = gateway.as_ref().map(|gateway| gateway.dataplane);
    dataplane::object(&mut root, chosen, obstacle);
    if !serve_ntp {
        dataplane::warn_unproved(&mut root, chosen);
    }
    root.finish(super::home);
    let gateway = gateway?;
    let roll = roll.unwrap_or_else(|| gateway.control.with_extension("roll"));
    let branches = branches
        .into_iter()
        .map(PlacedBranch::into_entry)
        .collect::<Option<_>>()?;
    Some(HubSettings {
        gateway,
        roll,
        serve_ntp,
        workers,
        routes,
        psk_lifetime: psk_lifetime.unwrap_or(HOUR),
        answer_unknown_identities: answer_unknown.unwrap_or(false),
        branches,
    })
}

impl HubSettings {
    /// What in them the kernel's data path cannot serve.
    #[must_use]
    pub fn kernel_obstacle(&self) -> Option<&'static str> {
        kernel_obstacle(
            self.workers,
            self.branches.iter().flat_map(|branch| &branch.pairs),
        )
    }
}

fn kernel_obstacle<'p>(
    workers: NonZeroU8,
    pairs: impl Iterator<Item = &'p PairSettings>,
) -> Option<&'static str> {
    if workers != NonZeroU8::MIN {
        return Some("the kernel moves packets on every core by itself, and knows no `workers`");
    }
    dataplane::pair_obstacle(pairs)
}

/// The file's own branches and those of the files that it includes.
fn read_all_branches(root: &mut Section<'_>, directory: &Path, terms: &Terms) -> Vec<PlacedBranch> {
    let own = root.optional(BRANCH);
    let included = root.optional(INCLUDE);
    let nowhere = own.is_none() && included.is_none();
    let mut branches = own
        .map(|item| read_branches(&item, directory, terms))
        .unwrap_or_default();
    if let Some(item) = included {
        for file in include::files(&item, directory) {
            branches.extend(read_included(&item, &file, terms));
        }
    }
    if nowhere || branches.is_empty() && !root.findings().has_errors() {
        root.missing(
            "branch",
            "add a `[[branch]]` with identity, psk_file and a `[[branch.pair]]`",
        );
    }
    branches
}

fn read_branches(item: &Item<'_>, directory: &Path, terms: &Terms) -> Vec<PlacedBranch> {
    let mut branches = Vec::new();
    for element in item.elements().unwrap_or_default() {
        let Some(mut section) = element.section() else {
            continue;
        };
        let identity = section
            .required(IDENTITY)
            .and_then(|item| Some((value::identity(&item)?, item)));
        let psk = key::read(&mut section, directory, terms);
        let pairs = pair::read_all(&mut section, Role::Hub);
        section.finish(super::home);
        if let Some((identity, item)) = identity {
            key::check_identity(&item, &identity, psk.as_ref());
            branches.push(PlacedBranch {
                identity,
                key: item.key,
                span: item.span,
                findings: Rc::clone(item.findings),
                psk,
                pairs,
            });
        }
    }
    branches
}

/// The branches of an included file, which holds nothing else.
fn read_included(item: &Item<'_>, file: &Path, terms: &Terms) -> Vec<PlacedBranch> {
    let Some(text) = include::read(item, file) else {
        return Vec::new();
    };
    let findings = Findings::new(file, &text);
    let branches = super::with_root(&findings, |mut root| {
        let item = root.optional(BRANCH);
        root.finish(home_of_included);
        item.map(|item| read_branches(&item, super::directory_of(file), terms))
            .unwrap_or_default()
    });
    item.findings.include(findings);
    branches.unwrap_or_default()
}

fn home_of_included(name: &str) -> Option<Home> {
    match (name, super::home(name)) {
        ("tun" | "ntp", _) | (_, Some(Home::Top)) => Some(Home::Including),
        (_, home) => home,
    }
}

fn check_identities(branches: &[PlacedBranch], own: Option<&Identity>) {
    let mut seen: BTreeMap<&Identity, &PlacedBranch> = BTreeMap::new();
    for branch in branches {
        let report = |message: String| {
            branch.findings.error(
                &branch.key,
                branch.span.clone(),
                message,
                "give each peer an identity of its own",
            );
        };
        if Some(&branch.identity) == own {
            report(format!("\"{}\" is the hub's own identity", branch.identity));
        }
        if let Some(first) = seen.get(&branch.identity) {
            let line = first.findings.line_of(first.span.start, &branch.findings);
            report(format!(
                "a branch \"{}\" already exists on {line}",
                branch.identity
            ));
        }
        seen.entry(&branch.identity).or_insert(branch);
    }
}

/// A key that several branches have works, and lets each of them pass for the others.
fn warn_about_shared_keys(branches: &[PlacedBranch]) {
    let mut groups: BTreeMap<&[u8], Vec<(&PlacedBranch, &PlacedKey)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for branch in branches {
        if let Some(placed) = &branch.psk
            && let KeySource::Read(key) = &placed.source
            && seen.insert(&branch.identity)
        {
            let group = groups.entry(key.as_slice()).or_default();
            group.push((branch, placed));
        }
    }
    for group in groups.into_values() {
        let [(first, placed), others @ ..] = group.as_slice() else {
            continue;
        };
        let Some((next, _)) = others.first() else {
            continue;
        };
        let more = match others.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        first.findings.warning(
            &placed.setting,
            placed.span.clone(),
            format!(
                "{} branches share this pre-shared key: {}, {}{more}",
                group.len(),
                first.identity,
                next.identity
            ),
            "each of them can pass for the others and for the hub: give each the output of a `hub psk` of its own",
        );
    }
}

impl HubSettings {
    /// How many branches have the same pre-shared key, for every branch whose key is not its own alone. Keys that a
    /// program gives are not known here.
    #[must_use]
    pub fn shared_keys(&self) -> BTreeMap<&Identity, usize> {
        let mut groups: BTreeMap<&[u8], Vec<&Identity>> = BTreeMap::new();
        for branch in &self.branches {
            if let KeySource::Read(key) = &branch.psk {
                groups
                    .entry(key.as_slice())
                    .or_default()
                    .push(&branch.identity);
            }
        }
        let shared = groups.into_values().filter(|group| 1 < group.len());
        shared
            .flat_map(|group| {
                let count = group.len();
                group.into_iter().map(move |identity| (identity, count))
            })
            .collect()
    }
}

impl PlacedBranch {
    fn into_entry(self) -> Option<BranchEntry> {
        let pairs = self.pairs.into_iter().map(|placed| placed.pair).collect();
        Some(BranchEntry {
            identity: self.identity,
            psk: self.psk?.source,
            pairs,
        })
    }
}

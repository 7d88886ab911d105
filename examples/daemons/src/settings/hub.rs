//! `hub.toml`.

use core::num::NonZeroU8;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ike_core::{Identity, PreSharedKey};

use super::gateway::{self, GatewaySettings};
use super::key::PlacedKey;
use super::pair::{self, PairSettings, Placed};
use super::routes::{self, RouteSettings};
use super::section::{Key, Section};
use super::{key, value};
use crate::role::Role;

const ROLL: Key = Key::new("roll", "roll = \"/var/lib/ike-hub.roll\"");
const WORKERS: Key = Key::new("workers", "workers = 2");
const NTP: Key = Key::new("ntp", "[ntp]");
const SERVE: Key = Key::new("serve", "serve = true");
const BRANCH: Key = Key::new("branch", "[[branch]]");
const IDENTITY: Key = Key::new("identity", "identity = \"branch1\"");

/// More threads than any machine has use for.
const MAX_WORKERS: u8 = 64;

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
    pub psk: PreSharedKey,
    /// Its pairs, seen from the hub.
    pub pairs: Vec<PairSettings>,
}

struct PlacedBranch {
    identity: Identity,
    span: Range<usize>,
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
    let allow_weak = gateway
        .as_ref()
        .is_none_or(|gateway| gateway.allow_weak_psk);
    let branches = read_branches(&mut root, directory, allow_weak);
    check_identities(
        &root,
        &branches,
        gateway.as_ref().map(|gateway| &gateway.identity),
    );
    warn_about_shared_keys(&root, &branches);
    pair::check_overlaps(
        root.findings(),
        branches.iter().flat_map(|branch| &branch.pairs),
    );
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
        workers: workers.and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN),
        routes,
        branches,
    })
}

fn read_branches(root: &mut Section<'_>, directory: &Path, allow_weak: bool) -> Vec<PlacedBranch> {
    let Some(item) = root.optional(BRANCH) else {
        root.missing(
            "branch",
            "add a `[[branch]]` with identity, psk_file and a `[[branch.pair]]`",
        );
        return Vec::new();
    };
    let mut branches = Vec::new();
    for element in item.elements().unwrap_or_default() {
        let Some(mut section) = element.section() else {
            continue;
        };
        let identity = section
            .required(IDENTITY)
            .and_then(|item| Some((value::identity(&item)?, item.span)));
        let psk = key::read(&mut section, directory, allow_weak);
        let pairs = pair::read_all(&mut section, Role::Hub);
        section.finish(super::home);
        if let Some((identity, span)) = identity {
            branches.push(PlacedBranch {
                identity,
                span,
                psk,
                pairs,
            });
        }
    }
    branches
}

fn check_identities(root: &Section<'_>, branches: &[PlacedBranch], own: Option<&Identity>) {
    let findings = root.findings();
    let mut seen: BTreeMap<&Identity, &PlacedBranch> = BTreeMap::new();
    for (index, branch) in branches.iter().enumerate() {
        let key = format!("branch[{index}].identity");
        let report = |message: String| {
            findings.error(
                &key,
                branch.span.clone(),
                message,
                "give each peer an identity of its own",
            );
        };
        if Some(&branch.identity) == own {
            report(format!("\"{}\" is the hub's own identity", branch.identity));
        }
        if let Some(first) = seen.get(&branch.identity) {
            let line = findings.line_of(first.span.start);
            report(format!(
                "a branch \"{}\" already exists on line {line}",
                branch.identity
            ));
        }
        seen.entry(&branch.identity).or_insert(branch);
    }
}

/// A key that several branches have works, and lets each of them pass for the others.
fn warn_about_shared_keys(root: &Section<'_>, branches: &[PlacedBranch]) {
    let mut groups: BTreeMap<&[u8], Vec<(&PlacedBranch, &PlacedKey)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for branch in branches {
        if let Some(placed) = &branch.psk
            && seen.insert(&branch.identity)
        {
            let group = groups.entry(placed.key.as_slice()).or_default();
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
        root.findings().warning(
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
    /// How many branches have the same pre-shared key, for every branch whose key is not its own alone.
    #[must_use]
    pub fn shared_keys(&self) -> BTreeMap<&Identity, usize> {
        let mut groups: BTreeMap<&[u8], Vec<&Identity>> = BTreeMap::new();
        for branch in &self.branches {
            let group = groups.entry(branch.psk.as_slice()).or_default();
            group.push(&branch.identity);
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
            psk: self.psk?.key,
            pairs,
        })
    }
}

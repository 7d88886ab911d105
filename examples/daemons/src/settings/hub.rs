//! `hub.toml`.

use core::ops::Range;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ike_core::{Identity, PreSharedKey};

use super::gateway::{self, GatewaySettings};
use super::pair::{self, PairSettings, Placed};
use super::routes::{self, RouteSettings};
use super::section::{Key, Section};
use super::{key, value};
use crate::role::Role;

const ROLL: Key = Key::new("roll", "roll = \"/var/lib/ike-hub.roll\"");
const NTP: Key = Key::new("ntp", "[ntp]");
const SERVE: Key = Key::new("serve", "serve = true");
const BRANCH: Key = Key::new("branch", "[[branch]]");
const IDENTITY: Key = Key::new("identity", "identity = \"branch1\"");

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
    psk: Option<PreSharedKey>,
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
    let allow_weak = gateway
        .as_ref()
        .is_none_or(|gateway| gateway.allow_weak_psk);
    let branches = read_branches(&mut root, directory, allow_weak);
    check_identities(
        &root,
        &branches,
        gateway.as_ref().map(|gateway| &gateway.identity),
    );
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

impl PlacedBranch {
    fn into_entry(self) -> Option<BranchEntry> {
        let pairs = self.pairs.into_iter().map(|placed| placed.pair).collect();
        Some(BranchEntry {
            identity: self.identity,
            psk: self.psk?,
            pairs,
        })
    }
}

//! The `[routes]` table of a hub: which routes it gives the kernel, and when.

use core::ops::RangeInclusive;

use super::section::{Item, Key, Section};
use super::{gateway, value};

const ROUTES: Key = Key::new("routes", "[routes]");
const INSTALL: Key = Key::new("install", "install = true");
const WHEN: Key = Key::new("when", "when = \"proved\"");
const METRIC: Key = Key::new("metric", "metric = 10");
const TABLE: Key = Key::new("table", "table = 254");

const WHENS: [(&str, RouteWhen); 2] =
    [("proved", RouteWhen::Proved), ("always", RouteWhen::Always)];

/// Better than what a routing daemon or DHCP sets.
const DEFAULT_METRIC: u32 = 10;
/// A routing daemon takes what is above 24 bits for a distance of its own.
const METRICS: RangeInclusive<u32> = 1..=0x00FF_FFFF;

/// The kernel's main table.
const MAIN_TABLE: u32 = 254;
/// The kernel's table of its own addresses.
const LOCAL_TABLE: u32 = 255;

/// The routes that a daemon gives the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteSettings {
    /// Whether there are any.
    pub install: bool,
    /// When those of [`metric`](Self::metric) are there.
    pub when: RouteWhen,
    /// Metric of the routes that others may be told of.
    pub metric: u32,
    /// Number of the routing table.
    pub table: u32,
}

/// When a route to a remote subnet is there for others to be told of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RouteWhen {
    /// While one of the pairs to the subnet is proved up.
    Proved,
    /// As long as the daemon runs.
    Always,
}

impl RouteSettings {
    /// Those of a branch, which nobody else is told of.
    pub(crate) const fn always() -> Self {
        Self {
            install: true,
            when: RouteWhen::Always,
            metric: DEFAULT_METRIC,
            table: MAIN_TABLE,
        }
    }
}

/// Reads the table; everything in it has a default.
pub(super) fn read(root: &mut Section<'_>) -> RouteSettings {
    let mut routes = RouteSettings {
        when: RouteWhen::Proved,
        ..RouteSettings::always()
    };
    let Some(mut section) = root.section(ROUTES) else {
        return routes;
    };
    if let Some(install) = gateway::optional(&mut section, INSTALL, |item| item.boolean()) {
        routes.install = install;
    }
    if let Some(when) = gateway::optional(&mut section, WHEN, |item| value::word(item, &WHENS)) {
        routes.when = when;
    }
    if let Some(metric) = gateway::optional(&mut section, METRIC, |item| item.integer(METRICS)) {
        routes.metric = metric;
    }
    if let Some(table) = gateway::optional(&mut section, TABLE, table) {
        routes.table = table;
    }
    section.finish(super::home);
    routes
}

fn table(item: &Item<'_>) -> Option<u32> {
    let table = item.integer(1..=u32::MAX)?;
    if table == LOCAL_TABLE {
        item.error(
            "table 255 is the kernel's own, of local addresses",
            "write 254, the main table, or a number of your own, as 100",
        );
        return None;
    }
    Some(table)
}

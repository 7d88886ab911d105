//! The `[hook]` table: a program that is run when a pair comes up or goes down.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::gateway::{list, optional};
use super::section::{Item, Key, Section};
use super::value;
use crate::fact::FactKind;

const HOOK: Key = Key::new("hook", "[hook]");
const COMMAND: Key = Key::new("command", "command = [\"/usr/local/sbin/pair-changed\"]");
const EVENTS: Key = Key::new("events", "events = [\"pair_up\", \"pair_down\"]");
const TIMEOUT: Key = Key::new("timeout", "timeout = \"10s\"");

const DEFAULT_EVENTS: [FactKind; 2] = [FactKind::PairUp, FactKind::PairDown];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// What is run, when, and for how long at most.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HookSettings {
    /// The program; no shell looks at it.
    pub program: PathBuf,
    /// Its arguments, as they are.
    pub arguments: Vec<String>,
    /// Names of the events, as `events` of the command line prints them.
    pub events: Vec<&'static str>,
    /// After this time it is killed.
    pub timeout: Duration,
}

/// Reads the table; `None` where there is none, or a mistake in it has been reported.
pub(super) fn read(root: &mut Section<'_>, directory: &Path) -> Option<HookSettings> {
    let mut section = root.section(HOOK)?;
    let command = section
        .required(COMMAND)
        .and_then(|item| command(&item, directory));
    let events = section.optional(EVENTS).map(|item| {
        let words = FactKind::ALL.map(|kind| (kind.label(), kind.label()));
        list(&item, |item| value::word(item, &words))
    });
    let timeout = optional(&mut section, TIMEOUT, |item| {
        value::duration(item, TIMEOUTS)
    });
    section.finish(super::home);
    let (program, arguments) = command?;
    Some(HookSettings {
        program,
        arguments,
        events: events.unwrap_or_else(|| DEFAULT_EVENTS.map(FactKind::label).to_vec()),
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
    })
}

fn command(item: &Item<'_>, directory: &Path) -> Option<(PathBuf, Vec<String>)> {
    let words = item.elements()?;
    let Some((program, arguments)) = words.split_first() else {
        item.error("no program", item.write_it_as());
        return None;
    };
    let path = value::path(program, directory)?;
    let arguments: Option<Vec<String>> = arguments.iter().map(argument).collect();
    check_program(program, &path).then_some((path, arguments?))
}

fn argument(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.contains('\0') {
        item.error(
            "an argument cannot hold a zero octet",
            "leave the zero octet out",
        );
        return None;
    }
    Some(text.to_owned())
}

/// It is run with the daemon's rights over its files, so nobody else may be able to write into it.
fn check_program(item: &Item<'_>, path: &Path) -> bool {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            item.error(
                format!("cannot run {shown}: {error}"),
                "name a program by its whole path, and its arguments as further elements",
            );
            return false;
        }
    };
    if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
        item.error(
            format!("{shown} is no program"),
            format!("chmod 755 {shown}"),
        );
        return false;
    }
    if metadata.mode() & 0o022 != 0 {
        item.error(
            format!("{shown} can be changed by others than its owner"),
            format!("chmod 755 {shown}"),
        );
        return false;
    }
    true
}

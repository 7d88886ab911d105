//! Files that a hub's settings file includes: branches, as many as one likes to a file.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::section::Item;

/// The longest file that is read, in octets.
const MAX_LEN: u64 = 16 << 20;

/// What editors and package managers leave behind begins with a dot and is not meant.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files that the patterns of `include` name, in the order of their names, each once.
pub(super) fn files(item: &Item<'_>, directory: &Path) -> BTreeSet<PathBuf> {
    item.one_or_more()
        .iter()
        .filter_map(|pattern| matches(pattern, directory))
        .flatten()
        .collect()
}

fn matches(item: &Item<'_>, directory: &Path) -> Option<Vec<PathBuf>> {
    let text = item.string()?;
    // What is a wildcard in the directory's own name is none.
    let directory = Pattern::escape(&directory.to_string_lossy());
    let pattern = Path::new(&directory).join(text);
    let found = match glob::glob_with(&pattern.to_string_lossy(), OPTIONS) {
        Ok(found) => found,
        Err(error) => {
            item.error(
                format!("\"{text}\" is not a pattern: {}", error.msg),
                item.write_it_as(),
            );
            return None;
        }
    };
    let mut files = Vec::new();
    for file in found {
        match file {
            Ok(file) => files.push(file),
            Err(error) => {
                let message = format!(
                    "cannot look into {}: {}",
                    error.path().display(),
                    error.error()
                );
                item.error(message, "run as a user that may read it, usually root");
            }
        }
    }
    if files.is_empty() {
        report_nothing(item, text, &pattern);
    }
    Some(files)
}

/// A directory that is empty may be meant so; one that is not there hardly is.
fn report_nothing(item: &Item<'_>, text: &str, pattern: &Path) {
    let message = format!("no file matches \"{text}\"");
    let there = pattern.parent().is_some_and(Path::is_dir);
    if there && text.contains(['*', '?', '[']) {
        item.warning(
            message,
            "add files of `[[branch]]` tables there, or remove `include`",
        );
    } else {
        item.error(
            message,
            "make it, or correct the path: a relative one starts at this file's directory",
        );
    }
}

/// Reads an included file; reports at `include` why it cannot be read.
pub(super) fn read(item: &Item<'_>, file: &Path) -> Option<String> {
    let read = || -> io::Result<String> {
        let metadata = fs::metadata(file)?;
        if !metadata.is_file() || MAX_LEN < metadata.len() {
            return Err(io::Error::other("not a file of settings"));
        }
        fs::read_to_string(file)
    };
    read()
        .map_err(|error| {
            item.error(
                format!("cannot read {}: {error}", file.display()),
                super::unreadable_remedy(&error),
            );
        })
        .ok()
}

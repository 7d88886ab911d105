//! The hub's roll on disk: which branches were connected, so that they can be called after a restart.
//!
//! One JSON line a change, the latest of an identity counts. It holds no secret, and losing it only
//! means that a branch notices the restart by itself.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ike_core::CookiePair;
use serde::{Deserialize, Serialize};
use tracing::warn;
use trigger::RollEntry;

use crate::io::SystemError;

/// Lines beyond twice the number of branches after which the file is written anew.
const SLACK: usize = 1000;

/// The roll and its file.
pub(crate) struct Roll {
    path: PathBuf,
    file: File,
    lines: BTreeMap<String, Line>,
    written: usize,
}

/// One branch, as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Line {
    identity: String,
    local: SocketAddr,
    remote: SocketAddr,
    cookies: String,
}

impl Roll {
    /// Opens the file, and gives what an earlier run has left in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<RollEntry>), SystemError> {
        let refused = |error| refused(path, error);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(refused(error)),
        };
        let mut lines = BTreeMap::new();
        for line in text.lines() {
            // A line that was cut off by a crash is one branch that is not called.
            if let Ok(line) = serde_json::from_str::<Line>(line) {
                lines.insert(line.identity.clone(), line);
            }
        }
        let entries = lines.values().filter_map(Line::entry).collect();
        let file = write_anew(path, &lines).map_err(refused)?;
        Ok((
            Self {
                path: path.to_owned(),
                file,
                written: lines.len(),
                lines,
            },
            entries,
        ))
    }

    /// Sees that the file can be written, and leaves what is in it to the daemon that has it open.
    pub(crate) fn prepare(path: &Path) -> Result<Self, SystemError> {
        let file = open_fresh(path).map_err(|error| refused(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written: 0,
            lines: BTreeMap::new(),
        })
    }

    /// Begins with what a predecessor knows.
    pub(crate) fn inherit(&mut self, lines: Vec<Line>) -> Vec<RollEntry> {
        let named = lines.into_iter().map(|line| (line.identity.clone(), line));
        self.lines = named.collect();
        if let Err(error) = self.tidy() {
            warn!(%error, path = %self.path.display(), "cannot store the roll");
        }
        self.lines.values().filter_map(Line::entry).collect()
    }

    /// Everything in it.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.values().cloned().collect()
    }

    /// Takes a change.
    pub(crate) fn store(&mut self, entry: &RollEntry) {
        let line = Line::from(entry);
        let written = line.json().and_then(|json| self.file.write_all(&json));
        self.written += 1;
        self.lines.insert(line.identity.clone(), line);
        let tidied = if 2 * self.lines.len() + SLACK < self.written {
            self.tidy()
        } else {
            Ok(())
        };
        if let Err(error) = written.and(tidied) {
            warn!(%error, path = %self.path.display(), "cannot store the roll");
        }
    }

    /// Forgets everybody, as after an orderly end: whoever was told goodbye needs no call.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        if let Err(error) = self.tidy() {
            warn!(%error, path = %self.path.display(), "cannot clear the roll");
        }
    }

    fn tidy(&mut self) -> io::Result<()> {
        self.file = write_anew(&self.path, &self.lines)?;
        self.written = self.lines.len();
        Ok(())
    }
}

fn refused(path: &Path, error: io::Error) -> SystemError {
    SystemError::new(
        format!("keep the roll in {}", path.display()),
        error,
        "set `roll` to a file whose directory exists and can be written",
    )
}

fn fresh(path: &Path) -> PathBuf {
    path.with_extension("roll-new")
}

fn open_fresh(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(fresh(path))
}

/// Writes the whole roll beside the old one and puts it in its place.
fn write_anew(path: &Path, lines: &BTreeMap<String, Line>) -> io::Result<File> {
    let mut file = open_fresh(path)?;
    let mut octets = Vec::new();
    for line in lines.values() {
        octets.extend(line.json()?);
    }
    file.write_all(&octets)?;
    std::fs::rename(fresh(path), path)?;
    Ok(file)
}

impl Line {
    fn json(&self) -> io::Result<Vec<u8>> {
        let mut octets = serde_json::to_vec(self)?;
        octets.push(b'\n');
        Ok(octets)
    }

    fn entry(&self) -> Option<RollEntry> {
        let cookies = u128::from_str_radix(&self.cookies, 16).ok()?;
        let cookies = CookiePair::from_octets(cookies.to_be_bytes());
        Some(RollEntry::new(
            self.identity.parse().ok()?,
            self.local,
            self.remote,
            cookies,
        ))
    }
}

impl From<&RollEntry> for Line {
    fn from(entry: &RollEntry) -> Self {
        Self {
            identity: entry.identity().to_string(),
            local: entry.local(),
            remote: entry.remote(),
            cookies: format!("{:032x}", u128::from_be_bytes(entry.cookies().octets())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(identity: &str, cookie: u8) -> RollEntry {
        let cookies = CookiePair::from_octets([cookie; 16]);
        let (local, remote) = (
            ([198, 18, 2, 2], 500).into(),
            ([198, 18, 1, 2], 4500).into(),
        );
        RollEntry::new(identity.parse().unwrap(), local, remote, cookies)
    }

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{name}-{}.roll", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn what_was_stored_last_comes_back() {
        let path = path("last");
        let (mut roll, empty) = Roll::open(&path).unwrap();
        assert_eq!(empty, []);
        for entry in [entry("b1", 1), entry("b2@example.org", 2), entry("b1", 3)] {
            roll.store(&entry);
        }
        drop(roll);
        let (_, entries) = Roll::open(&path).unwrap();
        assert_eq!(entries, [entry("b1", 3), entry("b2@example.org", 2)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_that_was_cut_off_hides_no_other() {
        let path = path("cut");
        let (mut roll, _) = Roll::open(&path).unwrap();
        roll.store(&entry("b1", 1));
        drop(roll);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"identity\":\"b2\",\"lo")).unwrap();
        assert_eq!(Roll::open(&path).unwrap().1, [entry("b1", 1)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_orderly_end_leaves_nobody_to_call() {
        let path = path("clear");
        let (mut roll, _) = Roll::open(&path).unwrap();
        roll.store(&entry("b1", 1));
        roll.clear();
        assert_eq!(Roll::open(&path).unwrap().1, []);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let path = path("grow");
        let (mut roll, _) = Roll::open(&path).unwrap();
        for turn in 0..3000_u16 {
            roll.store(&entry("b1", turn.to_be_bytes()[1]));
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= SLACK + 3, "{lines}");
        std::fs::remove_file(&path).unwrap();
    }
}

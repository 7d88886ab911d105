//! Runs cases side by side, a line for each, and a closing line.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::charon_keys::octets;
use crate::clock;
use crate::settings::DataPath;
use crate::site::Site;

/// How many lines of each log of a failed case are shown.
const SHOWN_LINES: usize = 25;
/// How many failed cases are shown with their logs.
const SHOWN_CASES: usize = 5;

/// Which logs are shown.
const SHOWN_FILES: [&str; 2] = ["log", "charon.log"];

type Body = Box<dyn Fn(&Site) -> Result<String> + Send + Sync>;

/// One thing to try: it passes, with a remark or without, or fails with a reason.
pub struct Case {
    name: String,
    body: Body,
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// A case by name; words are separated by `/`.
    pub fn new(
        name: String,
        body: impl Fn(&Site) -> Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            body: Box::new(body),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How to run.
#[derive(Debug)]
pub struct Runner {
    /// Where the directories of the cases go.
    pub root: PathBuf,
    /// Where our daemons are.
    pub binaries: PathBuf,
    /// How many cases run at the same time.
    pub jobs: usize,
    /// Whether the directories of passed cases stay as well.
    pub keep: bool,
    /// Where pictures for the documentation go, if they are wanted.
    pub pictures: Option<PathBuf>,
    /// Who seals and opens ESP at our ends of a tunnel.
    pub data_path: DataPath,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
}

impl Runner {
    /// Runs all cases.
    ///
    /// # Errors
    ///
    /// When not even the place for the logs can be made; a failed case is not an error here.
    pub fn run(&self, cases: &[Case]) -> Result<Outcome> {
        fs::create_dir_all(&self.root).with_context(|| format!("{}", self.root.display()))?;
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                // Each case ends on the thread that began it: the kernel ends its processes with that thread.
                scope.spawn(|| {
                    while let Some((number, case)) = cases
                        .iter()
                        .enumerate()
                        .nth(next.fetch_add(1, Ordering::Relaxed))
                    {
                        if clock::go_on().is_err() {
                            break;
                        }
                        if let Some(logs) = self.run_one(number, case)
                            && let Ok(mut failures) = failures.lock()
                        {
                            failures.push((case.name(), logs));
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap_or_default();
        clock::go_on()?;
        for (name, logs) in failures.iter().take(SHOWN_CASES) {
            show(name, logs);
        }
        if failures.is_empty() && !self.keep {
            drop(fs::remove_dir(&self.root));
        }
        Ok(Outcome {
            passed: cases.len() - failures.len(),
            failed: failures.len(),
        })
    }

    /// Runs one and prints its line; the place of its logs if it failed.
    fn run_one(&self, number: usize, case: &Case) -> Option<PathBuf> {
        let start = clock::now();
        let site = match Site::new(&self.root, number, &case.name, &self.binaries) {
            Ok(site) => site
                .with_pictures(self.pictures.clone())
                .with_data_path(self.data_path),
            Err(error) => {
                println!("FAILED  {}: {error:#}", case.name);
                return Some(self.root.clone());
            }
        };
        let result = (case.body)(&site);
        let elapsed = clock::since(start);
        match result {
            Ok(remark) => {
                println!("ok      {}", line(&case.name, elapsed, &remark));
                if !self.keep {
                    drop(site.clear());
                }
                None
            }
            Err(error) => {
                println!(
                    "FAILED  {}: {error:#}; logs in {}",
                    line(&case.name, elapsed, ""),
                    site.directory().display()
                );
                Some(site.directory().to_owned())
            }
        }
    }
}

fn line(name: &str, elapsed: Duration, remark: &str) -> String {
    let separator = if remark.is_empty() { "" } else { "  " };
    format!(
        "{name:<62} {:5.1} s{separator}{remark}",
        elapsed.as_secs_f64()
    )
}

/// The last lines of every log below a directory: a machine for tests may be gone before anyone looks at its files.
fn show(name: &str, directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            show(name, &path);
        } else if path
            .file_name()
            .is_some_and(|file| SHOWN_FILES.iter().any(|shown| file == *shown))
            && let Ok(text) = fs::read_to_string(&path)
        {
            println!("\n---- {name}: end of {}", path.display());
            // Without charon's dumps of keys and hashes.
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| octets(line).is_none() && !line.contains(" bytes @ 0x"))
                .collect();
            for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
                println!("     {line}");
            }
        }
    }
}

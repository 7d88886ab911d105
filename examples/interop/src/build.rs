//! Builds of our daemons that are measured side by side.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// One build of our daemons.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// What tables call it.
    pub name: String,
    /// Where `hub` and `branch` are.
    pub directory: PathBuf,
}

/// Reads arguments of the form NAME=DIRECTORY; without any, there is one build called `ours`, beside this program.
///
/// # Errors
///
/// When an argument has another form or its directory does not exist.
pub fn given(arguments: &[String]) -> Result<Vec<Build>> {
    if arguments.is_empty() {
        let program = std::env::current_exe()?;
        let directory = program.parent().context("this program has no directory")?;
        return Ok(vec![Build {
            name: "ours".to_owned(),
            directory: directory.to_owned(),
        }]);
    }
    arguments
        .iter()
        .map(|build| {
            let (name, directory) = build
                .split_once('=')
                .with_context(|| format!("--build {build}: write NAME=DIRECTORY"))?;
            let directory = PathBuf::from(directory)
                .canonicalize()
                .with_context(|| format!("--build {build}"))?;
            Ok(Build {
                name: name.to_owned(),
                directory,
            })
        })
        .collect()
}

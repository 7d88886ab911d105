//! One network namespace: made, used, removed.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::process::{self, BRIEF, Finished, Running};

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with its loopback up, forwarding on, reverse path filters and IPv6 off.
    ///
    /// # Errors
    ///
    /// When the kernel or `ip` refuse.
    pub fn new(name: String) -> Result<Self> {
        process::run(BRIEF, &["ip", "netns", "add", &name])?.stdout()?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        namespace
            .run(
                BRIEF,
                &[
                    "sysctl",
                    "-q",
                    "-w",
                    "net.ipv4.ip_forward=1",
                    "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.default.rp_filter=0",
                    "net.ipv6.conf.all.disable_ipv6=1",
                    "net.ipv6.conf.default.disable_ipv6=1",
                ],
            )?
            .stdout()?;
        Ok(namespace)
    }

    /// Its name, for `ip`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` in it.
    ///
    /// # Errors
    ///
    /// When one of them fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        process::feed(BRIEF, &["ip", "-n", &self.name, "-batch", "-"], &[], lines)?
            .stdout()
            .map(drop)
    }

    /// Runs a program in it to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(&self, limit: Duration, argv: &[&str]) -> Result<Finished> {
        self.feed(limit, argv, "")
    }

    /// The same with a standard input.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn feed(&self, limit: Duration, argv: &[&str], stdin: &str) -> Result<Finished> {
        process::feed(limit, &self.inside(argv), &[], stdin)
    }

    /// Starts a program in it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(
        &self,
        name: &str,
        argv: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Running> {
        Running::start(name, &self.inside(argv), environment, log)
    }

    /// `ip netns exec` replaces itself by the program, so the process id stays.
    fn inside<'a>(&'a self, argv: &[&'a str]) -> Vec<&'a str> {
        ["ip", "netns", "exec", &self.name]
            .into_iter()
            .chain(argv.iter().copied())
            .collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(process::run(BRIEF, &["ip", "netns", "del", &self.name]));
    }
}

//! What our daemons have dropped, by their own account.

use anyhow::{Context, Result, bail};

use crate::namespace::Namespace;
use crate::process::BRIEF;

/// Where our daemons show their counters, each in its own namespace.
pub const METRICS: &str = "127.0.0.1:9464";

/// What our daemons have dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Drops {
    /// Not authentic.
    pub bad_icv: u64,
    /// Accepted before.
    pub replayed: u64,
    /// Out of the replay window.
    pub late: u64,
    /// For other reasons.
    pub other: u64,
    /// Those reasons.
    pub reasons: String,
}

impl Drops {
    /// Reads the counters of the daemon in a namespace.
    ///
    /// # Errors
    ///
    /// When it does not answer, or not with counters.
    pub fn of_daemon_in(namespace: &Namespace) -> Result<Self> {
        let script = "exec 3<>/dev/tcp/${0/:/\\/} && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
        let page = namespace.run(BRIEF, &["bash", "-c", script, METRICS])?;
        Self::read(&page.stdout()?)
    }

    /// Those that no network causes by itself.
    pub fn suspicious(&self) -> u64 {
        self.bad_icv + self.replayed + self.late
    }

    /// Adds those of another daemon.
    pub fn add(&mut self, other: &Self) {
        self.bad_icv += other.bad_icv;
        self.replayed += other.replayed;
        self.late += other.late;
        self.other += other.other;
        self.reasons += &other.reasons;
    }

    fn read(page: &str) -> Result<Self> {
        let mut drops = Self::default();
        let mut found = false;
        for line in page.lines() {
            let Some((reason, count)) = line
                .strip_prefix("vpn_drops_total{reason=\"")
                .and_then(|rest| rest.split_once("\"} "))
            else {
                continue;
            };
            found = true;
            let count: u64 = count.trim().parse().context("a counter of drops")?;
            match reason {
                "bad_icv" => drops.bad_icv += count,
                "replayed" => drops.replayed += count,
                "late" => drops.late += count,
                _ if count != 0 => {
                    drops.other += count;
                    drops.reasons += &format!("{reason} {count}, ");
                }
                _ => {}
            }
        }
        if !found {
            bail!("a page of metrics without drops: {page}");
        }
        Ok(drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_by_reason() {
        let page = "HTTP/1.0 200 OK\r\n\r\n# HELP vpn_drops_total Packets and datagrams dropped.\n\
                    vpn_drops_total{reason=\"bad_icv\"} 1\nvpn_drops_total{reason=\"late\"} 2\n\
                    vpn_drops_total{reason=\"tun_send\"} 3\nvpn_drops_total{reason=\"replayed\"} 0\n";
        let drops = Drops::read(page).unwrap();
        assert_eq!((drops.suspicious(), drops.other), (3, 3));
        assert_eq!(drops.reasons, "tun_send 3, ");
        assert!(Drops::read("HTTP/1.0 404 Not Found").is_err());
    }
}

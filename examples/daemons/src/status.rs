//! What a daemon says of itself: the answer to `status`, as JSON and as a table.

use std::borrow::Cow;
use std::net::SocketAddr;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use serde::{Deserialize, Serialize};

/// Everything `status --json` prints. It owns its text where it was read from somewhere, as [`Status<'static>`](Self).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status<'a, P = Vec<PeerStatus<'a>>> {
    /// `hub` or `branch`.
    pub role: Cow<'a, str>,
    /// Who the daemon is to its peers.
    pub identity: Cow<'a, str>,
    /// Since the daemon began to serve.
    pub uptime_seconds: f64,
    /// Who seals and opens: `user`, the daemon itself, or `kernel`.
    #[serde(default = "by_itself")]
    pub data_path: Cow<'a, str>,
    /// At a hub its branches, at a branch its hub; always all that are configured.
    pub peers: P,
}

/// One peer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PeerStatus<'a> {
    /// Its identity.
    pub identity: Cow<'a, str>,
    /// Its outer address, once known.
    pub address: Option<SocketAddr>,
    /// Whether NAT lies between.
    pub nat: bool,
    /// `up` while there is an ISAKMP SA, else `down`.
    pub ike: Cow<'a, str>,
    /// What phase 1 was agreed with, as the settings write it.
    #[serde(default)]
    pub ike_proposal: Option<Cow<'a, str>>,
    /// Whether an algorithm is in use that is kept only for old peers.
    pub legacy: bool,
    /// How many peers have the same pre-shared key, this one included: 1 where the key is its own.
    #[serde(default = "alone")]
    pub key_shared_by: usize,
    /// The latest failure of phase 1, in words.
    pub last_failure: Option<Cow<'a, str>>,
    /// What to do about it.
    #[serde(default)]
    pub remedy: Option<Cow<'a, str>>,
    /// Its pairs; always all that are configured.
    pub pairs: Vec<PairStatus<'a>>,
}

/// One pair.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PairStatus<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The subnet on this side.
    pub local: Cow<'a, str>,
    /// The subnet on the peer's side.
    pub remote: Cow<'a, str>,
    /// `up`, `unproven` or `down`.
    pub state: Cow<'a, str>,
    /// Whether there is an SA.
    pub sa: bool,
    /// What the SA does to its packets, as the settings write it.
    #[serde(default)]
    pub esp: Option<Cow<'a, str>>,
    /// Seconds since a reply last came back through the pair.
    pub last_proof_seconds: Option<f64>,
    /// The latest time there and back.
    pub rtt_ms: Option<f64>,
    /// The last eight probes in octal, the latest in the lowest bit.
    pub path_reach: Cow<'a, str>,
    /// Octets of inner packets received.
    pub bytes_in: u64,
    /// Octets of inner packets sent.
    pub bytes_out: u64,
    /// The latest failure, in words.
    pub last_failure: Option<Cow<'a, str>>,
    /// What to do about it.
    #[serde(default)]
    pub remedy: Option<Cow<'a, str>>,
}

/// The same of a daemon from before there was a choice.
const fn by_itself() -> Cow<'static, str> {
    Cow::Borrowed("user")
}

/// What a daemon that does not tell is taken to mean.
const fn alone() -> usize {
    1
}

impl Status<'_> {
    /// The table for people: one line a pair.
    #[must_use]
    pub fn table(&self, coloured: bool) -> String {
        let mut table = Table::new();
        if coloured {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        let header = [
            "PEER", "ADDRESS", "IKE", "PAIR", "LOCAL", "REMOTE", "STATE", "PROOF", "RTT", "REACH",
            "IN", "OUT", "NOTE",
        ];
        table.set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
        for peer in &self.peers {
            for pair in &peer.pairs {
                table.add_row(row(peer, pair));
            }
        }
        let up = self.pairs().filter(|pair| pair.state == "up").count();
        let all = self.pairs().count();
        let uptime = humantime::format_duration(core::time::Duration::from_secs_f64(
            self.uptime_seconds.round(),
        ));
        let sharing = self.peers.iter().filter(|peer| 1 < peer.key_shared_by);
        let shared = match sharing.count() {
            0 => String::new(),
            sharing => format!("; {sharing} peers share pre-shared keys"),
        };
        let by_kernel = match &*self.data_path {
            "user" => String::new(),
            other => format!("; ESP by the {other}"),
        };
        format!(
            "{} {}, running for {uptime}: {up} of {all} pairs up{shared}{by_kernel}\n\n{table}\n",
            self.role, self.identity
        )
    }

    fn pairs(&self) -> impl Iterator<Item = &PairStatus<'_>> {
        self.peers.iter().flat_map(|peer| &peer.pairs)
    }
}

fn row(peer: &PeerStatus<'_>, pair: &PairStatus<'_>) -> Vec<Cell> {
    let dash = || "-".to_owned();
    let mut address = peer
        .address
        .map_or_else(dash, |address| address.to_string());
    if peer.nat {
        address.push_str(" (NAT)");
    }
    let ike = if peer.legacy {
        format!("{} (legacy)", peer.ike)
    } else {
        peer.ike.to_string()
    };
    let note = pair
        .last_failure
        .clone()
        .or_else(|| peer.last_failure.clone())
        .filter(|_| pair.state != "up");
    vec![
        Cell::new(&*peer.identity),
        Cell::new(address),
        Cell::new(ike),
        Cell::new(&*pair.name),
        Cell::new(&*pair.local),
        Cell::new(&*pair.remote),
        Cell::new(&*pair.state).fg(match &*pair.state {
            "up" => Color::Green,
            "unproven" => Color::Yellow,
            _ => Color::Red,
        }),
        Cell::new(
            pair.last_proof_seconds
                .map_or_else(dash, |seconds| format!("{seconds:.1} s ago")),
        ),
        Cell::new(pair.rtt_ms.map_or_else(dash, |rtt| format!("{rtt:.1} ms"))),
        Cell::new(&*pair.path_reach),
        Cell::new(octets(pair.bytes_in)),
        Cell::new(octets(pair.bytes_out)),
        Cell::new(note.unwrap_or_default()),
    ]
}

/// Octets with a unit a person can read.
fn octets(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = count;
    let mut tenths = 0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    for next in units {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = Some(next);
    }
    let unit = unit.copied().unwrap_or_default();
    if count < 1024 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenths} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status<'static> {
        let pair = PairStatus {
            name: "telemetry".into(),
            local: "10.61.3.0/24".into(),
            remote: "10.61.1.0/24".into(),
            state: "up".into(),
            sa: true,
            esp: Some("aes128gcm16".into()),
            last_proof_seconds: Some(1.5),
            rtt_ms: Some(12.25),
            path_reach: "377".into(),
            bytes_in: 10,
            bytes_out: 1_500_000,
            last_failure: None,
            remedy: None,
        };
        Status {
            role: "hub".into(),
            identity: "hub".into(),
            uptime_seconds: 61.2,
            data_path: by_itself(),
            peers: vec![PeerStatus {
                identity: "branch1".into(),
                address: Some(([198, 18, 1, 2], 4500).into()),
                nat: true,
                ike: "up".into(),
                ike_proposal: Some("aes128-sha256-modp2048".into()),
                legacy: false,
                key_shared_by: 1,
                last_failure: None,
                remedy: None,
                pairs: vec![pair],
            }],
        }
    }

    #[test]
    fn json_has_the_names_that_others_rely_on() {
        let json = serde_json::to_value(status()).unwrap();
        let pair = &json["peers"][0]["pairs"][0];
        assert_eq!(json["role"], "hub");
        assert_eq!(json["peers"][0]["address"], "198.18.1.2:4500");
        assert_eq!(json["peers"][0]["ike"], "up");
        let keys: Vec<_> = pair
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = [
            "name",
            "local",
            "remote",
            "state",
            "sa",
            "esp",
            "last_proof_seconds",
            "rtt_ms",
            "path_reach",
            "bytes_in",
            "bytes_out",
            "last_failure",
            "remedy",
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert!(pair["last_failure"].is_null());
    }

    #[test]
    fn the_table_has_a_line_for_each_pair() {
        let table = status().table(false);
        assert!(
            table.starts_with("hub hub, running for 1m 1s: 1 of 1 pairs up"),
            "{table}"
        );
        assert!(
            table.contains("198.18.1.2:4500 (NAT)") && table.contains("1.4 MiB"),
            "{table}"
        );
    }

    #[test]
    fn a_key_that_several_peers_share_is_told() {
        let mut status = status();
        assert!(!status.table(false).contains("pre-shared"));
        let mut other = status.peers[0].clone();
        other.identity = "branch2".into();
        status.peers.push(other);
        for peer in &mut status.peers {
            peer.key_shared_by = 2;
        }
        let table = status.table(false);
        let first = table.lines().next().unwrap();
        assert!(first.ends_with("2 peers share pre-shared keys"), "{table}");
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["peers"][1]["key_shared_by"], 2);
        // An older daemon does not say.
        let mut json = json;
        json["peers"][1]
            .as_object_mut()
            .unwrap()
            .remove("key_shared_by");
        let read: Status<'_> = serde_json::from_value(json).unwrap();
        assert_eq!(read.peers[1].key_shared_by, 1);
    }

    #[test]
    fn octets_are_readable() {
        assert_eq!(
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB"],
            [octets(0), octets(1023), octets(1024), octets(1536)]
        );
        assert_eq!(octets(u64::MAX), "16777215.9 TiB");
    }
}

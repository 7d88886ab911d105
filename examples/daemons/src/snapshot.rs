//! A daemon's state at one moment, for status and metrics.
//!
//! The main loop only copies; words are found on the thread of whoever asks.

mod counters;
mod seen;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde::{Serialize, Serializer};

pub(crate) use self::counters::{Counters, IoDrops};
pub(crate) use self::seen::Seen;
use self::seen::Spellings;
use crate::clock;
use crate::names::Names;
use crate::role::Role;
use crate::service::Answer;
use crate::status::{PeerStatus, Status};

/// A copy of everything that others may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was taken, by the wall clock.
    pub(crate) taken: SystemTime,
    pub(crate) role: Role,
    pub(crate) identity: String,
    pub(crate) uptime: Duration,
    pub(crate) data_path: &'static str,
    /// What the peers and pairs were called then.
    pub(crate) names: Arc<Names>,
    pub(crate) seen: Seen,
    pub(crate) counters: Counters,
    /// When it was begun, and how long that took the main loop.
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) wording: Wording,
}

/// What is worded once however many ask, and by the first who does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wording {
    spellings: OnceLock<Spellings>,
    /// The answer to `status`, and how long that took.
    line: OnceLock<Option<(Vec<u8>, Duration)>>,
}

/// How many times as long as it took to take and to word a snapshot it serves everybody who asks: however many ask, that
/// takes no more than a small part of the machine's time.
const LIFETIME: u32 = 10;
/// It serves for so long at least.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(5);
/// What is told is never older for want of a newer one that could be taken at once.
const LONGEST_LIFETIME: Duration = Duration::from_millis(500);
/// For the first answer; each after it has as much as the one before took.
const ROOM_FOR_A_PEER: usize = 512;

impl Snapshot {
    /// How long it took to take and, if that was asked for, to word it.
    pub(crate) fn cost(&self) -> Duration {
        let worded = self.wording.line.get().and_then(Option::as_ref);
        self.took + worded.map_or(Duration::ZERO, |(_, took)| *took)
    }

    /// How long it is as good as a new one.
    pub(crate) fn lifetime(&self) -> Duration {
        (self.cost() * LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
    }

    /// Everything, as it is told.
    pub(crate) fn status(&self) -> Status<'_> {
        self.status_of(self.peers().collect())
    }

    /// The whole line that answers `status`.
    pub(crate) fn status_line(&self) -> Option<&[u8]> {
        let write = || {
            let began = clock::now();
            let (peers, _) = self.names.count();
            let mut octets = Vec::with_capacity(ROOM_FOR_A_PEER * (1 + peers));
            let answer = Answer::Status(self.status_of(InTurn(self)));
            serde_json::to_writer(&mut octets, &answer).ok()?;
            octets.push(b'\n');
            Some((octets, clock::now().saturating_duration_since(began)))
        };
        let line = self.wording.line.get_or_init(write).as_ref();
        line.map(|(octets, _)| octets.as_slice())
    }

    fn status_of<P>(&self, peers: P) -> Status<'_, P> {
        Status {
            role: Cow::Borrowed(self.role.name()),
            identity: Cow::Borrowed(&self.identity),
            uptime_seconds: self.uptime.as_secs_f64(),
            data_path: Cow::Borrowed(self.data_path),
            peers,
        }
    }

    fn peers(&self) -> impl Iterator<Item = PeerStatus<'_>> {
        let spellings = self.wording.spellings.get_or_init(|| self.seen.spellings());
        self.seen.peers(&self.names, spellings)
    }
}

/// The peers, each worded when it is written, so that there need not be room for all of them.
struct InTurn<'a>(&'a Snapshot);

impl Serialize for InTurn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.peers())
    }
}

#[cfg(test)]
impl Snapshot {
    /// Of a hub without branches, which has dropped one datagram.
    pub(crate) fn example() -> Self {
        let io = IoDrops {
            outer_send: 1,
            ..IoDrops::default()
        };
        Self {
            taken: SystemTime::UNIX_EPOCH,
            role: Role::Hub,
            identity: "hub".to_owned(),
            uptime: Duration::from_secs(1),
            data_path: "user",
            names: Arc::default(),
            seen: Seen::nothing(),
            counters: Counters {
                io,
                ..Counters::default()
            },
            began: clock::now(),
            took: Duration::ZERO,
            wording: Wording::default(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use ike_core::Identity;
    use trigger::Hub;

    use super::*;
    use crate::assemble;
    use crate::machine::Machine;
    use crate::settings::HubSettings;

    fn settings() -> HubSettings {
        let mut text = "identity = \"hub\"\nlisten = [\"198.18.2.2\"]\n".to_owned();
        for branch in 1..=3 {
            text.push_str(&format!(
                "[[branch]]\nidentity = \"branch{branch}\"\npsk = \"8f0c2d5e7b1a49638e5d0f7c2b9a4e6d13570acfbd2468e0f1c3a5978642bdf{branch}\"\n"
            ));
            for pair in 1..=branch {
                text.push_str(&format!(
                    "[[branch.pair]]\nname = \"p{pair}\"\nlocal = \"10.61.3.0/24\"\nremote = \"10.{branch}.{pair}.0/24\"\n"
                ));
            }
        }
        HubSettings::parse(Path::new("hub.toml"), &text)
            .unwrap()
            .settings
    }

    /// Of a hub whose first branch has gone and come again, so that its handles are the newest.
    pub(crate) fn snapshot() -> Snapshot {
        let (settings, now) = (settings(), clock::now());
        let config = assemble::hub(&settings, core::iter::empty(), None, None, false).unwrap();
        let hub = Hub::new(config, Vec::new(), now, clock::ntp());
        let mut machine = Machine::Hub(Box::new(hub));
        let first = Identity::Fqdn("branch1".to_owned());
        for branch in &settings.branches {
            let member = assemble::member(&settings.gateway, branch).unwrap();
            machine.add_member(member).unwrap();
        }
        machine.remove_member(now, &first);
        let member = assemble::member(&settings.gateway, settings.branches.first().unwrap());
        machine.add_member(member.unwrap()).unwrap();
        let shared = BTreeMap::from([("branch2".to_owned(), 7)]);
        let names = Arc::new(Names::of(&machine, &shared));
        Snapshot {
            seen: Seen::of(now, &machine, &names),
            names,
            ..Snapshot::example()
        }
    }

    #[test]
    fn each_peer_is_told_with_its_own_pairs() {
        let snapshot = snapshot();
        let status = snapshot.status();
        let mut told: Vec<_> = status
            .peers
            .iter()
            .map(|peer| {
                let pairs = peer.pairs.iter();
                let pairs = pairs.map(|pair| format!("{} {}", pair.name, pair.remote));
                (
                    &*peer.identity,
                    peer.key_shared_by,
                    pairs.collect::<Vec<_>>(),
                )
            })
            .collect();
        told.sort();
        let pairs = |branch: u8| {
            (1..=branch)
                .map(|pair| format!("p{pair} 10.{branch}.{pair}.0/24"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told,
            [
                ("branch1", 1, pairs(1)),
                ("branch2", 7, pairs(2)),
                ("branch3", 1, pairs(3))
            ]
        );
        let pair = status.peers.iter().flat_map(|peer| &peer.pairs).next();
        let pair = pair.unwrap();
        assert_eq!((&*pair.state, &*pair.path_reach), ("down", "000"));
        assert_eq!((&*pair.local, pair.esp.as_deref()), ("10.61.3.0/24", None));
    }

    #[test]
    fn what_is_written_as_it_is_worded_is_the_whole_status() {
        let snapshot = snapshot();
        let line = snapshot.status_line().unwrap();
        assert!(line.ends_with(b"\n"));
        let read: Answer = serde_json::from_slice(line).unwrap();
        assert_eq!(read, Answer::Status(snapshot.status()));
        assert!(snapshot.took < snapshot.cost(), "that it was worded counts");
    }
}

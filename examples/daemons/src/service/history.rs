//! What the status page remembers: how reachable each pair was in the last 24 hours, and how the
//! latest negotiations ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use crate::fact::Fact;
use crate::status::{PeerStatus, Status};

/// How long one box of the strip is, in seconds.
pub(super) const BOX_SECONDS: u64 = 300;
/// Boxes in 24 hours.
const BOXES: usize = 288;
/// Outcomes that are kept for each peer.
const OUTCOMES: usize = 20;

/// The history of every configured pair. It grows with the configuration only.
#[derive(Debug, Default)]
pub(super) struct History {
    peers: BTreeMap<String, PeerHistory>,
    /// Number of the box that is being filled, counted from 1970.
    current: u64,
}

#[derive(Debug, Default)]
struct PeerHistory {
    pairs: BTreeMap<String, Strip>,
    outcomes: VecDeque<Arc<Fact>>,
}

/// One pair: its finished boxes, oldest first, and the one that is being filled.
#[derive(Debug, Default)]
struct Strip {
    boxes: VecDeque<Option<u8>>,
    looks: u32,
    looks_up: u32,
}

/// What the page of one peer shows besides its state.
#[derive(Debug, Serialize)]
pub(super) struct PeerPage<'a> {
    identity: &'a str,
    box_seconds: u64,
    pairs: Vec<PairPage<'a>>,
    /// The latest first.
    outcomes: Vec<&'a Fact>,
}

#[derive(Debug, Serialize)]
struct PairPage<'a> {
    name: &'a str,
    /// Percent of each box in which the pair was up, oldest first; `null` where nobody looked. The last is not over yet.
    strip: Vec<Option<u8>>,
}

impl History {
    /// Takes note of how things are at `unix` seconds. To be called about once a second.
    pub(super) fn look(&mut self, unix: u64, status: &Status<'_>) {
        let current = unix / BOX_SECONDS;
        // A clock that was set back goes on in the same box.
        let passed = match self.current {
            0 => 0,
            before => usize::try_from(current.saturating_sub(before)).unwrap_or(BOXES),
        };
        self.current = self.current.max(current);
        if 0 < passed {
            let strips = self
                .peers
                .values_mut()
                .flat_map(|peer| peer.pairs.values_mut());
            strips.for_each(|strip| strip.finish(passed));
        }
        self.forget_strangers(status);
        for peer in &status.peers {
            let known = self.peers.entry(peer.identity.to_string()).or_default();
            for pair in &peer.pairs {
                let strip = known.pairs.entry(pair.name.to_string()).or_default();
                strip.looks += 1;
                strip.looks_up += u32::from(pair.state == "up");
            }
        }
    }

    /// Takes note of what has happened, if it is the outcome of a negotiation with a configured peer.
    pub(super) fn hear(&mut self, fact: Arc<Fact>) {
        if let (true, Some(peer)) = (fact.event.is_outcome(), self.peers.get_mut(&fact.peer)) {
            if peer.outcomes.len() == OUTCOMES {
                peer.outcomes.pop_front();
            }
            peer.outcomes.push_back(fact);
        }
    }

    pub(super) fn page<'a>(&'a self, identity: &'a str) -> Option<PeerPage<'a>> {
        let peer = self.peers.get(identity)?;
        let pairs = peer.pairs.iter().map(|(name, strip)| PairPage {
            name,
            strip: strip.shown(),
        });
        Some(PeerPage {
            identity,
            box_seconds: BOX_SECONDS,
            pairs: pairs.collect(),
            outcomes: peer.outcomes.iter().rev().map(|fact| &**fact).collect(),
        })
    }

    /// What is not configured any more is not remembered either.
    fn forget_strangers(&mut self, status: &Status<'_>) {
        let configured: BTreeMap<&str, &PeerStatus<'_>> = status
            .peers
            .iter()
            .map(|peer| (&*peer.identity, peer))
            .collect();
        self.peers.retain(|identity, known| {
            let Some(peer) = configured.get(identity.as_str()) else {
                return false;
            };
            known
                .pairs
                .retain(|name, _| peer.pairs.iter().any(|pair| pair.name == *name));
            true
        });
    }
}

impl Strip {
    /// Ends the box that is being filled; `passed` boxes have passed since it was begun.
    fn finish(&mut self, passed: usize) {
        self.push(self.percent());
        self.looks = 0;
        self.looks_up = 0;
        for _ in 1..passed.min(BOXES) {
            self.push(None);
        }
    }

    fn push(&mut self, percent: Option<u8>) {
        // With the one that is being filled, that makes all.
        if self.boxes.len() + 1 == BOXES {
            self.boxes.pop_front();
        }
        self.boxes.push_back(percent);
    }

    /// Rounded down, so that the slightest darkness shows; `None` if nobody looked.
    fn percent(&self) -> Option<u8> {
        let percent = (self.looks_up * 100).checked_div(self.looks)?;
        u8::try_from(percent).ok()
    }

    fn shown(&self) -> Vec<Option<u8>> {
        let missing = BOXES.saturating_sub(self.boxes.len() + 1);
        let boxes = self.boxes.iter().copied().chain([self.percent()]);
        core::iter::repeat_n(None, missing).chain(boxes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::FactKind;

    const BEGAN: u64 = 1_700_000_000 / BOX_SECONDS * BOX_SECONDS;

    fn status(state: &str) -> Status<'static> {
        let text = format!(
            r#"{{"role":"hub","identity":"hub","uptime_seconds":1.0,"peers":[
            {{"identity":"branch1","address":null,"nat":false,"ike":"up","legacy":false,"last_failure":null,"pairs":[
                {{"name":"a","local":"10.0.0.0/24","remote":"10.0.1.0/24","state":"{state}","sa":true,"last_proof_seconds":null,
                 "rtt_ms":null,"path_reach":"000","bytes_in":0,"bytes_out":0,"last_failure":null}}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn strip(history: &History) -> Vec<Option<u8>> {
        let page = history.page("branch1").unwrap();
        page.pairs.first().unwrap().strip.clone()
    }

    #[test]
    fn a_box_says_how_much_of_it_was_up() {
        let mut history = History::default();
        for second in 0..BOX_SECONDS {
            let state = if second < 3 { "down" } else { "up" };
            history.look(BEGAN + second, &status(state));
        }
        history.look(BEGAN + BOX_SECONDS, &status("unproven"));
        let strip = strip(&history);
        assert_eq!(strip.len(), BOXES);
        assert_eq!(strip.last_chunk(), Some(&[None, Some(99), Some(0)]));
    }

    #[test]
    fn where_nobody_looked_there_is_nothing() {
        let mut history = History::default();
        history.look(BEGAN, &status("up"));
        history.look(BEGAN + 3 * BOX_SECONDS, &status("up"));
        assert_eq!(
            strip(&history).last_chunk(),
            Some(&[Some(100), None, None, Some(100)])
        );
        // A clock that jumps by years costs no more than a day of boxes.
        history.look(BEGAN + (1 << 40), &status("down"));
        let strip = strip(&history);
        assert_eq!((strip.len(), strip.last()), (BOXES, Some(&Some(0))));
        assert!(strip.iter().rev().skip(1).all(Option::is_none));
    }

    #[test]
    fn only_the_latest_outcomes_of_configured_peers_are_kept() {
        let fact = |at, peer: &str, event| {
            Arc::new(Fact {
                at,
                event,
                peer: peer.to_owned(),
                pair: None,
                detail: None,
            })
        };
        let mut history = History::default();
        history.look(BEGAN, &status("up"));
        for second in 0..50 {
            let at = f64::from(second);
            history.hear(fact(at, "branch1", FactKind::SaUp));
            history.hear(fact(at, "branch1", FactKind::PairUp));
            history.hear(fact(at, "stranger", FactKind::SaUp));
        }
        let page = history.page("branch1").unwrap();
        assert_eq!(page.outcomes.len(), OUTCOMES);
        assert_eq!(page.outcomes.first().map(|fact| fact.at), Some(49.0));
        assert!(history.page("stranger").is_none());
        let mut empty = status("up");
        empty.peers.clear();
        history.look(BEGAN + 1, &empty);
        assert!(history.page("branch1").is_none(), "no longer configured");
    }
}

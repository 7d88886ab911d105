//! `status --why`: what is wrong with one peer, in sentences, and what to do.

use crate::status::{PairStatus, PeerStatus, Status};

/// Why a diagnosis cannot be given.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("nobody here is called {name}{}", nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default())]
pub struct UnknownPeer {
    name: String,
    nearest: Option<String>,
}

/// What is wrong with the peer of that identity.
///
/// # Errors
///
/// [`UnknownPeer`] names the nearest identity.
pub fn diagnose(status: &Status<'_>, name: &str) -> Result<String, UnknownPeer> {
    let Some(peer) = status.peers.iter().find(|peer| peer.identity == name) else {
        return Err(unknown(status, name));
    };
    let mut sentences = vec![about_ike(status, peer)];
    if peer.legacy {
        sentences.push(format!(
            "It is connected with algorithms that are kept only for old peers ({}); \
             let both sides use others where they can.",
            peer.ike_proposal
                .as_deref()
                .unwrap_or("see `ike` and `esp`")
        ));
    }
    if 1 < peer.key_shared_by {
        sentences.push(format!(
            "{} peers have the same pre-shared key: each can pass for the others. Give each one of its own (`hub psk`).",
            peer.key_shared_by
        ));
    }
    sentences.extend(peer.pairs.iter().map(|pair| about_pair(status, peer, pair)));
    Ok(sentences.join("\n") + "\n")
}

fn unknown(status: &Status<'_>, name: &str) -> UnknownPeer {
    let nearest = status
        .peers
        .iter()
        .map(|peer| (strsim::jaro_winkler(&peer.identity, name), &peer.identity))
        .filter(|(likeness, _)| 0.8 < *likeness)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, identity)| identity.to_string());
    UnknownPeer {
        name: name.to_owned(),
        nearest,
    }
}

fn about_ike(status: &Status<'_>, peer: &PeerStatus<'_>) -> String {
    let name = &peer.identity;
    if peer.ike == "up" {
        let address = peer
            .address
            .map_or_else(|| "?".to_owned(), |address| address.to_string());
        let nat = if peer.nat { ", behind NAT" } else { "" };
        let connected = format!("{name} is connected from {address}{nat}.");
        // What it asks for under a connection may belong to no pair that is known here.
        return match (&peer.last_failure, &peer.remedy) {
            (Some(failure), Some(remedy)) => {
                format!("{connected} Its latest request failed, {failure}. To do: {remedy}.")
            }
            (Some(failure), None) => format!("{connected} Its latest request failed, {failure}."),
            (None, _) => connected,
        };
    }
    match (&peer.last_failure, &peer.remedy) {
        (Some(failure), Some(remedy)) => {
            format!(
                "{name} is not connected. The latest attempt failed, {failure}. To do: {remedy}."
            )
        }
        (Some(failure), None) => {
            format!("{name} is not connected. The latest attempt failed, {failure}.")
        }
        (None, _) if status.role == "hub" => format!(
            "{name} is not connected, and nothing of it has come since it was last. Only the branch can begin: \
             is it powered, has it a link, does it run with `identity = \"{name}\"`, and does this hub's address let \
             UDP 500 and 4500 in?"
        ),
        (None, _) => format!("{name} is not connected; no attempt has failed yet."),
    }
}

fn about_pair(status: &Status<'_>, peer: &PeerStatus<'_>, pair: &PairStatus<'_>) -> String {
    let name = format!("Pair {} ({} to {})", pair.name, pair.local, pair.remote);
    let failure = pair.last_failure.as_ref().map(|failure| {
        let remedy = pair
            .remedy
            .as_ref()
            .map(|remedy| format!(" To do: {remedy}."))
            .unwrap_or_default();
        format!(" The latest attempt failed, {failure}.{remedy}")
    });
    let failure = failure.unwrap_or_default();
    match (&*pair.state, pair.last_proof_seconds) {
        ("up", Some(seconds)) => format!("{name} is up: a reply came back {seconds:.0} s ago."),
        ("up", None) => format!("{name} is up."),
        ("unproven", _) if status.role == "hub" => format!(
            "{name} has an SA, but nothing proves that replies come back.{failure} A branch whose NTP client hides \
             its timestamps is proved by the first read; otherwise look whether the network behind the branch is up."
        ),
        ("unproven", _) => format!(
            "{name} has an SA, but no reply has come back.{failure} Does the target of its `trigger` answer NTP, \
             and is the way back through the hub?"
        ),
        _ if peer.ike == "up" && failure.is_empty() => format!(
            "{name} is down although the peer is connected: it has not been asked for, or the peer has deleted it. \
             The branch tries again by itself."
        ),
        _ => format!("{name} is down.{failure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status<'static> {
        serde_json::from_str(
            r#"{"role":"hub","identity":"hub","uptime_seconds":1.0,"peers":[
            {"identity":"branch1","address":"198.18.1.2:4500","nat":true,"ike":"up","legacy":true,
             "ike_proposal":"aes128-sha1-modp1024","last_failure":null,"pairs":[
                {"name":"a","local":"10.0.0.0/24","remote":"10.0.1.0/24","state":"up","sa":true,"last_proof_seconds":4.0,
                 "rtt_ms":null,"path_reach":"377","bytes_in":0,"bytes_out":0,"last_failure":null},
                {"name":"b","local":"10.0.2.0/24","remote":"10.0.1.0/24","state":"down","sa":false,"last_proof_seconds":null,
                 "rtt_ms":null,"path_reach":"000","bytes_in":0,"bytes_out":0,
                 "last_failure":"quick mode: the peer refused 10.61.3.0/24 here and 10.61.1.0/24 behind the peer","remedy":"configure the pair on both sides"}]},
            {"identity":"branch2","address":null,"nat":false,"ike":"down","legacy":false,
             "last_failure":"phase 1: the pre-shared key differs from the peer's","remedy":"compare `psk`","pairs":[]},
            {"identity":"branch3","address":null,"nat":false,"ike":"down","legacy":false,"last_failure":null,"pairs":[]}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn each_pair_is_explained() {
        let text = diagnose(&status(), "branch1").unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines.first(),
            Some(&"branch1 is connected from 198.18.1.2:4500, behind NAT.")
        );
        assert!(text.contains("aes128-sha1-modp1024"), "{text}");
        assert!(!text.contains("pre-shared"), "{text}");
        let mut status = status();
        status.peers[0].key_shared_by = 3;
        let shared = diagnose(&status, "branch1").unwrap();
        assert!(
            shared.contains("3 peers have the same pre-shared key"),
            "{shared}"
        );
        assert!(text.contains("a reply came back 4 s ago"), "{text}");
        assert!(
            text.contains("10.61.1.0/24 behind the peer. To do: configure the pair on both sides."),
            "{text}"
        );
    }

    #[test]
    fn a_pair_that_is_not_known_here_is_explained_although_the_branch_is_connected() {
        let mut status = status();
        status.peers[0].last_failure = Some(
            "quick mode: no pair covers 10.61.3.0/24 here and 10.9.9.0/24 behind the peer".into(),
        );
        status.peers[0].remedy = Some("configure the pair on both sides".into());
        let text = diagnose(&status, "branch1").unwrap();
        assert!(
            text.starts_with(
                "branch1 is connected from 198.18.1.2:4500, behind NAT. Its latest request failed, quick mode: \
                 no pair covers 10.61.3.0/24 here and 10.9.9.0/24 behind the peer. To do: configure the pair"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_branch_that_is_away_is_explained() {
        let text = diagnose(&status(), "branch2").unwrap();
        assert!(
            text.contains("key differs") && text.contains("To do: compare `psk`."),
            "{text}"
        );
        let text = diagnose(&status(), "branch3").unwrap();
        assert!(text.contains("Only the branch can begin"), "{text}");
    }

    #[test]
    fn a_name_that_is_nearly_right_is_corrected() {
        let error = diagnose(&status(), "brunch1").unwrap_err().to_string();
        assert_eq!(
            error,
            "nobody here is called brunch1; did you mean branch1?"
        );
        let error = diagnose(&status(), "x").unwrap_err().to_string();
        assert_eq!(error, "nobody here is called x");
    }
}

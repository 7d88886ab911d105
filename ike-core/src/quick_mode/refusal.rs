//! Selectors that are refused: what would be taken instead.
//!
//! RFC 2408 section 3.14 leaves the data of INVALID-ID-INFORMATION open. We put the two Identification payloads there that
//! quick mode would succeed with, in the order and form in which the initiator sends them. Only who has proved itself
//! gets them, and only if it has asked for something close to them.

use super::Selectors;
use crate::config::{PeerConfig, SelectorPair, Subnet};
use crate::error::QuickModeError;
use crate::wire::numbers::PayloadType;
use crate::wire::{PayloadChain, Payloads};

/// The configured pair that was probably meant: one that overlaps at both ends, else the only one that is right at one end.
pub(crate) fn nearest(config: &PeerConfig, asked: &Selectors) -> Option<SelectorPair> {
    let overlap = |one: &Subnet, other: &Subnet| one.covers(other) || other.covers(one);
    let mut pairs = config.pairs().iter();
    let overlapping = pairs
        .find(|pair| overlap(&pair.local, &asked.local) && overlap(&pair.remote, &asked.remote));
    if overlapping.is_some() {
        return overlapping.copied();
    }
    let half_right =
        |pair: &&SelectorPair| pair.local == asked.local || pair.remote == asked.remote;
    let mut pairs = config.pairs().iter().filter(half_right);
    pairs.next().filter(|_| pairs.next().is_none()).copied()
}

/// The data of the notification for a request that was refused.
pub(crate) fn data(error: &QuickModeError) -> Vec<u8> {
    let QuickModeError::UnknownSelector {
        nearest: Some(pair),
        ..
    } = error
    else {
        return Vec::new();
    };
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::IDENTIFICATION, &pair.remote.encode());
    payloads.push(PayloadType::IDENTIFICATION, &pair.local.encode());
    payloads.into_octets()
}

/// What the peer would take, from our point of view, as the initiator. `None` if the data says nothing of the kind.
pub(crate) fn acceptable(data: &[u8]) -> Option<Selectors> {
    let payloads = Payloads::decode(PayloadType::IDENTIFICATION, data).ok()?;
    let mut bodies = payloads.iter().map(|payload| payload.body());
    let (Some(idci), Some(idcr), None) = (bodies.next(), bodies.next(), bodies.next()) else {
        return None;
    };
    Selectors::decode(idci, idcr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Identity, PreSharedKey};

    fn pair(local: &str, remote: &str) -> SelectorPair {
        SelectorPair {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn nearest_of(pairs: &[SelectorPair], asked: SelectorPair) -> Option<SelectorPair> {
        let name = |text: &str| text.parse::<Identity>().unwrap();
        let key = PreSharedKey::new(b"for tests only");
        let config = PeerConfig::builder(name("hub"), name("branch"), key);
        let config = config.pairs(pairs.to_vec()).build().unwrap();
        nearest(&config, &asked.into())
    }

    #[test]
    fn what_overlaps_is_nearer_than_what_is_half_right() {
        let half = pair("10.61.3.0/24", "10.9.0.0/16");
        let wider = pair("10.61.0.0/16", "10.61.1.0/25");
        let asked = pair("10.61.3.0/24", "10.61.1.0/24");
        assert_eq!(nearest_of(&[half, wider], asked), Some(wider));
        assert_eq!(nearest_of(&[half], asked), Some(half));
        let also_half = pair("10.8.0.0/16", "10.61.1.0/24");
        assert_eq!(nearest_of(&[half, also_half], asked), None, "either may be");
        assert_eq!(
            nearest_of(&[pair("10.8.0.0/16", "10.9.0.0/16")], asked),
            None
        );
    }

    #[test]
    fn the_initiator_reads_it_from_its_own_side() {
        let ours = pair("10.61.3.0/24", "10.61.1.7/32");
        let error = QuickModeError::UnknownSelector {
            local: ours.local,
            remote: ours.remote,
            nearest: Some(ours),
        };
        let theirs = pair("10.61.1.7/32", "10.61.3.0/24");
        assert_eq!(acceptable(&data(&error)), Some(theirs.into()));
        assert!(data(&QuickModeError::UnsupportedSelector).is_empty());
    }

    #[test]
    fn data_of_any_other_form_says_nothing() {
        let id = pair("10.0.0.0/8", "10.0.0.0/8").local.encode();
        let chain = |count: usize| {
            let mut payloads = PayloadChain::new();
            (0..count).for_each(|_| payloads.push(PayloadType::IDENTIFICATION, &id));
            payloads.into_octets()
        };
        assert!(acceptable(&chain(2)).is_some());
        for data in [
            chain(0),
            chain(1),
            chain(3),
            id.clone(),
            b"no such pair".to_vec(),
        ] {
            assert_eq!(acceptable(&data), None, "{data:?}");
        }
    }
}

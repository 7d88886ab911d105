//! Which servers to believe, and what they say together: selection, clustering and combining,
//! RFC 5905 section 11.2.
//!
//! [`select()`] is a function of its arguments, so it can be used with sources that this crate knows nothing of.

use core::cmp::Ordering;

use thiserror::Error;

use crate::duration::NtpDuration;
use crate::packet::Stratum;

/// MAXDIST: one stratum more is as bad as this distance, and a server at this distance is useless.
pub const MAX_DISTANCE: f64 = 1.0;

/// A server that is fit to be selected.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// How far its clock is ahead of ours (theta).
    pub offset: NtpDuration,
    /// Greatest error of that offset relative to the reference clock (lambda); above zero.
    pub root_distance: NtpDuration,
    /// Its jitter (psi).
    pub jitter: NtpDuration,
    /// Its stratum.
    pub stratum: Stratum,
}

impl Candidate {
    /// A candidate from its offset, root distance, jitter and stratum.
    #[must_use]
    pub const fn new(
        offset: NtpDuration,
        root_distance: NtpDuration,
        jitter: NtpDuration,
        stratum: Stratum,
    ) -> Self {
        Self {
            offset,
            root_distance,
            jitter,
            stratum,
        }
    }
}

/// Settings of the selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct SelectionConfig {
    min_survivors: usize,
    keep_survivors: usize,
}

impl SelectionConfig {
    /// CMIN: servers that must agree. Default: 1.
    pub const fn min_survivors(mut self, count: usize) -> Self {
        self.min_survivors = count;
        self
    }

    /// NMIN: clustering casts no more out when so few are left. Default: 3.
    pub const fn keep_survivors(mut self, count: usize) -> Self {
        self.keep_survivors = count;
        self
    }
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            min_survivors: 1,
            keep_survivors: 3,
        }
    }
}

/// What the servers say together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Selection {
    /// Combined offset.
    pub offset: NtpDuration,
    /// Jitter of the system peer and of the survivors around it.
    pub jitter: NtpDuration,
    /// Positions of the servers that were believed, best first. The first is the system peer.
    pub survivors: Vec<usize>,
    /// Positions of the servers whose time cannot be right, in ascending order.
    pub falsetickers: Vec<usize>,
}

impl Selection {
    /// Position of the system peer.
    #[must_use]
    pub fn system_peer(&self) -> Option<usize> {
        self.survivors.first().copied()
    }
}

/// Why the servers say nothing together.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NoSelection {
    /// There is no candidate.
    #[error("no server is fit to be selected")]
    NoCandidates,
    /// No majority agrees. Two servers that disagree leave no way to tell which one is right.
    #[error("no majority among {candidates} servers agrees")]
    NoMajority {
        /// How many there were.
        candidates: usize,
    },
    /// Fewer servers agree than the settings demand.
    #[error("only {survivors} servers agree")]
    TooFew {
        /// How many agree.
        survivors: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Survivor {
    position: usize,
    offset: f64,
    distance: f64,
    jitter: f64,
    stratum: Stratum,
}

/// Selects among candidates. `previous` is the position of the last system peer, which stays while it
/// survives and none of a lower stratum does: changing sources for nothing makes a clock hop.
///
/// # Errors
///
/// Why there is no selection.
pub fn select(
    candidates: &[Candidate],
    previous: Option<usize>,
    config: &SelectionConfig,
) -> Result<Selection, NoSelection> {
    if candidates.is_empty() {
        return Err(NoSelection::NoCandidates);
    }
    let all: Vec<Survivor> = candidates.iter().enumerate().map(Survivor::new).collect();
    let (low, high) = intersect(&all).ok_or(NoSelection::NoMajority {
        candidates: all.len(),
    })?;
    let (mut survivors, false_ones): (Vec<Survivor>, Vec<Survivor>) = all
        .into_iter()
        .partition(|one| low <= one.offset && one.offset <= high);
    if survivors.len() < config.min_survivors.max(1) {
        return Err(NoSelection::TooFew {
            survivors: survivors.len(),
        });
    }
    cluster(&mut survivors, config.keep_survivors);
    prefer(&mut survivors, previous);
    let (offset, jitter) = combine(&survivors);
    Ok(Selection {
        offset: NtpDuration::from_seconds_f64(offset),
        jitter: NtpDuration::from_seconds_f64(jitter),
        survivors: survivors.iter().map(|one| one.position).collect(),
        falsetickers: false_ones.iter().map(|one| one.position).collect(),
    })
}

impl Survivor {
    fn new((position, candidate): (usize, &Candidate)) -> Self {
        Self {
            position,
            offset: candidate.offset.as_seconds_f64(),
            distance: candidate
                .root_distance
                .as_seconds_f64()
                .max(f64::MIN_POSITIVE),
            jitter: candidate.jitter.as_seconds_f64(),
            stratum: candidate.stratum,
        }
    }

    /// What the cluster algorithm sorts by.
    fn merit(&self) -> f64 {
        MAX_DISTANCE * f64::from(self.stratum.0) + self.distance
    }
}

/// An end or the middle of a correctness interval.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: f64,
    kind: EdgeKind,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum EdgeKind {
    Low,
    Middle,
    High,
}

impl Edge {
    fn order(&self, other: &Self) -> Ordering {
        self.at
            .total_cmp(&other.at)
            .then(self.kind.cmp(&other.kind))
    }
}

/// The smallest interval that holds points of a majority of the correctness intervals, and the midpoints of as
/// many; RFC 5905 section 11.2.1.
fn intersect(candidates: &[Survivor]) -> Option<(f64, f64)> {
    let mut edges: Vec<Edge> = candidates
        .iter()
        .flat_map(|one| {
            [
                Edge {
                    at: one.offset - one.distance,
                    kind: EdgeKind::Low,
                },
                Edge {
                    at: one.offset,
                    kind: EdgeKind::Middle,
                },
                Edge {
                    at: one.offset + one.distance,
                    kind: EdgeKind::High,
                },
            ]
        })
        .collect();
    edges.sort_by(Edge::order);
    let count = candidates.len();
    (0..count.div_ceil(2)).find_map(|falsetickers| {
        let wanted = count - falsetickers;
        let (low, below) = scan(edges.iter(), EdgeKind::Low, wanted)?;
        let (high, above) = scan(edges.iter().rev(), EdgeKind::High, wanted)?;
        (below + above <= falsetickers && low < high).then_some((low, high))
    })
}

/// Where the number of open intervals first reaches `wanted`, and how many midpoints were passed before.
fn scan<'a>(
    edges: impl Iterator<Item = &'a Edge>,
    opening: EdgeKind,
    wanted: usize,
) -> Option<(f64, usize)> {
    let (mut open, mut midpoints) = (0_usize, 0);
    for edge in edges {
        if edge.kind == opening {
            open += 1;
        } else if edge.kind == EdgeKind::Middle {
            midpoints += 1;
        } else {
            open = open.saturating_sub(1);
        }
        if wanted <= open {
            return Some((edge.at, midpoints));
        }
    }
    None
}

/// Casts out the server that lies farthest from the others, until that would not help any more;
/// RFC 5905 section 11.2.2.
fn cluster(survivors: &mut Vec<Survivor>, keep: usize) {
    survivors.sort_by(|left, right| {
        left.merit()
            .total_cmp(&right.merit())
            .then(left.position.cmp(&right.position))
    });
    while keep.max(1) < survivors.len() {
        let least_jitter = survivors
            .iter()
            .map(|one| one.jitter)
            .fold(f64::INFINITY, f64::min);
        let farthest = survivors
            .iter()
            .enumerate()
            .map(|(index, one)| (index, selection_jitter(one, survivors)))
            .max_by(|left, right| left.1.total_cmp(&right.1));
        match farthest {
            Some((index, jitter)) if least_jitter <= jitter => survivors.remove(index),
            Some(_) | None => return,
        };
    }
}

/// Root mean square distance of a server's offset to those of the others.
fn selection_jitter(one: &Survivor, all: &[Survivor]) -> f64 {
    let sum: f64 = all
        .iter()
        .map(|other| (one.offset - other.offset).powi(2))
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of servers")]
    let others = all.len().saturating_sub(1).max(1) as f64;
    (sum / others).sqrt()
}

/// Keeps the last system peer in front while nobody of a lower stratum has survived.
fn prefer(survivors: &mut [Survivor], previous: Option<usize>) {
    let place = survivors
        .iter()
        .position(|one| Some(one.position) == previous);
    let Some(place) = place else {
        return;
    };
    let best = survivors.iter().map(|one| one.stratum).min();
    if survivors.get(place).map(|one| one.stratum) == best
        && let Some(front) = survivors.get_mut(..=place)
    {
        front.rotate_right(1);
    }
}

/// Offset and jitter of all survivors, each weighted by the reciprocal of its root distance; RFC 5905 section 11.2.3.
fn combine(survivors: &[Survivor]) -> (f64, f64) {
    let Some(peer) = survivors.first() else {
        return (0.0, 0.0);
    };
    let total: f64 = survivors.iter().map(|one| one.distance.recip()).sum();
    let weighted = |value: &dyn Fn(&Survivor) -> f64| -> f64 {
        survivors
            .iter()
            .map(|one| value(one) * one.distance.recip())
            .sum::<f64>()
            / total
    };
    let offset = weighted(&|one| one.offset);
    let selection_jitter = weighted(&|one| (one.offset - peer.offset).powi(2));
    (offset, (selection_jitter + peer.jitter.powi(2)).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(offset: f64, distance: f64, jitter: f64, stratum: u8) -> Candidate {
        Candidate::new(
            NtpDuration::from_seconds_f64(offset),
            NtpDuration::from_seconds_f64(distance),
            NtpDuration::from_seconds_f64(jitter),
            Stratum(stratum),
        )
    }

    fn selected(candidates: &[Candidate]) -> Result<Selection, NoSelection> {
        select(candidates, None, &SelectionConfig::default())
    }

    #[test]
    fn a_single_server_is_believed() {
        let selection = selected(&[candidate(0.5, 0.1, 0.01, 2)]).unwrap();
        assert_eq!(selection.survivors, [0]);
        assert_eq!(selection.offset, NtpDuration::from_seconds_f64(0.5));
    }

    #[test]
    fn two_servers_that_disagree_are_no_majority() {
        let two = [candidate(0.0, 0.1, 0.01, 2), candidate(1.0, 0.1, 0.01, 2)];
        assert_eq!(
            selected(&two),
            Err(NoSelection::NoMajority { candidates: 2 })
        );
        assert_eq!(selected(&[]), Err(NoSelection::NoCandidates));
    }

    #[test]
    fn the_odd_one_out_of_three_is_a_falseticker() {
        let three = [
            candidate(0.0, 0.1, 0.01, 2),
            candidate(9.0, 0.1, 0.01, 1),
            candidate(0.05, 0.1, 0.01, 3),
        ];
        let selection = selected(&three).unwrap();
        assert_eq!(
            (selection.survivors, selection.falsetickers),
            (vec![0, 2], vec![1])
        );
    }

    #[test]
    fn too_few_survivors_are_refused() {
        let config = SelectionConfig::default().min_survivors(2);
        let one = [candidate(0.0, 0.1, 0.01, 2)];
        assert_eq!(
            select(&one, None, &config),
            Err(NoSelection::TooFew { survivors: 1 })
        );
    }

    #[test]
    fn the_last_system_peer_stays_while_nobody_of_a_lower_stratum_survives() {
        let config = SelectionConfig::default();
        let equal = [candidate(0.0, 0.1, 0.01, 2), candidate(0.0, 0.2, 0.01, 2)];
        assert_eq!(
            select(&equal, Some(1), &config).unwrap().system_peer(),
            Some(1)
        );
        assert_eq!(
            select(&equal, None, &config).unwrap().system_peer(),
            Some(0)
        );
        let lower = [candidate(0.0, 0.1, 0.01, 1), candidate(0.0, 0.2, 0.01, 2)];
        assert_eq!(
            select(&lower, Some(1), &config).unwrap().system_peer(),
            Some(0)
        );
    }

    #[test]
    fn clustering_casts_the_farthest_out_and_keeps_three() {
        let five: Vec<_> = [0.000, 0.001, 0.002, 0.003, 0.050]
            .iter()
            .map(|offset| candidate(*offset, 0.1, 1e-6, 2))
            .collect();
        let selection = selected(&five).unwrap();
        assert_eq!(selection.survivors.len(), 3);
        assert!(!selection.survivors.contains(&4));
        assert!(
            selection.falsetickers.is_empty(),
            "a bad one, but not a false one"
        );
    }

    /// The whole of RFC 5905 section 11.2, computed the long way round.
    fn naive(candidates: &[(f64, f64, f64, u8)], keep: usize) -> Option<(Vec<usize>, f64, f64)> {
        let count = candidates.len();
        let holds = |x: f64| {
            candidates
                .iter()
                .filter(|(o, d, _, _)| o - d <= x && x <= o + d)
                .count()
        };
        let mut interval = None;
        let mut allowed = 0;
        while 2 * allowed < count && interval.is_none() {
            let lows = candidates
                .iter()
                .map(|(o, d, _, _)| o - d)
                .filter(|x| holds(*x) >= count - allowed);
            let highs = candidates
                .iter()
                .map(|(o, d, _, _)| o + d)
                .filter(|x| holds(*x) >= count - allowed);
            let (low, high) = (
                lows.fold(f64::NAN, f64::min),
                highs.fold(f64::NAN, f64::max),
            );
            let outside = candidates
                .iter()
                .filter(|(o, ..)| *o < low || high < *o)
                .count();
            if low < high && outside <= allowed {
                interval = Some((low, high));
            }
            allowed += 1;
        }
        let (low, high) = interval?;
        let mut left: Vec<usize> = (0..count)
            .filter(|i| low <= candidates[*i].0 && candidates[*i].0 <= high)
            .collect();
        if left.is_empty() {
            return None;
        }
        let merit = |i: &usize| f64::from(candidates[*i].3) + candidates[*i].1;
        left.sort_by(|a, b| merit(a).partial_cmp(&merit(b)).unwrap());
        while left.len() > keep {
            let spread = |i: usize| {
                let sum: f64 = left
                    .iter()
                    .map(|j| (candidates[i].0 - candidates[*j].0).powi(2))
                    .sum();
                (sum / (left.len() - 1) as f64).sqrt()
            };
            let worst = (0..left.len())
                .max_by(|a, b| spread(left[*a]).partial_cmp(&spread(left[*b])).unwrap())
                .unwrap();
            let least = left
                .iter()
                .map(|i| candidates[*i].2)
                .fold(f64::MAX, f64::min);
            if spread(left[worst]) < least {
                break;
            }
            left.remove(worst);
        }
        let (mut weights, mut offset, mut square) = (0.0, 0.0, 0.0);
        let peer = candidates[left[0]];
        for i in &left {
            let (o, d, ..) = candidates[*i];
            weights += 1.0 / d;
            offset += o / d;
            square += (o - peer.0).powi(2) / d;
        }
        Some((
            left,
            offset / weights,
            (square / weights + peer.2.powi(2)).sqrt(),
        ))
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_computation(
            candidates in prop::collection::vec((-0.3..0.3_f64, 0.01..0.4_f64, 0.0001..0.2_f64, 1..5_u8), 1..9),
        ) {
            let expected = naive(&candidates, 3);
            let typed: Vec<_> = candidates.iter().map(|(o, d, j, s)| candidate(*o, *d, *j, *s)).collect();
            match (selected(&typed), expected) {
                (Ok(got), Some((survivors, offset, jitter))) => {
                    prop_assert_eq!(got.survivors, survivors);
                    prop_assert!((got.offset.as_seconds_f64() - offset).abs() < 1e-6);
                    prop_assert!((got.jitter.as_seconds_f64() - jitter).abs() < 1e-6);
                }
                (Err(NoSelection::NoMajority { .. } | NoSelection::TooFew { .. }), None) => {}
                (got, expected) => prop_assert!(false, "{:?} against {:?}", got, expected),
            }
        }
    }
}

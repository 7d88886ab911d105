//! What each kind of input costs a hub, and what it was spent on.

use std::time::Duration;

/// A kind of work of the hub's one thread.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Work {
    /// Message 1 of a known branch, answered.
    First,
    /// Message 3, its exponentiation aside.
    Third,
    /// A message of quick mode, taken in.
    QuickMode,
    /// Another message of IKE, taken in.
    Informational,
    /// A message of IKE that was dropped: a repetition, or of a former life. Whatever it is answered with is included.
    Rejected,
    /// ESP that was opened and, if it was a probe, answered.
    Probe,
    /// ESP that was opened and given to whom it is for.
    Data,
    /// ESP under an SPI that is not known, with INVALID-SPI.
    UnknownSpi,
    /// A timer that was due.
    Timer,
    /// A call of the roll.
    Call,
    /// An inner packet, sealed or held.
    Packet,
    /// The kernel's part of one datagram, in or out.
    Kernel,
    /// An exponentiation in group 14 with a short exponent.
    Exponentiation,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::First,
        Self::Third,
        Self::QuickMode,
        Self::Informational,
        Self::Rejected,
        Self::Probe,
        Self::Data,
        Self::UnknownSpi,
        Self::Timer,
        Self::Call,
        Self::Packet,
        Self::Kernel,
        Self::Exponentiation,
    ];

    /// Processor time, on a machine that takes 760 us for an exponentiation.
    ///
    /// `cargo bench -p fleet --bench hub_inputs` measures each kind on a hub with 10,000 branches and scales it to that
    /// machine. These are the higher of two runs on a machine that did nothing else, rounded up to whole microseconds;
    /// the kernel's part is half of what one datagram in and one out take on loopback. `Informational` is an estimate from
    /// above: few of them come.
    #[must_use]
    pub const fn time(self) -> Duration {
        Duration::from_nanos(match self {
            Self::First => 13_000,
            Self::Third => 11_000,
            Self::QuickMode => 9_000,
            Self::Informational => 10_000,
            Self::Rejected => 1_000,
            Self::Probe => 3_000,
            Self::Data => 2_000,
            Self::UnknownSpi => 1_000,
            Self::Timer => 4_000,
            Self::Call => 1_000,
            Self::Packet => 1_000,
            Self::Kernel => 3_000,
            Self::Exponentiation => 760_000,
        })
    }

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "message 1",
            Self::Third => "message 3",
            Self::QuickMode => "quick mode",
            Self::Informational => "informational",
            Self::Rejected => "rejected",
            Self::Probe => "probe",
            Self::Data => "data",
            Self::UnknownSpi => "unknown SPI",
            Self::Timer => "timer",
            Self::Call => "call",
            Self::Packet => "inner packet",
            Self::Kernel => "datagram (kernel)",
            Self::Exponentiation => "exponentiation",
        }
    }
}

/// What one branch with so many pairs costs a hub when it comes back, all in all.
#[must_use]
pub fn of_a_return(pairs: u32) -> Duration {
    // As `fleet --branches 10000 --scenario hub-reboot` counts them. Each pair: both messages of quick mode that the hub
    // gets, of which the second confirms what ESP has confirmed; the probe that was held, the one after the first reply,
    // and one more; the question that was held, one more, and the answer.
    let of_a_pair = [
        (Work::QuickMode, 1),
        (Work::Rejected, 1),
        (Work::Probe, 3),
        (Work::Packet, 2),
        (Work::Data, 1),
        (Work::Kernel, 2 + 1 + 3 + 3 + 2),
    ];
    let of_a_branch = [
        (Work::Exponentiation, 1),
        (Work::Call, 1),
        (Work::First, 1),
        (Work::Third, 1),
        (Work::Timer, 4),
        (Work::Kernel, 1 + 4),
    ];
    let sum = |parts: &[(Work, u32)]| -> Duration {
        parts.iter().map(|(work, count)| work.time() * *count).sum()
    };
    sum(&of_a_branch) + sum(&of_a_pair) * pairs
}

/// How often each kind of work was done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally([u64; Work::ALL.len()]);

impl Tally {
    /// Counts.
    pub(crate) fn add(&mut self, work: Work, count: u64) {
        if let Some(total) = self.0.get_mut(work as usize) {
            *total += count;
        }
    }

    /// How often.
    #[must_use]
    pub fn count(&self, work: Work) -> u64 {
        self.0.get(work as usize).copied().unwrap_or(0)
    }

    /// Processor time of everything.
    #[must_use]
    pub fn time(&self) -> Duration {
        Work::ALL.iter().map(|work| self.time_of(*work)).sum()
    }

    /// Processor time of one kind.
    #[must_use]
    pub fn time_of(&self, work: Work) -> Duration {
        work.time() * u32::try_from(self.count(work)).unwrap_or(u32::MAX)
    }

    /// What came on top of an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(earlier.0) {
            *count -= before;
        }
        Self(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let mut tally = Tally::default();
        for (count, work) in (1..).zip(Work::ALL) {
            tally.add(work, count);
        }
        for (count, work) in (1..).zip(Work::ALL) {
            assert_eq!(tally.count(work), count, "{work:?}");
        }
        let before = tally;
        tally.add(Work::First, 2);
        assert_eq!(tally.since(&before).time(), Work::First.time() * 2);
    }
}

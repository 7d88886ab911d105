//! Processor time of a process, all its threads together.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time, twice: as everybody knows it, and as exactly as the scheduler does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct CpuTime {
    /// `utime` and `stime` of `/proc/PID/stat`, in hundredths of a second.
    ticks: Duration,
    /// What `/proc/PID/task/*/schedstat` says, in nanoseconds; without threads that have ended.
    precise: Duration,
}

impl CpuTime {
    /// Of a process since it began.
    pub(super) fn of(id: u32) -> Result<Self> {
        let path = format!("/proc/{id}/stat");
        let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
        let ticks = ticks(&stat).context(path)?;
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let path = thread?.path().join("schedstat");
            // A thread may have ended meanwhile.
            if let Ok(text) = fs::read_to_string(&path) {
                let first = text
                    .split(' ')
                    .next()
                    .and_then(|nanos| nanos.parse::<u64>().ok());
                nanos += first.with_context(|| format!("{}", path.display()))?;
            }
        }
        Ok(Self {
            ticks: Duration::from_millis(10 * ticks),
            precise: Duration::from_nanos(nanos),
        })
    }

    /// What came between.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            ticks: self.ticks.saturating_sub(earlier.ticks),
            precise: self.precise.saturating_sub(earlier.precise),
        }
    }

    /// The scheduler's figure, unless threads have ended with theirs: then that of `/proc/PID/stat`.
    pub(super) fn precise(&self) -> Duration {
        let rounded = Duration::from_millis(20);
        if self.precise + rounded < self.ticks {
            self.ticks
        } else {
            self.precise
        }
    }
}

/// `utime` and `stime`, fields 14 and 15; the name in field 2 may have spaces, and is in parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat =
            "30480 (a (b) c) R 30473 30473 12853 0 -1 4194304 101 0 0 0 17 5 0 0 20 0 1 0 76397";
        assert_eq!(ticks(stat), Some(22));
        assert_eq!(ticks("30480"), None);
    }

    #[test]
    fn threads_that_have_ended_are_not_forgotten() {
        let time = |ticks, precise| CpuTime {
            ticks: Duration::from_millis(ticks),
            precise: Duration::from_millis(precise),
        };
        assert_eq!(time(100, 95).precise(), Duration::from_millis(95));
        assert_eq!(time(100, 15).precise(), Duration::from_millis(100));
    }

    #[test]
    fn our_own_time_goes_by() {
        let id = std::process::id();
        let before = CpuTime::of(id).unwrap();
        let mut sum = 0_u64;
        while CpuTime::of(id).unwrap().since(&before).precise == Duration::ZERO {
            sum = std::hint::black_box(sum + 1);
        }
    }
}

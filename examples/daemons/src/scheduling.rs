//! Whether packets wait while the machine does something else, sched(7).

use std::io;

use thread_priority::{
    Error, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// What the crate turns into a nice value of 0.
const NICE_ZERO: u8 = 48;

/// The calling thread goes before everything that is ordinary from now on, and so does each that it begins, until that
/// calls [`ordinary`]. `SCHED_RR` at the lowest priority: whatever else is realtime goes before it.
pub(crate) fn realtime() -> io::Result<()> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set(ThreadPriority::Min, policy)
}

/// The calling thread is one of many again. One that is already stays as nice as it is.
pub(crate) fn ordinary() -> io::Result<()> {
    if !matches!(
        thread_schedule_policy(),
        Ok(ThreadSchedulePolicy::Realtime(_))
    ) {
        return Ok(());
    }
    let priority = NICE_ZERO
        .try_into()
        .map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    set(priority, policy)
}

fn set(priority: ThreadPriority, policy: ThreadSchedulePolicy) -> io::Result<()> {
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(
        |error| match error {
            Error::OS(errno) => io::Error::from_raw_os_error(errno),
            other => io::Error::other(format!("{other:?}")),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Policy and nice value of the calling thread, as proc(5) gives them.
    fn scheduling() -> (String, String) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        (fields[38].to_owned(), fields[16].to_owned())
    }

    #[test]
    fn a_thread_that_is_ordinary_stays_as_nice_as_it_is() {
        let (before, after) = thread::spawn(|| {
            // The tests themselves may be run with `nice`.
            rustix::process::nice(1).unwrap();
            (scheduling(), ordinary().map(|()| scheduling()))
        })
        .join()
        .unwrap();
        assert_ne!(before.1, "0");
        assert_eq!(before, after.unwrap());
    }

    #[test]
    fn a_thread_that_a_realtime_one_begins_can_be_ordinary() {
        thread::spawn(|| {
            let before = scheduling();
            assert_eq!(before.0, "0");
            if let Err(error) = realtime() {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                return;
            }
            assert_eq!(scheduling().0, "2");
            let begun = thread::spawn(|| {
                assert_eq!(scheduling().0, "2");
                ordinary().map(|()| scheduling())
            });
            let (policy, nice) = begun.join().unwrap().unwrap();
            assert_eq!((policy.as_str(), nice.as_str()), ("0", "0"));
        })
        .join()
        .unwrap();
    }
}

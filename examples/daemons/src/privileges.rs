//! Capabilities: the daemon keeps what it needs at run time, the thread that runs the hook keeps none.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// Routes and addresses follow the settings and the links for as long as the daemon runs.
const AT_RUN_TIME: CapabilitySet = CapabilitySet::NET_ADMIN;
/// What the sockets and the TUN device take to open.
const TO_OPEN: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// To be called when everything is open: of what the calling thread may do, only routes and addresses are left, and the
/// port of NTP if probes of pairs to come are to be heard there. What it executes gets no more than opening takes.
pub(crate) fn keep_what_running_takes(hears_probes: bool) -> io::Result<()> {
    let owned = capabilities(None)?;
    if owned.permitted.contains(CapabilitySet::SETPCAP) {
        limit_bounding_set(TO_OPEN)?;
    }
    let taken = if hears_probes {
        AT_RUN_TIME | CapabilitySet::NET_BIND_SERVICE
    } else {
        AT_RUN_TIME
    };
    keep(owned.permitted & taken)
}

/// Nothing is left to the calling thread, and nothing that it executes can gain anything.
pub(crate) fn give_up_all() -> io::Result<()> {
    let owned = capabilities(None)?;
    // A program that root executes is given all that the bounding set holds.
    if owned.permitted.contains(CapabilitySet::SETPCAP) {
        limit_bounding_set(CapabilitySet::empty())?;
    } else if rustix::process::geteuid().is_root() && bounding_set().next().is_some() {
        return Err(Errno::PERM.into());
    }
    set_no_new_privs(true)?;
    keep(CapabilitySet::empty())
}

/// Nothing is left to the calling thread; what it executes is another matter.
pub(crate) fn give_up_own() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

fn keep(kept: CapabilitySet) -> io::Result<()> {
    // Kernels that know no ambient set have none to clear.
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

fn limit_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for capability in bounding_set().filter(|capability| !kept.contains(*capability)) {
        remove_capability_from_bounding_set(capability)?;
    }
    Ok(())
}

/// All that the bounding set holds, one by one; the kernel may know more than there are names for.
fn bounding_set() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .filter(|capability| capability_is_in_bounding_set(*capability) == Ok(true))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Of the calling thread, whatever other threads may do.
    fn owned() -> CapabilitySet {
        capabilities(None).unwrap().permitted
    }

    #[test]
    fn routes_stay_possible_and_nothing_else() {
        let before = owned();
        let after = thread::spawn(|| {
            keep_what_running_takes(false).unwrap();
            (owned(), bounding_set().collect::<CapabilitySet>())
        });
        let (after, bounding) = after.join().unwrap();
        assert_eq!(after, before & CapabilitySet::NET_ADMIN);
        if before.contains(CapabilitySet::SETPCAP) {
            assert!(TO_OPEN.contains(bounding), "{bounding:?}");
        }
        assert_eq!(owned(), before, "the other threads keep theirs");
    }

    #[test]
    fn what_is_given_up_cannot_be_had_again() {
        let thread = thread::spawn(|| {
            if give_up_all().is_err() {
                // Root without CAP_SETPCAP cannot keep its children from anything, and says so.
                assert!(!owned().contains(CapabilitySet::SETPCAP));
                return;
            }
            assert!(owned().is_empty());
            let everything = CapabilitySets {
                effective: CapabilitySet::NET_ADMIN,
                permitted: CapabilitySet::NET_ADMIN,
                inheritable: CapabilitySet::NET_ADMIN,
            };
            assert!(set_capabilities(None, everything).is_err());
        });
        thread.join().unwrap();
    }
}

//! SIGTERM and SIGINT end the daemon, SIGHUP makes it read its settings again.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Wakes the loop when a signal has come.
pub(crate) struct Signals {
    wake: UnixStream,
    hang_up: Arc<AtomicBool>,
    ends: Arc<AtomicUsize>,
}

/// What was asked for since the last look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) reload: bool,
    pub(crate) end: bool,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (wake, signalled) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let hang_up = Arc::new(AtomicBool::new(false));
        let ends = Arc::new(AtomicUsize::new(0));
        // The flag first: when the loop wakes it must find it set.
        flag::register(SIGHUP, Arc::clone(&hang_up))?;
        for signal in [SIGTERM, SIGINT] {
            // A second one does not wait for anybody.
            let second = Arc::new(AtomicBool::new(false));
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&second))?;
            flag::register(signal, second)?;
            flag::register_usize(signal, Arc::clone(&ends), 1)?;
        }
        for signal in [SIGHUP, SIGTERM, SIGINT] {
            low_level::pipe::register(signal, signalled.try_clone()?)?;
        }
        Ok(Self {
            wake,
            hang_up,
            ends,
        })
    }

    pub(crate) fn asked(&mut self) -> Asked {
        let mut octets = [0; 64];
        while self.wake.read(&mut octets).is_ok_and(|len| 0 < len) {}
        Asked {
            reload: self.hang_up.swap(false, Ordering::Relaxed),
            end: self.ends.load(Ordering::Relaxed) != 0,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

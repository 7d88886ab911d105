//! What the loop sleeps on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Something that can be read now and then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// By the index of the socket.
    Outer(usize),
    Tun,
    Service,
    Signals,
    Links,
    Kernel,
    Workers,
}

/// Everything that wakes the loop. The kernel keeps the list, so that a wake costs one look at what has woken it.
pub(super) struct Watch {
    epoll: OwnedFd,
    /// By the number that the kernel gives back.
    sources: Vec<Source>,
    woken: Vec<epoll::Event>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sources: Vec::new(),
            woken: Vec::new(),
        })
    }

    /// Looks at it from now on, until it is closed.
    pub(super) fn add(&mut self, source: Source, fd: impl AsFd) -> io::Result<()> {
        let number = epoll::EventData::new_u64(self.sources.len() as u64);
        epoll::add(&self.epoll, fd, number, epoll::EventFlags::IN)?;
        self.sources.push(source);
        self.woken.reserve(self.sources.len());
        Ok(())
    }

    /// Sleeps until something can be read, or for that long; then `ready` is what can be read.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Source>,
    ) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        self.woken.clear();
        ready.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.woken),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        ready.extend(self.woken.iter().filter_map(|event| {
            let number = usize::try_from(event.data.u64()).ok()?;
            self.sources.get(number).copied()
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::Wake;

    #[test]
    fn only_what_can_be_read_is_named_and_again_until_it_has_been_read() {
        let (tun, links) = (Wake::new().unwrap(), Wake::new().unwrap());
        let mut watch = Watch::new().unwrap();
        watch.add(Source::Tun, &tun).unwrap();
        watch.add(Source::Links, &links).unwrap();
        let mut ready = vec![Source::Kernel];
        watch.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert_eq!(ready, []);
        links.up();
        for _ in 0..2 {
            watch.wait(None, &mut ready).unwrap();
            assert_eq!(ready, [Source::Links]);
        }
        tun.up();
        watch.wait(None, &mut ready).unwrap();
        assert_eq!(ready.len(), 2);
        links.quiet();
        watch.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Source::Tun]);
    }
}

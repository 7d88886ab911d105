//! Watches for the way to the hub to appear, change or go: the branch's link. Of a hub, whose routes follow the addresses
//! of its machine: for those to change.

use core::net::IpAddr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::rtnetlink::{Rtnetlink, Way};
use super::{SystemError, would_block};

/// Multicast groups of rtnetlink, from its stable interface.
const LINK: u32 = 1;
const IPV4_ADDRESS: u32 = 5;
const IPV4_ROUTE: u32 = 7;
const IPV6_ADDRESS: u32 = 9;
const IPV6_ROUTE: u32 = 11;

/// Datagrams taken in one turn at most, lest a storm of routes starve everything else.
const BATCH: usize = 256;

/// What became of the way to the hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PathChange {
    /// There is a way, from this own address. Also when it only changed.
    Up(IpAddr),
    /// There is none.
    Down,
}

/// Follows the kernel's announcements.
pub struct LinkWatch {
    announcements: Socket,
    netlink: Rtnetlink,
    /// The own interface, whose changes are our doing.
    tun: u32,
    way: Option<Way>,
}

impl LinkWatch {
    /// Begins to listen; `tun` is the interface that never leads to the hub.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(tun: u32) -> Result<Self, SystemError> {
        let all = [LINK, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE];
        Self::listen(tun, &all)
    }

    /// The same for a hub, which is told of addresses only: it sets a route whenever a pair comes up, and would be woken by
    /// each of its own to look at the routes of all.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn of_addresses(tun: u32) -> Result<Self, SystemError> {
        Self::listen(tun, &[IPV4_ADDRESS, IPV6_ADDRESS])
    }

    fn listen(tun: u32, groups: &[u32]) -> Result<Self, SystemError> {
        let open = || -> io::Result<Self> {
            let mut announcements = Socket::new(NETLINK_ROUTE)?;
            announcements.bind(&SocketAddr::new(0, 0))?;
            for group in groups {
                announcements.add_membership(*group)?;
            }
            announcements.set_non_blocking(true)?;
            Ok(Self {
                announcements,
                netlink: Rtnetlink::open()?,
                tun,
                way: None,
            })
        };
        open().map_err(|error| {
            SystemError::privileged("watch the links", error, "check the system's log")
        })
    }

    /// Takes what has been announced; whether anything was.
    ///
    /// What it says is not looked at: announcements can be lost, the tables are the truth.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn drain(&self) -> io::Result<bool> {
        let mut buffer = Vec::with_capacity(16_384);
        for taken in 0..BATCH {
            buffer.clear();
            match self.announcements.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(taken != 0),
                // The kernel had more to say than fitted: look at the tables.
                Err(error) if super::is_errno(&error, rustix::io::Errno::NOBUFS) => {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Forgets the way, so that the next look-up tells it again.
    pub fn forget(&mut self) {
        self.way = None;
    }

    /// Looks up the way to `hub`, and says what is new since the last time.
    pub fn look_up(&mut self, hub: IpAddr) -> Option<PathChange> {
        let way = self
            .netlink
            .way_to(hub)
            .filter(|way| way.interface != self.tun);
        let way = way.filter(|way| self.netlink.is_running(way.interface));
        if way == self.way {
            return None;
        }
        self.way = way;
        Some(way.map_or(PathChange::Down, |way| PathChange::Up(way.source)))
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.announcements.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sched::{CloneFlags, unshare};

    use super::super::rtnetlink::{Existing, Route};
    use super::*;

    /// The loopback interface of any network namespace.
    const LOOPBACK: u32 = 1;

    fn refusing(destination: &str) -> Route {
        Route {
            destination: destination.parse().unwrap(),
            interface: None,
            source: None,
            metric: 7,
            table: 254,
            protocol: 178,
        }
    }

    /// In a network namespace of the test's own; without the right to that it is left out.
    #[test]
    fn a_hub_is_told_of_addresses_and_not_of_the_routes_that_it_sets() {
        let test = || {
            if unshare(CloneFlags::CLONE_NEWNET).is_err() {
                return;
            }
            let mut netlink = Rtnetlink::open().unwrap();
            let hub = LinkWatch::of_addresses(LOOPBACK).unwrap();
            let branch = LinkWatch::open(LOOPBACK).unwrap();
            let told = || (hub.drain().unwrap(), branch.drain().unwrap());
            assert_eq!(told(), (false, false));
            let route = refusing("10.9.0.0/24");
            netlink.add_route(&route, Existing::Refuse).unwrap();
            assert_eq!(told(), (false, true));
            netlink
                .add_address(LOOPBACK, "10.9.1.1/24".parse().unwrap())
                .unwrap();
            assert_eq!(told(), (true, true));
        };
        thread::spawn(test).join().unwrap();
    }
}

//! Everything that the loop needs to use the kernel's data path.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use tracing::{debug, info};

use super::inner::{Ear, InnerSender};
use super::netlink::XfrmSocket;
use super::notices::Notices;
use super::path::{KernelPath, News, Outcome};
use super::trial::{self, Unfit};
use crate::io::SystemError;
use crate::machine::Machine;
use crate::role::Role;
use crate::settings::{DataPlane, GatewaySettings};

/// How often the counters of each SA are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// SAs that are looked at in one turn at most; where there are more of them, the others' turn comes soon.
const LOOKS: usize = 64;
const NEXT_LOOKS: Duration = Duration::from_millis(50);
/// Rounds of changes in one turn at most: each may make the machine want others.
const MAX_ROUNDS: usize = 4;

/// The kernel's data path in use.
pub(crate) struct KernelPlane {
    path: KernelPath<XfrmSocket>,
    notices: Notices,
    sender: InnerSender,
    ears: Vec<Ear>,
    /// Of a hub: the own addresses that probes are sent to.
    served: Vec<IpAddr>,
    /// Readable where anything of the above is.
    readiness: OwnedFd,
    look: Instant,
    /// Packets that the kernel did not take, or that had no SA.
    unsent: u64,
}

/// What the choice depends on besides the kernel.
pub(crate) struct Reasons<'s> {
    pub(crate) role: Role,
    /// Outer addresses of peers that are known.
    pub(crate) peers: &'s [IpAddr],
    /// Why the settings as a whole rule the kernel out.
    pub(crate) obstacle: Option<&'static str>,
}

impl KernelPlane {
    /// Decides who seals and opens, and says so. `None`: the machine itself.
    ///
    /// # Errors
    ///
    /// [`SystemError`] where the settings insist on the kernel and it cannot, with what to do.
    pub(crate) fn choose(
        gateway: &GatewaySettings,
        reasons: &Reasons<'_>,
    ) -> Result<Option<Self>, SystemError> {
        if gateway.dataplane == DataPlane::User {
            return Ok(None);
        }
        match fit(gateway, reasons) {
            Ok(xfrm) => {
                info!("data path: the kernel seals and opens (XFRM)");
                Self::open(xfrm, reasons.role).map(Some)
            }
            Err(unfit) if gateway.dataplane == DataPlane::Auto => {
                info!(reason = %unfit, "data path: this program seals and opens by itself");
                Ok(None)
            }
            Err(unfit) => Err(SystemError::new(
                "leave ESP to the kernel",
                io::Error::other(unfit.to_string()),
                "`dataplane = \"user\"` works everywhere, and \"auto\" takes the kernel where it can",
            )),
        }
    }

    fn open(xfrm: XfrmSocket, role: Role) -> Result<Self, SystemError> {
        let refused =
            |error| SystemError::privileged("listen to XFRM", error, "check the system's log");
        let notices = Notices::open().map_err(refused)?;
        let readiness =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| refused(errno.into()))?;
        watch(&readiness, &notices).map_err(refused)?;
        Ok(Self {
            path: KernelPath::new(role, xfrm),
            notices,
            sender: InnerSender::open()?,
            ears: Vec::new(),
            served: Vec::new(),
            readiness,
            look: crate::clock::now(),
            unsent: 0,
        })
    }

    /// A hub answers NTP on these own addresses.
    pub(crate) fn serve(&mut self, own: &[IpAddr]) {
        self.served = own.to_vec();
    }

    /// Whatever was left is gone from here on, and the machine's pairs are guarded.
    pub(crate) fn begin(&mut self, machine: &Machine) -> Result<(), SystemError> {
        self.path.sweep().map_err(|refusal| {
            SystemError::privileged("list SAs and policies", refusal, "check the system's log")
        })?;
        self.follow(machine, false)
    }

    /// Guards the pairs that the machine has now, and hears their probes. If it has been replaced, what the former had
    /// is gone.
    pub(crate) fn follow(&mut self, machine: &Machine, replaced: bool) -> Result<(), SystemError> {
        if replaced {
            self.path.clear();
        }
        let pairs = machine.pairs();
        let guarded = pairs.iter().map(|pair| (pair.id, pair.local, pair.remote));
        self.path.guard(guarded).map_err(|refusal| {
            SystemError::privileged(
                "give the kernel the pairs' policies",
                refusal,
                "another IPsec daemon has such policies (`ip xfrm policy` shows them): stop it, or remove them",
            )
        })?;
        let probed = pairs
            .iter()
            .filter_map(|pair| pair.trigger)
            .map(|(own, peer)| (own, Some(peer)));
        let served = self.served.iter().map(|own| (*own, None));
        let wanted: BTreeSet<(IpAddr, Option<IpAddr>)> = probed.chain(served).collect();
        self.ears
            .retain(|ear| wanted.iter().any(|(own, peer)| ear.is_for(*own, *peer)));
        for (own, peer) in wanted {
            if self.ears.iter().any(|ear| ear.is_for(own, peer)) {
                continue;
            }
            let ear = Ear::open(own, peer)?;
            watch(&self.readiness, &ear).map_err(|error| {
                SystemError::new("wait for probes", error, "check the system's limits")
            })?;
            self.ears.push(ear);
        }
        Ok(())
    }

    /// Leaves everything to a successor.
    pub(crate) fn leave(&mut self) {
        self.path.leave();
        self.ears.clear();
    }

    /// Does what the machine wants, before it sends the messages that depend on it.
    pub(crate) fn carry_out(&mut self, now: Instant, machine: &mut Machine) {
        for _ in 0..MAX_ROUNDS {
            let mut lost = Vec::new();
            while let Some(change) = machine.poll_data_path() {
                match self.path.apply(change) {
                    Outcome::Done => {}
                    Outcome::Lost(spi) => lost.push(spi),
                    Outcome::Send(packet) => {
                        if let Err(error) = self.sender.send(&packet) {
                            self.unsent += 1;
                            debug!(%error, "the kernel did not take an inner packet");
                        }
                    }
                }
            }
            if lost.is_empty() {
                break;
            }
            for spi in lost {
                machine.tell(now, News::Lost(spi));
            }
        }
    }

    /// Takes what has come from the kernel, and looks at the counters when it is time.
    pub(crate) fn heed(&mut self, now: Instant, machine: &mut Machine) {
        for notice in self.notices.take() {
            if let Some(news) = self.path.understand(&notice) {
                debug!(?news, "the kernel says");
                machine.tell(now, news);
            }
        }
        for ear in &self.ears {
            for mut packet in ear.take() {
                if let Err(error) = machine.handle_inner(now, &mut packet) {
                    debug!(%error, "dropped what came to the port of NTP");
                }
            }
        }
        if self.look <= now {
            let pause = if self.path.sa_count() <= LOOKS {
                LOOK_INTERVAL
            } else {
                NEXT_LOOKS
            };
            self.look = now + pause;
            for news in self.path.look_at_traffic(LOOKS) {
                machine.tell(now, news);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.path.sa_count() != 0).then_some(self.look)
    }

    /// How many inner packets of its own the machine could not send since this was last asked.
    pub(crate) fn take_unsent(&mut self) -> u64 {
        core::mem::take(&mut self.unsent) + self.path.take_unsent()
    }
}

impl Drop for KernelPlane {
    fn drop(&mut self) {
        self.path.clear();
    }
}

impl AsFd for KernelPlane {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }
}

/// Removes what an earlier run with the kernel's data path has left; without it, it would keep packets out.
pub(crate) fn sweep(role: Role) {
    let swept = XfrmSocket::open()
        .map_err(Into::into)
        .and_then(|xfrm| KernelPath::new(role, xfrm).sweep());
    if let Err(refusal) = swept {
        debug!(%refusal, "this kernel has no SAs that could have been left");
    }
}

fn fit(gateway: &GatewaySettings, reasons: &Reasons<'_>) -> Result<XfrmSocket, Unfit> {
    if let Some(obstacle) = reasons.obstacle {
        return Err(Unfit::Settings(obstacle));
    }
    let mut xfrm = XfrmSocket::open().map_err(Unfit::NoXfrm)?;
    trial::try_out(&mut xfrm, gateway, reasons.peers)?;
    Ok(xfrm)
}

fn watch(readiness: &OwnedFd, source: &impl AsFd) -> io::Result<()> {
    let data = epoll::EventData::new_u64(0);
    Ok(epoll::add(readiness, source, data, epoll::EventFlags::IN)?)
}

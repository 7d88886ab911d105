//! What the machine wants of the data path, done by XFRM.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use ike_core::IpsecSa;
use netlink_packet_xfrm::policy::DelGetMessage as PolicyQuestion;
use netlink_packet_xfrm::state::GetDumpMessage;
use netlink_packet_xfrm::{UserPolicyId, XfrmAttrs, XfrmMessage};
use rustix::io::Errno;
use tracing::{debug, info, warn};
use trigger::{DataPathChange, PairId, SaTraffic, Subnet};

use super::netlink::{Refusal, Xfrm, wipe_all};
use super::policy::{Guard, delete};
use super::sa::{Half, Name, Sequence};
use crate::role::Role;

/// The numbers by which SAs and policies are ours: one range for each role, as both may run on one machine.
const fn reqids(owner: Role) -> u32 {
    match owner {
        Role::Hub => 0x4800_0000,
        Role::Branch => 0x4200_0000,
    }
}
/// Of such a number, what says whose it is; the rest is the number of the pair.
const OWNER: u32 = 0xFF00_0000;
/// Sequence numbers left out when an SA goes on elsewhere: more than may be used while it is read.
const SKIPPED: u32 = 65_536;

/// The SAs and policies of one daemon.
pub(crate) struct KernelPath<X> {
    xfrm: X,
    owner: Role,
    pairs: BTreeMap<PairId, Pair>,
    /// By the SPI of what we receive.
    sas: BTreeMap<u32, Sa>,
    /// The SPI whose turn it is to be looked at.
    next: u32,
    /// Packets that no SA carried.
    unsent: u64,
}

struct Pair {
    guard: Guard,
    /// The SA that carries what is sent, by its inbound SPI.
    carrier: Option<u32>,
}

struct Sa {
    pair: PairId,
    negotiated: Box<IpsecSa>,
    window: u16,
    local: SocketAddr,
    remote: SocketAddr,
}

/// What has come of a change.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// The kernel does not have the SA of this inbound SPI.
    Lost(u32),
    /// This inner packet is to be sent; the kernel seals it.
    Send(Bytes),
}

/// Something that the kernel reports, in the machine's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum News {
    /// An SA has carried so much.
    Traffic(u32, SaTraffic),
    /// Authentic packets of an SA come from elsewhere.
    Mapping(u32, SocketAddr),
    /// A packet has found no SA.
    Acquire(PairId),
    /// An SA's sequence numbers run out.
    Worn(u32),
    /// An SA is not there any more.
    Lost(u32),
}

impl<X: Xfrm> KernelPath<X> {
    pub(crate) fn new(owner: Role, xfrm: X) -> Self {
        Self {
            xfrm,
            owner,
            pairs: BTreeMap::new(),
            sas: BTreeMap::new(),
            next: 0,
            unsent: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn list_sas(&mut self) -> usize {
        let listed = self
            .xfrm
            .list(XfrmMessage::GetDumpSa(GetDumpMessage::default()));
        listed.map_or(0, |sas| sas.len())
    }

    #[cfg(test)]
    pub(super) fn xfrm(&mut self) -> &mut X {
        &mut self.xfrm
    }

    /// How many packets went nowhere since they were last counted.
    pub(crate) fn take_unsent(&mut self) -> u64 {
        core::mem::take(&mut self.unsent)
    }

    /// Removes what an earlier run has left.
    pub(crate) fn sweep(&mut self) -> Result<(), Refusal> {
        let policies = self
            .xfrm
            .list(XfrmMessage::GetPolicy(PolicyQuestion::default()))?;
        let mut left = 0;
        for policy in policies {
            let XfrmMessage::AddPolicy(policy) = policy else {
                continue;
            };
            let ours = policy.nlas.iter().any(|attribute| match attribute {
                XfrmAttrs::Template(templates) => templates.iter().any(|it| self.is_ours(it.reqid)),
                _ => false,
            });
            if ours {
                left += 1;
                let info = policy.user_policy_info;
                self.remove(delete(UserPolicyId {
                    selector: info.selector,
                    direction: info.direction,
                    index: 0,
                }));
            }
        }
        let mut sas = self
            .xfrm
            .list(XfrmMessage::GetDumpSa(GetDumpMessage::default()))?;
        wipe_all(&mut sas);
        for sa in sas {
            let XfrmMessage::AddSa(sa) = sa else { continue };
            let info = sa.user_sa_info;
            if self.is_ours(info.reqid) {
                left += 1;
                let address = |address| super::ip(address, info.family);
                let name = Name {
                    source: address(&info.saddr),
                    destination: address(&info.id.daddr),
                    spi: info.id.spi,
                };
                self.remove(name.delete());
            }
        }
        if left != 0 {
            info!(
                left,
                "removed SAs and policies that an earlier run left in the kernel"
            );
        }
        Ok(())
    }

    /// Makes the guarded pairs these: nothing comes in for them but through their SAs.
    pub(crate) fn guard(
        &mut self,
        pairs: impl Iterator<Item = (PairId, Subnet, Subnet)>,
    ) -> Result<(), Refusal> {
        let wanted: BTreeMap<_, _> = pairs
            .filter_map(|(id, local, remote)| Some((id, self.guard_of(id, local, remote)?)))
            .collect();
        let superfluous: Vec<_> = self
            .pairs
            .iter()
            .filter(|(id, pair)| wanted.get(*id) != Some(&pair.guard))
            .map(|(id, _)| *id)
            .collect();
        for id in superfluous {
            self.expose(id);
        }
        for (id, guard) in wanted {
            if self.pairs.contains_key(&id) {
                continue;
            }
            // What is not ours to add is not ours to remove either.
            let ([inward, forward], [undo, _]) = (guard.require(), guard.forget());
            self.xfrm.request(inward)?;
            if let Err(refusal) = self.xfrm.request(forward) {
                self.remove(undo);
                return Err(refusal);
            }
            let pair = Pair {
                guard,
                carrier: None,
            };
            self.pairs.insert(id, pair);
        }
        Ok(())
    }

    fn guard_of(&self, id: PairId, local: Subnet, remote: Subnet) -> Option<Guard> {
        let subnet = |subnet: Subnet| ike_core::Subnet::new(subnet.address(), subnet.prefix_len());
        Some(Guard {
            local: subnet(local).ok()?,
            remote: subnet(remote).ok()?,
            reqid: self.reqid(id),
        })
    }

    /// Removes everything that is ours.
    pub(crate) fn clear(&mut self) {
        let sas: Vec<_> = self.sas.keys().copied().collect();
        let pairs: Vec<_> = self.pairs.keys().copied().collect();
        // First what leads packets into an SA.
        for id in &pairs {
            self.hold(*id);
        }
        for spi in sas {
            self.forget(spi);
        }
        for id in pairs {
            self.expose(id);
        }
    }

    /// Leaves everything to a successor.
    pub(crate) fn leave(&mut self) {
        self.sas.clear();
        self.pairs.clear();
    }

    pub(crate) fn apply(&mut self, change: DataPathChange) -> Outcome {
        match change {
            DataPathChange::Install {
                pair,
                sa,
                replay_window,
            } => self.install(pair, sa, replay_window),
            DataPathChange::Carry { pair, inbound_spi } => self.carry(pair, inbound_spi.get()),
            DataPathChange::Hold { pair } => {
                self.hold(pair);
                Outcome::Done
            }
            DataPathChange::Move { inbound_spi, path } => {
                self.relocate(inbound_spi.get(), path.source, path.destination)
            }
            DataPathChange::Remove { inbound_spi } => {
                self.forget(inbound_spi.get());
                Outcome::Done
            }
            // Without a policy it would come back to us by the TUN.
            DataPathChange::Send { pair, packet } => match self.pairs.get(&pair) {
                Some(Pair {
                    carrier: Some(_), ..
                }) => Outcome::Send(packet),
                _ => {
                    self.unsent += 1;
                    Outcome::Done
                }
            },
            _ => Outcome::Done,
        }
    }

    /// Both directions: the outbound one is idle until a policy names it.
    fn install(&mut self, pair: PairId, negotiated: Box<IpsecSa>, window: u16) -> Outcome {
        let spi = negotiated.inbound_spi.get();
        let sa = Sa {
            pair,
            window,
            local: negotiated.local_address,
            remote: negotiated.remote_address,
            negotiated,
        };
        let added = self.add(&sa, None, None);
        self.sas.insert(spi, sa);
        match added {
            Ok(()) => Outcome::Done,
            Err(refusal) => {
                warn!(%refusal, "the kernel refuses an SA");
                Outcome::Lost(spi)
            }
        }
    }

    fn add(
        &mut self,
        sa: &Sa,
        inbound: Option<Sequence>,
        outbound: Option<Sequence>,
    ) -> Result<(), Refusal> {
        let reqid = self.reqid(sa.pair);
        for (half, sequence) in [(sa.inbound(reqid), inbound), (sa.outbound(reqid), outbound)] {
            let message = half.add(sequence.clone()).ok_or_else(unknown_suite)?;
            match self.xfrm.request(message) {
                // Somebody has left one of this name.
                Err(refusal) if refusal.is(Errno::EXIST) => {
                    self.remove(half.name().delete());
                    let message = half.add(sequence).ok_or_else(unknown_suite)?;
                    self.xfrm.request(message)?;
                }
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn carry(&mut self, id: PairId, spi: u32) -> Outcome {
        let (Some(sa), Some(pair)) = (self.sas.get(&spi), self.pairs.get_mut(&id)) else {
            return Outcome::Done;
        };
        let outbound = sa.outbound(pair.guard.reqid).name();
        match self.xfrm.request(pair.guard.carry(&outbound)) {
            Ok(_) => {
                pair.carrier = Some(spi);
                Outcome::Done
            }
            Err(refusal) => {
                warn!(%refusal, "the kernel refuses a policy");
                Outcome::Lost(spi)
            }
        }
    }

    fn hold(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(&id) else {
            return;
        };
        if pair.carrier.take().is_some() {
            let release = pair.guard.release();
            self.remove(release);
        }
    }

    fn expose(&mut self, id: PairId) {
        self.hold(id);
        if let Some(pair) = self.pairs.remove(&id) {
            for policy in pair.guard.forget() {
                self.remove(policy);
            }
        }
    }

    fn forget(&mut self, spi: u32) {
        if let Some(sa) = self.sas.remove(&spi) {
            self.take_out(&sa);
        }
    }

    fn take_out(&mut self, sa: &Sa) {
        let reqid = self.reqid(sa.pair);
        for half in [sa.outbound(reqid), sa.inbound(reqid)] {
            self.remove(half.name().delete());
        }
    }

    /// The kernel changes ports in place. An address is part of an SA's name: there it takes another SA, which goes on
    /// where the former was. What comes in between is lost, and a packet that came after the former was read
    /// could be replayed once; numbers that may have been sent meanwhile are left out.
    fn relocate(&mut self, spi: u32, local: SocketAddr, remote: SocketAddr) -> Outcome {
        let Some(mut sa) = self.sas.remove(&spi) else {
            return Outcome::Done;
        };
        let former = (sa.local, sa.remote);
        let same_addresses = former.0.ip() == local.ip() && former.1.ip() == remote.ip();
        let moved =
            if former == (local, remote) || same_addresses && !sa.negotiated.udp_encapsulation {
                (sa.local, sa.remote) = (local, remote);
                Ok(())
            } else if same_addresses {
                (sa.local, sa.remote) = (local, remote);
                self.change_ports(&sa)
            } else {
                self.put_elsewhere(&mut sa, local, remote)
            };
        let pair = sa.pair;
        self.sas.insert(spi, sa);
        match moved {
            Ok(()) => {
                let carries = self
                    .pairs
                    .get(&pair)
                    .is_some_and(|it| it.carrier == Some(spi));
                if carries && !same_addresses {
                    return self.carry(pair, spi);
                }
                Outcome::Done
            }
            Err(refusal) => {
                warn!(%refusal, "an SA cannot follow its peer");
                Outcome::Lost(spi)
            }
        }
    }

    fn change_ports(&mut self, sa: &Sa) -> Result<(), Refusal> {
        let reqid = self.reqid(sa.pair);
        for half in [sa.inbound(reqid), sa.outbound(reqid)] {
            let message = half.update().ok_or_else(unknown_suite)?;
            self.xfrm.request(message)?;
        }
        Ok(())
    }

    fn put_elsewhere(
        &mut self,
        sa: &mut Sa,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(), Refusal> {
        let reqid = self.reqid(sa.pair);
        let (inbound, outbound) = (sa.inbound(reqid).name(), sa.outbound(reqid).name());
        let inbound = self.look(&inbound)?.0;
        let outbound = self.look(&outbound)?.0.map(|it| it.skip(SKIPPED));
        self.take_out(sa);
        (sa.local, sa.remote) = (local, remote);
        self.add(sa, inbound, outbound)
    }

    /// Sequence numbers of an SA, and the octets that it has carried.
    pub(super) fn look(&mut self, name: &Name) -> Result<(Option<Sequence>, u64), Refusal> {
        let answers = self.xfrm.request(name.ask())?;
        let answer = answers.iter().find_map(|answer| match answer {
            XfrmMessage::NewAsyncEvent(event) => Some(&event.nlas),
            _ => None,
        });
        let attributes = answer.map(Vec::as_slice).unwrap_or_default();
        let octets = attributes.iter().find_map(|attribute| match attribute {
            XfrmAttrs::LifetimeBytes(carried) => Some(carried.bytes),
            _ => None,
        });
        Ok((Sequence::of(attributes), octets.unwrap_or_default()))
    }

    /// How many SAs there are to look at.
    pub(crate) fn sa_count(&self) -> usize {
        self.sas.len()
    }

    /// Looks at what some SAs have carried, others the next time.
    pub(crate) fn look_at_traffic(&mut self, count: usize) -> Vec<News> {
        let from_here = self.sas.range(self.next..).take(count);
        let spis: Vec<u32> = from_here.map(|(spi, _)| *spi).collect();
        self.next = match spis.last() {
            Some(last) if spis.len() == count => last.saturating_add(1),
            _ => 0,
        };
        spis.into_iter()
            .filter_map(|spi| {
                let sa = self.sas.get(&spi)?;
                let reqid = self.reqid(sa.pair);
                let names = [sa.inbound(reqid).name(), sa.outbound(reqid).name()];
                let [inbound, outbound] = names.map(|name| self.look(&name));
                match (inbound, outbound) {
                    (Ok((_, octets_in)), Ok((_, octets_out))) => {
                        Some(News::Traffic(spi, SaTraffic::new(octets_in, octets_out)))
                    }
                    (Err(refusal), _) | (_, Err(refusal)) if refusal.is_absent() => {
                        Some(News::Lost(spi))
                    }
                    (Err(refusal), _) | (_, Err(refusal)) => {
                        debug!(%refusal, "cannot look at an SA");
                        None
                    }
                }
            })
            .collect()
    }

    /// What a notice of the kernel says to the machine, if it is about what is ours.
    pub(crate) fn understand(&mut self, notice: &XfrmMessage) -> Option<News> {
        match notice {
            XfrmMessage::Acquire(acquire) => {
                let reqid = acquire.nlas.iter().find_map(|attribute| match attribute {
                    XfrmAttrs::Template(templates) => templates.first().map(|it| it.reqid),
                    _ => None,
                })?;
                self.missed(reqid)
            }
            XfrmMessage::Expire(expire) => {
                let state = &expire.expire.state;
                let spi = self.inbound_spi(state.reqid, state.id.spi)?;
                Some(if expire.expire.hard == 0 {
                    News::Worn(spi)
                } else {
                    News::Lost(spi)
                })
            }
            XfrmMessage::Mapping(mapping) => {
                let mapping = &mapping.map;
                let spi = self.inbound_spi(mapping.reqid, mapping.id.spi)?;
                let address = super::ip(&mapping.new_saddr, mapping.id.family);
                Some(News::Mapping(
                    spi,
                    SocketAddr::new(address, mapping.new_sport),
                ))
            }
            _ => None,
        }
    }

    /// A packet of this pair has found no SA. Where there should be one, it may have been on its way elsewhere.
    fn missed(&mut self, reqid: u32) -> Option<News> {
        let (id, pair) = self.pairs.iter().find(|(_, it)| it.guard.reqid == reqid)?;
        let id = *id;
        let Some((spi, sa)) = pair
            .carrier
            .and_then(|spi| Some((spi, self.sas.get(&spi)?)))
        else {
            return Some(News::Acquire(id));
        };
        // In place of the outbound one the kernel has put one that waits.
        let inbound = sa.inbound(reqid).name();
        let looked = self.look(&inbound);
        looked
            .is_err_and(|refusal| refusal.is_absent())
            .then_some(News::Lost(spi))
    }

    /// The SA with this SPI in either direction.
    fn inbound_spi(&self, reqid: u32, spi: u32) -> Option<u32> {
        if !self.is_ours(reqid) {
            return None;
        }
        let is_it = |sa: &Sa| self.reqid(sa.pair) == reqid;
        if self.sas.get(&spi).is_some_and(is_it) {
            return Some(spi);
        }
        let outbound = |sa: &Sa| sa.negotiated.outbound_spi.get();
        let mut sas = self.sas.iter();
        let found = sas.find(|(_, sa)| is_it(sa) && outbound(sa) == spi);
        found.map(|(inbound, _)| *inbound)
    }

    fn remove(&mut self, message: XfrmMessage) {
        match self.xfrm.request(message) {
            Err(refusal) if !refusal.is_absent() => {
                warn!(%refusal, "cannot remove an SA or a policy from the kernel");
            }
            _ => {}
        }
    }

    fn reqid(&self, pair: PairId) -> u32 {
        reqids(self.owner) | pair.number() & !OWNER
    }

    fn is_ours(&self, reqid: u32) -> bool {
        reqid & OWNER == reqids(self.owner)
    }
}

impl Sa {
    fn inbound(&self, reqid: u32) -> Half<'_> {
        Half::inbound(
            &self.negotiated,
            (self.local, self.remote),
            self.window,
            reqid,
        )
    }

    fn outbound(&self, reqid: u32) -> Half<'_> {
        Half::outbound(&self.negotiated, (self.local, self.remote), reqid)
    }
}

fn unknown_suite() -> Refusal {
    std::io::Error::from(std::io::ErrorKind::Unsupported).into()
}

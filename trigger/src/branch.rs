//! The branch: a lane to each of its hubs, one of which carries what is sent.

mod choice;
mod external;
mod flows;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use esp_core::SealSlot;
use ike_core::PreSharedKey;
use ntp_core::NtpTimestamp;

use self::flows::Flows;
use crate::config::BranchConfig;
use crate::data_path::{Encapsulated, Outlet, Received};
use crate::datagram::Datagram;
use crate::error::{DatagramError, DropReason, EncapsulateError};
use crate::event::{Event, MemberId, PairId};
use crate::event_queue::EventQueue;
use crate::lane::Lane;
use crate::status::{MemberStatus, PairStatus, Stats};
use crate::transmit::Transmit;

/// Events that wait for the driver at most; beyond it the oldest goes.
const MAX_EVENTS: usize = 1024;

/// Datagrams that wait for the driver at most.
const MAX_TRANSMITS: usize = 4096;

/// A branch, sans-IO: keeps every pair reachable from its hub, or from the first of its hubs that
/// is there.
///
/// It follows the contract of every machine of this suite: time is an argument, inputs never
/// block or panic, outputs are polled, and a driver that sleeps exactly until
/// [`poll_timeout`](Self::poll_timeout) is correct. It rests until
/// [`handle_link_up`](Self::handle_link_up).
///
/// Of several hubs one carries what the branch sends; which, and when that changes, is
/// [`Standby`](crate::Standby)'s. What comes in through any of them is delivered, and its answer
/// goes back the same way.
#[derive(Debug)]
pub struct Branch {
    config: Arc<BranchConfig>,
    /// By the number of the hub. Never empty.
    lanes: Vec<Lane>,
    /// Which of them carries what is sent.
    active: usize,
    local: Option<IpAddr>,
    flows: Flows,
    /// By the number of the pair: whether the embedder was told that it is up.
    told_up: Vec<bool>,
    /// Of all lanes, in the order in which they were made.
    transmits: VecDeque<Transmit>,
    /// Datagrams that found no room.
    overflows: u64,
    events: EventQueue,
    now: Instant,
}

impl Branch {
    /// A branch without a link: it sends nothing yet.
    ///
    /// `wall` is what the wall clock reads at `now`; it need not be right.
    #[must_use]
    pub fn new(config: Arc<BranchConfig>, now: Instant, wall: NtpTimestamp) -> Self {
        let lane = |(number, hub): (u32, &SocketAddr)| {
            Lane::new(Arc::clone(&config), MemberId(number), *hub, now, wall)
        };
        Self {
            lanes: (0..).zip(config.hubs()).map(lane).collect(),
            active: 0,
            local: None,
            flows: Flows::default(),
            told_up: config.pairs().iter().map(|_| false).collect(),
            transmits: VecDeque::new(),
            overflows: 0,
            events: EventQueue::new(MAX_EVENTS),
            now,
            config,
        }
    }

    /// The link is up, and `local` is the own address towards the hub: the schedule begins anew.
    ///
    /// With the address that is in use already, the path may still have changed: every pair is
    /// probed at once and IKE's liveness check is brought forward. With another one everything
    /// is negotiated anew.
    pub fn handle_link_up(&mut self, now: Instant, local: IpAddr) {
        let now = self.advance(now);
        self.local = Some(local);
        for number in 0..self.lanes.len() {
            if self.is_wanted(number) {
                self.wake(now, number);
            }
        }
        self.settle(now);
    }

    /// The link is gone: nothing is sent until it is back. What was negotiated is kept.
    pub fn handle_link_down(&mut self, now: Instant) {
        let now = self.advance(now);
        self.local = None;
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_awake()) {
            lane.handle_link_down(now);
        }
        self.settle(now);
    }

    /// Takes another pre-shared key, which counts from the next negotiation of phase 1 on; what is established stays.
    /// An empty one is ignored.
    pub fn use_key(&mut self, now: Instant, key: PreSharedKey) {
        let now = self.advance(now);
        for lane in &mut self.lanes {
            lane.use_key(now, key.clone());
        }
        self.settle(now);
    }

    /// Says what the wall clock reads at `now`. Only timestamps of probes depend on it.
    pub fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        let now = self.advance(now);
        for lane in &mut self.lanes {
            lane.handle_wall_clock(now, wall);
        }
    }

    /// Takes a UDP datagram from the outer network: IKE, UDP-encapsulated ESP or a keepalive.
    ///
    /// `contents` is the UDP payload; it is decrypted in place and holds unspecified octets
    /// after an error.
    ///
    /// # Errors
    ///
    /// [`DatagramError`] says why it was dropped; it is counted, and nothing established is
    /// disturbed.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        let number = self.lane_from(source.ip());
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(Received::Consumed);
        };
        let received = lane.handle_datagram(now, source, destination, contents);
        self.received(now, number, received)
    }

    /// Takes an ESP packet that came right above IP (protocol 50), from the SPI on.
    ///
    /// # Errors
    ///
    /// As for [`handle_datagram`](Self::handle_datagram).
    pub fn handle_esp<'a>(
        &mut self,
        now: Instant,
        source: IpAddr,
        destination: IpAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        let number = self.lane_from(source);
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(Received::Consumed);
        };
        let received = lane.handle_esp(now, source, destination, esp);
        self.received(now, number, received)
    }

    /// Takes datagrams that came together, each as [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_esp`](Self::handle_esp) would, in their order: at less cost where packets of one SA
    /// follow each other and its cipher gains from batches. What became of each is told to `each`,
    /// with where it came from.
    pub fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        mut each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let now = self.advance(now);
        let mut datagrams = datagrams.peekable();
        while let Some(source) = datagrams.peek().map(|datagram| datagram.source.ip()) {
            let number = self.lane_from(source);
            let Some(lane) = self.lanes.get_mut(number) else {
                return;
            };
            let standby = (number != self.active).then_some(number);
            let same = iter::from_fn(|| datagrams.next_if(|next| next.source.ip() == source));
            let flows = &mut self.flows;
            lane.handle_batch(now, same, |source, received| {
                if let Ok(Received::Packet { packet, .. }) = &received {
                    flows.note(now, packet, standby);
                }
                each(source, received);
            });
        }
        self.settle(now);
    }

    /// Seals an inner packet into `out`, which must be [`MAX_OVERHEAD`](crate::MAX_OVERHEAD)
    /// octets longer than the packet; or holds it and triggers the negotiation.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError`] says why the packet was dropped.
    pub fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, EncapsulateError> {
        let now = self.advance(now);
        let number = self.lane_for(packet);
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(Encapsulated::NoPair);
        };
        let sent = lane.encapsulate(now, packet, out);
        if !matches!(sent, Ok(Encapsulated::Sealed { .. })) {
            self.settle(now);
        }
        sent
    }

    /// Where a packet leaves now, and so does every other between the same two hosts; `None` where
    /// no pair owns it or its pair has no SA, so that it is [`encapsulate`](Self::encapsulate)'s.
    #[must_use]
    pub fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        let number = self.lane_for(packet);
        let outlet = self.lanes.get(number)?.outlet(packet)?;
        Some(Outlet {
            lane: number,
            ..outlet
        })
    }

    /// Seals packets that leave through the same [`Outlet`] where they lie, at less cost than one by
    /// one. All of them must be of the outlet's pair; whoever lays them out sees to that.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError::Seal`]: none is sealed, and all are dropped and counted.
    pub fn seal_batch(
        &mut self,
        now: Instant,
        outlet: &Outlet,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), EncapsulateError> {
        let now = self.advance(now);
        match self.lanes.get_mut(outlet.lane) {
            Some(lane) => lane.seal_batch(now, outlet, slots),
            None => Err(EncapsulateError::Seal(esp_core::SealError::Refused)),
        }
    }

    /// Does what time has made due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        for lane in &mut self.lanes {
            lane.handle_timeout(now);
        }
        self.settle(now);
    }

    /// The next datagram to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next fact.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.transmits.is_empty() || !self.events.is_empty() {
            return Some(self.now);
        }
        let lanes = self.lanes.iter().filter_map(Lane::poll_timeout);
        lanes.chain(self.next_choice()).min()
    }

    /// Tells the hubs that it leaves, and stops probing.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.local = None;
        for lane in &mut self.lanes {
            lane.close(now);
        }
        self.settle(now);
    }

    /// After [`close`](Self::close): whether everything has been said.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.transmits.is_empty() && self.lanes.iter().all(Lane::is_drained)
    }

    /// Every configured pair, up or not, as it is with the hub in use; octets are those of all hubs.
    pub fn pairs(&self) -> impl Iterator<Item = PairStatus<'_>> {
        let active = self.lanes.get(self.active);
        active.into_iter().flat_map(Lane::pairs).map(|pair| {
            let others = self.others().flat_map(Lane::pairs);
            let same = others.filter(|other| other.id == pair.id);
            same.fold(pair, |pair, other| PairStatus {
                octets_in: pair.octets_in.saturating_add(other.octets_in),
                octets_out: pair.octets_out.saturating_add(other.octets_out),
                ..pair
            })
        })
    }

    /// The hub in use.
    #[must_use]
    pub fn hub(&self) -> MemberStatus<'_> {
        let active = self.lanes.get(self.active);
        active.map_or_else(
            || MemberStatus::unknown(self.config.ike.remote()),
            Lane::hub,
        )
    }

    /// Every configured hub, in the order of preference, in use or not.
    pub fn hubs(&self) -> impl Iterator<Item = MemberStatus<'_>> {
        self.lanes.iter().map(Lane::hub)
    }

    /// Counters since the branch was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut total = Stats::default();
        for lane in &self.lanes {
            total.add(lane.stats());
        }
        total.drop(DropReason::QueueFull, self.overflows);
        total
    }

    /// Counters of ike-core.
    #[must_use]
    pub fn ike_stats(&self) -> ike_core::Stats {
        let mut total = ike_core::Stats::default();
        for lane in &self.lanes {
            total.add(lane.ike_stats());
        }
        total
    }

    /// An older `now` counts as the newest seen.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn others(&self) -> impl Iterator<Item = &Lane> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(number, lane)| (number != self.active).then_some(lane))
    }

    /// Whose a datagram is, by where it comes from. What comes from no hub is dropped by any lane.
    fn lane_from(&self, source: IpAddr) -> usize {
        let is_hub = |lane: &Lane| lane.hub_address().ip() == source;
        self.lanes.iter().position(is_hub).unwrap_or(self.active)
    }

    /// Which hub a packet goes to: the one that asked, if it answers, or else the one in use.
    fn lane_for(&self, packet: &[u8]) -> usize {
        let asked = self.flows.answers(self.now, packet);
        let can = |number: &usize| {
            let lane = self.lanes.get(*number);
            lane.is_some_and(|lane| lane.outlet(packet).is_some())
        };
        asked.filter(can).unwrap_or(self.active)
    }

    fn received<'a>(
        &mut self,
        now: Instant,
        number: usize,
        received: Result<Received<'a>, DatagramError>,
    ) -> Result<Received<'a>, DatagramError> {
        if let Ok(Received::Packet { packet, .. }) = &received {
            let standby = (number != self.active).then_some(number);
            self.flows.note(now, packet, standby);
        }
        self.settle(now);
        received
    }

    /// Takes over what the lanes report, then sees to it that the right ones are in use.
    fn settle(&mut self, now: Instant) {
        self.absorb();
        if 1 < self.lanes.len() {
            self.choose(now);
            self.absorb();
        }
    }

    fn absorb(&mut self) {
        for number in 0..self.lanes.len() {
            while let Some(event) = self.lanes.get_mut(number).and_then(Lane::poll_event) {
                self.report(number, event);
            }
            while let Some(transmit) = self.lanes.get_mut(number).and_then(Lane::poll_transmit) {
                if self.transmits.len() < MAX_TRANSMITS {
                    self.transmits.push_back(transmit);
                } else {
                    self.overflows = self.overflows.saturating_add(1);
                }
            }
        }
    }

    /// What becomes of pairs and their SAs is told of the hub in use alone; that a hub comes or goes, of all.
    fn report(&mut self, number: usize, event: Event) {
        let is_news = if let Event::PairUp { pair, .. } = event {
            self.tells(number, pair, true)
        } else if let Event::PairDown { pair, .. } = event {
            self.tells(number, pair, false)
        } else {
            number == self.active || !matches!(event, Event::SaUp { .. } | Event::SaDown { .. })
        };
        if is_news {
            self.events.push(event);
        }
    }

    /// Whether it is news that a pair is up or down.
    fn tells(&mut self, number: usize, pair: PairId, is_up: bool) -> bool {
        let told = self.told_up.get_mut(pair.0 as usize);
        let told = told.filter(|told| number == self.active && **told != is_up);
        let Some(told) = told else { return false };
        *told = is_up;
        true
    }
}

//! What keeps every pair reachable from one hub: the only side that can begin, and that never gives up.

mod barren;
mod external;
mod ike;
mod inbound;
mod line;
mod probing;
mod standing;
mod status;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use esp_core::SealSlot;
use ike_core::{Endpoint, PairIndex, PreSharedKey};
use ntp_core::NtpTimestamp;

use self::barren::Barren;
use self::line::Line;
pub(crate) use self::standing::{Loss, Standing};
use crate::config::BranchConfig;
use crate::data_path::{DataPath, Encapsulated, Outlet, Received};
use crate::datagram::Datagram;
use crate::error::{DatagramError, EncapsulateError};
use crate::event::{Event, Failure, MemberId, PairDownReason, PairId};
use crate::event_queue::EventQueue;
use crate::intake::Intake as _;
use crate::jitter::Jitter;
use crate::negotiation::Negotiations;
use crate::probe::Probe;
use crate::schedule::Schedule;
use crate::transmit::Transmit;
use crate::wall_clock::WallClock;

/// Events that wait for the driver at most; beyond it the oldest goes.
const MAX_EVENTS: usize = 1024;

/// A branch's way to one of its hubs.
///
/// It follows the contract of every machine of this suite, and knows nothing of the other hubs. It
/// rests until [`handle_link_up`](Self::handle_link_up).
#[derive(Debug)]
pub(crate) struct Lane {
    config: Arc<BranchConfig>,
    endpoint: Endpoint,
    data_path: DataPath,
    /// The hub within ike-core, once a link has been up.
    peer: Option<ike_core::PeerId>,
    local: Option<IpAddr>,
    hub: SocketAddr,
    /// The hub's number.
    member: MemberId,
    ike_up: bool,
    last_failure: Option<Failure>,
    lines: Vec<Line>,
    negotiations: Negotiations,
    jitter: Jitter,
    wall_clock: WallClock,
    doubted: Option<Instant>,
    /// When something authentic last came through any pair.
    heard: Instant,
    standing: Standing,
    barren: Barren,
    events: EventQueue,
    now: Instant,
}

impl Lane {
    /// Without a link: it sends nothing yet.
    ///
    /// `wall` is what the wall clock reads at `now`; it need not be right.
    pub(crate) fn new(
        config: Arc<BranchConfig>,
        member: MemberId,
        hub: SocketAddr,
        now: Instant,
        wall: NtpTimestamp,
    ) -> Self {
        let mut data_path = DataPath::new(
            config.crypto.clone(),
            config.timing.clone(),
            config.replay_window,
            config.key_log.clone(),
        )
        .external(config.external_data_path);
        let random = &config.crypto.ntp.secure_random;
        let lines: Vec<Line> = (0_u16..)
            .zip(&config.pairs)
            .filter_map(|(index, pair)| {
                let trigger = pair.trigger()?;
                Some(Line {
                    pair: data_path.add_pair(pair.clone(), member, PairIndex::new(index)),
                    schedule: Schedule::new(trigger.mode),
                    probe: Probe::new(trigger, Arc::clone(random), now).ok()?,
                    mode: trigger.mode,
                    waiting: None,
                })
            })
            .collect();
        Self {
            endpoint: Endpoint::new(config.endpoint.clone(), now),
            data_path,
            peer: None,
            local: None,
            hub,
            member,
            ike_up: false,
            last_failure: None,
            negotiations: Negotiations::new(lines.len()),
            lines,
            jitter: Jitter::new(Arc::clone(random)),
            wall_clock: WallClock::new(now, wall),
            doubted: None,
            heard: now,
            standing: Standing::default(),
            barren: Barren::default(),
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
    pub(crate) fn handle_link_up(&mut self, now: Instant, local: IpAddr) {
        let now = self.advance(now);
        if self.local == Some(local) && self.ike_up {
            self.doubt(now);
        } else {
            self.local = Some(local);
            self.use_link(now);
            let first = self.jitter.up_to(self.config.timing.link_up_jitter);
            self.arm(now, first);
        }
        self.settle(now);
    }

    /// The link is gone: nothing is sent until it is back. What was negotiated is kept.
    pub(crate) fn handle_link_down(&mut self, now: Instant) {
        let now = self.advance(now);
        self.local = None;
        for index in 0..self.lines.len() {
            if let Some(line) = self.lines.get_mut(index) {
                line.schedule.rest();
                let pair = line.pair;
                self.pair_down(pair, PairDownReason::LinkDown);
            }
        }
        self.settle(now);
    }

    /// Takes another pre-shared key, which counts from the next negotiation of phase 1 on; what is established stays.
    /// An empty one is ignored.
    pub(crate) fn use_key(&mut self, now: Instant, key: PreSharedKey) {
        let now = self.advance(now);
        let Ok(ike) = self.config.ike.with_psk(key) else {
            return;
        };
        let ike = Arc::new(ike);
        if let Some(peer) = self.peer {
            self.endpoint.set_peer_config(now, peer, Arc::clone(&ike));
            self.settle(now);
        }
        self.config = Arc::new(BranchConfig {
            ike,
            ..BranchConfig::clone(&self.config)
        });
    }

    /// Says what the wall clock reads at `now`. Only timestamps of probes depend on it.
    pub(crate) fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        let now = self.advance(now);
        self.wall_clock = WallClock::new(now, wall);
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
    pub(crate) fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        self.take_datagram(now, source, destination, contents)
    }

    /// Takes an ESP packet that came right above IP (protocol 50), from the SPI on.
    ///
    /// # Errors
    ///
    /// As for [`handle_datagram`](Self::handle_datagram).
    pub(crate) fn handle_esp<'a>(
        &mut self,
        now: Instant,
        source: IpAddr,
        destination: IpAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        self.take_raw_esp(now, source, destination, esp)
    }

    /// Takes datagrams that came together, each as [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_esp`](Self::handle_esp) would, in their order: at less cost where packets of one SA
    /// follow each other and its cipher gains from batches. What became of each is told to `each`,
    /// with where it came from.
    pub(crate) fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let now = self.advance(now);
        self.take_batch(now, datagrams, each);
    }

    /// Seals an inner packet into `out`, which must be [`MAX_OVERHEAD`](crate::MAX_OVERHEAD)
    /// octets longer than the packet; or holds it and triggers the negotiation.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError`] says why the packet was dropped.
    pub(crate) fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, EncapsulateError> {
        let now = self.advance(now);
        let sent = self.data_path.encapsulate(now, packet, out)?;
        if let Encapsulated::Held { pair } = sent {
            self.want(now, pair);
            self.settle(now);
        }
        Ok(sent)
    }

    /// Where a packet leaves now, and so does every other between the same two hosts; `None` where
    /// no pair owns it or its pair has no SA, so that it is [`encapsulate`](Self::encapsulate)'s.
    #[must_use]
    pub(crate) fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        self.data_path.outlet(packet)
    }

    /// Seals packets that leave through the same [`Outlet`] where they lie, at less cost than one by
    /// one. All of them must be of the outlet's pair; whoever lays them out sees to that.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError::Seal`]: none is sealed, and all are dropped and counted.
    pub(crate) fn seal_batch(
        &mut self,
        now: Instant,
        outlet: &Outlet,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), EncapsulateError> {
        let now = self.advance(now);
        self.data_path.seal_batch(now, outlet.pair, slots)
    }

    /// Does what time has made due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.endpoint.handle_timeout(now);
        self.settle(now);
        self.run_schedules(now);
    }

    /// The next datagram to send.
    #[must_use]
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.data_path.poll_transmit()
    }

    /// The next fact.
    #[must_use]
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.data_path.has_transmits() || !self.events.is_empty() {
            return Some(self.now);
        }
        let due = [
            self.next_probe(),
            self.next_hold(),
            self.endpoint.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// Tells the hub that it leaves, and stops probing.
    pub(crate) fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        for line in &mut self.lines {
            line.schedule.rest();
        }
        self.endpoint.close(now);
        self.settle(now);
    }

    /// What others know as well, or nobody needs, is let go, and the hub is told; nothing is sent from here on until the
    /// link is said to be up again.
    pub(crate) fn retire(&mut self, now: Instant) {
        let now = self.advance(now);
        self.local = None;
        self.standing.set_loss(None);
        for line in &mut self.lines {
            line.schedule.rest();
        }
        if let Some(peer) = self.peer {
            self.endpoint.disconnect(now, peer);
        }
        self.settle(now);
    }

    /// After [`close`](Self::close): whether everything has been said.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.endpoint.is_drained() && !self.data_path.has_transmits()
    }

    /// Whether it has a link to be used.
    pub(crate) const fn is_awake(&self) -> bool {
        self.local.is_some()
    }

    /// Whether some pair is up.
    pub(crate) fn is_serving(&self) -> bool {
        self.lines.iter().any(|line| self.is_up(line))
    }

    /// The hub's address as it is configured.
    pub(crate) const fn hub_address(&self) -> SocketAddr {
        self.hub
    }

    /// What its hub is good for.
    pub(crate) const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What is held for pairs that have no SA, to be sent another way.
    pub(crate) fn take_held(&mut self) -> Vec<Vec<u8>> {
        self.data_path.take_held()
    }

    /// Sends an inner packet as [`encapsulate`](Self::encapsulate) does, in a datagram to be polled.
    pub(crate) fn send(&mut self, now: Instant, packet: &[u8]) {
        let now = self.advance(now);
        if let Some(Encapsulated::Held { pair }) = self.data_path.send(now, packet) {
            self.want(now, pair);
        }
        self.settle(now);
    }

    /// Forgets how the hub was lost: it is to be judged anew.
    pub(crate) fn acquit(&mut self) {
        self.standing.set_loss(None);
    }

    /// An older `now` counts as the newest seen.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Makes IKE use the current link.
    fn use_link(&mut self, now: Instant) {
        let Some(local) = self.local else {
            return;
        };
        let (local, remote) = (SocketAddr::new(local, self.config.ike_port), self.hub);
        match self.peer {
            Some(peer) => self.endpoint.set_path(now, peer, local, remote),
            None => {
                self.peer =
                    Some(
                        self.endpoint
                            .add_peer(now, Arc::clone(&self.config.ike), local, remote),
                    )
            }
        }
        self.negotiations.reset();
        self.standing.begin_anew();
    }

    fn check_liveness(&mut self, now: Instant) {
        if let Some(peer) = self.peer.filter(|_| self.ike_up) {
            self.endpoint.check_liveness(now, peer);
        }
    }

    fn line(&self, pair: PairId) -> Option<usize> {
        self.lines.iter().position(|line| line.pair == pair)
    }

    fn is_up(&self, line: &Line) -> bool {
        let pair = self.data_path.pair(line.pair);
        pair.is_some_and(|pair| pair.reported_up)
    }

    /// A pair wants an SA.
    fn want(&mut self, now: Instant, pair: PairId) {
        let Some(index) = self.line(pair) else { return };
        if self.local.is_some() && self.negotiations.want(now, index, &self.config.timing) {
            self.acquire(now, index);
        }
    }

    fn acquire(&mut self, now: Instant, index: usize) {
        let pair = self
            .lines
            .get(index)
            .and_then(|line| self.data_path.pair(line.pair));
        let Some((peer, pair)) = self.peer.zip(pair) else {
            return;
        };
        if self.endpoint.acquire(now, peer, pair.index).is_err() {
            self.negotiations
                .failed(now, index, &self.config.timing, &self.jitter);
        }
    }

    fn pair_down(&mut self, pair: PairId, reason: PairDownReason) {
        let Some(state) = self.data_path.pair_mut(pair) else {
            return;
        };
        state.disprove();
        if core::mem::take(&mut state.reported_up) {
            self.event(Event::PairDown { pair, reason });
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Takes over whatever ike-core has to say, then lets waiting pairs begin.
    fn settle(&mut self, now: Instant) {
        self.drain(now);
        while let Some(index) = self.negotiations.next_waiting(now, &self.config.timing) {
            self.acquire(now, index);
            self.drain(now);
        }
        self.judge(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.on_ike(now, event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.data_path.transmit_ike(transmit);
        }
    }

    /// Looks at what the latest input has made of the pairs.
    fn judge(&mut self, now: Instant) {
        let suspected = |line: &Line| line.schedule.is_suspect();
        let proved = self.local.is_some()
            && self
                .lines
                .iter()
                .all(|line| self.is_up(line) && !suspected(line));
        self.standing.judge(now, proved);
    }
}

//! What keeps every pair reachable from one hub: the only side that can begin, and that never gives up.

mod ike;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use esp_core::SealSlot;
use esp_core::encapsulation::{UdpPayload, classify};
use ike_core::{Endpoint, PairIndex, PreSharedKey};
use ntp_core::{NtpTimestamp, Purpose};

use crate::config::{BranchConfig, ProbeMode};
use crate::data_path::{Arrival, DataPath, Encapsulated, Outlet, Received, Usage};
use crate::datagram::{Datagram, Flow, Run};
use crate::error::{DatagramError, EncapsulateError};
use crate::event::{Event, Failure, MemberId, PairDownReason, PairId};
use crate::jitter::Jitter;
use crate::negotiation::Negotiations;
use crate::probe::{Answer, Probe};
use crate::schedule::{Due, Schedule};
use crate::status::{MemberStatus, PairStatus, Stats};
use crate::transmit::{Carrier, Transmit};
use crate::wall_clock::WallClock;

/// Schedules are run this often in one step at most.
const MAX_ROUNDS: usize = 4;

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
    /// When something last came that was for whoever is behind the branch.
    delivered: Option<Instant>,
    /// Since when every pair has been up without a reply missing.
    proved_since: Option<Instant>,
    /// Whether that was ever so since the link came up.
    was_proved: bool,
    /// What the latest attempt to reach the hub, or the end of the connection, says of it.
    loss: Option<Loss>,
    events: VecDeque<Event>,
    now: Instant,
}

/// What keeps one pair up.
#[derive(Debug)]
struct Line {
    pair: PairId,
    schedule: Schedule,
    probe: Probe,
    mode: ProbeMode,
    /// The latest probe that had to wait for an SA.
    waiting: Option<Vec<u8>>,
}

/// How a hub was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// It does not answer.
    Silent,
    /// It has ended the connection, or refuses one.
    Refused,
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
        );
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
            delivered: None,
            proved_since: None,
            was_proved: false,
            loss: None,
            events: VecDeque::new(),
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
        if destination.port() == self.config.endpoint.nat_port() {
            match classify(contents) {
                UdpPayload::Esp => return self.esp(now, source, contents),
                UdpPayload::Keepalive => return Ok(Received::Consumed),
                UdpPayload::Ike(_) => {}
                UdpPayload::Malformed => return Err(self.dropped(DatagramError::Malformed)),
            }
        }
        let datagram = ike_core::Datagram {
            source,
            destination,
            contents,
        };
        let taken = self.endpoint.handle_datagram(now, datagram);
        self.settle(now);
        match taken {
            Ok(()) => Ok(Received::Consumed),
            Err(error) => Err(self.dropped(DatagramError::Ike(error))),
        }
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
        _destination: IpAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        self.esp(now, SocketAddr::new(source, 0), esp)
    }

    /// Takes datagrams that came together, each as [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_esp`](Self::handle_esp) would, in their order: at less cost where packets of one SA
    /// follow each other and its cipher gains from batches. What became of each is told to `each`,
    /// with where it came from.
    pub(crate) fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        mut each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let now = self.advance(now);
        let mut run = Run::default();
        for datagram in datagrams {
            let flow = self.gathers(&datagram);
            if flow.is_none_or(|flow| !run.takes(flow)) {
                self.open_run(now, &mut run, &mut each);
            }
            let Datagram {
                source,
                destination,
                carrier,
                contents,
            } = datagram;
            match (flow, carrier) {
                (Some(flow), _) => run.push(flow, contents),
                (None, Carrier::Udp) => each(
                    source,
                    self.handle_datagram(now, source, destination, contents),
                ),
                (None, Carrier::Esp) => each(
                    source,
                    self.handle_esp(now, source.ip(), destination.ip(), contents),
                ),
            }
        }
        self.open_run(now, &mut run, &mut each);
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
        // What falls due at once by what has just been done is done as well, within bounds.
        for _ in 0..MAX_ROUNDS {
            self.ask_silent_hub(now);
            for index in 0..self.lines.len() {
                self.run_schedule(now, index);
            }
            self.settle(now);
            let schedules = self.lines.iter().filter_map(|line| line.schedule.next());
            if schedules.chain(self.hub_silent_at()).all(|next| now < next) {
                break;
            }
        }
    }

    /// The next datagram to send.
    #[must_use]
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.data_path.poll_transmit()
    }

    /// The next fact.
    #[must_use]
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.data_path.has_transmits() || !self.events.is_empty() {
            return Some(self.now);
        }
        let schedules = self.lines.iter().filter_map(|line| line.schedule.next());
        let holds = (0..)
            .zip(&self.lines)
            .filter_map(|(index, line)| self.next_hold(index, line));
        schedules
            .chain(holds)
            .chain(self.hub_silent_at())
            .chain(self.endpoint.poll_timeout())
            .min()
    }

    /// When held packets are too old, or their pair may be negotiated again.
    fn next_hold(&self, index: usize, line: &Line) -> Option<Instant> {
        let too_old = self
            .data_path
            .pair(line.pair)?
            .hold
            .next(&self.config.timing)?;
        let retry = self
            .negotiations
            .not_before(index)
            .filter(|at| self.now < *at);
        Some(retry.map_or(too_old, |retry| retry.min(too_old)))
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
        self.loss = None;
        for line in &mut self.lines {
            line.schedule.rest();
        }
        if let Some(peer) = self.peer {
            self.endpoint.disconnect(now, peer);
        }
        self.settle(now);
    }

    // --- How it stands.

    /// Whether it has a link to be used.
    pub(crate) const fn is_awake(&self) -> bool {
        self.local.is_some()
    }

    /// The hub's address as it is configured.
    pub(crate) const fn hub_address(&self) -> SocketAddr {
        self.hub
    }

    /// Whether some pair is up.
    pub(crate) fn is_serving(&self) -> bool {
        self.lines.iter().any(|line| self.is_up(line))
    }

    /// Since when every pair has been up without a reply missing.
    pub(crate) const fn proved_since(&self) -> Option<Instant> {
        self.proved_since
    }

    /// When something last came that was for whoever is behind the branch.
    pub(crate) const fn delivered(&self) -> Option<Instant> {
        self.delivered
    }

    /// Whether every pair was ever up since the link came up.
    pub(crate) const fn was_proved(&self) -> bool {
        self.was_proved
    }

    /// How the hub was lost, if it was and has not come back.
    pub(crate) const fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Every pair, whether it is up, and how long its proof took.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (PairId, bool, Option<Duration>)> {
        let pairs = self.data_path.pairs();
        pairs.map(|(id, pair)| (id, pair.reported_up, pair.rtt))
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
        self.loss = None;
    }

    fn is_up(&self, line: &Line) -> bool {
        let pair = self.data_path.pair(line.pair);
        pair.is_some_and(|pair| pair.reported_up)
    }

    /// Looks at what the latest input has made of the pairs.
    fn judge(&mut self, now: Instant) {
        let suspected = |line: &Line| line.schedule.is_suspect();
        let proved = self.local.is_some()
            && self
                .lines
                .iter()
                .all(|line| self.is_up(line) && !suspected(line));
        self.proved_since = proved.then(|| self.proved_since.unwrap_or(now));
        if proved {
            self.was_proved = true;
            self.loss = None;
        }
    }

    /// After [`close`](Self::close): whether everything has been said.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.endpoint.is_drained() && !self.data_path.has_transmits()
    }

    /// Every configured pair, up or not.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = PairStatus<'_>> {
        self.data_path
            .pairs()
            .map(|(id, pair)| pair.status(id, self.now, &self.config.timing))
    }

    /// The hub.
    #[must_use]
    pub(crate) fn hub(&self) -> MemberStatus<'_> {
        let sa = self.peer.and_then(|peer| self.endpoint.ike_sa(peer));
        let proposal = sa.as_ref().map(|sa| sa.proposal);
        MemberStatus {
            id: self.member,
            identity: self.config.ike.remote(),
            address: Some(sa.as_ref().map_or(self.hub, |sa| sa.remote)),
            nat: sa.as_ref().is_some_and(|sa| sa.nat.local || sa.nat.remote),
            ike: self.ike_up,
            proposal,
            legacy: proposal.is_some_and(|proposal| proposal.is_legacy())
                || self.pairs().any(|pair| pair.is_legacy()),
            last_failure: self.last_failure.as_ref(),
        }
    }

    /// Counters since the branch was made.
    #[must_use]
    pub(crate) const fn stats(&self) -> &Stats {
        &self.data_path.stats
    }

    /// Counters of ike-core.
    #[must_use]
    pub(crate) fn ike_stats(&self) -> &ike_core::Stats {
        self.endpoint.stats()
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
        self.was_proved = false;
    }

    /// Begins the schedules anew: the first pair after `first`, each further one a little later.
    fn arm(&mut self, now: Instant, first: Duration) {
        if self.local.is_none() {
            return;
        }
        let mut delay = first;
        for line in &mut self.lines {
            line.schedule.arm(now, delay);
            delay += self.config.timing.pair_spacing;
        }
    }

    /// Something speaks against the path: probe every pair, ask the hub whether it lives.
    fn doubt(&mut self, now: Instant) {
        for line in &mut self.lines {
            line.schedule.doubt(now, &self.config.timing);
            line.schedule
                .rearm(now, Duration::ZERO, &self.config.timing);
        }
        self.check_liveness(now);
    }

    /// The hub may be there: pairs without an SA are tried again, one shortly after the other. `proved` if it has
    /// shown itself; else it is only a hint, and not acted on too often.
    fn hope(&mut self, now: Instant, proved: bool) {
        self.negotiations.forgive();
        let mut delay = Duration::ZERO;
        for line in &mut self.lines {
            if proved {
                line.schedule.encourage(now, delay);
            } else {
                line.schedule.rearm(now, delay, &self.config.timing);
            }
            delay += self.config.timing.pair_spacing;
        }
    }

    fn check_liveness(&mut self, now: Instant) {
        if let Some(peer) = self.peer.filter(|_| self.ike_up) {
            self.endpoint.check_liveness(now, peer);
        }
    }

    fn line(&self, pair: PairId) -> Option<usize> {
        self.lines.iter().position(|line| line.pair == pair)
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

    /// When the hub has been silent for too long, unless it is being asked.
    fn hub_silent_at(&self) -> Option<Instant> {
        self.next_to_ask()?;
        let asking = self.lines.iter().any(|line| line.schedule.is_asking());
        (!asking).then(|| self.heard + self.config.timing.hub_silence)
    }

    /// The pair that is up and due next. Only a client is answered at once.
    fn next_to_ask(&self) -> Option<usize> {
        let planned = |line: &Line| {
            line.schedule
                .up_until()
                .filter(|_| line.mode == ProbeMode::Client)
        };
        let lines = (0..).zip(&self.lines);
        lines
            .filter_map(|(index, line)| Some((planned(line)?, index)))
            .min()
            .map(|(_, index)| index)
    }

    fn ask_silent_hub(&mut self, now: Instant) {
        if self.hub_silent_at().is_some_and(|at| at <= now)
            && let Some(index) = self.next_to_ask()
            && let Some(line) = self.lines.get_mut(index)
        {
            line.schedule.hasten(now);
        }
    }

    fn run_schedule(&mut self, now: Instant, index: usize) {
        let Some(pair) = self.lines.get(index).map(|line| line.pair) else {
            return;
        };
        // What is held after a failure is not left to the next probe.
        let retry = self
            .negotiations
            .not_before(index)
            .is_some_and(|at| at <= now);
        if self.data_path.age(now, pair) && retry {
            self.want(now, pair);
        }
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        match line.schedule.due(now, &self.config.timing, &self.jitter) {
            Due::Nothing => {}
            Due::Probe => {
                if line.schedule.is_suspect() {
                    self.check_liveness(now);
                }
                self.send_probe(now, index);
            }
            Due::SaDead => self.give_up_sa(now, pair),
        }
    }

    /// The pair's SA carries nothing: it goes, alone; the next probe triggers another.
    fn give_up_sa(&mut self, now: Instant, pair: PairId) {
        self.pair_down(pair, PairDownReason::NoReply);
        let index = self.data_path.pair(pair).map(|pair| pair.index);
        if let Some((peer, index)) = self.peer.zip(index) {
            self.endpoint.delete_pair(now, peer, index);
        }
        self.drain(now);
    }

    fn send_probe(&mut self, now: Instant, index: usize) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        let Some(pair) = self.data_path.pair_mut(line.pair) else {
            return;
        };
        // What triggers a tunnel waits for it, and so must never become a sample.
        let purpose = if pair.has_sa() {
            Purpose::Measure
        } else {
            Purpose::Trigger
        };
        let wall = self.wall_clock.read(now);
        let Some(packet) = line.probe.packet(now, wall, purpose) else {
            return;
        };
        pair.path_reach = line.probe.path_reach();
        let id = line.pair;
        // An answer to an earlier probe would not count any more.
        if let Some(former) = line.waiting.take() {
            pair.hold.forget(&former);
        }
        self.data_path.stats.probes_sent += 1;
        if let Some(Encapsulated::Held { .. }) = self.data_path.send(now, &packet) {
            line.waiting = Some(packet);
            self.want(now, id);
        }
    }

    /// The flow of an ESP packet that gains from being opened with others.
    fn gathers(&self, datagram: &Datagram<'_>) -> Option<Flow> {
        let raw_port = 0;
        let (source, destination) = match datagram.carrier {
            Carrier::Udp => {
                let encapsulated = datagram.destination.port() == self.config.endpoint.nat_port()
                    && matches!(classify(datagram.contents), UdpPayload::Esp);
                encapsulated.then_some((datagram.source, datagram.destination))?
            }
            Carrier::Esp => (
                SocketAddr::new(datagram.source.ip(), raw_port),
                SocketAddr::new(datagram.destination.ip(), raw_port),
            ),
        };
        Some(Flow {
            spi: self.data_path.gathers(datagram.contents)?,
            source,
            destination,
        })
    }

    fn open_run<'a>(
        &mut self,
        now: Instant,
        run: &mut Run<'a>,
        each: &mut impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let Some((flow, mut slots)) = run.take() else {
            return;
        };
        self.data_path.open_batch(flow.spi, &mut slots);
        for slot in slots {
            let opened = self.data_path.settle(now, flow.source, flow.spi, slot);
            each(flow.source, self.took(now, flow.source, opened));
        }
    }

    fn esp<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let opened = self.data_path.open(now, source, esp);
        self.took(now, source, opened)
    }

    fn took<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        opened: Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError>,
    ) -> Result<Received<'a>, DatagramError> {
        let received = match opened {
            Ok((usage, arrival)) => Ok(self.arrived(now, usage, arrival)),
            Err(error) => {
                if let DatagramError::UnknownSpi { .. } = error {
                    self.unknown_spi(now, source.ip());
                }
                Err(self.dropped(error))
            }
        };
        if matches!(received, Ok(Received::Consumed) | Err(_)) {
            self.settle(now);
        }
        received
    }

    fn arrived<'a>(
        &mut self,
        now: Instant,
        usage: Option<Usage>,
        arrival: Option<Arrival<'a>>,
    ) -> Received<'a> {
        if let Some(usage) = usage {
            self.tell_ike(now, usage);
        }
        let Some(Arrival {
            pair,
            packet,
            inner,
        }) = arrival
        else {
            return Received::Consumed;
        };
        let Some(index) = self.line(pair) else {
            return Received::Consumed;
        };
        let wall = self.wall_clock.read(now);
        let reply = self
            .lines
            .get_mut(index)
            .and_then(|line| line.probe.reply(now, wall, &inner, packet));
        self.heard = now;
        self.proved(now, index, reply);
        if reply.is_some() {
            Received::Consumed
        } else {
            self.delivered = Some(now);
            Received::Packet { pair, packet }
        }
    }

    fn tell_ike(&mut self, now: Instant, usage: Usage) {
        let Some(spi) = ike_core::Spi::new(usage.inbound_spi.get()) else {
            return;
        };
        self.endpoint.note_inbound(now, spi, usage.source);
        self.endpoint.report_usage(now, spi, usage.octets);
        self.drain(now);
    }

    /// Something authentic has come in through the pair: a reply to a probe, or real traffic.
    fn proved(&mut self, now: Instant, index: usize, reply: Option<Answer>) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if reply.is_some_and(|answer| answer.answers) {
            self.data_path.stats.probes_answered += 1;
            line.schedule
                .answered(now, &self.config.timing, &self.jitter);
        } else {
            line.schedule
                .traffic(now, &self.config.timing, &self.jitter);
        }
        let rtt = reply.and_then(|answer| answer.rtt);
        let Some(pair) = self.data_path.pair_mut(line.pair) else {
            return;
        };
        pair.prove(now);
        pair.rtt = rtt.or(pair.rtt);
        pair.path_reach = line.probe.path_reach();
        if !pair.reported_up && pair.has_sa() {
            pair.reported_up = true;
            let (id, mode) = (line.pair, line.mode);
            self.event(Event::PairUp { pair: id, rtt });
            // One more probe echoes the hub's reply, and so proves the pair to the hub.
            if mode == ProbeMode::Client {
                self.send_probe(now, index);
            }
        }
    }

    /// ESP that no SA here knows. From the own hub it says that the two ends disagree: check,
    /// or try again; never answer.
    fn unknown_spi(&mut self, now: Instant, source: IpAddr) {
        let from_hub = self.hub.ip() == source;
        let too_soon = self
            .doubted
            .is_some_and(|at| now < at + self.config.timing.unknown_spi_interval);
        if from_hub && !too_soon {
            self.doubted = Some(now);
            self.doubt(now);
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
        if MAX_EVENTS <= self.events.len() {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn dropped(&mut self, error: DatagramError) -> DatagramError {
        self.data_path.stats.drop(error.reason(), 1);
        error
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
}

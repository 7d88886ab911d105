//! One association with one server or peer: polls, matches answers, filters samples.

mod broadcast;
mod client;
mod dispatch;
mod poller;
mod reception;
mod requests;
mod symmetric;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;

pub use self::dispatch::{Verdict, dispatch};

use self::broadcast::BroadcastClient;
use self::poller::Poller;
use self::requests::{Previous, Request, Requests};
use self::symmetric::Symmetric;
use crate::config::{AssociationConfig, AssociationMode, Kick, Purpose};
use crate::crypto::SecureRandom;
use crate::datagram::{Datagram, Transmit};
use crate::duration::NtpDuration;
use crate::error::{Rejection, Unfit, Unusable};
use crate::event::{EndReason, Event};
use crate::filter::{ClockFilter, PeerStatistics};
use crate::message::Encoded;
use crate::packet::{Mode, Packet, Stratum};
use crate::reach::Reach;
use crate::ref_id::ReferenceId;
use crate::sample::{DRIFT, Sample};
use crate::schedule::uniform;
use crate::select::{Candidate, MAX_DISTANCE};
use crate::stats::Stats;
use crate::system_variables::SystemVariables;
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// Packets that may wait to be sent.
const MAX_TRANSMITS: usize = 8;
/// Events that may wait to be read.
const MAX_EVENTS: usize = 32;
/// MINDISP: the least round trip that a root distance counts, in seconds.
pub(crate) const MIN_DISPERSION: f64 = 0.005;
/// Polls after which an ephemeral association that hears nothing ends.
const EPHEMERAL_PATIENCE: u32 = 8;

/// A packet that was accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// Whether the packet proves that the path works both ways: it answers a request of ours.
    pub path: bool,
    /// Round trip by the timer clock, without the time spent in the server; `None` where nothing was asked.
    pub rtt: Option<Duration>,
    /// The measurement, if it is one.
    pub sample: Option<Sample>,
    /// Why it is none.
    pub unusable: Option<Unusable>,
}

/// Timestamps of a packet of the other side, to be sent back.
#[derive(Clone, Copy, Debug)]
struct Echo {
    /// Its transmit timestamp.
    transmit: WireTimestamp,
    /// When it arrived here.
    received: WireTimestamp,
}

/// A packet of ours that an answer belongs to; made by the `verify` functions only.
#[derive(Clone, Copy, Debug)]
struct Matched {
    request: Request,
    authenticated: bool,
}

#[derive(Clone, Debug)]
enum Role {
    Client,
    Symmetric(Symmetric),
    BroadcastServer,
    BroadcastClient(BroadcastClient),
}

/// One association with one server or peer.
///
/// It is a state machine without sockets and clocks that follows the contract of this suite: feed it with
/// [`handle_datagram`](Self::handle_datagram) and [`handle_timeout`](Self::handle_timeout), drain it with
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), and sleep until
/// [`poll_timeout`](Self::poll_timeout). `now` is a timer clock and never goes back (an older one counts as the newest seen);
/// `wall` is the clock that is measured, and may be wrong by decades.
///
/// Timestamps are those of the call: a request that is sent long after the call which made it, or an answer that is
/// handed in late, measures that as delay.
///
/// An association never rests, whatever happens on the network; only an obeyed denial
/// ([`DenialPolicy`](crate::config::DenialPolicy)) or [`close`](Self::close) ends it.
#[derive(Clone, Debug)]
pub struct Association {
    config: Arc<AssociationConfig>,
    random: Arc<dyn SecureRandom>,
    latest: Instant,
    role: Role,
    requests: Requests,
    last_heard: Option<Echo>,
    /// The last exchange in client mode, which an interleaved answer may complete more exactly.
    previous: Option<Previous>,
    path_reach: Reach,
    reach: Reach,
    filter: ClockFilter,
    poller: Poller,
    last_sample: Option<Sample>,
    /// Whether the server's last answer said that its clock is not set.
    is_lost: bool,
    system: SystemVariables,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    stats: Stats,
    silent_polls: u32,
    is_closed: bool,
}

impl Association {
    /// An association that polls for the first time at once, or within the configured initial spread.
    #[must_use]
    pub fn new(
        config: Arc<AssociationConfig>,
        random: Arc<dyn SecureRandom>,
        now: Instant,
    ) -> Self {
        let role = match config.mode {
            AssociationMode::Client => Role::Client,
            AssociationMode::SymmetricActive | AssociationMode::SymmetricPassive => {
                Role::Symmetric(Symmetric::default())
            }
            AssociationMode::BroadcastServer => Role::BroadcastServer,
            AssociationMode::BroadcastClient => Role::BroadcastClient(BroadcastClient::default()),
        };
        let mut poller = Poller::new(config.schedule);
        if !matches!(role, Role::BroadcastClient(_)) {
            poller.wake_at(now + uniform(config.initial_spread, random.as_ref()));
        }
        Self {
            role,
            latest: now,
            requests: Requests::default(),
            last_heard: None,
            previous: None,
            path_reach: Reach::default(),
            reach: Reach::default(),
            filter: ClockFilter::new(now, config.precision),
            poller,
            last_sample: None,
            is_lost: false,
            system: SystemVariables {
                precision: config.precision,
                ..SystemVariables::UNSYNCHRONISED
            },
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            silent_polls: 0,
            is_closed: false,
            config,
            random,
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &AssociationConfig {
        &self.config
    }

    /// What our packets say about our own clock from now on. Default: that it is not set.
    pub fn set_system(&mut self, system: SystemVariables) {
        self.system = system;
    }

    /// Queues one packet at once, whatever the schedule says.
    ///
    /// A [`Purpose::Trigger`] counts for the path only: its answer is no sample, and its loss no missed measurement.
    pub fn poll_now(&mut self, now: Instant, wall: NtpTimestamp, purpose: Purpose) {
        let now = self.advance(now);
        if self.is_closed {
            return;
        }
        if purpose == Purpose::Measure {
            self.shift_reach(now);
        }
        match self.role {
            Role::Client | Role::BroadcastClient(_) => self.send_request(now, wall, purpose),
            Role::Symmetric(_) => self.send_symmetric(now, wall, purpose),
            Role::BroadcastServer => self.send_broadcast(now, wall),
        }
    }

    /// Takes in what the embedder knows about the path.
    ///
    /// [`Kick::LinkUp`] and [`Kick::SaDown`] bring the next poll forward to within the initial spread, at
    /// most once per guard time, and back to the shortest interval; [`Kick::SaUp`] schedules a poll that confirms the path.
    /// With [`Schedule::Manual`](crate::Schedule::Manual) polls stay the embedder's business.
    pub fn kick(&mut self, now: Instant, kick: Kick) {
        let now = self.advance(now);
        if self.is_closed || matches!(self.role, Role::BroadcastServer) {
            return;
        }
        match &mut self.role {
            Role::Symmetric(symmetric) => symmetric.restart_prelude(),
            Role::BroadcastClient(client) if kick != Kick::SaUp => {
                client.restart();
                return;
            }
            Role::Client | Role::BroadcastServer | Role::BroadcastClient(_) => {}
        }
        let delay = match kick {
            Kick::SaUp => self.config.confirm_delay,
            Kick::LinkUp | Kick::SaDown => {
                if !self.poller.take_kick(now, self.config.kick_guard) {
                    return;
                }
                self.forget_path();
                self.poller.restart();
                uniform(self.config.initial_spread, self.random.as_ref())
            }
        };
        let at = now + delay;
        if self.poller.next().is_none_or(|next| at < next) {
            self.poller.wake_at(at);
        }
    }

    /// Takes in a received datagram.
    ///
    /// # Errors
    ///
    /// Why the packet was dropped. One for which [`Rejection::is_foreign`] holds may be meant for somebody else.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: Datagram<'_>,
    ) -> Result<Reply, Rejection> {
        let now = self.advance(now);
        let result = self.accept(now, wall, &datagram);
        self.stats.count(&result);
        if let Err(error) = &result {
            tracing::debug!(%error, "dropped packet");
        }
        result
    }

    /// Polls if a poll is due.
    pub fn handle_timeout(&mut self, now: Instant, wall: NtpTimestamp) {
        let now = self.advance(now);
        if self.is_closed || !self.poller.is_due(now) {
            return;
        }
        if matches!(self.role, Role::BroadcastClient(_)) {
            self.poll_broadcast_client(now, wall);
            return;
        }
        self.scheduled_poll(now, wall);
    }

    /// The next packet to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; never, if `None`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.transmits.is_empty() || !self.events.is_empty() {
            return Some(self.latest);
        }
        if self.is_closed {
            None
        } else {
            self.poller.next()
        }
    }

    /// Ends the association.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.end(EndReason::Requested);
    }

    /// Whether the association has ended and has nothing more to give.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_closed && self.transmits.is_empty() && self.events.is_empty()
    }

    /// Which of the last eight requests were answered at all, be it by a server that does not know the time.
    #[must_use]
    pub const fn path_reach(&self) -> Reach {
        self.path_reach
    }

    /// Which of the last eight measurements gave a sample, RFC 5905 section 9.2.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Offset, delay, dispersion and jitter, or `None` before the first sample.
    #[must_use]
    pub const fn estimate(&self) -> Option<PeerStatistics> {
        self.filter.output()
    }

    /// What the selection wants to know, or why this server is not fit for it; RFC 5905 section 11.2.
    ///
    /// `own` are the reference identifiers of this host, which give a server away that takes its time from us.
    ///
    /// # Errors
    ///
    /// The first of TEST10 to TEST13 that fails.
    pub fn candidate(&self, now: Instant, own: &[ReferenceId]) -> Result<Candidate, Unfit> {
        let (Some(output), Some(sample)) = (self.filter.output(), &self.last_sample) else {
            return Err(Unfit::NoSample);
        };
        if !self.reach.is_reachable() {
            return Err(Unfit::Unreachable);
        }
        if self.is_lost {
            return Err(Unfit::Unsynchronised);
        }
        if Stratum::PRIMARY < sample.stratum && own.contains(&sample.reference_id) {
            return Err(Unfit::Loop);
        }
        let distance = root_distance(&output, sample, now);
        let drift = DRIFT * self.poller.announced().duration().as_secs_f64();
        if MAX_DISTANCE + drift <= distance {
            return Err(Unfit::Distance);
        }
        let distance = NtpDuration::from_seconds_f64(distance);
        Ok(Candidate::new(
            output.offset,
            distance,
            output.jitter,
            sample.stratum,
        ))
    }

    /// The last sample, with what the server said about itself.
    #[must_use]
    pub const fn last_sample(&self) -> Option<&Sample> {
        self.last_sample.as_ref()
    }

    /// Drops all samples: for when the embedder has stepped the clock.
    pub fn clear_samples(&mut self, now: Instant) {
        let now = self.advance(now);
        self.filter.clear(now);
        self.previous = None;
        self.requests.clear();
    }

    /// Whether a datagram's addresses are those of this association.
    #[must_use]
    pub fn is_addressed(&self, datagram: &Datagram<'_>) -> bool {
        self.check_addresses(datagram).is_ok()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn scheduled_poll(&mut self, now: Instant, wall: NtpTimestamp) {
        if self.config.mode == AssociationMode::SymmetricPassive
            && EPHEMERAL_PATIENCE <= self.silent_polls
        {
            self.end(EndReason::Silent);
            return;
        }
        self.silent_polls = self.silent_polls.saturating_add(1);
        let is_cold = !self.path_reach.is_reachable();
        let purpose = if is_cold {
            self.config.cold_purpose
        } else {
            Purpose::Measure
        };
        if !self.poller.continues_burst() {
            if purpose == Purpose::Measure {
                self.shift_reach(now);
            }
            self.poller.begin(self.reach);
        }
        match self.role {
            Role::Client | Role::BroadcastClient(_) => self.send_request(now, wall, purpose),
            Role::Symmetric(_) => self.send_symmetric(now, wall, purpose),
            Role::BroadcastServer => self.send_broadcast(now, wall),
        }
        self.poller.arm(now, self.random.as_ref());
    }

    /// A new measurement begins: shifts the register, and lets the filter know of three misses in a row.
    fn shift_reach(&mut self, now: Instant) {
        let was_reachable = self.reach.is_reachable();
        self.reach.poll();
        if was_reachable && !self.reach.is_reachable() {
            self.raise(Event::ServerLost);
        }
        if self.reach.bits() & 0b111 == 0 {
            self.filter.miss(now);
        }
    }

    /// Queues a packet and remembers it.
    fn enqueue(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        purpose: Purpose,
        packet: &Packet,
        source_port: u16,
    ) {
        if packet.mode != Mode::Broadcast {
            self.requests.push(Request {
                origin: packet.transmit,
                wall,
                at: now,
                mode: packet.mode,
                purpose,
                source_port,
                answered: false,
                interleaved: self.interleaved(packet),
            });
            let was_reachable = self.path_reach.is_reachable();
            self.path_reach.poll();
            if was_reachable && !self.path_reach.is_reachable() {
                self.raise(Event::PathLost);
            }
        }
        let encoded = Encoded::new(packet, self.config.key.as_ref());
        let source = SocketAddr::new(self.config.local.ip(), source_port);
        let contents = Bytes::copy_from_slice(encoded.as_ref());
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back(Transmit {
                source,
                destination: self.config.remote,
                contents,
            });
            self.stats.sent += 1;
        } else {
            self.stats.overflows += 1;
        }
    }

    fn raise(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.stats.overflows += 1;
        }
    }

    fn end(&mut self, reason: EndReason) {
        if !self.is_closed {
            self.is_closed = true;
            self.requests.clear();
            self.raise(Event::Ended(reason));
        }
    }
}

/// lambda, RFC 5905 section 11.2: the greatest error relative to the reference clock, in seconds.
fn root_distance(output: &PeerStatistics, sample: &Sample, now: Instant) -> f64 {
    let round_trip = (sample.root_delay + output.delay)
        .as_seconds_f64()
        .max(MIN_DISPERSION);
    let age = now.saturating_duration_since(output.at).as_secs_f64();
    round_trip / 2.0
        + sample.root_dispersion.as_seconds_f64()
        + output.dispersion.as_seconds_f64()
        + DRIFT * age
        + output.jitter.as_seconds_f64()
}

//! A branch or a hub as a host of the virtual network.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sim::{Datagram, Host};
use trigger::{Branch, Carrier, Encapsulated, Event, Hub, MAX_OVERHEAD, Received};

use crate::cost::{Tally, Work};
use crate::plan::PAIRS;
use crate::reader::{self, Chatter, PairKey, Question, Reader};

/// The port where IKE is marked.
const NAT_PORT: u16 = 4_500;
/// Octets of an ISAKMP header.
const HEADER_LEN: usize = 28;

/// A fact that a run looks at.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fact {
    /// The hub has read over a pair, for the first time since it was told to.
    Read {
        /// The branch's number.
        branch: u32,
        /// The pair's number.
        pair: u8,
    },
    /// What the machine reported.
    Reported(Event),
}

/// A machine with what is around it.
#[derive(Debug)]
pub struct Site {
    machine: Machine,
    outgoing: VecDeque<Datagram>,
    facts: VecDeque<Fact>,
    /// Everything but reads is left out of the log: a large fleet reports more than a run has memory for.
    quiet: bool,
    /// How many times longer than a usual hub it takes; nothing for a branch, whose processor is not looked at.
    slowness: u32,
    /// What a hub has done, and as much of it as has been charged to its processor.
    tally: Tally,
    charged: Tally,
    newest_sas: BTreeMap<u32, (u32, u32)>,
    half_open: HalfOpen,
    /// When it was last called.
    now: Instant,
}

#[derive(Debug)]
enum Machine {
    Branch(Box<Branch>, Vec<Chatter>),
    Hub(Box<Hub>, Reader),
}

impl Site {
    pub(crate) fn of_branch(branch: Branch, quiet: bool) -> Self {
        Self::new(Machine::Branch(Box::new(branch), Vec::new()), quiet, 0)
    }

    /// Everything takes `slowness` times as long as [`Work::time`] says.
    pub(crate) fn of_hub(hub: Hub, quiet: bool, slowness: u32) -> Self {
        Self::new(
            Machine::Hub(Box::new(hub), Reader::default()),
            quiet,
            slowness,
        )
    }

    fn new(machine: Machine, quiet: bool, slowness: u32) -> Self {
        Self {
            machine,
            outgoing: VecDeque::new(),
            facts: VecDeque::new(),
            quiet,
            slowness,
            tally: Tally::default(),
            charged: Tally::default(),
            newest_sas: BTreeMap::new(),
            half_open: HalfOpen::default(),
            now: sim::instant(Duration::ZERO),
        }
    }

    /// The branch, if it is one.
    #[must_use]
    pub fn branch(&self) -> Option<&Branch> {
        match &self.machine {
            Machine::Branch(branch, _) => Some(branch),
            Machine::Hub(..) => None,
        }
    }

    /// The branch, to tell it something, if it is one.
    pub(crate) fn branch_mut(&mut self) -> Option<&mut Branch> {
        match &mut self.machine {
            Machine::Branch(branch, _) => Some(branch),
            Machine::Hub(..) => None,
        }
    }

    /// The hub, if it is one.
    #[must_use]
    pub fn hub(&self) -> Option<&Hub> {
        match &self.machine {
            Machine::Hub(hub, _) => Some(hub),
            Machine::Branch(..) => None,
        }
    }

    /// The SPIs of a branch's newest SA for a pair, inbound and outbound.
    pub(crate) fn newest_sa(&self, pair: u32) -> Option<(u32, u32)> {
        self.newest_sas.get(&pair).copied()
    }

    /// Public-key operations so far, those in quiet time included.
    #[must_use]
    pub fn exponentiations(&self) -> u64 {
        let stats = self.ike_stats();
        stats.exponentiations + stats.exponents_prepared
    }

    /// What a hub has done.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally;
        tally.add(Work::Exponentiation, self.exponentiations());
        tally
    }

    /// The most phase 1 exchanges that had begun here and not ended, neither by success nor by their age.
    #[must_use]
    pub const fn peak_half_open(&self) -> usize {
        self.half_open.peak
    }

    /// Counters of ike-core.
    #[must_use]
    pub fn ike_stats(&self) -> trigger::ike_core::Stats {
        match &self.machine {
            Machine::Branch(branch, _) => branch.ike_stats(),
            Machine::Hub(hub, _) => hub.ike_stats().clone(),
        }
    }

    /// Begins to ask over a pair, on a hub.
    pub(crate) fn begin_asking(&mut self, at: Instant, key: PairKey, question: Question) {
        if let Machine::Hub(_, reader) = &mut self.machine {
            reader.begin(at, key, question);
        }
    }

    /// Begins to send something of its own, on a branch.
    pub(crate) fn begin_chatter(&mut self, chatter: Chatter) {
        if let Machine::Branch(_, chatters) = &mut self.machine {
            chatters.push(chatter);
        }
    }

    /// Sends an inner packet.
    pub(crate) fn send(&mut self, now: Instant, packet: &[u8]) {
        self.tally.add(Work::Packet, 1);
        let mut out = vec![0; packet.len() + MAX_OVERHEAD];
        let sent = match &mut self.machine {
            Machine::Branch(branch, _) => branch.encapsulate(now, packet, &mut out),
            Machine::Hub(hub, _) => hub.encapsulate(now, packet, &mut out),
        };
        // Held or dropped: the run sees it by the read that fails.
        if let Ok(Encapsulated::Sealed { path, len, .. }) = sent {
            out.truncate(len);
            self.outgoing.push_back(on_the_wire(path, out));
        }
    }

    /// The next inner packet that is due, whatever the tunnel does.
    fn own_business(&mut self, now: Instant) -> Option<Vec<u8>> {
        match &mut self.machine {
            Machine::Branch(_, chatters) => {
                chatters.iter_mut().find_map(|chatter| chatter.line(now))
            }
            Machine::Hub(_, reader) => reader.question(now),
        }
    }

    /// What came out of the tunnel.
    fn inside(&mut self, now: Instant, packet: &[u8]) {
        match &mut self.machine {
            Machine::Branch(..) => {
                if let Some(answer) = reader::answer(packet) {
                    self.send(now, &answer);
                }
            }
            Machine::Hub(_, reader) => {
                if let Some((branch, pair)) = reader.answered(packet) {
                    self.facts.push_back(Fact::Read { branch, pair });
                }
            }
        }
    }
}

/// Raw ESP has no ports; the network knows it by zeros.
fn on_the_wire(path: trigger::Path, contents: Vec<u8>) -> Datagram {
    let (mut source, mut destination) = (path.source, path.destination);
    if path.carrier == Carrier::Esp {
        source.set_port(0);
        destination.set_port(0);
    }
    Datagram {
        source,
        destination,
        contents,
    }
}

impl Host for Site {
    type Event = Fact;

    fn handle_datagram(&mut self, now: Instant, datagram: &mut Datagram) {
        self.now = now;
        let Datagram {
            source,
            destination,
            contents,
        } = datagram;
        let marker = if destination.port() == NAT_PORT { 4 } else { 0 };
        let message: Vec<u8> = contents
            .iter()
            .skip(marker)
            .take(HEADER_LEN)
            .copied()
            .collect();
        let is_raw = source.port() == 0 && destination.port() == 0;
        let is_esp = is_raw || (marker == 4 && !contents.starts_with(&[0; 4]));
        let received = match (&mut self.machine, is_raw) {
            (Machine::Branch(branch, _), false) => {
                branch.handle_datagram(now, *source, *destination, contents)
            }
            (Machine::Branch(branch, _), true) => {
                branch.handle_esp(now, source.ip(), destination.ip(), contents)
            }
            (Machine::Hub(hub, _), false) => {
                hub.handle_datagram(now, *source, *destination, contents)
            }
            (Machine::Hub(hub, _), true) => {
                hub.handle_esp(now, source.ip(), destination.ip(), contents)
            }
        };
        let work = match (&received, is_esp) {
            (Ok(Received::Packet { .. }), _) => Work::Data,
            (Ok(_), true) => Work::Probe,
            (Err(_), true) => Work::UnknownSpi,
            (Ok(_), false) => kind_of_message(&message),
            (Err(_), false) => Work::Rejected,
        };
        self.tally.add(work, 1);
        self.tally.add(Work::Kernel, 1);
        match received {
            Ok(Received::Packet { packet, .. }) => {
                let packet = packet.to_vec();
                self.inside(now, &packet);
            }
            Ok(_) if self.hub().is_some() => self.half_open.note(now, &message),
            // What is dropped is counted by the machine.
            Ok(_) | Err(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let calls = self.ike_stats().stranger_answers_out;
        match &mut self.machine {
            Machine::Branch(branch, _) => branch.handle_timeout(now),
            Machine::Hub(hub, _) => hub.handle_timeout(now),
        }
        let calls = self.ike_stats().stranger_answers_out - calls;
        self.tally.add(Work::Timer, 1);
        self.tally.add(Work::Call, calls);
        while let Some(packet) = self.own_business(now) {
            self.send(now, &packet);
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        let transmit = match &mut self.machine {
            Machine::Branch(branch, _) => branch.poll_transmit(),
            Machine::Hub(hub, _) => hub.poll_transmit(),
        };
        let datagram = match transmit {
            Some(transmit) => Some(on_the_wire(transmit.path, transmit.contents.to_vec())),
            None => self.outgoing.pop_front(),
        };
        self.tally.add(Work::Kernel, u64::from(datagram.is_some()));
        datagram
    }

    fn poll_event(&mut self) -> Option<Fact> {
        loop {
            let event = match &mut self.machine {
                Machine::Branch(branch, _) => branch.poll_event(),
                Machine::Hub(hub, _) => hub.poll_event(),
            };
            if let Some(Event::SaUp {
                pair,
                inbound_spi,
                outbound_spi,
                ..
            }) = &event
            {
                self.newest_sas
                    .insert(pair.number(), (*inbound_spi, *outbound_spi));
                let (now, number) = (self.now, pair.number());
                if let Machine::Hub(_, reader) = &mut self.machine {
                    reader.is_up(now, pair_key(number));
                }
            }
            match event {
                Some(event) if !self.quiet || matches!(event, Event::RollChanged { .. }) => {
                    return Some(Fact::Reported(event));
                }
                Some(_) => {}
                None => return self.facts.pop_front(),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Branch(branch, chatters) => branch
                .poll_timeout()
                .into_iter()
                .chain(chatters.iter().map(|chatter| chatter.due))
                .min(),
            Machine::Hub(hub, reader) => hub.poll_timeout().into_iter().chain(reader.next()).min(),
        }
    }

    fn take_time(&mut self) -> Duration {
        let tally = self.tally();
        let since = tally.since(&self.charged);
        self.charged = tally;
        since.time() * self.slowness
    }
}

/// A hub numbers the pairs of its branches in their order.
fn pair_key(number: u32) -> PairKey {
    let pairs = u32::try_from(PAIRS).unwrap_or(u32::MAX);
    (number / pairs, u8::try_from(number % pairs).unwrap_or(0))
}

/// What kind of work a message of IKE was that a hub has taken in.
fn kind_of_message(message: &[u8]) -> Work {
    const AGGRESSIVE: u8 = 4;
    const QUICK_MODE: u8 = 32;
    match (message.get(18).copied(), message.get(8..16)) {
        (Some(AGGRESSIVE), Some(responder)) if responder == [0; 8] => Work::First,
        (Some(AGGRESSIVE), _) => Work::Third,
        (Some(QUICK_MODE), _) => Work::QuickMode,
        _ => Work::Informational,
    }
}

/// What the wire shows of phase 1 exchanges at a responder.
#[derive(Debug, Default)]
struct HalfOpen {
    begun: VecDeque<(Instant, [u8; 8])>,
    peak: usize,
}

impl HalfOpen {
    /// Exchanges older than this have been given up.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Looks at a message that was accepted.
    fn note(&mut self, now: Instant, message: &[u8]) {
        const AGGRESSIVE: u8 = 4;
        while self
            .begun
            .front()
            .is_some_and(|(since, _)| *since + Self::PATIENCE <= now)
        {
            self.begun.pop_front();
        }
        let (Some(initiator), Some(responder)) = (message.first_chunk::<8>(), message.get(8..16))
        else {
            return;
        };
        if message.get(18) != Some(&AGGRESSIVE) {
            return;
        }
        self.begun.retain(|(_, cookie)| cookie != initiator);
        if responder == [0; 8] {
            self.begun.push_back((now, *initiator));
            self.peak = self.peak.max(self.begun.len());
        }
    }
}

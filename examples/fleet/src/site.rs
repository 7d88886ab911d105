//! A branch or a hub as a host of the virtual network.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sim::{Datagram, Host};
use trigger::{Branch, Carrier, Encapsulated, Event, Hub, MAX_OVERHEAD, Received};

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
    /// As many as have been charged to the processor.
    charged: u64,
    newest_sas: BTreeMap<u32, (u32, u32)>,
    half_open: HalfOpen,
}

#[derive(Debug)]
enum Machine {
    Branch(Box<Branch>, Vec<Chatter>),
    Hub(Box<Hub>, Reader),
}

impl Site {
    pub(crate) fn of_branch(branch: Branch, quiet: bool) -> Self {
        Self::new(Machine::Branch(Box::new(branch), Vec::new()), quiet)
    }

    pub(crate) fn of_hub(hub: Hub, quiet: bool) -> Self {
        Self::new(Machine::Hub(Box::new(hub), Reader::default()), quiet)
    }

    fn new(machine: Machine, quiet: bool) -> Self {
        Self {
            machine,
            outgoing: VecDeque::new(),
            facts: VecDeque::new(),
            quiet,
            charged: 0,
            newest_sas: BTreeMap::new(),
            half_open: HalfOpen::default(),
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
        match &mut self.machine {
            Machine::Branch(branch, _) => branch.handle_timeout(now),
            Machine::Hub(hub, _) => hub.handle_timeout(now),
        }
        while let Some(packet) = self.own_business(now) {
            self.send(now, &packet);
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        let transmit = match &mut self.machine {
            Machine::Branch(branch, _) => branch.poll_transmit(),
            Machine::Hub(hub, _) => hub.poll_transmit(),
        };
        match transmit {
            Some(transmit) => Some(on_the_wire(transmit.path, transmit.contents.to_vec())),
            None => self.outgoing.pop_front(),
        }
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

    /// Public-key operations.
    fn take_work(&mut self) -> u32 {
        let total = self.exponentiations();
        let since = total - self.charged;
        self.charged = total;
        u32::try_from(since).unwrap_or(u32::MAX)
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

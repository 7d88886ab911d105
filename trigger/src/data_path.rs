//! Which pair owns a packet, which SA seals it, and what is held while there is none.
//!
//! Common to [`Branch`](crate::Branch) and [`Hub`](crate::Hub). It decides nothing about
//! negotiations; its callers do.

mod external;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use esp_core::ip::InnerPacket;
use esp_core::{
    EspSuite, InboundSa, OpenSlot, Opened, Policy, Sad, SealError, SealSlot, Selector, Spd, Spi,
    WindowSize,
};
use ike_core::IpsecSa;

use crate::config::{CryptoProvider, EspKeyLog, PairConfig, Timing};
use crate::error::{DatagramError, DropReason, EncapsulateError};
use crate::event::{MemberId, PairId};
use crate::external::External;
use crate::handoff;
use crate::pair::Pair;
use crate::status::Stats;
use crate::table::Table;
use crate::transmit::{Carrier, Path, Transmit};

/// Octets that [`encapsulate`](crate::Branch::encapsulate) needs beyond the inner packet's length,
/// whatever the suite.
pub const MAX_OVERHEAD: usize = 96;

/// Datagrams that wait for the driver at most.
const MAX_TRANSMITS: usize = 4096;

/// What became of an inner packet on its way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub enum Encapsulated {
    /// The first `len` octets of the output buffer are to be sent along `path`.
    Sealed {
        /// The pair that owns the packet.
        pair: PairId,
        /// Where it goes.
        path: Path,
        /// Octets of the ESP packet.
        len: usize,
    },
    /// The pair has no SA yet: the packet is held, and what it takes to get one has begun.
    Held {
        /// The pair that owns the packet.
        pair: PairId,
    },
    /// The packet was for this machine itself, which has taken it.
    Consumed,
    /// An external data path seals it; see [`DataPathChange::Send`](crate::DataPathChange::Send).
    PassedOn {
        /// The pair that owns the packet.
        pair: PairId,
    },
    /// No pair matches, so the packet must not enter a tunnel.
    NoPair,
}

/// Where the packets of a flow leave, and in what: what it takes to lay out a batch for
/// [`seal_batch`](crate::Branch::seal_batch).
///
/// It holds until the machine is given anything but packets to seal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Outlet {
    /// The pair that owns the flow.
    pub pair: PairId,
    /// Where it goes.
    pub path: Path,
    /// How long the ESP packets are, and where in them the packets lie.
    pub suite: EspSuite,
    /// The number of the branch's hub.
    pub(crate) lane: usize,
}

/// What became of a datagram from the outer network.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub enum Received<'a> {
    /// An inner packet to deliver inwards.
    Packet {
        /// The pair through which it came.
        pair: PairId,
        /// The whole IP packet, within the buffer that was given.
        packet: &'a mut [u8],
    },
    /// Nothing to deliver: IKE, a keepalive, a probe's reply.
    Consumed,
}

/// An inbound SA and whose it is.
#[derive(Debug)]
struct Inbound {
    sa: InboundSa,
    pair: PairId,
    /// Where the latest authentic packet came from, and when IKE was told.
    told: Option<(SocketAddr, Instant)>,
}

/// What IKE should be told of an SA's traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) inbound_spi: Spi,
    pub(crate) source: SocketAddr,
    /// Octets in both directions.
    pub(crate) octets: u64,
}

/// An authentic inner packet.
pub(crate) struct Arrival<'a> {
    pub(crate) pair: PairId,
    pub(crate) packet: &'a mut [u8],
    pub(crate) inner: InnerPacket,
}

/// SPD, SAD, pairs and the queue of what leaves.
#[derive(Debug)]
pub(crate) struct DataPath {
    pub(crate) timing: Timing,
    pub(crate) stats: Stats,
    crypto: CryptoProvider,
    replay_window: WindowSize,
    key_log: Option<Arc<dyn EspKeyLog>>,
    spd: Spd<PairId>,
    sad: Sad<Box<Inbound>>,
    pairs: Table<Pair>,
    transmits: VecDeque<Transmit>,
    /// Where somebody else seals and opens.
    external: Option<External>,
}

impl DataPath {
    pub(crate) fn new(
        crypto: CryptoProvider,
        timing: Timing,
        replay_window: WindowSize,
        key_log: Option<Arc<dyn EspKeyLog>>,
    ) -> Self {
        Self {
            timing,
            stats: Stats::default(),
            crypto,
            replay_window,
            key_log,
            spd: Spd::new(),
            sad: Sad::new(),
            pairs: Table::starting_at(0),
            transmits: VecDeque::new(),
            external: None,
        }
    }

    /// Gives pairs numbers from `first` on.
    pub(crate) fn number_from(mut self, first: u32) -> Self {
        self.pairs = Table::starting_at(first);
        self
    }

    /// Whether some pair already protects exactly this selector.
    pub(crate) fn owner(&self, config: &PairConfig) -> Option<PairId> {
        let selector = selector(config)?;
        match self.spd.get(selector) {
            Some(Policy::Protect(pair)) => Some(*pair),
            Some(Policy::Bypass | Policy::Discard) | None => None,
        }
    }

    pub(crate) fn add_pair(
        &mut self,
        config: PairConfig,
        member: MemberId,
        index: ike_core::PairIndex,
    ) -> PairId {
        let id = PairId(self.pairs.next());
        if let Some(selector) = selector(&config) {
            self.spd.insert(selector, Policy::Protect(id));
        }
        self.pairs.push(Pair::new(config, member, index));
        id
    }

    pub(crate) fn remove_pair(&mut self, id: PairId) {
        let Some(pair) = self.pairs.remove(id.0) else {
            return;
        };
        for spi in pair.inbound_spis() {
            self.sad.remove(spi);
        }
        self.hand_carrier(id);
        for spi in pair.inbound_spis() {
            self.hand_back(spi);
        }
        if let Some(selector) = selector(&pair.config)
            && self.spd.get(selector) == Some(&Policy::Protect(id))
        {
            self.spd.remove(selector);
        }
    }

    pub(crate) fn pair(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(id.0)
    }

    pub(crate) fn pair_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(id.0)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (PairId, &Pair)> {
        self.pairs
            .iter()
            .map(|(number, pair)| (PairId(number), pair))
    }

    /// Runs a negotiated SA: inbound at once, outbound when it is confirmed.
    pub(crate) fn install(
        &mut self,
        id: PairId,
        negotiated: &IpsecSa,
    ) -> Result<(), esp_core::SaError> {
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return Ok(());
        };
        let running = handoff::run(negotiated, &self.crypto.esp, self.replay_window)?;
        if let Some(key_log) = &self.key_log {
            key_log.ipsec_sa(negotiated);
        }
        let inbound_spi = running.sa.inbound_spi;
        let surplus = pair.install(running.sa);
        if self.external.is_some() {
            self.hand_over(id, negotiated);
        } else {
            self.sad.insert(
                inbound_spi,
                Box::new(Inbound {
                    sa: running.inbound,
                    pair: id,
                    told: None,
                }),
            );
        }
        if let Some(surplus) = surplus {
            self.sad.remove(surplus);
            self.hand_carrier(id);
            self.hand_back(surplus);
        }
        Ok(())
    }

    /// The SA carries what is sent from now on; what was held goes first.
    /// Returns the outbound SPI.
    pub(crate) fn confirm(&mut self, now: Instant, id: PairId, inbound_spi: Spi) -> Option<Spi> {
        let outbound_spi = self
            .pairs
            .get_mut(id.0)?
            .confirm(inbound_spi)?
            .outbound
            .spi();
        self.hand_carrier(id);
        self.release(now, id);
        Some(outbound_spi)
    }

    /// Ends an SA. Returns whether the pair has another that carries it on.
    pub(crate) fn close(&mut self, id: PairId, inbound_spi: Spi) -> Option<bool> {
        self.sad.remove(inbound_spi);
        let pair = self.pairs.get_mut(id.0)?;
        pair.close(inbound_spi)?;
        let has_sa = pair.has_sa();
        self.hand_carrier(id);
        self.hand_back(inbound_spi);
        Some(has_sa)
    }

    /// The peer of these pairs is reached along another path.
    pub(crate) fn move_path(&mut self, ids: &[PairId], local: SocketAddr, remote: SocketAddr) {
        for id in ids {
            for sa in self.pairs.get_mut(id.0).into_iter().flat_map(Pair::sas_mut) {
                sa.path.source = local;
                sa.path.destination = remote;
            }
            self.hand_paths(*id);
        }
    }

    /// Seals an inner packet into `out`, or holds it.
    pub(crate) fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, EncapsulateError> {
        let inner = InnerPacket::parse(packet)
            .inspect_err(|_| self.stats.drop(DropReason::MalformedInner, 1))?;
        let Some(id) = self.route(inner.source(), inner.destination()) else {
            self.stats.unmatched = self.stats.unmatched.saturating_add(1);
            return Ok(Encapsulated::NoPair);
        };
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return Ok(Encapsulated::NoPair);
        };
        if !pair.has_sa() {
            let dropped = pair.hold.push(now, packet, &self.timing);
            self.stats.drop(DropReason::HoldExpired, dropped);
            return Ok(Encapsulated::Held { pair: id });
        }
        if self.pass_on(id, packet) {
            return Ok(Encapsulated::PassedOn { pair: id });
        }
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return Ok(Encapsulated::NoPair);
        };
        match seal(pair, now, packet, &inner, out) {
            Ok((path, len)) => Ok(Encapsulated::Sealed {
                pair: id,
                path,
                len,
            }),
            Err(SealError::BufferTooShort { .. }) => Err(EncapsulateError::BufferTooShort),
            Err(error) => {
                self.stats.drop(DropReason::Unsealed, 1);
                Err(EncapsulateError::Seal(error))
            }
        }
    }

    /// Where a packet, and every other between the same two hosts, leaves now.
    pub(crate) fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        if self.external.is_some() {
            return None;
        }
        let inner = InnerPacket::parse(packet).ok()?;
        let pair = self.route(inner.source(), inner.destination())?;
        let sa = self.pairs.get(pair.0)?.carrier()?;
        Some(Outlet {
            pair,
            path: sa.path,
            suite: sa.outbound.suite(),
            lane: 0,
        })
    }

    /// Seals packets of one pair where they lie.
    pub(crate) fn seal_batch(
        &mut self,
        now: Instant,
        id: PairId,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), EncapsulateError> {
        // Nobody who leaves sealing to others is given an outlet.
        let pair = self.pairs.get_mut(id.0);
        let sealed = pair
            .filter(|_| self.external.is_none())
            .map_or(Err(SealError::Refused), |pair| seal_slots(pair, now, slots));
        sealed.map_err(|error| {
            self.stats.drop(DropReason::Unsealed, slots.len() as u64);
            EncapsulateError::Seal(error)
        })
    }

    fn route(&self, source: IpAddr, destination: IpAddr) -> Option<PairId> {
        match self.spd.lookup(source, destination)? {
            Policy::Protect(id) => Some(*id),
            Policy::Bypass | Policy::Discard => None,
        }
    }

    /// Sends an inner packet of this machine itself, through the same policy as any other.
    pub(crate) fn send(&mut self, now: Instant, packet: &[u8]) -> Option<Encapsulated> {
        let mut out = vec![0; packet.len() + MAX_OVERHEAD];
        let sent = self.encapsulate(now, packet, &mut out).ok()?;
        if let Encapsulated::Sealed { path, len, .. } = sent {
            out.truncate(len);
            self.transmit(Transmit {
                path,
                contents: Bytes::from(out),
            });
        }
        Some(sent)
    }

    /// Sends what was held for a pair that now has an SA.
    fn release(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return;
        };
        let held: Vec<Vec<u8>> = pair.hold.take().collect();
        for packet in held {
            self.send(now, &packet);
        }
    }

    /// Takes everything that is held.
    pub(crate) fn take_held(&mut self) -> Vec<Vec<u8>> {
        let pairs = self.pairs.values_mut();
        pairs.flat_map(|pair| pair.hold.take()).collect()
    }

    /// Drops held packets that have waited too long. Returns whether others still wait.
    pub(crate) fn age(&mut self, now: Instant, id: PairId) -> bool {
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return false;
        };
        let dropped = pair.hold.age(now, &self.timing);
        self.stats.drop(DropReason::HoldExpired, dropped);
        pair.hold.len() != 0
    }

    /// Opens an ESP packet. A dummy packet is authentic, but has nothing to deliver.
    pub(crate) fn open<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        esp: &'a mut [u8],
    ) -> Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError> {
        let Some(&octets) = esp.first_chunk::<4>() else {
            return Err(DatagramError::Malformed);
        };
        let number = u32::from_be_bytes(octets);
        let unknown = DatagramError::UnknownSpi { spi: number };
        let spi = Spi::new(number).map_err(|_| unknown.clone())?;
        let inbound = self.sad.get_mut(spi).ok_or(unknown)?;
        let opened = inbound.sa.open_in_place(esp).map_err(DatagramError::Esp)?;
        self.account(now, source, spi, opened)
    }

    /// The SA of an ESP packet, if opening several of its packets together is faster.
    pub(crate) fn gathers(&self, esp: &[u8]) -> Option<Spi> {
        let spi = Spi::new(u32::from_be_bytes(*esp.first_chunk()?)).ok()?;
        self.sad.get(spi)?.sa.prefers_batches().then_some(spi)
    }

    /// Opens packets of one SA together; each then goes through [`settle`](Self::settle).
    pub(crate) fn open_batch(&mut self, spi: Spi, slots: &mut [OpenSlot<'_>]) {
        if let Some(inbound) = self.sad.get_mut(spi) {
            inbound.sa.open_batch(slots);
        }
    }

    /// What [`open`](Self::open) would have given for a packet that was opened with others.
    pub(crate) fn settle<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        spi: Spi,
        slot: OpenSlot<'a>,
    ) -> Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError> {
        let opened = slot.into_opened().map_err(DatagramError::Esp)?;
        self.account(now, source, spi, opened)
    }

    /// Counts an authentic packet.
    fn account<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        spi: Spi,
        opened: Opened<'a>,
    ) -> Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError> {
        let unknown = DatagramError::UnknownSpi { spi: spi.get() };
        let inbound = self.sad.get_mut(spi).ok_or(unknown)?;
        let id = inbound.pair;
        let tell = inbound
            .told
            .is_none_or(|(from, at)| from != source || at + self.timing.usage_interval <= now);
        let inbound_octets = inbound.sa.usage().octets;
        if tell {
            inbound.told = Some((source, now));
        }
        let Some(pair) = self.pairs.get_mut(id.0) else {
            return Ok((None, None));
        };
        let usage = tell.then(|| {
            let sent = pair
                .sas_mut()
                .find(|sa| sa.inbound_spi == spi)
                .map_or(0, |sa| sa.outbound.usage().octets);
            Usage {
                inbound_spi: spi,
                source,
                octets: inbound_octets.saturating_add(sent),
            }
        });
        let (packet, Some(inner)) = (opened.packet, opened.inner) else {
            return Ok((usage, None));
        };
        pair.octets_in = pair.octets_in.saturating_add(packet.len() as u64);
        Ok((
            usage,
            Some(Arrival {
                pair: id,
                packet,
                inner,
            }),
        ))
    }

    /// Queues a datagram for the driver.
    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        if MAX_TRANSMITS <= self.transmits.len() {
            self.stats.drop(DropReason::QueueFull, 1);
            return;
        }
        self.transmits.push_back(transmit);
    }

    /// Queues a datagram of IKE.
    pub(crate) fn transmit_ike(&mut self, transmit: ike_core::Transmit) {
        let path = Path {
            source: transmit.source,
            destination: transmit.destination,
            carrier: Carrier::Udp,
        };
        self.transmit(Transmit {
            path,
            contents: transmit.contents,
        });
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn has_transmits(&self) -> bool {
        !self.transmits.is_empty() || self.external.as_ref().is_some_and(|it| !it.is_empty())
    }
}

/// Seals one packet through the pair's newest SA.
fn seal(
    pair: &mut Pair,
    now: Instant,
    packet: &[u8],
    inner: &InnerPacket,
    out: &mut [u8],
) -> Result<(Path, usize), SealError> {
    let Some(sa) = pair.outbound() else {
        return Err(SealError::Refused);
    };
    let len = sa.outbound.seal(packet, out)?;
    let path = sa.path;
    pair.octets_out = pair.octets_out.saturating_add(packet.len() as u64);
    pair.watch.sent(now, inner, packet);
    Ok((path, len))
}

/// Seals a batch through the pair's newest SA.
fn seal_slots(pair: &mut Pair, now: Instant, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
    for slot in slots.iter() {
        if pair.watch.is_observing(now) {
            break;
        }
        if let Ok(inner) = InnerPacket::parse(slot.packet()) {
            pair.watch.sent(now, &inner, slot.packet());
        }
    }
    let octets: usize = slots.iter().map(|slot| slot.packet().len()).sum();
    let sa = pair.outbound().ok_or(SealError::Refused)?;
    sa.outbound.seal_batch(slots)?;
    pair.octets_out = pair.octets_out.saturating_add(octets as u64);
    Ok(())
}

fn selector(config: &PairConfig) -> Option<Selector> {
    Selector::new(config.local(), config.remote()).ok()
}

//! ESP that somebody else does, as a kernel: what that data path is told, and what it tells.
//!
//! A machine that was built with an external data path seals and opens nothing. Whatever it wants
//! done comes out of `poll_data_path`, to be done in that order; what it has to know goes in by
//! `handle_inner`, `handle_traffic`, `handle_mapping`, `handle_acquire`, `handle_worn_sa` and
//! `handle_lost_sa` of [`Branch`](crate::Branch) and [`Hub`](crate::Hub).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use esp_core::Spi;
use ike_core::IpsecSa;

use crate::event::PairId;
use crate::transmit::Path;

/// Inner packets that wait for the data path at most.
const MAX_PACKETS: usize = 4096;
/// Everything that waits for it at most: more than a full house of branches has at once.
const MAX_CHANGES: usize = 262_144;

/// What an external data path is to do next.
///
/// Pairs and SAs are named as everywhere: by [`PairId`], and by the SPI of what we receive.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum DataPathChange {
    /// Be ready to receive through a new SA. It must not carry what is sent yet: the peer may not
    /// have it.
    Install {
        /// The pair.
        pair: PairId,
        /// Both halves with their keys, which are wiped when this is dropped.
        sa: Box<IpsecSa>,
        /// Packets by which one may be late and still be taken.
        replay_window: u16,
    },
    /// What is sent through the pair goes through this SA from now on, and through no other.
    Carry {
        /// The pair.
        pair: PairId,
        /// The SA.
        inbound_spi: Spi,
    },
    /// No SA carries what is sent through the pair: its packets are for `encapsulate`, which holds
    /// them.
    Hold {
        /// The pair.
        pair: PairId,
    },
    /// The peer of an SA is reached, and sends, along another path. Sequence numbers and the
    /// anti-replay window go on as they are.
    Move {
        /// The SA.
        inbound_spi: Spi,
        /// Its path.
        path: Path,
    },
    /// Forget an SA, in both directions.
    Remove {
        /// The SA.
        inbound_spi: Spi,
    },
    /// Send an inner packet through its pair: a probe, an answer to one, or what was held.
    Send {
        /// The pair.
        pair: PairId,
        /// The whole IP packet.
        packet: Bytes,
    },
}

/// What an SA of an external data path has carried since it was installed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SaTraffic {
    /// Octets received that proved authentic.
    pub octets_in: u64,
    /// Octets sent.
    pub octets_out: u64,
}

impl SaTraffic {
    /// Octets received that proved authentic, and octets sent.
    #[must_use]
    pub const fn new(octets_in: u64, octets_out: u64) -> Self {
        Self {
            octets_in,
            octets_out,
        }
    }
}

/// The side of the machine.
#[derive(Debug, Default)]
pub(crate) struct External {
    changes: VecDeque<DataPathChange>,
    /// Of `changes`, how many are packets.
    packets: usize,
    /// By the inbound SPI.
    sas: BTreeMap<u32, Installed>,
    /// What carries each pair, as the data path has been told.
    carrying: BTreeMap<PairId, Spi>,
}

/// An SA that the data path has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installed {
    pub(crate) pair: PairId,
    pub(crate) traffic: SaTraffic,
}

/// There was no room.
#[derive(Debug)]
pub(crate) struct Full;

impl External {
    pub(crate) fn install(
        &mut self,
        pair: PairId,
        sa: &IpsecSa,
        replay_window: u16,
    ) -> Result<(), Full> {
        let installed = Installed {
            pair,
            traffic: SaTraffic::default(),
        };
        self.sas.insert(sa.inbound_spi.get(), installed);
        self.push(DataPathChange::Install {
            pair,
            sa: Box::new(sa.clone()),
            replay_window,
        })
    }

    /// `carrier` is the SA that is to carry the pair; nothing is said twice.
    pub(crate) fn carry(&mut self, pair: PairId, carrier: Option<Spi>) -> Result<(), Full> {
        if self.carrying.get(&pair).copied() == carrier {
            return Ok(());
        }
        match carrier {
            Some(inbound_spi) => {
                self.carrying.insert(pair, inbound_spi);
                self.push(DataPathChange::Carry { pair, inbound_spi })
            }
            None => {
                self.carrying.remove(&pair);
                self.push(DataPathChange::Hold { pair })
            }
        }
    }

    pub(crate) fn move_path(&mut self, inbound_spi: Spi, path: Path) -> Result<(), Full> {
        self.push(DataPathChange::Move { inbound_spi, path })
    }

    pub(crate) fn remove(&mut self, inbound_spi: Spi) -> Result<(), Full> {
        if self.sas.remove(&inbound_spi.get()).is_none() {
            return Ok(());
        }
        self.push(DataPathChange::Remove { inbound_spi })
    }

    pub(crate) fn send(&mut self, pair: PairId, packet: &[u8]) -> Result<(), Full> {
        if MAX_PACKETS <= self.packets {
            return Err(Full);
        }
        self.push(DataPathChange::Send {
            pair,
            packet: Bytes::copy_from_slice(packet),
        })?;
        self.packets += 1;
        Ok(())
    }

    /// The pair of an SA, and what it has carried as far as is known.
    pub(crate) fn installed(&mut self, inbound_spi: u32) -> Option<&mut Installed> {
        self.sas.get_mut(&inbound_spi)
    }

    pub(crate) fn poll(&mut self) -> Option<DataPathChange> {
        let change = self.changes.pop_front();
        if let Some(DataPathChange::Send { .. }) = change {
            self.packets -= 1;
        }
        change
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn push(&mut self, change: DataPathChange) -> Result<(), Full> {
        if MAX_CHANGES <= self.changes.len() {
            return Err(Full);
        }
        self.changes.push_back(change);
        Ok(())
    }
}

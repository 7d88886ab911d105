//! One pair at run time: its SAs, what is held for it, and what proves it.

use core::time::Duration;
use std::time::Instant;

use alloc::vec::Vec;

use esp_core::{OutboundSa, Spi};
use ike_core::{EspTransform, PairIndex};

use crate::config::{PairConfig, Timing};
use crate::event::{Failure, MemberId, PairId};
use crate::hold::Hold;
use crate::proof::AnswerWatch;
use crate::status::{PairState, PairStatus};
use crate::transmit::Path;

/// The most SAs that one pair keeps: the old, the new, and one that crossed.
const MAX_SAS: usize = 3;

/// A pair of one member.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) config: PairConfig,
    pub(crate) member: MemberId,
    pub(crate) index: PairIndex,
    pub(crate) hold: Hold,
    pub(crate) watch: AnswerWatch,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) rtt: Option<Duration>,
    pub(crate) path_reach: u8,
    pub(crate) octets_in: u64,
    pub(crate) octets_out: u64,
    /// When the hub will look at the pair next.
    pub(crate) wake: Option<Instant>,
    /// Whether the embedder was told that the pair is up.
    pub(crate) reported_up: bool,
    last_proof: Option<Instant>,
    /// Oldest first. The latest confirmed one carries what we send.
    sas: Vec<PairSa>,
}

/// One SA of a pair, as far as sending goes.
#[derive(Debug)]
pub(crate) struct PairSa {
    pub(crate) inbound_spi: Spi,
    pub(crate) outbound: OutboundSa,
    pub(crate) transform: EspTransform,
    pub(crate) path: Path,
    pub(crate) confirmed: bool,
}

impl Pair {
    pub(crate) fn new(config: PairConfig, member: MemberId, index: PairIndex) -> Self {
        Self {
            config,
            member,
            index,
            hold: Hold::default(),
            watch: AnswerWatch::default(),
            last_failure: None,
            rtt: None,
            path_reach: 0,
            octets_in: 0,
            octets_out: 0,
            wake: None,
            reported_up: false,
            last_proof: None,
            sas: Vec::new(),
        }
    }

    /// Adds an SA. Returns the inbound SPI of one that had to go, if there were too many.
    pub(crate) fn install(&mut self, sa: PairSa) -> Option<Spi> {
        // There is one most of the time.
        self.sas.reserve_exact(1);
        self.sas.push(sa);
        (MAX_SAS < self.sas.len()).then(|| self.sas.remove(0).inbound_spi)
    }

    /// What is sent goes through this SA from now on, if it is the newest.
    pub(crate) fn confirm(&mut self, inbound_spi: Spi) -> Option<&PairSa> {
        let sa = self
            .sas
            .iter_mut()
            .find(|sa| sa.inbound_spi == inbound_spi)?;
        sa.confirmed = true;
        Some(sa)
    }

    /// Takes an SA out.
    pub(crate) fn close(&mut self, inbound_spi: Spi) -> Option<PairSa> {
        let at = self
            .sas
            .iter()
            .position(|sa| sa.inbound_spi == inbound_spi)?;
        Some(self.sas.remove(at))
    }

    /// The SA that carries what is sent, to look at.
    pub(crate) fn carrier(&self) -> Option<&PairSa> {
        self.sas.iter().rev().find(|sa| sa.confirmed)
    }

    /// The SA that carries what is sent.
    pub(crate) fn outbound(&mut self) -> Option<&mut PairSa> {
        self.sas.iter_mut().rev().find(|sa| sa.confirmed)
    }

    /// Every SA, to follow an address that changed.
    pub(crate) fn sas_mut(&mut self) -> impl Iterator<Item = &mut PairSa> {
        self.sas.iter_mut()
    }

    pub(crate) fn inbound_spis(&self) -> impl Iterator<Item = Spi> {
        self.sas.iter().map(|sa| sa.inbound_spi)
    }

    pub(crate) fn has_sa(&self) -> bool {
        self.sas.iter().any(|sa| sa.confirmed)
    }

    /// What the SA that carries what is sent does to it.
    pub(crate) fn transform(&self) -> Option<EspTransform> {
        let current = self.sas.iter().rev().find(|sa| sa.confirmed);
        current.map(|sa| sa.transform)
    }

    /// A reply has come back.
    pub(crate) fn prove(&mut self, now: Instant) {
        self.last_proof = Some(now);
        self.last_failure = None;
    }

    /// The old proof says nothing about the SAs to come.
    pub(crate) fn disprove(&mut self) {
        self.last_proof = None;
    }

    pub(crate) fn last_proof(&self) -> Option<Instant> {
        self.last_proof
    }

    pub(crate) fn state(&self, now: Instant, timing: &Timing) -> PairState {
        if !self.has_sa() {
            return PairState::Down;
        }
        match self.last_proof {
            Some(proof) if now < proof + timing.proof_lifetime => PairState::Up,
            _ => PairState::Unproven,
        }
    }

    pub(crate) fn status(&self, id: PairId, now: Instant, timing: &Timing) -> PairStatus<'_> {
        PairStatus {
            id,
            member: self.member,
            name: self.config.name(),
            local: self.config.local(),
            remote: self.config.remote(),
            state: self.state(now, timing),
            sa: self.has_sa(),
            transform: self.transform(),
            last_proof: self.last_proof,
            rtt: self.rtt,
            path_reach: self.path_reach,
            octets_in: self.octets_in,
            octets_out: self.octets_out,
            held: self.hold.len(),
            last_failure: self.last_failure.as_ref(),
            trigger: self
                .config
                .trigger()
                .map(|trigger| (trigger.source, trigger.target)),
        }
    }
}

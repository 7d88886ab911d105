//! Through which hub an answer goes back.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use esp_core::ip::InnerPacket;

/// How long after a question an answer goes the same way.
const LIFETIME: Duration = Duration::from_secs(60);
/// Flows that are remembered at most.
const CAPACITY: usize = 1024;

/// Who asked through a hub that is not in use.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// By the host that asked and the host that was asked.
    asked: BTreeMap<(IpAddr, IpAddr), Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    through: usize,
    at: Instant,
}

impl Flows {
    /// An inner packet has come in, through the hub in use or, if one is given, through another.
    pub(super) fn note(&mut self, now: Instant, packet: &[u8], standby: Option<usize>) {
        if self.asked.is_empty() && standby.is_none() {
            return;
        }
        let Ok(inner) = InnerPacket::parse(packet) else {
            return;
        };
        let flow = (inner.source(), inner.destination());
        let Some(through) = standby else {
            self.asked.remove(&flow);
            return;
        };
        if CAPACITY <= self.asked.len() && !self.asked.contains_key(&flow) {
            self.asked.retain(|_, asked| now < asked.at + LIFETIME);
        }
        if self.asked.len() < CAPACITY || self.asked.contains_key(&flow) {
            self.asked.insert(flow, Asked { through, at: now });
        }
    }

    /// The hub through which the question came that a packet may answer.
    pub(super) fn answers(&self, now: Instant, packet: &[u8]) -> Option<usize> {
        if self.asked.is_empty() {
            return None;
        }
        let inner = InnerPacket::parse(packet).ok()?;
        let asked = self.asked.get(&(inner.destination(), inner.source()))?;
        (now < asked.at + LIFETIME).then_some(asked.through)
    }

    /// The way back through this hub is the usual one from now on, or there is none.
    pub(super) fn forget(&mut self, through: usize) {
        self.asked.retain(|_, asked| asked.through != through);
    }
}

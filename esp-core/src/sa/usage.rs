//! What an SA has carried, for lifetimes in kilobytes and for metrics.

use core::sync::atomic::{AtomicU64, Ordering};

/// Packets and octets that an SA has carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Packets, dummies too.
    pub packets: u64,
    /// Octets of inner packets, without anything that ESP adds.
    pub octets: u64,
}

impl Usage {
    pub(crate) const fn count(&mut self, packet_len: usize) {
        self.packets += 1;
        self.octets = self.octets.saturating_add(packet_len as u64);
    }
}

/// [`Usage`] that several threads add to.
#[derive(Debug, Default)]
pub(crate) struct SharedUsage {
    packets: AtomicU64,
    octets: AtomicU64,
}

impl SharedUsage {
    pub(crate) fn add(&self, usage: Usage) {
        self.packets.fetch_add(usage.packets, Ordering::Relaxed);
        self.octets.fetch_add(usage.octets, Ordering::Relaxed);
    }

    /// Counts without an atomic instruction.
    pub(crate) fn count(&mut self, packet_len: usize) {
        *self.packets.get_mut() += 1;
        *self.octets.get_mut() += packet_len as u64;
    }

    pub(crate) fn get(&self) -> Usage {
        Usage {
            packets: self.packets.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
        }
    }
}

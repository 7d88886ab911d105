//! What the network asks of a host, and what it keeps about one.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A UDP datagram on its way.
///
/// Port 0 on both sides stands for a protocol without ports (raw ESP); NAT boxes drop those.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// Where it comes from. An unspecified address is filled in by the network, as a kernel does.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub contents: Vec<u8>,
}

/// A state machine on the network.
///
/// The network follows the contract of the state machines: after each input it takes every datagram and every event,
/// then sleeps at most until [`poll_timeout`](Self::poll_timeout). A host whose timer is still due after
/// [`handle_timeout`](Self::handle_timeout) ends the run with a panic.
pub trait Host {
    /// What the host reports, kept with its virtual time in [`Network::events`](crate::Network::events).
    type Event: Debug;

    /// A datagram has arrived. The host may open it in place.
    fn handle_datagram(&mut self, now: Instant, datagram: &mut Datagram);

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    fn handle_timeout(&mut self, now: Instant);

    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Datagram>;

    /// The next event.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When the host wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Processor time of what was done since the last call, beyond what the CPU model takes for an input and for a unit
    /// of work.
    fn take_time(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Units of work done since the last call, for the CPU model: modular exponentiations, for instance.
    fn take_work(&mut self) -> u32 {
        0
    }
}

/// Names a host of one [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub(crate) usize);

/// How long a host's processor is busy, and how much waits meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cpu {
    /// Time for each datagram and each timer. Default: none.
    pub per_input: Duration,
    /// Time for each unit that [`Host::take_work`] reports. Default: none.
    pub per_unit: Duration,
    /// Datagrams that wait while the host is busy; more are lost, as in a full socket buffer. Default: 1,024.
    pub queue: usize,
}

impl Default for Cpu {
    fn default() -> Self {
        Self {
            per_input: Duration::ZERO,
            per_unit: Duration::ZERO,
            queue: 1_024,
        }
    }
}

/// Counters of one host, over all its reboots.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HostStats {
    /// Datagrams that the host handed to the network.
    pub sent: u64,
    /// Their octets, UDP payload only.
    pub sent_octets: u64,
    /// Datagrams that the host was given.
    pub received: u64,
    /// Their octets, UDP payload only.
    pub received_octets: u64,
    /// The most datagrams that have ever waited for the processor.
    pub peak_queue: usize,
    /// Time that the processor was busy.
    pub busy: Duration,
}

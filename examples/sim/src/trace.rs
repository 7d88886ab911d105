//! What happened to every datagram, with virtual times.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Datagram, HostId};

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum DropReason {
    /// The source address is not the host's.
    ForeignSource,
    /// Nobody owns the destination address.
    NoRoute,
    /// Larger than the link's MTU.
    TooBig,
    /// The link lost it.
    Loss,
    /// A script or a test's filter lost it.
    Script,
    /// The link's queue was full.
    QueueFull,
    /// The link was cut.
    Partition,
    /// A NAT box has no mapping for it.
    NatNoMapping,
    /// A NAT box filtered it.
    NatFiltered,
    /// A NAT box cannot translate a protocol without ports.
    NatNoPorts,
    /// A NAT box had no port left.
    NatExhausted,
    /// The host was switched off.
    HostDown,
    /// The host's processor was busy and its queue full.
    HostBusy,
}

/// What a trace entry tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TraceKind {
    /// A host handed a datagram to the network.
    Sent,
    /// A host was given a datagram.
    Delivered,
    /// A datagram was lost.
    Dropped(DropReason),
    /// A link delivers a second copy.
    Duplicated,
    /// A link altered the contents.
    Corrupted,
}

/// One line of the trace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceEntry {
    /// Virtual time.
    pub at: Duration,
    /// What happened.
    pub kind: TraceKind,
    /// The host that sent the datagram.
    pub from: HostId,
    /// The host that was given the datagram; known once it is [`Delivered`](TraceKind::Delivered).
    pub to: Option<HostId>,
    /// The addresses as seen at this point of the way.
    pub source: SocketAddr,
    /// The addresses as seen at this point of the way.
    pub destination: SocketAddr,
    /// Octets of UDP payload.
    pub len: usize,
    /// The payload itself, if [`Trace::keep_contents`] was called before.
    pub contents: Option<Vec<u8>>,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            kind,
            source,
            destination,
            len,
            ..
        } = self;
        write!(
            formatter,
            "{:>12.6} {source} > {destination} {len:>5} {kind:?}",
            at.as_secs_f64()
        )
    }
}

/// The most recent entries, and totals over the whole run.
#[derive(Debug)]
pub struct Trace {
    entries: VecDeque<TraceEntry>,
    capacity: usize,
    keep_contents: bool,
    drops: std::collections::BTreeMap<DropReason, u64>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            capacity: 4_096,
            keep_contents: false,
            drops: Default::default(),
        }
    }

    /// How many entries are kept; the oldest go first. Default: 4,096.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.shrink();
    }

    /// Keeps the payloads as well, from now on.
    pub fn keep_contents(&mut self) {
        self.keep_contents = true;
    }

    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &TraceEntry> {
        self.entries.iter()
    }

    /// What a host was given, with the times: a script to play to another machine, if the contents were kept.
    pub fn delivered_to(&self, host: HostId) -> impl Iterator<Item = (Duration, Datagram)> {
        self.entries()
            .filter(move |entry| entry.to == Some(host))
            .filter_map(|entry| {
                let contents = entry.contents.clone()?;
                Some((
                    entry.at,
                    Datagram {
                        source: entry.source,
                        destination: entry.destination,
                        contents,
                    },
                ))
            })
    }

    /// How many datagrams were lost for one reason, over the whole run.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    pub(crate) fn record(&mut self, entry: TraceEntry, contents: &[u8]) {
        if let TraceKind::Dropped(reason) = entry.kind {
            *self.drops.entry(reason).or_default() += 1;
        }
        if self.capacity == 0 {
            return;
        }
        let contents = self.keep_contents.then(|| contents.to_vec());
        self.entries.push_back(TraceEntry { contents, ..entry });
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.capacity < self.entries.len() {
            self.entries.pop_front();
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries
            .iter()
            .try_for_each(|entry| writeln!(formatter, "{entry}"))
    }
}

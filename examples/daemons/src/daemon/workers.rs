//! Several hubs behind one set of sockets and one TUN, a thread each.
//!
//! The main loop only reads. It hands what it has read to the worker that it is for, as [`Shards`]
//! says, many packets at a time; a worker opens and seals, sends and writes by itself, and sleeps
//! until its hub has something to do. The hubs share nothing. What concerns all of them, such as status
//! or other settings, the main loop does under their locks, between two batches.

use std::collections::BTreeMap;
use std::iter;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ike_core::{Identity, PreSharedKey};
use ntp_core::NtpTimestamp;
use rustix::event::{EventfdFlags, eventfd};
use tracing::{debug, error, warn};
use trigger::{
    Carrier, Datagram, EncapsulateError, Encapsulated, Event, Hub, MemberConfig, MemberError,
    Received, RollEntry, Shards,
};

use super::{MAX_PACKET, Outward};
use crate::io::{Cut, OuterSockets, Outgoing, SystemError, Train, Tun};
use crate::machine::Machine;
use crate::snapshot::IoDrops;
use crate::{clock, privileges};

/// Batches that wait for one worker at most; what comes beyond is dropped, as a full socket does.
const BACKLOG: usize = 32;
/// Octets after which a batch leaves although more may follow.
const BATCH_LEN: usize = 1 << 18;

/// All workers, as one machine to the main loop.
pub(crate) struct Workers {
    shards: Shards,
    members: BTreeMap<Identity, MemberConfig>,
    workers: Vec<Worker>,
    events: Receiver<Event>,
    wake: Arc<OwnedFd>,
    /// Packets that a worker's backlog had no room for.
    overflow: u64,
    /// A worker that has ended unasked.
    failed: bool,
}

/// One worker, seen from the main loop.
struct Worker {
    machine: Arc<Mutex<Machine>>,
    jobs: SyncSender<Batch>,
    /// Batches that are done with, to be filled again.
    spare: Receiver<Batch>,
    pending: Batch,
    drops: Arc<SharedDrops>,
}

/// What was read for one worker, one after the other.
#[derive(Debug, Default)]
struct Batch {
    octets: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    what: What,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// From, to, and how it travelled.
    Datagram(SocketAddr, SocketAddr, Carrier),
    /// What one read of the TUN gave.
    Packets(Option<Cut>),
}

/// What a worker had to drop, for the main loop to read.
#[derive(Debug, Default)]
struct SharedDrops {
    outer_send: AtomicU64,
    tun_send: AtomicU64,
    tun_receive: AtomicU64,
}

/// One worker, seen from its own thread.
struct WorkerThread {
    machine: Arc<Mutex<Machine>>,
    jobs: Receiver<Batch>,
    spare: Sender<Batch>,
    events: Sender<Event>,
    wake: Arc<OwnedFd>,
    drops: Arc<SharedDrops>,
    outer: OuterSockets,
    tun: Arc<Tun>,
    train: Train,
    packet: Vec<u8>,
    sealed: Vec<u8>,
}

impl Workers {
    /// Begins a thread for each of the hubs, which are in the order of their shards.
    pub(crate) fn begin(
        nat_port: u16,
        hubs: Vec<Hub>,
        outer: &OuterSockets,
        tun: &Arc<Tun>,
    ) -> Result<Self, SystemError> {
        let refused = |error: std::io::Error| {
            SystemError::new("begin a worker", error, "check the system's limits")
        };
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|errno| refused(errno.into()))?;
        let wake = Arc::new(wake);
        let (told, events) = mpsc::channel();
        let count = u8::try_from(hubs.len()).ok().and_then(NonZeroU8::new);
        let shards = Shards::new(count.unwrap_or(NonZeroU8::MIN), nat_port);
        let mut workers = Vec::new();
        for (number, hub) in hubs.into_iter().enumerate() {
            let machine = Arc::new(Mutex::new(Machine::Hub(Box::new(hub))));
            let (jobs, taken) = mpsc::sync_channel(BACKLOG);
            let (returned, spare) = mpsc::channel();
            let drops = Arc::<SharedDrops>::default();
            let own = WorkerThread {
                machine: Arc::clone(&machine),
                jobs: taken,
                spare: returned,
                events: told.clone(),
                wake: Arc::clone(&wake),
                drops: Arc::clone(&drops),
                outer: outer.try_clone().map_err(refused)?,
                tun: Arc::clone(tun),
                train: Train::default(),
                packet: vec![0; MAX_PACKET],
                sealed: vec![0; MAX_PACKET + trigger::MAX_OVERHEAD],
            };
            thread::Builder::new()
                .name(format!("worker {number}"))
                .spawn(move || own.run())
                .map_err(refused)?;
            workers.push(Worker {
                machine,
                jobs,
                spare,
                pending: Batch::default(),
                drops,
            });
        }
        Ok(Self {
            shards,
            members: BTreeMap::new(),
            workers,
            events,
            wake,
            overflow: 0,
            failed: false,
        })
    }

    /// Adds a branch to the hub whose it is.
    pub(crate) fn add_member(&mut self, member: MemberConfig) -> Result<(), MemberError> {
        let shard = self.shards.add(&member)?;
        let identity = member.identity().clone();
        self.members.insert(identity, member.clone());
        self.with(shard.number(), |machine| machine.add_member(member))
            .unwrap_or(Ok(()))
    }

    /// Gives a branch other settings, or adds it.
    pub(crate) fn update_member(
        &mut self,
        now: Instant,
        member: MemberConfig,
    ) -> Result<(), MemberError> {
        let Some(former) = self.members.get(member.identity()).cloned() else {
            return self.add_member(member);
        };
        self.shards.remove(&former);
        let shard = match self.shards.add(&member) {
            Ok(shard) => shard,
            Err(error) => {
                // It had them before, so that they are free.
                self.shards.add(&former)?;
                return Err(error);
            }
        };
        self.members
            .insert(member.identity().clone(), member.clone());
        self.with(shard.number(), |machine| machine.update_member(now, member))
            .unwrap_or(Ok(()))
    }

    /// Answers the question for a branch's key.
    pub(crate) fn answer_key(
        &mut self,
        now: Instant,
        identity: &Identity,
        key: Option<PreSharedKey>,
        lifetime: Duration,
    ) {
        let shard = self.shards.of_identity(identity);
        let _ = self.with(shard.number(), |machine| {
            machine.answer_key(now, identity, key, lifetime);
        });
    }

    /// Calls branches that a predecessor had, each by the hub whose it is.
    pub(crate) fn call(&mut self, now: Instant, mut roll: Vec<RollEntry>) {
        for shard in self.shards.all() {
            let (own, others) = roll
                .into_iter()
                .partition(|entry| self.shards.of_identity(entry.identity()) == shard);
            roll = others;
            let _ = self.with(shard.number(), |machine| machine.call(now, own));
        }
    }

    /// Removes a branch; whether there was one.
    pub(crate) fn remove_member(&mut self, now: Instant, identity: &Identity) -> bool {
        let Some(member) = self.members.remove(identity) else {
            return false;
        };
        self.shards.remove(&member);
        let shard = self.shards.of_identity(identity);
        self.with(shard.number(), |machine| {
            machine.remove_member(now, identity)
        })
        .unwrap_or(false)
    }

    pub(crate) fn take_datagram(&mut self, datagram: &Datagram<'_>) {
        let Datagram {
            source,
            destination,
            carrier,
            contents,
            ..
        } = datagram;
        let shard = match carrier {
            Carrier::Udp => self.shards.of_datagram(*destination, contents),
            Carrier::Esp | _ => self.shards.of_esp(contents),
        };
        let what = What::Datagram(*source, *destination, *carrier);
        self.give(shard.number(), what, contents);
    }

    /// Takes what one read of the TUN gave: packets of one flow, and so of one pair.
    pub(super) fn take_packets(&mut self, outgoing: &Outgoing<'_>) {
        // A packet without a pair is for any hub to count.
        let shard = self.shards.of_packet(outgoing.octets());
        let number = shard.map_or(0, trigger::Shard::number);
        self.give(number, What::Packets(outgoing.cut()), outgoing.octets());
    }

    /// The same for a packet by itself.
    pub(crate) fn encapsulate(&mut self, packet: &[u8]) -> Result<Encapsulated, EncapsulateError> {
        let Some(shard) = self.shards.of_packet(packet) else {
            return Ok(Encapsulated::NoPair);
        };
        self.give(shard.number(), What::Packets(None), packet);
        Ok(Encapsulated::Consumed)
    }

    /// Hands over what has been gathered for the workers.
    pub(crate) fn flush(&mut self) {
        for worker in &mut self.workers {
            if !worker.pending.entries.is_empty() {
                worker.hand_over(&mut self.overflow, &mut self.failed);
            }
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Says the wall clock to all of them.
    pub(crate) fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        for worker in &self.workers {
            worker.lock().handle_wall_clock(now, wall);
        }
    }

    /// All of them say goodbye.
    pub(crate) fn close(&mut self, now: Instant) {
        for number in 0..=u8::MAX {
            if self.with(number, |machine| machine.close(now)).is_none() {
                return;
            }
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.workers.iter().all(|worker| worker.lock().is_drained())
    }

    /// Shows each of the machines.
    pub(crate) fn each(&self, mut look: impl FnMut(&Machine)) {
        for worker in &self.workers {
            look(&worker.lock());
        }
    }

    /// What the workers had to drop, and what did not reach them.
    pub(crate) fn drops(&self) -> IoDrops {
        let mut drops = IoDrops {
            worker_backlog: self.overflow,
            ..IoDrops::default()
        };
        for worker in &self.workers {
            drops.outer_send += worker.drops.outer_send.load(Ordering::Relaxed);
            drops.tun_send += worker.drops.tun_send.load(Ordering::Relaxed);
            drops.tun_receive += worker.drops.tun_receive.load(Ordering::Relaxed);
        }
        drops
    }

    /// Whether one has ended that should run for ever.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Makes the descriptor quiet again.
    pub(crate) fn heed(&self) {
        let mut count = [0; 8];
        // The counter is all the same.
        let _ = rustix::io::read(&self.wake, &mut count);
    }

    fn give(&mut self, number: u8, what: What, octets: &[u8]) {
        let Some(worker) = self.workers.get_mut(usize::from(number)) else {
            return;
        };
        worker.pending.push(what, octets);
        if BATCH_LEN <= worker.pending.octets.len() {
            worker.hand_over(&mut self.overflow, &mut self.failed);
        }
    }

    /// Does something to a worker's hub, and lets the worker look at what has come of it.
    fn with<T>(&mut self, number: u8, act: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        let worker = self.workers.get_mut(usize::from(number))?;
        let result = act(&mut worker.lock());
        worker.hand_over(&mut self.overflow, &mut self.failed);
        Some(result)
    }
}

impl AsFd for Workers {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Worker {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        lock(&self.machine)
    }

    fn hand_over(&mut self, overflow: &mut u64, failed: &mut bool) {
        let mut next = self.spare.try_recv().unwrap_or_default();
        next.clear();
        let batch = core::mem::replace(&mut self.pending, next);
        match self.jobs.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(mut batch)) => {
                *overflow += batch.entries.len() as u64;
                batch.clear();
                self.pending = batch;
            }
            Err(TrySendError::Disconnected(_)) => *failed = true,
        }
    }
}

impl Batch {
    fn push(&mut self, what: What, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        let len = octets.len();
        self.entries.push(Entry { what, len });
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.entries.clear();
    }
}

impl WorkerThread {
    /// Until the main loop is gone.
    fn run(mut self) {
        // Everything is open, and routes are the main loop's.
        if let Err(error) = privileges::give_up_own() {
            warn!(%error, "a worker keeps capabilities that it has no use for");
        }
        loop {
            let due = lock(&self.machine).poll_timeout();
            let received = match due {
                Some(due) => self
                    .jobs
                    .recv_timeout(due.saturating_duration_since(clock::now())),
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let batch = match received {
                Ok(batch) => Some(batch),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.turn(batch);
        }
    }

    /// One batch, then what time has made due, then what has come of both.
    fn turn(&mut self, batch: Option<Batch>) {
        let now = clock::now();
        let machine = Arc::clone(&self.machine);
        let mut machine = lock(&machine);
        if let Some(mut batch) = batch {
            self.take(now, &mut machine, &mut batch);
            // The main loop may be gone.
            let _ = self.spare.send(batch);
        }
        if machine.poll_timeout().is_some_and(|due| due <= now) {
            machine.handle_timeout(now);
        }
        let mut drops = IoDrops::default();
        while let Some(transmit) = machine.poll_transmit() {
            super::send(&self.outer, &mut drops, &transmit.path, &transmit.contents);
        }
        self.drops.add(drops);
        let mut told = false;
        while let Some(event) = machine.poll_event() {
            told |= self.events.send(event).is_ok();
        }
        drop(machine);
        if told && let Err(errno) = rustix::io::write(&self.wake, &1_u64.to_ne_bytes()) {
            error!(%errno, "cannot wake the main loop");
        }
    }

    fn take(&mut self, now: Instant, machine: &mut Machine, batch: &mut Batch) {
        let Batch { octets, entries } = batch;
        let mut drops = IoDrops::default();
        let mut packets = self.tun.incoming();
        let mut outward = Outward {
            now,
            machine,
            train: &mut self.train,
            outer: &self.outer,
            drops: &mut drops,
        };
        let mut rest = octets.as_mut_slice();
        let mut entries = entries.iter().peekable();
        while let Some(first) = entries.peek() {
            if let What::Packets(cut) = first.what {
                let octets = split_off(&mut rest, first.len);
                outward.take(
                    &Outgoing::again(octets, cut),
                    &mut self.packet,
                    &mut self.sealed,
                );
                entries.next();
                continue;
            }
            let datagrams = iter::from_fn(|| {
                let next = entries.next_if(|next| matches!(next.what, What::Datagram(..)))?;
                let octets = split_off(&mut rest, next.len);
                match next.what {
                    What::Datagram(source, destination, carrier) => {
                        Some(Datagram::new(source, destination, carrier, octets))
                    }
                    What::Packets(_) => None,
                }
            });
            outward
                .machine
                .handle_batch(now, datagrams, |source, taken| match taken {
                    Ok(Received::Packet { packet, .. }) => packets.push(packet),
                    Ok(_) => {}
                    Err(error) => debug!(%source, %error, "dropped a datagram"),
                });
        }
        outward.depart();
        drops.tun_send += self.tun.send(&packets);
        self.drops.add(drops);
    }
}

impl SharedDrops {
    fn add(&self, drops: IoDrops) {
        self.outer_send
            .fetch_add(drops.outer_send, Ordering::Relaxed);
        self.tun_send.fetch_add(drops.tun_send, Ordering::Relaxed);
        self.tun_receive
            .fetch_add(drops.tun_receive, Ordering::Relaxed);
    }
}

/// Takes the first `len` octets, or what there is.
fn split_off<'a>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    rest.split_off_mut(..len.min(rest.len()))
        .unwrap_or_default()
}

/// A worker that panicked has been noticed by its channel; its hub may still be asked.
fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

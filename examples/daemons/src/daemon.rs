//! The loop: sockets, TUN and clock on one side, the machine on the other.

mod answers;
mod branch_role;
mod hub_role;
mod key_store;
mod outside;
mod outward;
mod reload;
mod role;
mod succession;
mod watch;
pub(crate) mod workers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{debug, info};
use trigger::{Event, MAX_OVERHEAD, PairState, Received};

use self::key_store::KeyStore;
use self::outside::Outside;
use self::outward::{Outward, send};
use self::reload::Reloader;
use self::role::RoleState;
use self::watch::{Source, Watch};
pub use crate::assemble::AssembleError;
use crate::command::show;
use crate::hook::{self, HookRuns};
use crate::io::{
    EspBy, OuterSockets, ReceiveBuffers, Routes, SystemError, Train, Tun, TunBuffer, would_block,
};
use crate::kernel::{self, KernelPlane};
use crate::logging::LogFormat;
use crate::machine::Machine;
use crate::names::Names;
use crate::privileges;
use crate::role::Role;
use crate::scheduling;
use crate::service::Service;
use crate::settings::{GatewaySettings, SettingsError};
use crate::signals::Signals;
use crate::snapshot::IoDrops;
use crate::supervisor::Supervisor;
use crate::timings::Timings;
use crate::{clock, logging};

/// How long the daemon takes to say goodbye at most.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the machine is told the wall clock, while there is something to do.
const WALL_CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// Packets after which a turn takes no more from the TUN.
const TUN_BATCH: usize = 64;
/// The longest packet that a TUN gives.
const MAX_PACKET: usize = 65_536;

/// Why the daemon does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Its settings file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its settings, taken together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Two branches that collide.
    #[error("settings cannot be run: {0}")]
    Member(#[from] trigger::MemberError),
    /// Something that the system does not give.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Everything the loop works with.
struct Daemon {
    role: RoleState,
    machine: Machine,
    names: Arc<Names>,
    timings: Timings,
    outer: OuterSockets,
    /// Where the kernel seals and opens.
    kernel: Option<KernelPlane>,
    /// Before the TUN, so that they are removed while it is there.
    routes: Routes,
    tun: Arc<Tun>,
    service: Service,
    hook_runs: HookRuns,
    supervisor: Supervisor,
    signals: Signals,
    watch: Watch,
    reloader: Reloader,
    keys: KeyStore,
    buffers: ReceiveBuffers,
    from_tun: TunBuffer,
    train: Train,
    /// For packets that have no SA yet, and what may still come of them.
    packet: Vec<u8>,
    sealed: Vec<u8>,
    drops: IoDrops,
    began: Instant,
    wall_clock_told: Instant,
    /// When the goodbye is over at the latest, once it has begun.
    ends: Option<Instant>,
    /// Whether a successor has everything.
    departed: bool,
}

/// Runs a daemon until it is told to end.
///
/// # Errors
///
/// [`RunError`] says what is wrong and what to do. Nothing is opened or changed before the
/// whole settings file has been accepted. With `takeover` a daemon that runs hands over what it has; if it cannot, or
/// if something else is in the way, it goes on.
pub fn run(role: Role, config: &Path, log: LogFormat, takeover: bool) -> Result<(), RunError> {
    logging::begin(log);
    match role {
        Role::Hub => hub_role::start(config, takeover),
        Role::Branch => branch_role::start(config, takeover),
    }?
    .serve()?;
    info!("ended");
    Ok(())
}

impl Daemon {
    /// `control` is opened last: that it is there says that the daemon is ready.
    fn new(
        role: RoleState,
        machine: Machine,
        mut outside: Outside,
        gateway: &GatewaySettings,
        config: &Path,
    ) -> Result<Self, SystemError> {
        let signals = Signals::catch().map_err(|error| {
            SystemError::new("catch signals", error, "check the system's limits")
        })?;
        let names = Arc::new(Names::of(&machine, role.shared_keys()));
        let first = answers::first(&role, &machine, &names);
        let service = Service::begin(
            &gateway.control,
            gateway.metrics,
            &mut outside.handover,
            Some(first),
        )?;
        let hook_runs = match &gateway.hook {
            Some(settings) => hook::begin(settings, role.role(), service.listen())?,
            None => HookRuns::default(),
        };
        if gateway.realtime {
            scheduling::realtime().map_err(|error| {
                let remedy = "run it as root, or let its unit have `LimitRTPRIO=1` and `RestrictRealtime=no`; or leave out `realtime`";
                SystemError::new("go before all that is ordinary", error, remedy)
            })?;
        }
        privileges::keep_what_running_takes(outside.kernel.is_some()).map_err(|error| {
            let remedy = "run it as root or with the capabilities of its systemd unit";
            SystemError::new("give up capabilities", error, remedy)
        })?;
        let now = clock::now();
        let mut timings = Timings::default();
        timings.adopt(now, names.pairs());
        let mut daemon = Self {
            names,
            timings,
            reloader: Reloader::new(role.role(), config, service.wake()),
            keys: KeyStore::new(service.wake()),
            role,
            machine,
            outer: outside.outer,
            kernel: outside.kernel,
            tun: outside.tun,
            routes: outside.routes,
            service,
            hook_runs,
            supervisor: Supervisor::default(),
            signals,
            watch: Watch::new().map_err(unwatched)?,
            buffers: ReceiveBuffers::default(),
            from_tun: TunBuffer::default(),
            train: Train::default(),
            packet: vec![0; MAX_PACKET],
            sealed: vec![0; MAX_PACKET + MAX_OVERHEAD],
            drops: IoDrops::default(),
            began: now,
            wall_clock_told: now,
            ends: None,
            departed: false,
        };
        if outside.handover.is_from_predecessor() {
            let roll = outside.handover.depart()?;
            let (machine, routes) = (&mut daemon.machine, &mut daemon.routes);
            daemon.role.succeed(clock::now(), machine, routes, roll);
        }
        let esp = EspBy::of(daemon.kernel.is_some());
        daemon.outer.leave_esp_to(esp, gateway.nat_port)?;
        match &mut daemon.kernel {
            Some(kernel) => kernel.begin(&daemon.machine)?,
            None => kernel::sweep(daemon.role.role()),
        }
        daemon.watch().map_err(unwatched)?;
        Ok(daemon)
    }

    /// Has the kernel look at everything that may have something to read.
    fn watch(&mut self) -> io::Result<()> {
        for (index, socket) in self.outer.fds().enumerate() {
            self.watch.add(Source::Outer(index), socket)?;
        }
        self.watch.add(Source::Tun, &self.tun)?;
        self.watch.add(Source::Service, &self.service)?;
        self.watch.add(Source::Signals, &self.signals)?;
        self.watch.add(Source::Links, self.role.links())?;
        if let Some(kernel) = &self.kernel {
            self.watch.add(Source::Kernel, kernel)?;
        }
        if let Some(workers) = self.machine.workers() {
            self.watch.add(Source::Workers, workers)?;
        }
        Ok(())
    }

    fn serve(mut self) -> Result<(), SystemError> {
        let began = clock::now();
        self.role.begin(began, &mut self.machine);
        self.drain();
        self.supervisor = Supervisor::ready(began);
        let mut ready = Vec::new();
        loop {
            self.wait(&mut ready).map_err(unwatched)?;
            let now = clock::now();
            self.turn(now, &ready)?;
            if self.departed {
                return Ok(());
            }
            if self
                .ends
                .is_some_and(|ends| ends <= now || self.machine.is_drained())
            {
                self.role.end();
                return Ok(());
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, ready: &mut Vec<Source>) -> io::Result<()> {
        let due = [
            self.machine.poll_timeout(),
            self.ends,
            self.role.poll_timeout(),
            self.supervisor.poll_timeout(),
            self.kernel.as_ref().and_then(KernelPlane::poll_timeout),
        ]
        .into_iter()
        .flatten()
        .min();
        let timeout = due.map(|due| due.saturating_duration_since(clock::now()));
        self.watch.wait(timeout, ready)
    }

    /// One batch of everything, then what time has made due: neither starves the other.
    fn turn(&mut self, now: Instant, ready: &[Source]) -> Result<(), SystemError> {
        if self.wall_clock_told + WALL_CLOCK_INTERVAL <= now {
            self.wall_clock_told = now;
            self.machine.handle_wall_clock(now, clock::ntp());
        }
        for source in ready {
            self.heed(now, *source)?;
            if self.departed {
                // What else has come is the successor's.
                return Ok(());
            }
        }
        if self.role.poll_timeout().is_some_and(|due| due <= now) {
            self.look_at_links(now);
        }
        if let Some(kernel) = &mut self.kernel
            && kernel.poll_timeout().is_some_and(|due| due <= now)
        {
            kernel.heed(now, &mut self.machine);
        }
        self.check_workers()?;
        let now = clock::now();
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
        }
        self.drain();
        self.supervisor.handle_timeout(now, || {
            let (mut up, mut all) = (0, 0);
            self.machine.each(|machine| {
                let pairs = machine.pairs();
                all += pairs.len();
                up += pairs
                    .iter()
                    .filter(|pair| pair.state == PairState::Up)
                    .count();
            });
            format!("{up} of {all} pairs up")
        });
        Ok(())
    }

    /// Takes from what can be read.
    fn heed(&mut self, now: Instant, source: Source) -> Result<(), SystemError> {
        match source {
            Source::Outer(index) => self.receive_outer(now, index),
            Source::Tun => self.receive_tun(now)?,
            Source::Signals => self.heed_signals(now),
            Source::Links => self.look_at_links(now),
            Source::Service => self.answer(now),
            Source::Kernel => {
                if let Some(kernel) = &mut self.kernel {
                    kernel.heed(now, &mut self.machine);
                }
            }
            Source::Workers => {
                if let Some(workers) = self.machine.workers() {
                    workers.heed();
                }
            }
        }
        Ok(())
    }

    fn look_at_links(&mut self, now: Instant) {
        self.role
            .look_at_links(now, &mut self.machine, &mut self.routes);
    }

    /// None ends before the daemon does.
    fn check_workers(&self) -> Result<(), SystemError> {
        if self
            .machine
            .workers()
            .is_none_or(|workers| !workers.has_failed())
        {
            return Ok(());
        }
        let error = io::Error::other("a worker has ended");
        let remedy = "the log says why: report it, and do without `workers` until then";
        Err(SystemError::new("serve", error, remedy))
    }

    /// Sends what is to be sent and logs what has happened.
    fn drain(&mut self) {
        self.machine.flush();
        if let Some(kernel) = &mut self.kernel {
            kernel.carry_out(clock::now(), &mut self.machine);
            self.drops.inner_send += kernel.take_unsent();
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            send(
                &self.outer,
                &mut self.drops,
                &transmit.path,
                &transmit.contents,
            );
        }
        while let Some(event) = self.machine.poll_event() {
            self.names.log(&event);
            self.route(&event);
            self.timings.note(clock::now(), &event);
            self.service.note(&event);
            self.service
                .publish(|| self.names.fact(clock::wall(), &event));
            if let Event::RollChanged { entry } = &event {
                self.role.store(entry);
            }
            if let Event::KeyWanted { member, .. } = event {
                self.role.look_for_key(member, &self.machine, &self.keys);
            }
            if let Event::HubChanged { address } = event {
                self.role.use_hub(address.ip());
            }
        }
    }

    /// A route leads where a pair is proved up.
    fn route(&mut self, event: &Event) {
        match event {
            Event::PairUp { pair, .. } => {
                if let Some((local, remote)) = self.names.subnets(*pair) {
                    self.routes.prove(local, remote);
                }
            }
            Event::PairDown { pair, .. } => {
                if let Some((local, remote)) = self.names.subnets(*pair) {
                    self.routes.disprove(local, remote);
                }
            }
            _ => {}
        }
    }

    fn receive_outer(&mut self, now: Instant, index: usize) {
        let Self {
            outer,
            buffers,
            machine,
            tun,
            drops,
            ..
        } = self;
        let datagrams = match outer.receive(index, buffers) {
            Ok(datagrams) => datagrams,
            Err(error) if would_block(&error) => return,
            Err(error) => {
                debug!(%error, "cannot receive");
                return;
            }
        };
        let mut packets = tun.incoming();
        machine.handle_batch(now, datagrams, |source, taken| match taken {
            Ok(Received::Packet { packet, .. }) => packets.push(packet),
            Ok(_) => {}
            Err(error) => debug!(%source, %error, "dropped a datagram"),
        });
        drops.tun_send += tun.send(&packets);
    }

    /// Takes what the TUN has, up to a limit, and sends it at once: nothing waits for company.
    fn receive_tun(&mut self, now: Instant) -> Result<(), SystemError> {
        let Self {
            tun,
            from_tun,
            machine,
            train,
            outer,
            drops,
            packet,
            sealed,
            ..
        } = self;
        let mut outward = Outward {
            now,
            machine,
            train,
            outer,
            drops,
        };
        let mut taken = 0;
        while taken < TUN_BATCH {
            match tun.receive(from_tun) {
                Ok(Some(outgoing)) => {
                    taken += outgoing.count();
                    outward.take(&outgoing, packet, sealed);
                }
                Ok(None) => {
                    taken += 1;
                    outward.drops.tun_receive += 1;
                }
                Err(error) if would_block(&error) => break,
                // It would stay readable for ever.
                Err(error) => {
                    let remedy = "somebody has removed the device: start the daemon again";
                    return Err(SystemError::new("read the TUN device", error, remedy));
                }
            }
        }
        outward.depart();
        Ok(())
    }

    fn heed_signals(&mut self, now: Instant) {
        let asked = self.signals.asked();
        if asked.reload {
            Supervisor::reloading();
            self.reloader.ask(None);
        }
        if asked.end && self.ends.is_none() {
            info!("ending");
            Supervisor::stopping();
            self.ends = Some(now + GOODBYE);
            self.machine.close(now);
        }
    }
}

fn unwatched(error: io::Error) -> SystemError {
    SystemError::new("watch for packets", error, "check the system's limits")
}

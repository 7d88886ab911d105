//! Our side: a [`System`] on one UDP socket, whose clock is set wrong on purpose.

use core::time::Duration;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use ntp_core::crypto::rustcrypto::provider;
use ntp_core::error::Unusable;
use ntp_core::system::{AssociationId, Dropped, Handled};
use ntp_core::{
    AssociationConfig, Datagram, Mode, NtpDuration, NtpTimestamp, Packet, Sample, System,
    SystemConfig,
};

/// How far our clock is ahead of the machine's.
pub const SHIFT: Duration = Duration::from_millis(250);
/// How well two offsets must agree.
pub const TOLERANCE: f64 = 0.001;

/// Our side of a case.
pub struct Host {
    /// The machine under test.
    pub system: System,
    /// Where it is bound.
    pub local: SocketAddr,
    /// Modes of the packets that were accepted.
    pub modes: Vec<Mode>,
    /// Why packets were dropped.
    pub dropped: Vec<Dropped>,
    /// Why answers were no samples.
    pub unusable: Vec<Unusable>,
    /// Measurements.
    pub samples: Vec<Sample>,
    /// When packets were sent, and in which mode.
    pub sent: Vec<(Instant, Mode)>,
    socket: UdpSocket,
}

impl Host {
    /// A host on a free port of an address.
    pub fn bind(address: IpAddr, config: SystemConfig) -> Result<Self> {
        let socket =
            UdpSocket::bind((address, 0)).with_context(|| format!("binding to {address}"))?;
        let local = socket.local_addr()?;
        let system = System::new(config, provider(), Instant::now());
        Ok(Self {
            system,
            local,
            modes: Vec::new(),
            dropped: Vec::new(),
            unusable: Vec::new(),
            samples: Vec::new(),
            sent: Vec::new(),
            socket,
        })
    }

    /// A host on 127.0.0.1.
    pub fn on_loopback(config: SystemConfig) -> Result<Self> {
        Self::bind(Ipv4Addr::LOCALHOST.into(), config)
    }

    /// Adds an association.
    pub fn add(&mut self, config: AssociationConfig) -> Result<AssociationId> {
        self.system
            .add(Instant::now(), Arc::new(config))
            .context("adding an association")
    }

    /// Runs until `done` says so.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Result<bool> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            self.send()?;
            while self.system.poll_event().is_some() {}
            if done(self) {
                return Ok(true);
            }
            self.receive()?;
            self.system.handle_timeout(Instant::now(), Self::wall());
        }
        Ok(false)
    }

    /// Runs until there is a measurement with a short delay among at least eight; busy machines need longer.
    pub fn measure(&mut self, limit: Duration) -> Result<Sample> {
        let good = |host: &Self| {
            let best = host.best();
            8 <= host.samples.len()
                && best.is_some_and(|best| best.delay.as_seconds_f64() < TOLERANCE)
        };
        self.run(limit, good)?;
        match self.best() {
            Some(sample) => Ok(sample),
            None => bail!(
                "no sample: dropped {:?}, unusable {:?}",
                self.dropped.first(),
                self.unusable.first()
            ),
        }
    }

    /// The measurement with the least delay.
    pub fn best(&self) -> Option<Sample> {
        self.samples
            .iter()
            .copied()
            .min_by_key(|sample| sample.delay)
    }

    /// What our clock says.
    fn wall() -> NtpTimestamp {
        NtpTimestamp::from_system_time(SystemTime::now()) + NtpDuration::from(SHIFT)
    }

    fn send(&mut self) -> Result<()> {
        while let Some(packet) = self.system.poll_transmit() {
            let mode = Packet::decode(&packet.contents)
                .context("our own packet")?
                .mode;
            self.sent.push((Instant::now(), mode));
            let sent = self.socket.send_to(&packet.contents, packet.destination);
            self.system.note_transmitted(&packet, Self::wall());
            match sent {
                // As lost on the wire: the daemon is not there yet, or not any more.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                sent => drop(sent.with_context(|| format!("sending to {}", packet.destination))?),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let wait = self.system.poll_timeout().map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = [0; 1024];
        let (len, source) = match self.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error).context("receiving"),
        };
        let (now, wall) = (Instant::now(), Self::wall());
        let contents = buffer.get(..len).unwrap_or_default();
        match self
            .system
            .handle_datagram(now, wall, Datagram::new(source, self.local, contents))
        {
            Ok(Handled::Taken { reply, .. }) => {
                self.modes
                    .extend(Packet::decode(contents).map(|packet| packet.mode));
                self.samples.extend(reply.sample);
                self.unusable.extend(reply.unusable);
            }
            Ok(_) => self
                .modes
                .extend(Packet::decode(contents).map(|packet| packet.mode)),
            Err(dropped) => self.dropped.push(dropped),
        }
        Ok(())
    }
}

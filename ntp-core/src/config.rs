//! Settings of an association.

use core::net::SocketAddr;
use core::time::Duration;

use crate::error::ConfigError;
use crate::mac::SymmetricKey;
use crate::packet::Version;
use crate::poll_interval::{PollInterval, Precision};
use crate::schedule::{FixedSchedule, Schedule};
use crate::timestamp::NtpTimestamp;

/// What an association is, RFC 5905 section 3.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AssociationMode {
    /// Sends mode 3, takes mode 4.
    Client,
    /// Sends mode 1, takes modes 1 and 2.
    SymmetricActive,
    /// Sends mode 2, takes mode 1. Made on demand by [`System`](crate::System); ends when the peer falls silent.
    SymmetricPassive,
    /// Sends mode 5.
    BroadcastServer,
    /// Takes mode 5, after a volley of modes 3 and 4 has measured the delay.
    BroadcastClient,
}

/// What a symmetric active association does before the first mode 1 packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Prelude {
    /// Nothing, as RFC 5905 has it.
    None,
    /// Modes 3 and 4 until the peer has answered, as H3C devices do. Every fourth packet is a mode 1
    /// nevertheless, so that a peer which serves no clients is reached as well.
    ClientServer,
}

/// Which port requests are sent from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SourcePort {
    /// The port of the local address.
    Fixed,
    /// A new one for each request, RFC 9109. Client mode only. Selectors and access lists that name
    /// the NTP port on both sides do not let such requests pass.
    Random {
        /// Lowest port.
        lowest: u16,
        /// Highest port.
        highest: u16,
    },
}

/// Whether a client asks in interleaved mode, RFC 9769 section 2.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Interleaving {
    /// Basic mode only.
    Basic,
    /// The server may tell when its previous reply really left, which is more exact; a server that
    /// cannot answers in basic mode. Each sample is one poll old.
    Interleaved,
}

/// How much of ourselves a client request tells.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RequestHeader {
    /// Version, mode, poll, and a random number for a transmit timestamp.
    Minimal,
    /// Every field of the header as RFC 5905 fills it; the transmit timestamp's bits below the clock's
    /// precision are random.
    Full,
}

/// Which kiss codes DENY and RSTR end an association.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DenialPolicy {
    /// Each one that answers a request of ours, as RFC 5905 section 7.4 demands.
    Obey,
    /// Only those that carry a valid message authentication code.
    ObeyAuthenticated,
    /// None: they are reported as events only.
    Ignore,
}

/// What a request is sent for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Purpose {
    /// To wake a path up. May be held on its way, so its answer never becomes a sample.
    Trigger,
    /// To measure.
    Measure,
}

/// What the embedder knows about the path.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Kick {
    /// A link, a route or an address has come up.
    LinkUp,
    /// The security association that carries the path has come up.
    SaUp,
    /// The security association that carries the path is gone.
    SaDown,
}

/// Settings of an [`Association`](crate::Association). Always valid: the only way to one is
/// [`AssociationConfigBuilder::build`].
#[derive(Clone, Debug)]
pub struct AssociationConfig {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) mode: AssociationMode,
    pub(crate) prelude: Prelude,
    pub(crate) version: Version,
    pub(crate) schedule: Schedule,
    pub(crate) request_header: RequestHeader,
    pub(crate) interleaving: Interleaving,
    pub(crate) source_port: SourcePort,
    pub(crate) key: Option<SymmetricKey>,
    pub(crate) denial: DenialPolicy,
    pub(crate) cold_purpose: Purpose,
    pub(crate) initial_spread: Duration,
    pub(crate) confirm_delay: Duration,
    pub(crate) kick_guard: Duration,
    pub(crate) reply_timeout: Duration,
    pub(crate) max_delay: Option<Duration>,
    pub(crate) precision: Precision,
    pub(crate) pivot: NtpTimestamp,
    pub(crate) volley: u8,
    pub(crate) volley_interval: Duration,
    pub(crate) broadcast_delay: Duration,
}

impl AssociationConfig {
    /// Starts with the two addresses that are the association's identity.
    ///
    /// A local address or port that is unspecified stands for any. The remote address of a broadcast
    /// server is the broadcast or multicast address; that of a broadcast client is the server's own.
    pub const fn builder(local: SocketAddr, remote: SocketAddr) -> AssociationConfigBuilder {
        AssociationConfigBuilder {
            config: Self {
                local,
                remote,
                mode: AssociationMode::Client,
                prelude: Prelude::None,
                version: Version::V4,
                schedule: Schedule::Rfc(crate::schedule::RfcSchedule::DEFAULT),
                request_header: RequestHeader::Minimal,
                interleaving: Interleaving::Basic,
                source_port: SourcePort::Fixed,
                key: None,
                denial: DenialPolicy::ObeyAuthenticated,
                cold_purpose: Purpose::Measure,
                initial_spread: Duration::ZERO,
                confirm_delay: Duration::from_millis(50),
                kick_guard: Duration::from_secs(5),
                reply_timeout: Duration::from_secs(16),
                max_delay: None,
                precision: Precision::MICROSECOND,
                pivot: NtpTimestamp::RELEASE,
                volley: 4,
                volley_interval: Duration::from_secs(2),
                broadcast_delay: Duration::from_millis(4),
            },
        }
    }

    /// Our address.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The server's or peer's address.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// What the association is.
    #[must_use]
    pub const fn mode(&self) -> AssociationMode {
        self.mode
    }
}

/// Builds an [`AssociationConfig`].
#[derive(Clone, Debug)]
#[must_use]
pub struct AssociationConfigBuilder {
    config: AssociationConfig,
}

impl AssociationConfigBuilder {
    /// What the association is. Default: [`AssociationMode::Client`].
    pub const fn mode(mut self, mode: AssociationMode) -> Self {
        self.config.mode = mode;
        self
    }

    /// What comes before the first mode 1 packet. Default: [`Prelude::None`].
    pub const fn prelude(mut self, prelude: Prelude) -> Self {
        self.config.prelude = prelude;
        self
    }

    /// Protocol version of what we send. Default: 4.
    pub const fn version(mut self, version: Version) -> Self {
        self.config.version = version;
        self
    }

    /// When to poll. Default: [`Schedule::Rfc`] with its defaults.
    pub const fn schedule(mut self, schedule: Schedule) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// How much a client request tells. Default: [`RequestHeader::Minimal`].
    pub const fn request_header(mut self, header: RequestHeader) -> Self {
        self.config.request_header = header;
        self
    }

    /// Whether client requests ask for interleaved replies; goes with [`RequestHeader::Minimal`] only.
    /// Default: [`Interleaving::Basic`].
    pub const fn interleaving(mut self, interleaving: Interleaving) -> Self {
        self.config.interleaving = interleaving;
        self
    }

    /// Where client requests are sent from. Default: [`SourcePort::Fixed`].
    pub const fn source_port(mut self, port: SourcePort) -> Self {
        self.config.source_port = port;
        self
    }

    /// The key of every packet, both ways. Default: none.
    pub fn key(mut self, key: SymmetricKey) -> Self {
        self.config.key = Some(key);
        self
    }

    /// Which denials end the association. Default: [`DenialPolicy::ObeyAuthenticated`].
    pub const fn denial(mut self, denial: DenialPolicy) -> Self {
        self.config.denial = denial;
        self
    }

    /// What a scheduled request is for while the path has not answered yet. Default: [`Purpose::Measure`].
    pub const fn cold_purpose(mut self, purpose: Purpose) -> Self {
        self.config.cold_purpose = purpose;
        self
    }

    /// The first poll, and the first after a [`Kick`], waits for a random time up to this. Default: zero.
    pub const fn initial_spread(mut self, spread: Duration) -> Self {
        self.config.initial_spread = spread;
        self
    }

    /// From [`Kick::SaUp`] to the poll that confirms the path. Default: 50 ms.
    pub const fn confirm_delay(mut self, delay: Duration) -> Self {
        self.config.confirm_delay = delay;
        self
    }

    /// Least time between two kicks that bring a poll forward. Default: 5 s.
    pub const fn kick_guard(mut self, guard: Duration) -> Self {
        self.config.kick_guard = guard;
        self
    }

    /// How long a client request can be answered. Default: 16 s.
    pub const fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.config.reply_timeout = timeout;
        self
    }

    /// Samples with a longer delay are not used. Default: no limit.
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.config.max_delay = Some(delay);
        self
    }

    /// Precision of the clock that the timestamps are read from. Default: 2^-20 s.
    pub const fn precision(mut self, precision: Precision) -> Self {
        self.config.precision = precision;
        self
    }

    /// A time that is certainly past, for choosing eras while the own clock is earlier than it.
    /// Default: [`NtpTimestamp::RELEASE`].
    pub const fn pivot(mut self, pivot: NtpTimestamp) -> Self {
        self.config.pivot = pivot;
        self
    }

    /// Exchanges by which a broadcast client measures the delay. 0 takes
    /// [`broadcast_delay`](Self::broadcast_delay) on trust. Default: 4.
    pub const fn volley(mut self, exchanges: u8) -> Self {
        self.config.volley = exchanges;
        self
    }

    /// Time between the exchanges of a volley. Default: 2 s.
    pub const fn volley_interval(mut self, interval: Duration) -> Self {
        self.config.volley_interval = interval;
        self
    }

    /// One-way delay from a broadcast server where no volley measures it. Default: 4 ms.
    pub const fn broadcast_delay(mut self, delay: Duration) -> Self {
        self.config.broadcast_delay = delay;
        self
    }

    /// Settings like those of an H3C device: symmetric active with the 3/4 prelude, NTPv3, full headers,
    /// 64 s with a spread of 8 s; requests are triggers until the path has answered.
    pub const fn h3c(mut self) -> Self {
        self.config.mode = AssociationMode::SymmetricActive;
        self.config.prelude = Prelude::ClientServer;
        self.config.version = Version::V3;
        self.config.request_header = RequestHeader::Full;
        self.config.schedule = Schedule::Fixed(FixedSchedule::DEFAULT);
        self.config.cold_purpose = Purpose::Trigger;
        self.config.volley = 1;
        self
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    ///
    /// The first contradiction found, as [`ConfigError`] names it.
    pub fn build(self) -> Result<AssociationConfig, ConfigError> {
        let config = self.config;
        if config.local.is_ipv4() != config.remote.is_ipv4() {
            return Err(ConfigError::MixedFamilies);
        }
        if config.remote.port() == 0 || config.remote.ip().is_unspecified() {
            return Err(ConfigError::UnspecifiedRemote);
        }
        check_schedule(&config)?;
        if config.prelude != Prelude::None && config.mode != AssociationMode::SymmetricActive {
            return Err(ConfigError::PreludeNotAllowed);
        }
        if config.interleaving == Interleaving::Interleaved
            && config.request_header == RequestHeader::Full
        {
            return Err(ConfigError::InterleavingNotAllowed);
        }
        check_source_port(&config)?;
        if config.reply_timeout.is_zero() {
            return Err(ConfigError::Zero {
                what: "reply timeout",
            });
        }
        if config.volley_interval.is_zero() {
            return Err(ConfigError::Zero {
                what: "volley interval",
            });
        }
        Ok(config)
    }
}

fn check_schedule(config: &AssociationConfig) -> Result<(), ConfigError> {
    match config.schedule {
        Schedule::Manual => Ok(()),
        Schedule::Fixed(fixed) if fixed.interval.is_zero() => Err(ConfigError::Zero {
            what: "poll interval",
        }),
        Schedule::Fixed(_) => Ok(()),
        Schedule::Rfc(rfc) => {
            let range = PollInterval::SHORTEST..=PollInterval::MAX;
            if !range.contains(&rfc.min_poll)
                || !range.contains(&rfc.max_poll)
                || rfc.max_poll < rfc.min_poll
            {
                return Err(ConfigError::BadPollRange);
            }
            let bursts = [rfc.initial_burst, rfc.burst];
            if bursts
                .iter()
                .flatten()
                .any(|burst| burst.interval.is_zero())
            {
                return Err(ConfigError::Zero {
                    what: "burst interval",
                });
            }
            // A burst leaves symmetric peers with origins that neither expects any more.
            if bursts != [None, None] && config.mode != AssociationMode::Client {
                return Err(ConfigError::BurstNotAllowed);
            }
            Ok(())
        }
    }
}

fn check_source_port(config: &AssociationConfig) -> Result<(), ConfigError> {
    match config.source_port {
        SourcePort::Fixed => Ok(()),
        SourcePort::Random { .. } if config.mode != AssociationMode::Client => {
            Err(ConfigError::RandomPortNotAllowed)
        }
        SourcePort::Random { lowest, highest } if lowest == 0 || highest < lowest => {
            Err(ConfigError::BadPortRange)
        }
        SourcePort::Random { .. } => Ok(()),
    }
}

//! The server side: answers modes 3 and 1 and keeps no state per client beyond the bounded rate limit.

use std::time::Instant;

use bytes::Bytes;

use crate::access::{Access, AccessList};
use crate::crypto::{SecureRandom, random_u64};
use crate::datagram::{Datagram, Transmit};
use crate::error::{AuthenticationError, DecodeError, Refusal};
use crate::interleave::TransmitTimes;
use crate::kiss::KissCode;
use crate::mac::{KeyId, KeyTable, SymmetricKey};
use crate::message::{Authenticator, Encoded, Message};
use crate::packet::{LeapIndicator, Mode, Packet, Stratum, Version};
use crate::rate_limit::{RateLimit, RateLimiter, Verdict};
use crate::system_variables::SystemVariables;
use crate::timestamp::NtpTimestamp;

/// The well-known port; what tells a peer from a client in NTPv1, which has no modes.
const NTP_PORT: u16 = 123;

/// What a server does with a request that is not authentic.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UnauthenticPolicy {
    /// Nothing.
    #[default]
    Ignore,
    /// It answers with a crypto-NAK, RFC 5905 section 9.2.
    CryptoNak,
}

/// Settings of a [`Server`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServerConfig {
    keys: KeyTable,
    access: AccessList,
    rate_limit: Option<RateLimit>,
    unauthentic: UnauthenticPolicy,
    interleaved_replies: Option<u32>,
}

impl ServerConfig {
    /// Settings that serve everybody, without keys and without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that requests may be made with. Default: none.
    pub fn keys(mut self, keys: KeyTable) -> Self {
        self.keys = keys;
        self
    }

    /// The key with that identifier.
    pub(crate) fn key(&self, id: KeyId) -> Option<&SymmetricKey> {
        self.keys.get(id)
    }

    /// Who is served. Default: everybody.
    pub fn access(mut self, access: AccessList) -> Self {
        self.access = access;
        self
    }

    /// How many requests one address may make. Default: no limit.
    pub const fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Answers clients that ask for it in interleaved mode (RFC 9769 section 2), and remembers for that when the last
    /// so many replies left, 16 octets each. Default: basic mode only.
    pub const fn interleaved(mut self, replies: u32) -> Self {
        self.interleaved_replies = Some(replies);
        self
    }

    /// What an unauthentic request is worth. Default: nothing.
    pub const fn unauthentic(mut self, policy: UnauthenticPolicy) -> Self {
        self.unauthentic = policy;
        self
    }
}

impl ServerConfig {
    fn decide(
        &self,
        verdict: Verdict,
        request: &Datagram<'_>,
        message: &Message<'_>,
    ) -> Result<Answer<'_>, Refusal> {
        let access = self.access.access(request.source.ip());
        if access == Access::Ignore {
            return Err(Refusal::AccessDenied);
        }
        if verdict == Verdict::Drop {
            return Err(Refusal::RateLimited);
        }
        let key = match self.authenticate(message) {
            Ok(key) => key,
            Err(AuthenticationError::Missing) if access != Access::ServeAuthenticated => None,
            Err(error) => return self.refuse_unauthentic(message, error),
        };
        Ok(match (verdict, access) {
            (Verdict::Serve, Access::Deny) => Answer::Kiss(KissCode::DENY, key),
            (Verdict::Serve, Access::Restrict) => Answer::Kiss(KissCode::RSTR, key),
            (Verdict::Serve, _) => Answer::Time(key),
            (Verdict::Kiss | Verdict::Drop, _) => Answer::Kiss(KissCode::RATE, key),
        })
    }

    /// The key that a request was made with.
    fn authenticate(
        &self,
        message: &Message<'_>,
    ) -> Result<Option<&SymmetricKey>, AuthenticationError> {
        match message.authenticator() {
            Authenticator::None => Err(AuthenticationError::Missing),
            Authenticator::CryptoNak => Err(AuthenticationError::CryptoNak),
            Authenticator::Mac { key: got, .. } => {
                let key = self
                    .keys
                    .get(got)
                    .ok_or(AuthenticationError::WrongKey { got })?;
                message.verify(key).map(|()| Some(key))
            }
        }
    }

    /// A crypto-NAK is an answer to a false code only: to anything shorter it would be longer than the request.
    fn refuse_unauthentic(
        &self,
        message: &Message<'_>,
        error: AuthenticationError,
    ) -> Result<Answer<'_>, Refusal> {
        match (self.unauthentic, message.authenticator()) {
            (UnauthenticPolicy::CryptoNak, Authenticator::Mac { .. }) => Ok(Answer::CryptoNak),
            (UnauthenticPolicy::CryptoNak, Authenticator::None | Authenticator::CryptoNak)
            | (UnauthenticPolicy::Ignore, _) => Err(error.into()),
        }
    }
}

/// A server for any number of clients.
///
/// Answers mode 3 with mode 4 and mode 1 with mode 2, in the version of the request, and nothing else: no
/// answer is ever answered, and none is longer than its request. Memory does not grow with the number of clients.
#[derive(Clone, Debug)]
pub struct Server {
    config: ServerConfig,
    limiter: Option<RateLimiter>,
    transmit_times: Option<TransmitTimes>,
    system: SystemVariables,
    latest: Instant,
    stats: ServerStats,
}

/// Counters of a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Requests answered with the time.
    pub answered: u64,
    /// Of these, in interleaved mode.
    pub interleaved: u64,
    /// Requests answered with a kiss code.
    pub kissed: u64,
    /// Requests answered with a crypto-NAK.
    pub naks: u64,
    /// Dropped: not NTP.
    pub malformed: u64,
    /// Dropped: not a request.
    pub not_requests: u64,
    /// Dropped: not allowed.
    pub denied: u64,
    /// Dropped: not authentic.
    pub not_authentic: u64,
    /// Dropped: too many.
    pub rate_limited: u64,
}

/// When a request arrived and when its reply will leave.
#[derive(Clone, Copy, Debug)]
struct Times {
    now: Instant,
    receive: NtpTimestamp,
    transmit: NtpTimestamp,
}

/// What is to be sent back.
enum Answer<'a> {
    Time(Option<&'a SymmetricKey>),
    Kiss(KissCode, Option<&'a SymmetricKey>),
    CryptoNak,
}

impl Server {
    /// A server whose clock is not set: until [`set_system`](Self::set_system) is called, its replies say so.
    #[must_use]
    pub fn new(config: ServerConfig, random: &dyn SecureRandom, now: Instant) -> Self {
        let limiter = config
            .rate_limit
            .map(|limit| RateLimiter::new(&limit, random_u64(random), now));
        Self {
            limiter,
            transmit_times: config.interleaved_replies.map(TransmitTimes::new),
            config,
            system: SystemVariables::UNSYNCHRONISED,
            latest: now,
            stats: ServerStats::default(),
        }
    }

    /// What replies say about our own clock from now on.
    pub fn set_system(&mut self, system: SystemVariables) {
        self.system = system;
    }

    /// The answer to a datagram, ready to be sent.
    ///
    /// `wall_receive` and `wall_transmit` say when the request arrived and when the reply will leave.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn respond(
        &mut self,
        now: Instant,
        wall_receive: NtpTimestamp,
        wall_transmit: NtpTimestamp,
        request: Datagram<'_>,
    ) -> Result<Transmit, Refusal> {
        let encoded = self.answer(now, wall_receive, wall_transmit, &request)?;
        Ok(Transmit {
            source: request.destination,
            destination: request.source,
            contents: Bytes::copy_from_slice(encoded.as_ref()),
        })
    }

    /// As [`respond`](Self::respond), into a buffer and without an allocation. Returns the reply's length,
    /// which is at most that of the request.
    ///
    /// # Errors
    ///
    /// Why there is no answer; [`Refusal::ShortBuffer`] if `out` cannot hold it.
    pub fn respond_into(
        &mut self,
        now: Instant,
        wall_receive: NtpTimestamp,
        wall_transmit: NtpTimestamp,
        request: Datagram<'_>,
        out: &mut [u8],
    ) -> Result<usize, Refusal> {
        let encoded = self.answer(now, wall_receive, wall_transmit, &request)?;
        let reply = encoded.as_ref();
        let room = out.get_mut(..reply.len()).ok_or(Refusal::ShortBuffer {
            needed: reply.len(),
        })?;
        room.copy_from_slice(reply);
        Ok(reply.len())
    }

    /// Tells when a reply really left, for interleaved mode; without it, the `wall_transmit` of the reply stands.
    pub fn note_transmitted(&mut self, reply: &[u8], wall: NtpTimestamp) {
        let Some(times) = &mut self.transmit_times else {
            return;
        };
        if let Ok(reply) = Packet::decode(reply)
            && times.transmit(reply.receive).is_some()
        {
            times.remember(reply.receive, wall.wire());
        }
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &ServerStats {
        &self.stats
    }

    fn answer(
        &mut self,
        now: Instant,
        receive: NtpTimestamp,
        transmit: NtpTimestamp,
        request: &Datagram<'_>,
    ) -> Result<Encoded, Refusal> {
        self.latest = self.latest.max(now);
        let times = Times {
            now: self.latest,
            receive,
            transmit,
        };
        let result = self.build(times, request);
        self.stats.count(&result);
        result.map(|(_, encoded)| encoded)
    }

    fn build(
        &mut self,
        times: Times,
        request: &Datagram<'_>,
    ) -> Result<(Counted, Encoded), Refusal> {
        check_mode(request)?;
        let message = Message::decode(request.contents)?;
        let packet = message.packet();
        let verdict = self.limiter.as_mut().map_or(Verdict::Serve, |limiter| {
            limiter.admit(times.now, request.source.ip())
        });
        let answer = self.config.decide(verdict, request, &message)?;
        Ok(match answer {
            Answer::Time(key) => {
                let mut reply = reply(&self.system, packet, times);
                let is_interleaved = self
                    .transmit_times
                    .as_mut()
                    .is_some_and(|times| interleave(times, packet, &mut reply));
                let counted = if is_interleaved {
                    Counted::Interleaved
                } else {
                    Counted::Time
                };
                (counted, Encoded::reply(&reply, key, &message))
            }
            Answer::Kiss(code, key) => (
                Counted::Kiss,
                Encoded::reply(&kiss(packet, code), key, &message),
            ),
            Answer::CryptoNak => (
                Counted::Nak,
                Encoded::crypto_nak(&reply(&self.system, packet, times)),
            ),
        })
    }
}

/// A reply in basic mode.
fn reply(system: &SystemVariables, request: &Packet, times: Times) -> Packet {
    let mut reply = Packet::new(request.version, reply_mode(request.mode));
    system.describe(&mut reply, times.now, times.receive);
    reply.poll = request.poll;
    reply.origin = request.transmit;
    reply.receive = times.receive.wire();
    reply.transmit = times.transmit.wire();
    reply
}

/// Turns a reply into one of interleaved mode, if the request asks for that and the reply before it is still
/// known: it tells when *that* one left, and is matched by the request's receive timestamp. RFC 9769 section 2.
fn interleave(times: &mut TransmitTimes, request: &Packet, reply: &mut Packet) -> bool {
    if request.mode != Mode::Client {
        return false;
    }
    reply.receive = times.unique(reply.receive);
    let transmit = reply.transmit;
    let asks = !request.origin.is_zero() && request.receive != request.transmit;
    let previous = times.transmit(request.origin).filter(|_| asks);
    if let Some(previous) = previous {
        reply.origin = request.receive;
        reply.transmit = previous;
    }
    times.remember(reply.receive, transmit);
    previous.is_some()
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    Time,
    Interleaved,
    Kiss,
    Nak,
}

impl ServerStats {
    const fn count(&mut self, result: &Result<(Counted, Encoded), Refusal>) {
        if matches!(result, Ok((Counted::Interleaved, _))) {
            self.interleaved += 1;
        }
        let counter = match result {
            Ok((Counted::Time | Counted::Interleaved, _)) => &mut self.answered,
            Ok((Counted::Kiss, _)) => &mut self.kissed,
            Ok((Counted::Nak, _)) => &mut self.naks,
            Err(Refusal::Malformed(_) | Refusal::ShortBuffer { .. }) => &mut self.malformed,
            Err(Refusal::NotARequest { .. }) => &mut self.not_requests,
            Err(Refusal::AccessDenied) => &mut self.denied,
            Err(Refusal::NotAuthentic(_)) => &mut self.not_authentic,
            Err(Refusal::RateLimited) => &mut self.rate_limited,
        };
        *counter += 1;
    }
}

/// Only requests are answered. Looks at the first octet alone, so that control messages, which are shorter
/// than a header, are named for what they are.
fn check_mode(request: &Datagram<'_>) -> Result<(), Refusal> {
    let flags = *request.contents.first().ok_or(DecodeError::Truncated)?;
    let is_version_1 = flags >> 3 & 0b111 == Version::V1.number();
    match Mode::from_bits(flags) {
        Mode::Client | Mode::SymmetricActive => Ok(()),
        // NTPv1 has no mode; between two NTP ports there is no telling who asks.
        Mode::Reserved if is_version_1 && request.source.port() != NTP_PORT => Ok(()),
        mode @ (Mode::Reserved
        | Mode::SymmetricPassive
        | Mode::Server
        | Mode::Broadcast
        | Mode::Control
        | Mode::Private) => Err(Refusal::NotARequest { mode }),
    }
}

const fn reply_mode(request: Mode) -> Mode {
    match request {
        Mode::SymmetricActive => Mode::SymmetricPassive,
        Mode::Reserved
        | Mode::SymmetricPassive
        | Mode::Client
        | Mode::Server
        | Mode::Broadcast
        | Mode::Control
        | Mode::Private => Mode::Server,
    }
}

/// A kiss-o'-death packet, RFC 5905 section 7.4. Its timestamps say nothing but which request it answers.
fn kiss(request: &Packet, code: KissCode) -> Packet {
    let mut reply = Packet::new(request.version, reply_mode(request.mode));
    reply.leap = LeapIndicator::Unsynchronised;
    reply.stratum = Stratum::UNSPECIFIED;
    reply.poll = request.poll;
    reply.reference_id = code.reference_id();
    reply.origin = request.transmit;
    reply.receive = request.transmit;
    reply.transmit = request.transmit;
    reply
}

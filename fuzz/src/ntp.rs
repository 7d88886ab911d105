//! NTP: the packet with what follows it, associations of every mode, and the server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ntp_core::config::{AssociationConfigBuilder, DenialPolicy};
use ntp_core::mac::{KeyId, KeyTable, MacKind, SymmetricKey};
use ntp_core::message::{Authenticator, Message};
use ntp_core::packet::{HEADER_LEN, Packet};
use ntp_core::rate_limit::RateLimit;
use ntp_core::server::UnauthenticPolicy;
use ntp_core::{
    Association, AssociationConfig, AssociationMode, CryptoProvider, Datagram, Kick, Mode,
    NtpTimestamp, Purpose, Server, ServerConfig, Stratum, SystemVariables,
};

use crate::null_crypto::{Counter, MAC_LEN, NullMac};
use crate::steps::Steps;

/// A whole datagram.
pub fn ntp_message(octets: &[u8]) {
    let Ok(packet) = Packet::decode(octets) else {
        return;
    };
    assert_eq!(
        packet.encode(),
        octets[..HEADER_LEN],
        "a header survives encoding"
    );
    let _ = (
        packet.kiss(),
        packet.is_synchronised(),
        format!("{packet:?}"),
    );
    let Ok(message) = Message::decode(octets) else {
        return;
    };
    assert_eq!(message.packet(), &packet);
    check_layout(&message, octets.len());
    let verified = message.verify(&key()).is_ok();
    assert!(!verified || octets.ends_with(&[0; MAC_LEN]));
}

/// What follows the header of an NTPv4 packet.
pub fn ntp_extensions(octets: &[u8]) {
    let header = Packet::new(ntp_core::Version::V4, Mode::Client).encode();
    let datagram = [&header[..], octets].concat();
    if let Ok(message) = Message::decode(&datagram) {
        check_layout(&message, datagram.len());
    }
}

/// Header, extension fields and code fill the datagram, and no field is shorter than allowed.
fn check_layout(message: &Message<'_>, len: usize) {
    let fields = message.extensions();
    assert!(fields.iter().count() <= ntp_core::extension::MAX_EXTENSION_FIELDS);
    assert!(fields.iter().all(|field| 12 <= field.value().len()));
    let extensions: usize = fields.iter().map(|field| 4 + field.value().len()).sum();
    let code = match message.authenticator() {
        Authenticator::None => 0,
        Authenticator::CryptoNak => 4,
        Authenticator::Mac { digest, .. } => 4 + digest.len(),
    };
    assert_eq!(HEADER_LEN + extensions + code, len);
}

/// An association of any mode.
///
/// The first octet chooses the settings. Steps: 0 a datagram of any octets, 1 one that answers the last request,
/// 2 some time, 3 sleep until the next timer, 4 poll now, 5 a kick, 6 a step of the wall clock, 7 another system clock,
/// 8 forget the samples, 9 close.
pub fn ntp_association(octets: &[u8]) {
    live(octets);
}

/// Plays the steps and returns how many answers were accepted.
fn live(octets: &[u8]) -> usize {
    let mut steps = Steps::new(octets);
    let mut life = Life::new(steps.octet());
    life.settle();
    while let Some(code) = steps.next_code() {
        life.step(code, &mut steps);
        life.settle();
    }
    life.accepted
}

struct Life {
    association: Association,
    now: Instant,
    wall: i64,
    last: Vec<u8>,
    /// Every transmit timestamp that has been sent: what an answer must carry.
    sent: BTreeSet<[u8; 8]>,
    accepted: usize,
}

impl Life {
    fn new(settings: u8) -> Self {
        let now = sim::instant(Duration::ZERO);
        let association = Association::new(
            Arc::new(config(settings)),
            Arc::new(Counter::default()),
            now,
        );
        Self {
            association,
            now,
            wall: 1_800_000_000,
            last: Vec::new(),
            sent: BTreeSet::new(),
            accepted: 0,
        }
    }

    fn wall(&self) -> NtpTimestamp {
        let elapsed = sim::elapsed(self.now);
        let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        NtpTimestamp::from_unix(self.wall.saturating_add(seconds), elapsed.subsec_nanos())
    }

    fn step(&mut self, code: u8, steps: &mut Steps<'_>) {
        let (now, wall) = (self.now, self.wall());
        match code % 10 {
            0 => self.receive(steps.string()),
            1 => {
                let answer = self.answer(steps);
                self.receive(&answer);
            }
            2 => self.now += steps.millis(),
            3 => {
                self.now = self
                    .association
                    .poll_timeout()
                    .map_or(now, |due| due.max(now))
            }
            4 => {
                let purpose = if steps.octet().is_multiple_of(2) {
                    Purpose::Measure
                } else {
                    Purpose::Trigger
                };
                self.association.poll_now(now, wall, purpose);
            }
            5 => {
                const KICKS: [Kick; 3] = [Kick::LinkUp, Kick::SaUp, Kick::SaDown];
                self.association
                    .kick(now, KICKS[usize::from(steps.octet()) % KICKS.len()]);
            }
            // Up to 2,000 years either way.
            6 => self.wall = (i64::from(steps.number()) - 32_768) * 2_000_000,
            7 => self
                .association
                .set_system(SystemVariables::local(Stratum(steps.octet()))),
            8 => self.association.clear_samples(now),
            _ => self.association.close(now),
        }
    }

    /// The last packet sent, turned round, with fields of the fuzzer's choice.
    fn answer(&self, steps: &mut Steps<'_>) -> Vec<u8> {
        let mut packet = self.last.clone();
        packet.resize(packet.len().max(HEADER_LEN), 0);
        let (header, _) = packet.split_at_mut(HEADER_LEN);
        let (fields, times) = header.split_at_mut(16);
        fields[0] = steps.octet();
        fields[1] = steps.octet();
        let (reference_origin, receive_transmit) = times.split_at_mut(16);
        reference_origin[8..].copy_from_slice(&receive_transmit[8..]);
        let altered = steps.string();
        let room = fields[2..].iter_mut().chain(receive_transmit);
        for (octet, value) in room.zip(altered) {
            *octet = *value;
        }
        packet
    }

    fn receive(&mut self, contents: &[u8]) {
        let wall = self.wall();
        let datagram = Datagram {
            source: remote(),
            destination: local(),
            contents,
        };
        let Ok(reply) = self.association.handle_datagram(self.now, wall, datagram) else {
            return;
        };
        self.accepted += 1;
        let Ok(packet) = Packet::decode(contents) else {
            panic!("what is no packet was accepted");
        };
        assert!(reply.sample.is_none() || reply.unusable.is_none());
        if reply.path && packet.mode != Mode::Broadcast {
            assert!(
                self.sent.contains(&contents[24..32]),
                "an answer names a request"
            );
        }
    }

    fn settle(&mut self) {
        let wall = self.wall();
        self.association.handle_timeout(self.now, wall);
        let mut outputs = 0;
        while let Some(transmit) = self.association.poll_transmit() {
            self.last = transmit.contents.to_vec();
            if let Some(timestamp) = self
                .last
                .get(40..48)
                .and_then(|octets| octets.try_into().ok())
            {
                self.sent.insert(timestamp);
            }
            outputs += 1;
        }
        while self.association.poll_event().is_some() {
            outputs += 1;
        }
        assert!(outputs <= 48, "one step, {outputs} outputs");
        let due = self.association.poll_timeout();
        assert!(
            due.is_none_or(|due| self.now < due),
            "a timer is due that was just served"
        );
        let _ = (
            self.association.path_reach(),
            self.association.estimate(),
            self.association.stats(),
        );
    }
}

fn config(settings: u8) -> AssociationConfig {
    const MODES: [AssociationMode; 5] = [
        AssociationMode::Client,
        AssociationMode::SymmetricActive,
        AssociationMode::SymmetricPassive,
        AssociationMode::BroadcastServer,
        AssociationMode::BroadcastClient,
    ];
    let builder = AssociationConfig::builder(local(), remote());
    let builder = match usize::from(settings & 7) {
        mode if mode < MODES.len() => builder.mode(MODES[mode]),
        _ => builder.h3c(),
    };
    let with = |bit: u8,
                builder: AssociationConfigBuilder,
                set: fn(AssociationConfigBuilder) -> AssociationConfigBuilder| {
        if settings & bit == 0 {
            builder
        } else {
            set(builder)
        }
    };
    let builder = with(0x08, builder, |builder| builder.key(key()));
    let builder = with(0x10, builder, |builder| builder.denial(DenialPolicy::Obey));
    let builder = with(0x20, builder, |builder| {
        builder.max_delay(Duration::from_secs(1))
    });
    match builder.build() {
        Ok(config) => config,
        Err(error) => panic!("settings {settings}: {error}"),
    }
}

/// The server, with its rate limit and its keys.
///
/// The first octet chooses the settings. Steps: 0 some time, others a request from one of the addresses.
pub fn ntp_server(octets: &[u8]) {
    served(octets);
}

/// Plays the steps and returns how many requests were answered.
fn served(octets: &[u8]) -> usize {
    let mut steps = Steps::new(octets);
    let settings = steps.octet();
    let mut now = sim::instant(Duration::ZERO);
    let mut server = Server::new(server_config(settings), &Counter::default(), now);
    if settings & 8 != 0 {
        server.set_system(SystemVariables::local(Stratum::PRIMARY));
    }
    let mut answered = 0;
    while let Some(code) = steps.next_code() {
        match code {
            0 => now += steps.millis(),
            _ => answered += usize::from(is_answered(&mut server, now, code, steps.string())),
        }
    }
    answered
}

fn server_config(settings: u8) -> ServerConfig {
    let mut config = ServerConfig::new();
    if settings & 1 != 0 {
        config = config.rate_limit(RateLimit::default());
    }
    if settings & 2 != 0 {
        let mut keys = KeyTable::new();
        keys.insert(key());
        config = config.keys(keys);
    }
    if settings & 4 != 0 {
        config = config.unauthentic(UnauthenticPolicy::CryptoNak);
    }
    config
}

fn is_answered(server: &mut Server, now: Instant, code: u8, contents: &[u8]) -> bool {
    let wall = NtpTimestamp::RELEASE;
    let port = if code & 1 == 0 { 123 } else { 40_000 };
    let source = SocketAddr::from(([10, 61, 1, code >> 1], port));
    let Ok(reply) = server.respond(
        now,
        wall,
        wall,
        Datagram {
            source,
            destination: local(),
            contents,
        },
    ) else {
        return false;
    };
    assert!(
        reply.contents.len() <= contents.len(),
        "no answer is longer than its request"
    );
    let (Ok(request), Ok(answer)) = (Packet::decode(contents), Packet::decode(&reply.contents))
    else {
        panic!("an answer to what is no request, or one that is no packet");
    };
    assert_eq!(answer.version, request.version);
    assert_eq!(answer.origin, request.transmit);
    assert!(matches!(answer.mode, Mode::Server | Mode::SymmetricPassive));
    let echo = Datagram {
        source,
        destination: local(),
        contents: &reply.contents,
    };
    assert!(
        server.respond(now, wall, wall, echo).is_err(),
        "no answer is answered"
    );
    true
}

fn key() -> SymmetricKey {
    static MACS: &[&dyn ntp_core::crypto::MacAlgorithm] = &[&NullMac];
    let provider = CryptoProvider::new(Arc::new(Counter::default())).with_macs(MACS);
    match SymmetricKey::new(KeyId(1), MacKind::Md5, b"key", &provider) {
        Ok(key) => key,
        Err(error) => panic!("a key: {error}"),
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([10, 61, 1, 1], 123))
}

fn remote() -> SocketAddr {
    SocketAddr::from(([10, 61, 3, 26], 123))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_of_an_association_has_an_answer_accepted_if_its_mode_takes_any() {
        for seed in crate::seeds::all()
            .iter()
            .filter(|seed| seed.target == "ntp_association")
        {
            let takes_none = seed.name == "broadcast_server";
            assert_eq!(live(&seed.octets) == 0, takes_none, "{}", seed.name);
        }
    }

    #[test]
    fn each_seed_of_the_server_is_answered() {
        for seed in crate::seeds::all()
            .iter()
            .filter(|seed| seed.target == "ntp_server")
        {
            assert!(0 < served(&seed.octets), "{}", seed.name);
        }
    }
}

//! The NTP packets that trigger a pair and prove it: made by ntp-core, addressed from the
//! pair's own source to its own target, and sent through the same policy as any traffic.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use esp_core::ip::{Dscp, InnerPacket, Protocol, UdpDatagram, udp_packet};
use ntp_core::config::{DenialPolicy, RequestHeader};
use ntp_core::{
    Association, AssociationConfig, AssociationMode, NtpTimestamp, Purpose, Schedule, SecureRandom,
    Unusable,
};

use crate::config::{ProbeMode, Trigger};
use crate::proof::NTP_PORT;

/// The prober of one pair.
#[derive(Debug)]
pub(crate) struct Probe {
    trigger: Trigger,
    association: Association,
}

/// A packet that belongs to a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The time there and back, where it was measured.
    pub(crate) rtt: Option<Duration>,
    /// Whether it answers a probe of ours; otherwise it is a symmetric peer's own poll.
    pub(crate) answers: bool,
}

impl Probe {
    /// # Errors
    ///
    /// What ntp-core refuses of the two addresses.
    pub(crate) fn new(
        trigger: Trigger,
        random: Arc<dyn SecureRandom>,
        now: Instant,
    ) -> Result<Self, ntp_core::ConfigError> {
        let local = SocketAddr::new(trigger.source, NTP_PORT);
        let remote = SocketAddr::new(trigger.target, NTP_PORT);
        let builder = AssociationConfig::builder(local, remote);
        let builder = match trigger.mode {
            ProbeMode::Client => builder.mode(AssociationMode::Client),
            ProbeMode::Symmetric => builder.mode(AssociationMode::SymmetricActive),
            ProbeMode::H3c => builder.mode(AssociationMode::SymmetricActive).h3c(),
        };
        // A full header echoes the hub's last reply, which proves to the hub that it arrived. A denial
        // from anybody must not end what keeps the pair up.
        let config = builder
            .schedule(Schedule::Manual)
            .request_header(RequestHeader::Full)
            .denial(DenialPolicy::Ignore)
            .build()?;
        Ok(Self {
            trigger,
            association: Association::new(Arc::new(config), random, now),
        })
    }

    /// The next probe as a whole IP packet.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        purpose: Purpose,
    ) -> Option<Vec<u8>> {
        self.association.poll_now(now, wall, purpose);
        let transmit = self.association.poll_transmit()?;
        let mut packet = Vec::new();
        udp_packet(
            transmit.source,
            transmit.destination,
            Dscp::default(),
            &transmit.contents,
            &mut packet,
        )
        .ok()?;
        Some(packet)
    }

    /// Takes the reply to a probe. Returns `None` where the packet answers no probe and is
    /// somebody else's.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        inner: &InnerPacket,
        packet: &[u8],
    ) -> Option<Answer> {
        let Trigger { source, target, .. } = self.trigger;
        if inner.protocol() != Protocol::UDP
            || inner.source() != target
            || inner.destination() != source
        {
            return None;
        }
        let udp = UdpDatagram::parse(packet).ok()?;
        let datagram = ntp_core::Datagram {
            source: udp.source,
            destination: udp.destination,
            contents: udp.payload,
        };
        let reply = self.association.handle_datagram(now, wall, datagram).ok()?;
        while self.association.poll_event().is_some() {}
        // A probe that waited for its tunnel measures the negotiation, not the path.
        let waited = reply.unusable == Some(Unusable::Trigger);
        Some(Answer {
            rtt: reply.rtt.filter(|_| reply.path && !waited),
            answers: reply.path,
        })
    }

    /// The last eight probes, the latest in the lowest bit.
    pub(crate) fn path_reach(&self) -> u8 {
        self.association.path_reach().bits()
    }
}

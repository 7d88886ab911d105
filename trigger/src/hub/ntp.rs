//! What a branch sends to an NTP port: what it proves, and what the hub answers.

use alloc::vec::Vec;
use std::time::Instant;

use esp_core::ip::{Dscp, InnerPacket, Protocol, UdpDatagram, udp_packet};

use super::Hub;
use crate::event::PairId;
use crate::proof::NTP_PORT;

impl Hub {
    /// Looks at a packet: if it is NTP, whether it echoes the last reply, and whether it is for this hub to answer.
    /// Returns the reply as a whole IP packet.
    pub(super) fn ntp(
        &mut self,
        now: Instant,
        id: PairId,
        inner: &InnerPacket,
        packet: &[u8],
    ) -> Option<Vec<u8>> {
        if inner.protocol() != Protocol::UDP {
            return None;
        }
        let udp = UdpDatagram::parse(packet)
            .ok()
            .filter(|udp| udp.destination.port() == NTP_PORT)?;
        let request = ntp_core::Packet::decode(udp.payload).ok()?;
        self.note_probe(now, id, &request)?;
        if self.config.ntp_addresses.contains(&inner.destination()) {
            self.answer(now, id, &udp)
        } else {
            None
        }
    }

    /// The reply to a request has arrived if the next one echoes it.
    fn note_probe(&mut self, now: Instant, id: PairId, request: &ntp_core::Packet) -> Option<()> {
        let pair = self.data_path.pair_mut(id)?;
        let echoed = pair.watch.ntp_echoed(request.origin.0);
        pair.path_reach = pair.path_reach << 1 | u8::from(echoed);
        if echoed {
            self.proved(now, id);
        }
        Some(())
    }

    fn answer(&mut self, now: Instant, id: PairId, udp: &UdpDatagram<'_>) -> Option<Vec<u8>> {
        let wall = self.wall_clock.read(now);
        let request = ntp_core::Datagram {
            source: udp.source,
            destination: udp.destination,
            contents: udp.payload,
        };
        let reply = self.server.respond(now, wall, wall, request).ok()?;
        let transmit = ntp_core::Packet::decode(&reply.contents).ok()?.transmit.0;
        self.data_path.pair_mut(id)?.watch.ntp_replied(transmit);
        let mut packet = Vec::new();
        udp_packet(
            reply.source,
            reply.destination,
            Dscp::default(),
            &reply.contents,
            &mut packet,
        )
        .ok()?;
        Some(packet)
    }
}

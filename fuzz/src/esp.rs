//! ESP: the inner packet, the encapsulation, and what lies behind a good ICV.

use std::net::IpAddr;
use std::sync::Arc;

use esp_core::crypto::{Sealer, rustcrypto};
use esp_core::encapsulation::{UdpPayload, classify};
use esp_core::ip::{Dscp, InnerPacket, UdpDatagram, udp_packet};
use esp_core::wire::EspHeader;
use esp_core::{
    CryptoProvider, EspSuite, InboundSa, OpenError, OutboundSa, SaParameters, Selector, Spi,
};

use crate::null_crypto::Counter;
use crate::steps::Steps;

/// An IP packet as it comes from the TUN device or out of a tunnel.
pub fn esp_inner_packet(octets: &[u8]) {
    if let Ok(packet) = InnerPacket::parse_padded(octets) {
        assert!(packet.total_len() <= octets.len());
        assert!(packet.payload().start <= packet.payload().end);
        assert_eq!(packet.payload().end, packet.total_len());
        assert_eq!(packet.source().is_ipv4(), packet.destination().is_ipv4());
        let whole = InnerPacket::parse(&octets[..packet.total_len()]);
        assert_eq!(whole, Ok(packet), "padding does not change what is read");
        assert_eq!(
            InnerPacket::parse(octets).is_ok(),
            packet.total_len() == octets.len()
        );
    }
    let Ok(datagram) = UdpDatagram::parse(octets) else {
        return;
    };
    let mut copy = Vec::new();
    let made = udp_packet(
        datagram.source,
        datagram.destination,
        Dscp::DEFAULT,
        datagram.payload,
        &mut copy,
    );
    assert!(made.is_ok(), "a datagram that was read can be made");
    let again = UdpDatagram::parse(&copy);
    assert!(again.is_ok_and(|again| {
        again.source == datagram.source
            && again.destination == datagram.destination
            && again.payload == datagram.payload
    }));
}

/// A payload on the NAT traversal port.
pub fn esp_encapsulation(octets: &[u8]) {
    match classify(octets) {
        UdpPayload::Ike(message) => assert_eq!(octets.len(), message.len() + 4),
        UdpPayload::Esp => assert_eq!(EspHeader::parse(octets).is_some(), octets[..3] != [0; 3]),
        UdpPayload::Keepalive => assert_eq!(octets, [0xFF]),
        UdpPayload::Malformed => assert!(octets.len() < EspHeader::LEN),
    }
}

/// An SA whose key the fuzzer holds: packets with a good ICV around any plaintext, and packets altered afterwards.
///
/// The first octet chooses the suite. Steps: 0 a good ICV around a plaintext, 1 the same with octets altered, 2 any
/// octets, 3 the last packet once more.
pub fn esp_open(octets: &[u8]) {
    accepted(octets);
}

/// Plays the steps and returns how many packets were accepted.
fn accepted(octets: &[u8]) -> usize {
    let mut steps = Steps::new(octets);
    let mut receiver = Receiver::new(suite(steps.octet()));
    let mut last = Vec::new();
    while let Some(code) = steps.next_code() {
        match code % 4 {
            0 => last = receiver.authentic(&mut steps),
            1 => {
                last = receiver.authentic(&mut steps);
                let at = usize::from(steps.number()) % last.len();
                last[at] ^= steps.octet();
            }
            2 => last = steps.string().to_vec(),
            _ => {}
        }
        receiver.receive(&last);
    }
    receiver.accepted.len()
}

fn suite(code: u8) -> EspSuite {
    const SUITES: [&str; 5] = [
        "aes128gcm16",
        "aes128gcm16-esn",
        "null-sha1",
        "aes128-sha256",
        "aes256-sha512-esn",
    ];
    let name = SUITES[usize::from(code) % SUITES.len()];
    match name.parse() {
        Ok(suite) => suite,
        Err(error) => panic!("{name}: {error}"),
    }
}

struct Receiver {
    suite: EspSuite,
    sealer: Box<dyn Sealer>,
    inbound: InboundSa,
    accepted: Vec<u64>,
}

impl Receiver {
    fn new(suite: EspSuite) -> Self {
        let provider = CryptoProvider {
            secure_random: Arc::new(Counter::default()),
            ..rustcrypto::provider()
        };
        let keymat: Vec<u8> = (0..=255).cycle().take(suite.keymat_len()).collect();
        let made = Spi::new(0x1001).ok().and_then(|spi| {
            let parameters = SaParameters::builder(spi, suite, &keymat, selector())
                .build()
                .ok()?;
            // Both halves of an SA that has just been negotiated.
            OutboundSa::new(&parameters, &provider).ok()?;
            Some((
                provider.sealer(suite, &keymat).ok()?,
                InboundSa::new(&parameters, &provider).ok()?,
            ))
        });
        let Some((sealer, inbound)) = made else {
            panic!("the provider has {suite}");
        };
        Self {
            suite,
            sealer,
            inbound,
            accepted: Vec::new(),
        }
    }

    /// A packet with a good ICV. Sequence number and plaintext, its trailer included, are the fuzzer's.
    fn authentic(&self, steps: &mut Steps<'_>) -> Vec<u8> {
        let sequence = u64::from(steps.number());
        let mut plaintext = steps.string().to_vec();
        let alignment = self.suite.cipher().alignment();
        plaintext.resize(plaintext.len().max(1).next_multiple_of(alignment), 0);
        let mut packet = vec![0, 0, 0x10, 1];
        packet.extend_from_slice(&sequence.to_be_bytes()[4..]);
        let mut iv = vec![0; self.suite.iv_len()];
        self.sealer.write_iv(sequence, &mut iv);
        packet.extend_from_slice(&iv);
        packet.extend_from_slice(&plaintext);
        packet.resize(packet.len() + self.suite.icv_len(), 0);
        assert_eq!(self.sealer.seal(sequence, &mut packet), Ok(()));
        packet
    }

    fn receive(&mut self, packet: &[u8]) {
        let before = self.inbound.usage();
        let mut buffer = packet.to_vec();
        match self.inbound.open_in_place(&mut buffer) {
            Ok(opened) => {
                assert!(
                    !self.accepted.contains(&opened.sequence),
                    "a number is accepted once"
                );
                self.accepted.push(opened.sequence);
                assert!(opened.is_dummy() == opened.packet.is_empty());
                if let Some(inner) = opened.inner {
                    assert_eq!(InnerPacket::parse(opened.packet), Ok(inner));
                    assert!(selector().matches(inner.destination(), inner.source()));
                }
                assert_eq!(self.inbound.usage().packets, before.packets + 1);
            }
            // Authentic, but not what may come through here: the number is used up.
            Err(
                OpenError::BadPadding
                | OpenError::UnexpectedNextHeader { .. }
                | OpenError::SelectorMismatch { .. }
                | OpenError::Inner(_),
            ) => {
                assert_eq!(self.inbound.usage().packets, before.packets + 1);
            }
            Err(_) => assert_eq!(
                self.inbound.usage(),
                before,
                "what is not authentic changes nothing"
            ),
        }
    }
}

/// Both subnets of the scenario's first flow, and IPv6 is not let through.
fn selector() -> Selector {
    let any: IpAddr = IpAddr::from([10, 0, 0, 0]);
    let subnet = esp_core::Subnet::new(any, 8);
    match subnet
        .ok()
        .and_then(|subnet| Selector::new(subnet, subnet).ok())
    {
        Some(selector) => selector,
        None => panic!("10.0.0.0/8 is a subnet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_has_its_packet_and_its_dummy_accepted() {
        let seeds = crate::seeds::all();
        let steps: Vec<_> = seeds
            .iter()
            .filter(|seed| seed.target == "esp_open")
            .collect();
        assert_eq!(steps.len(), 5);
        for seed in steps {
            assert_eq!(accepted(&seed.octets), 2, "{}", seed.name);
        }
    }

    #[test]
    fn inner_packet_seeds_are_datagrams() {
        for seed in crate::seeds::all()
            .iter()
            .filter(|seed| seed.target == "esp_inner_packet")
        {
            assert!(UdpDatagram::parse(&seed.octets).is_ok(), "{}", seed.name);
        }
    }
}

//! Published ESP packets: each is sealed to the same octets and opened to the same text, by every
//! provider.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod pair;
mod vectors;

use esp_core::ip::Protocol;
use esp_core::{CryptoProvider, EspSuite, InboundSa, OpenError, SaParameters, Selector, Spi};
use vectors::Vector;

struct Case {
    name: &'static str,
    suite: EspSuite,
    keymat: Vec<u8>,
    sequence: u64,
    packet: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Case {
    fn of(vector: &Vector) -> Self {
        Self {
            name: vector.name,
            suite: vector.suite.parse().unwrap(),
            keymat: hex::decode(vector.keymat).unwrap(),
            sequence: vector.sequence,
            packet: hex::decode(vector.packet).unwrap(),
            plaintext: hex::decode(vector.plaintext).unwrap(),
        }
    }

    /// The packet before it is sealed.
    fn laid_out(&self) -> Vec<u8> {
        let mut octets = self.packet[..self.suite.header_len()].to_vec();
        octets.extend_from_slice(&self.plaintext);
        octets.resize(self.packet.len(), 0);
        octets
    }

    fn check(&self, provider: &CryptoProvider) {
        let mut octets = self.laid_out();
        let sealer = provider.sealer(self.suite, &self.keymat).unwrap();
        sealer.seal(self.sequence, &mut octets).unwrap();
        assert_eq!(
            hex::encode(&octets),
            hex::encode(&self.packet),
            "{}",
            self.name
        );

        let opener = provider.opener(self.suite, &self.keymat).unwrap();
        let range = opener.open(self.sequence, &mut octets).unwrap();
        assert_eq!(
            hex::encode(&octets[range]),
            hex::encode(&self.plaintext),
            "{}",
            self.name
        );
    }

    /// An inbound SA to which the packet is the next, for any addresses.
    fn inbound(&self, provider: &CryptoProvider) -> InboundSa {
        let spi = Spi::new(u32::from_be_bytes(self.packet[..4].try_into().unwrap())).unwrap();
        let parameters = SaParameters::builder(spi, self.suite, &self.keymat, Selector::ANY_V4)
            .last_sequence(self.sequence - 1)
            .build()
            .unwrap();
        InboundSa::new(&parameters, provider).unwrap()
    }
}

#[test]
fn combined_modes_give_the_published_octets() {
    assert_eq!(vectors::COMBINED.len(), 16);
    for (_, provider) in pair::providers() {
        vectors::COMBINED
            .iter()
            .for_each(|vector| Case::of(vector).check(&provider));
    }
}

#[test]
fn null_with_hmac_gives_the_generated_octets() {
    for (_, provider) in pair::providers() {
        vectors::NULL
            .iter()
            .for_each(|vector| Case::of(vector).check(&provider));
    }
}

#[test]
fn aes_cbc_gives_the_ciphertext_of_rfc_3602() {
    for (_, provider) in pair::providers() {
        for vector in vectors::CBC {
            // The RFC's packets have no ICV; ours gets one behind the same ciphertext.
            let integrity_key = "00".repeat(20);
            let keymat = hex::decode(format!("{}{integrity_key}", vector.keymat)).unwrap();
            let suite: EspSuite = format!("{}-sha1", vector.suite).parse().unwrap();
            let expected = hex::decode(vector.packet).unwrap();
            let plaintext = hex::decode(vector.plaintext).unwrap();
            let mut octets = expected[..24].to_vec();
            octets.extend_from_slice(&plaintext);
            octets.resize(expected.len() + 12, 0);

            let sealer = provider.sealer(suite, &keymat).unwrap();
            sealer.seal(vector.sequence, &mut octets).unwrap();
            let (ciphertext, _icv) = octets.split_at(expected.len());
            assert_eq!(hex::encode(ciphertext), vector.packet, "{}", vector.name);

            let opener = provider.opener(suite, &keymat).unwrap();
            let range = opener.open(vector.sequence, &mut octets).unwrap();
            assert_eq!(
                hex::encode(&octets[range]),
                vector.plaintext,
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn an_inbound_sa_takes_what_is_a_tunnel_packet_and_names_what_is_not() {
    let (_, provider) = pair::providers().remove(0);
    let open = |vector: &Vector| {
        let case = Case::of(vector);
        let mut packet = case.packet.clone();
        let mut inbound = case.inbound(&provider);
        let outcome = inbound.open_in_place(&mut packet);
        outcome.map(|opened| (opened.next_header, opened.packet.to_vec()))
    };
    let by_name = |name: &str| {
        let all = vectors::COMBINED.iter().chain(vectors::NULL);
        all.filter(|vector| vector.name == name)
            .map(open)
            .next()
            .unwrap()
    };

    let (next_header, packet) = by_name("RFC 7634 appendix A").unwrap();
    assert_eq!((next_header, packet.len()), (Protocol::IPV4, 84));
    let (next_header, packet) = by_name("null hmac sha1 96 tunnel").unwrap();
    assert_eq!((next_header, packet.len()), (Protocol::IPV4, 84));
    let dummy = vectors::NULL
        .iter()
        .find(|vector| vector.name.contains("dummy"))
        .unwrap();
    assert_eq!(open(dummy), Ok((Protocol::NO_NEXT_HEADER, Vec::new())));

    let unexpected = |protocol| Err(OpenError::UnexpectedNextHeader { protocol });
    assert_eq!(
        by_name("draft-mcgrew-gcm-test-01 case 1"),
        unexpected(Protocol::ICMP)
    );
    assert_eq!(
        by_name("null hmac sha256 128 transport udp"),
        unexpected(Protocol::UDP)
    );
}

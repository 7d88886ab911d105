//! What is sealed is opened, over every suite, provider and size; what was altered is not.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod pair;

use esp_core::encapsulation::Encapsulation;
use esp_core::ip::{
    Ecn, Fragments, InnerPacket, IpError, OuterFields, OuterHeader, Protocol, UdpDatagram,
    clamp_mss, packet_too_big,
};
use esp_core::{
    Drops, EspSuite, OpenError, OpenSlot, OutboundSa, SealError, SealSlot, Selector, WindowSize,
};
use pair::{Setup, packet, packet_between, packet_v6, providers, sealed, suites};
use proptest::prelude::*;

/// Runs over every provider and suite.
fn each_suite(mut run: impl FnMut(&Setup)) {
    for (_, provider) in providers() {
        for suite in suites() {
            run(&Setup::of(suite, provider.clone()));
        }
    }
}

#[test]
fn every_size_up_to_a_few_blocks_comes_back() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        for len in (20..=160).chain([576, 1399, 1400, 1401, 9000]) {
            let packet = packet(len);
            let mut esp = sealed(&mut outbound, &packet);
            assert_eq!(esp.len(), setup.suite.sealed_len(len));
            let opened = inbound.open_in_place(&mut esp).unwrap();
            assert_eq!(opened.packet, packet, "{} {len}", setup.suite);
            assert_eq!(opened.inner.unwrap().total_len(), len);
            assert_eq!(opened.sequence, outbound.last_sequence());
            assert_eq!(opened.offset, setup.suite.header_len());
        }
        assert_eq!(inbound.usage(), outbound.usage());
        assert_eq!(inbound.drops(), Drops::default());
    });
}

#[test]
fn providers_understand_each_other() {
    let all = providers();
    for (_, ours) in &all {
        for (_, theirs) in &all {
            for suite in suites() {
                let (mut outbound, _) = Setup::of(suite, ours.clone()).pair();
                let (_, mut inbound) = Setup::of(suite, theirs.clone()).pair();
                let mut esp = sealed(&mut outbound, &packet(77));
                assert_eq!(inbound.open_in_place(&mut esp).unwrap().packet, packet(77));
            }
        }
    }
}

#[test]
fn no_two_packets_look_alike() {
    each_suite(|setup| {
        let (mut outbound, _) = setup.pair();
        let (first, second) = (
            sealed(&mut outbound, &packet(60)),
            sealed(&mut outbound, &packet(60)),
        );
        let iv = 8..8 + setup.suite.iv_len();
        assert!(
            iv.is_empty() || first[iv.clone()] != second[iv.clone()],
            "{}",
            setup.suite
        );
        assert_ne!(first[iv.end..], second[iv.end..], "{}", setup.suite);
    });
}

#[test]
fn a_cbc_iv_tells_nothing_about_the_next() {
    // Under one key two SAs number their packets alike; their IV generators have keys of their own.
    let setup = Setup::new("aes128-sha1");
    let ((mut one, _), (mut other, _)) = (setup.pair(), setup.pair());
    for _ in 0..64 {
        let (one, other) = (
            sealed(&mut one, &packet(60)),
            sealed(&mut other, &packet(60)),
        );
        assert_eq!(one[..8], other[..8]);
        assert_ne!(one[8..24], other[8..24]);
    }
}

#[test]
fn every_flipped_bit_is_refused_and_costs_nothing() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        let esp = sealed(&mut outbound, &packet(40));
        for bit in 0..esp.len() * 8 {
            let mut altered = esp.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let error = inbound.open_in_place(&mut altered).unwrap_err();
            match bit {
                0..32 => assert!(matches!(error, OpenError::WrongSpi { .. }), "{bit} {error}"),
                // A sequence number further on may come to be zero, which is never sent.
                32..64 => assert!(
                    matches!(error, OpenError::BadIcv | OpenError::Late { .. }),
                    "{bit} {error}"
                ),
                _ => assert_eq!(error, OpenError::BadIcv, "{} {bit}", setup.suite),
            }
        }
        assert_eq!(inbound.usage().packets, 0);
        assert_eq!(
            inbound.last_sequence(),
            0,
            "a forged packet must not move the window"
        );
        assert_eq!(inbound.drops().total(), esp.len() as u64 * 8);
        inbound.open_in_place(&mut esp.clone()).unwrap();
    });
}

#[test]
fn every_truncation_is_refused() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        let esp = sealed(&mut outbound, &packet(40));
        let overhead = setup.suite.header_len() + setup.suite.icv_len();
        for len in 0..esp.len() {
            let error = inbound.open_in_place(&mut esp[..len].to_vec()).unwrap_err();
            match len.checked_sub(overhead) {
                None | Some(0) => assert_eq!(error, OpenError::Truncated { len }),
                Some(body) if !body.is_multiple_of(setup.suite.cipher().alignment()) => {
                    assert_eq!(error, OpenError::Misaligned { len: body });
                }
                Some(_) => assert_eq!(error, OpenError::BadIcv),
            }
        }
        let mut longer = esp.clone();
        longer.push(0);
        assert!(inbound.open_in_place(&mut longer).is_err());
        inbound.open_in_place(&mut esp.clone()).unwrap();
    });
}

#[test]
fn another_key_does_not_open() {
    each_suite(|setup| {
        let (mut outbound, _) = setup.pair();
        let other = Setup {
            key: 0x80,
            ..Setup::of(setup.suite, setup.provider.clone())
        };
        let (_, mut inbound) = other.pair();
        let mut esp = sealed(&mut outbound, &packet(40));
        assert_eq!(
            inbound.open_in_place(&mut esp).unwrap_err(),
            OpenError::BadIcv
        );
    });
}

#[test]
fn a_batch_gives_what_single_calls_give() {
    each_suite(|setup| {
        for lens in [
            &[60][..],
            &[60, 61],
            &[1400; 8],
            &[20, 1400, 64, 300, 20],
            &[576; 19],
        ] {
            let (mut outbound, mut inbound) = setup.pair();
            let mut buffers: Vec<Vec<u8>> = lens.iter().map(|len| roomy(&packet(*len))).collect();
            let mut slots: Vec<SealSlot<'_>> = buffers
                .iter_mut()
                .zip(lens)
                .map(|(buffer, len)| SealSlot::new(buffer, 24..24 + len))
                .collect();
            outbound.seal_batch(&mut slots).unwrap();
            let mut sealed: Vec<Vec<u8>> =
                slots.iter().map(|slot| slot.octets().to_vec()).collect();
            assert_eq!(outbound.last_sequence(), lens.len() as u64);

            for (esp, len) in sealed.iter().zip(lens) {
                let opened = inbound
                    .open_in_place(&mut esp.clone())
                    .map(|opened| opened.packet.to_vec());
                assert_eq!(opened, Ok(packet(*len)), "{}", setup.suite);
            }

            let (_, mut inbound) = setup.pair();
            let mut slots: Vec<OpenSlot<'_>> =
                sealed.iter_mut().map(|esp| OpenSlot::new(esp)).collect();
            inbound.open_batch(&mut slots);
            for (slot, len) in slots.into_iter().zip(lens) {
                assert_eq!(
                    slot.into_opened().unwrap().packet,
                    packet(*len),
                    "{}",
                    setup.suite
                );
            }
            assert_eq!(inbound.usage(), outbound.usage());
        }
    });
}

#[test]
fn in_a_batch_each_packet_is_judged_alone() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        let good = sealed(&mut outbound, &packet(60));
        let mut forged = sealed(&mut outbound, &packet(60));
        *forged.last_mut().unwrap() ^= 1;
        let last = sealed(&mut outbound, &packet(1000));
        let mut packets = [
            good.clone(),
            forged,
            vec![1, 2, 3],
            good.clone(),
            last.clone(),
            good.clone(),
        ];
        let mut slots = packets.each_mut().map(|packet| OpenSlot::new(packet));
        inbound.open_batch(&mut slots);
        let lens = slots.map(|slot| slot.into_opened().map(|opened| opened.packet.len()));
        let replayed = Err(OpenError::Replayed { sequence: 1 });
        let truncated = Err(OpenError::Truncated { len: 3 });
        assert_eq!(
            lens,
            [
                Ok(60),
                Err(OpenError::BadIcv),
                truncated,
                replayed,
                Ok(1000),
                replayed
            ],
            "{}",
            setup.suite
        );
        let drops = inbound.drops();
        assert_eq!((drops.bad_icv, drops.malformed, drops.replayed), (1, 1, 2));
        assert_eq!(inbound.usage().packets, 2);
    });
}

#[test]
fn a_batch_is_sealed_whole_or_not_at_all() {
    let (mut outbound, _) = Setup::new("aes128-sha1").pair();
    let (mut good, mut bad) = (roomy(&packet(60)), roomy(&[0; 60]));
    let before = good.clone();
    let mut slots = [
        SealSlot::new(&mut good, 24..84),
        SealSlot::new(&mut bad, 24..84),
    ];
    assert_eq!(outbound.seal_batch(&mut slots), Err(SealError::NotIp));
    assert_eq!(good, before);
    assert_eq!((outbound.last_sequence(), outbound.usage().packets), (0, 0));
    assert_eq!(outbound.seal_batch(&mut []), Ok(()));
}

#[test]
fn short_buffers_are_errors() {
    each_suite(|setup| {
        let (mut outbound, _) = setup.pair();
        let packet = packet(61);
        let needed = outbound.sealed_len(packet.len());
        for len in 0..needed {
            let error = outbound.seal(&packet, &mut vec![0; len]).unwrap_err();
            assert_eq!(error, SealError::BufferTooShort { needed });
        }
        let header_len = setup.suite.header_len();
        let mut buffer = vec![0; needed];
        buffer[header_len..header_len + packet.len()].copy_from_slice(&packet);
        let at = |start: usize| start..start + packet.len();
        let mut seal = |buffer: &mut [u8], packet| outbound.seal_in_place(buffer, packet);
        assert!(seal(&mut buffer[1..], at(header_len - 1)).is_err());
        assert!(seal(&mut buffer[..needed - 1], at(header_len)).is_err());
        assert_eq!(
            seal(&mut buffer, needed..needed + 1),
            Err(SealError::OutOfBounds)
        );
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let reversed = 30..20;
        assert_eq!(seal(&mut buffer, reversed), Err(SealError::OutOfBounds));
        assert_eq!(
            outbound.last_sequence(),
            0,
            "an error uses no sequence number"
        );
    });
}

#[test]
fn rooms_are_enough_for_every_suite() {
    each_suite(|setup| {
        let (mut outbound, _) = setup.pair();
        for len in 20..60 {
            let mut buffer = roomy(&packet(len));
            let esp = outbound.seal_in_place(&mut buffer, 24..24 + len).unwrap();
            assert_eq!(esp.start, 24 - setup.suite.header_len());
        }
    });
}

#[test]
fn only_ip_packets_are_sealed() {
    let (mut outbound, _) = Setup::new("aes128gcm16").pair();
    for packet in [&[][..], &[0x05], &[0x55; 40], &[0xF4; 40]] {
        assert_eq!(outbound.seal(packet, &mut [0; 100]), Err(SealError::NotIp));
    }
}

#[test]
fn inner_ipv6_has_its_own_next_header() {
    each_suite(|setup| {
        let selector = Selector::new(
            "fd00:3::/32".parse().unwrap(),
            "fd00:1::/32".parse().unwrap(),
        );
        let setup = Setup {
            selector: selector.unwrap(),
            ..Setup::of(setup.suite, setup.provider.clone())
        };
        let (mut outbound, mut inbound) = setup.pair();
        let packet = packet_v6(
            "fd00:1::9".parse().unwrap(),
            "fd00:3::26".parse().unwrap(),
            99,
        );
        let mut esp = sealed(&mut outbound, &packet);
        let opened = inbound.open_in_place(&mut esp).unwrap();
        assert_eq!(
            (opened.next_header, &*opened.packet),
            (Protocol::IPV6, &packet[..])
        );
    });
}

#[test]
fn inner_addresses_must_be_those_of_the_sa() {
    let (mut outbound, mut inbound) = Setup::new("aes128gcm16").pair();
    let mut open = |source: [u8; 4], destination: [u8; 4]| {
        let packet = packet_between(source.into(), destination.into(), 60);
        let mut esp = sealed(&mut outbound, &packet);
        inbound.open_in_place(&mut esp).map(|_| ())
    };
    assert_eq!(open([10, 61, 1, 9], [10, 61, 3, 26]), Ok(()));
    for (source, destination) in [
        ([10, 61, 2, 9], [10, 61, 3, 26]),
        ([10, 61, 1, 9], [10, 61, 4, 26]),
        ([10, 61, 3, 26], [10, 61, 1, 9]),
    ] {
        let mismatch = OpenError::SelectorMismatch {
            source_address: source.into(),
            destination: destination.into(),
        };
        assert_eq!(open(source, destination), Err(mismatch));
    }
    assert_eq!(inbound.drops().selector_mismatch, 3);
    assert_eq!(
        inbound.last_sequence(),
        4,
        "they were authentic, so their numbers are used"
    );
}

#[test]
fn traffic_flow_padding_is_cut_off() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        for payload_len in [0, 60, 61, 300, 1400] {
            let mut buffer = roomy(&packet(60));
            buffer.resize(24 + 1400 + OutboundSa::TAILROOM, 0xEE);
            let esp = outbound
                .seal_padded_in_place(&mut buffer, 24..84, payload_len)
                .unwrap();
            assert_eq!(esp.len(), setup.suite.sealed_len(payload_len.max(60)));
            let opened = inbound.open_in_place(&mut buffer[esp]).unwrap();
            assert_eq!(opened.packet, packet(60), "{} {payload_len}", setup.suite);
        }
        assert_eq!(outbound.usage().octets, 5 * 60);
    });
}

#[test]
fn dummies_are_told_and_carry_nothing() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        let mut esp = vec![0xEE; setup.suite.sealed_len(500)];
        assert_eq!(outbound.seal_dummy(500, &mut esp), Ok(esp.len()));
        let opened = inbound.open_in_place(&mut esp).unwrap();
        assert!(opened.is_dummy() && opened.packet.is_empty() && opened.inner.is_none());
        assert_eq!((inbound.usage().packets, inbound.usage().octets), (1, 0));
        assert!(outbound.seal_dummy(500, &mut esp[1..]).is_err());
    });
}

/// Seals any plaintext at all, as only a peer with the key can.
fn sealed_plaintext(setup: &Setup, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
    let suite = setup.suite;
    let keymat: Vec<u8> = (0..suite.keymat_len())
        .map(|index| u8::try_from(index).unwrap().wrapping_mul(7))
        .collect();
    let mut esp = 0x1001_u32.to_be_bytes().to_vec();
    esp.extend_from_slice(&sequence.to_be_bytes()[4..]);
    esp.resize(suite.header_len(), 0);
    esp.extend_from_slice(plaintext);
    esp.resize(esp.len() + suite.icv_len(), 0);
    let sealer = setup.provider.sealer(suite, &keymat).unwrap();
    sealer.seal(sequence, &mut esp).unwrap();
    esp
}

#[test]
fn what_an_authentic_peer_gets_wrong_has_a_name() {
    let setup = Setup::new("null-sha256");
    let (_, mut inbound) = setup.pair();
    let with_trailer = |mut inner: Vec<u8>, trailer: &[u8]| {
        inner.extend_from_slice(trailer);
        inner
    };
    let mut short = packet(40);
    short[3] += 4;
    let mut tiny_header = packet(40);
    tiny_header[0] = 0x44;
    let unexpected = |protocol| OpenError::UnexpectedNextHeader {
        protocol: Protocol(protocol),
    };
    let cases = [
        (
            with_trailer(packet(40), &[1, 3, 2, 4]),
            OpenError::BadPadding,
        ),
        (
            with_trailer(packet(40), &[0, 0, 2, 4]),
            OpenError::BadPadding,
        ),
        (with_trailer(vec![], &[1, 2, 3, 4]), OpenError::BadPadding),
        (with_trailer(packet(42), &[0, 6]), unexpected(6)),
        (with_trailer(packet(42), &[0, 50]), unexpected(50)),
        (with_trailer(packet(42), &[0, 41]), unexpected(41)),
        (
            with_trailer(short, &[1, 2, 2, 4]),
            OpenError::Inner(IpError::BadLength {
                declared: 44,
                available: 40,
            }),
        ),
        (
            with_trailer(tiny_header, &[1, 2, 2, 4]),
            OpenError::Inner(IpError::BadHeaderLength),
        ),
        (
            with_trailer(vec![0x45], &[1, 1, 4]),
            OpenError::Inner(IpError::Truncated),
        ),
        (
            with_trailer(vec![0x50; 40], &[1, 2, 2, 4]),
            OpenError::Inner(IpError::UnknownVersion { version: 5 }),
        ),
    ];
    for (index, (plaintext, error)) in cases.into_iter().enumerate() {
        let sequence = index as u64 + 1;
        let mut esp = sealed_plaintext(&setup, sequence, &plaintext);
        assert_eq!(
            inbound.open_in_place(&mut esp.clone()).unwrap_err(),
            error,
            "{index}"
        );
        let again = inbound.open_in_place(&mut esp).unwrap_err();
        assert_eq!(
            again,
            OpenError::Replayed { sequence },
            "its number is used"
        );
    }
    assert_eq!(inbound.drops().bad_content, 10);
    assert_eq!(inbound.usage().octets, 0);
}

#[test]
fn replays_and_forgeries_do_not_age_an_sa() {
    let (mut outbound, mut inbound) = Setup::new("aes128-sha1").pair();
    let esp = sealed(&mut outbound, &packet(100));
    inbound.open_in_place(&mut esp.clone()).unwrap();
    let usage = inbound.usage();
    for _ in 0..100 {
        let mut forged = esp.clone();
        forged[7] = 9;
        assert_eq!(
            inbound.open_in_place(&mut forged).unwrap_err(),
            OpenError::BadIcv
        );
        let again = inbound.open_in_place(&mut esp.clone()).unwrap_err();
        assert_eq!(again, OpenError::Replayed { sequence: 1 });
    }
    assert_eq!(inbound.usage(), usage);
    assert_eq!(
        (inbound.drops().bad_icv, inbound.drops().replayed),
        (100, 100)
    );
}

#[test]
fn the_window_is_asked_before_the_icv() {
    each_suite(|setup| {
        let (mut outbound, mut inbound) = setup.pair();
        let mut esp = sealed(&mut outbound, &packet(60));
        inbound.open_in_place(&mut esp.clone()).unwrap();
        *esp.last_mut().unwrap() ^= 1;
        let replayed = OpenError::Replayed { sequence: 1 };
        assert_eq!(
            inbound.open_in_place(&mut esp.clone()).unwrap_err(),
            replayed
        );
        let mut slots = [OpenSlot::new(&mut esp)];
        inbound.open_batch(&mut slots);
        let [slot] = slots;
        assert_eq!(slot.into_opened().unwrap_err(), replayed);
        assert_eq!((inbound.drops().replayed, inbound.drops().bad_icv), (2, 0));
    });
}

#[test]
fn late_is_told_from_replayed() {
    let mut setup = Setup::new("aes128gcm16");
    setup.window = WindowSize::MIN;
    let (mut outbound, mut inbound) = setup.pair();
    let packets: Vec<Vec<u8>> = (0..100)
        .map(|_| sealed(&mut outbound, &packet(60)))
        .collect();
    let mut open = |sequence: usize| {
        inbound
            .open_in_place(&mut packets[sequence - 1].clone())
            .map(|opened| opened.sequence)
    };
    assert_eq!(open(100), Ok(100));
    assert_eq!(open(37), Ok(37), "the last that the window holds");
    assert_eq!(open(36), Err(OpenError::Late { sequence: 36 }));
    assert_eq!(open(37), Err(OpenError::Replayed { sequence: 37 }));
    assert_eq!((inbound.drops().late, inbound.drops().replayed), (1, 1));
}

#[test]
fn keys_are_not_printed() {
    let setup = Setup {
        key: 0xC3,
        ..Setup::new("aes128-sha1")
    };
    let (outbound, inbound) = setup.pair();
    let keymat = vec![0xC3; setup.suite.keymat_len()];
    let parameters =
        esp_core::SaParameters::builder(outbound.spi(), setup.suite, &keymat, setup.selector)
            .build()
            .unwrap();
    for text in [
        format!("{outbound:?}"),
        format!("{inbound:?}"),
        format!("{parameters:?}"),
    ] {
        assert!(
            !text.contains("195") && !text.to_lowercase().contains("c3, "),
            "{text}"
        );
    }
    assert!(format!("{parameters:?}").contains("[36 octets]"));
}

/// The packet with room for any suite around it.
fn roomy(packet: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xEE; OutboundSa::HEADROOM];
    buffer.extend_from_slice(packet);
    buffer.resize(buffer.len() + OutboundSa::TAILROOM, 0xEE);
    buffer
}

fn any_suite() -> impl Strategy<Value = EspSuite> {
    prop::sample::select(suites())
}

proptest! {
    #[test]
    fn any_traffic_comes_back(
        suite in any_suite(),
        lens in prop::collection::vec(20..2000_usize, 1..20),
        batched in any::<bool>(),
    ) {
        for (_, provider) in providers() {
            let (mut outbound, mut inbound) = Setup::of(suite, provider).pair();
            let mut buffers: Vec<Vec<u8>> = lens.iter().map(|len| roomy(&packet(*len))).collect();
            let mut slots: Vec<SealSlot<'_>> = buffers
                .iter_mut()
                .zip(&lens)
                .map(|(buffer, len)| SealSlot::new(buffer, 24..24 + len))
                .collect();
            let packets: Vec<Vec<u8>> = if batched {
                outbound.seal_batch(&mut slots).unwrap();
                slots.iter().map(|slot| slot.octets().to_vec()).collect()
            } else {
                lens.iter().map(|len| sealed(&mut outbound, &packet(*len))).collect()
            };
            for (mut esp, len) in packets.into_iter().zip(&lens) {
                let opened = inbound.open_in_place(&mut esp).map(|opened| opened.packet.to_vec());
                prop_assert_eq!(opened, Ok(packet(*len)));
            }
        }
    }

    #[test]
    fn no_octets_make_it_panic(suite in any_suite(), mut octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut inbound) = Setup::of(suite, providers().remove(0).1).pair();
        prop_assert!(inbound.open_in_place(&mut octets).is_err());
        if let Some(spi) = octets.first_chunk_mut::<4>() {
            *spi = 0x1001_u32.to_be_bytes();
        }
        prop_assert!(inbound.open_in_place(&mut octets.clone()).is_err());
        let mut slots = [OpenSlot::new(&mut octets)];
        inbound.open_batch(&mut slots);
        prop_assert_eq!(inbound.usage().packets, 0);
    }
}

proptest! {
    #[test]
    fn no_ranges_make_sealing_panic(
        suite in any_suite(),
        start in prop_oneof![0..200_usize, any::<usize>()],
        end in prop_oneof![0..200_usize, any::<usize>()],
        payload_len in prop_oneof![0..200_usize, any::<usize>()],
        room in 0..200_usize,
    ) {
        let (mut outbound, _) = Setup::of(suite, providers().remove(0).1).pair();
        let mut buffer = vec![0x45; room];
        let sealed = outbound.seal_padded_in_place(&mut buffer, start..end, payload_len);
        prop_assert_eq!(outbound.usage().packets, u64::from(sealed.is_ok()));
        if let Ok(esp) = sealed {
            prop_assert!(esp.end <= room && esp.start <= start && end <= esp.end);
        }
        let dummy = outbound.seal_dummy(payload_len, &mut buffer);
        prop_assert!(dummy.is_err() || outbound.sealed_len(payload_len) <= room);
        let address = "192.0.2.1:4500".parse().unwrap();
        let header = OuterHeader::new(address, address, Encapsulation::Udp).unwrap();
        let written = header.write(OuterFields::default(), 0, &mut buffer, start..end);
        prop_assert!(written.is_err() || (start <= end && end <= room));
    }

    #[test]
    fn no_octets_make_reading_panic(mut octets in prop::collection::vec(any::<u8>(), 0..200)) {
        for version in [0x45, 0x60] {
            if let Some(first) = octets.first_mut() {
                *first = version;
            }
            let mut out = Vec::new();
            let parsed = InnerPacket::parse_padded(&octets);
            if let Ok(inner) = parsed {
                prop_assert!(inner.payload().start <= inner.total_len());
                prop_assert!(inner.total_len() <= octets.len());
            }
            let _ = UdpDatagram::parse(&octets);
            let _ = packet_too_big(&octets, 100, [10, 0, 0, 1].into(), &mut out);
            let _ = clamp_mss(&mut octets.clone(), 100);
            let _ = Ecn::CongestionExperienced.pass_on(&mut octets.clone());
            if let Ok(mut fragments) = Fragments::new(&octets, 60) {
                let mut pieces = 0;
                while let Some(piece) = fragments.write_next(&mut [0; 60]) {
                    prop_assert!(piece.unwrap() <= 60);
                    pieces += 1;
                    prop_assert!(pieces < 30);
                }
            }
        }
    }
}

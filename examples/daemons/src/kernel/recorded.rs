//! Requests and answers beside those of iproute2 and a kernel, octet by octet: `recorded/record` has made them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ike_core::{EspProposal, Subnet};
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_xfrm::{Replay, XfrmMessage};
use rustix::io::Errno;

use super::netlink::{Refusal, encode, messages};
use super::policy::Guard;
use super::sa::{Direction, Half, Name, Sequence};

const SPI: u32 = 0xC100_0001;
const REQID: u32 = 0x4200_0007;

/// What was asked, and each answer.
struct Exchange {
    asked: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

fn exchanges() -> BTreeMap<&'static str, Exchange> {
    let mut exchanges = BTreeMap::new();
    let mut name = "";
    for line in include_str!("recorded/exchanges.txt").lines() {
        if let Some(octets) = line.strip_prefix("> ") {
            let exchange = Exchange {
                asked: octets_of(octets),
                answers: Vec::new(),
            };
            assert!(exchanges.insert(name, exchange).is_none(), "{name}");
        } else if let Some(octets) = line.strip_prefix("< ") {
            if let Some(exchange) = exchanges.get_mut(name) {
                exchange.answers.push(octets_of(octets));
            }
        } else if let Some((before, _)) = line.split_once(": ") {
            name = before;
        }
    }
    exchanges
}

fn octets_of(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16).unwrap())
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

fn key(first: u8, len: u8) -> Vec<u8> {
    (first..first + len).collect()
}

/// The keys of the recording: the cipher's from 0 on, the hash's from 48 on.
fn keymat(esp: &str) -> Vec<u8> {
    let transform = esp.parse::<EspProposal>().unwrap().transform();
    let mut keymat = key(0, u8::try_from(transform.cipher.keymat_len()).unwrap());
    let rest = transform.keymat_len() - keymat.len();
    keymat.extend(key(48, u8::try_from(rest).unwrap()));
    keymat
}

fn half<'k>(esp: &str, direction: Direction, keymat: &'k [u8]) -> Half<'k> {
    Half {
        direction,
        source: SocketAddr::from(([198, 18, 1, 2], 4500)),
        destination: SocketAddr::from(([198, 18, 2, 2], 61_234)),
        spi: SPI,
        udp: false,
        transform: esp.parse::<EspProposal>().unwrap().transform(),
        keymat,
        from: subnet("10.61.1.0/24"),
        to: subnet("10.61.3.0/24"),
        reqid: REQID,
    }
}

const INBOUND: Direction = Direction::Inbound { window: 1024 };

#[track_caller]
fn assert_asked(name: &str, message: XfrmMessage) {
    let asked = encode(message, NLM_F_ACK, 0);
    let recorded = &exchanges()[name].asked;
    let differs = asked
        .iter()
        .zip(recorded)
        .position(|(ours, theirs)| ours != theirs);
    assert_eq!(
        asked.as_slice(),
        recorded.as_slice(),
        "{name}: first difference at {differs:?}"
    );
}

#[test]
fn each_suite_is_asked_for_as_iproute2_does() {
    for esp in [
        "aes128gcm16",
        "aes256gcm16",
        "aes128gcm16-esn",
        "aes128-sha1",
        "aes128-sha256",
        "aes128-sha384",
        "aes128-sha512",
        "3des-md5",
        "null-sha256",
    ] {
        let keymat = keymat(esp);
        let message = half(esp, INBOUND, &keymat).add(None).unwrap();
        assert_asked(&format!("{esp}-in"), message);
    }
}

#[test]
fn what_is_sent_has_a_limit_and_no_window() {
    let keymat = keymat("aes128gcm16");
    let half = half("aes128gcm16", Direction::Outbound, &keymat);
    assert_asked("aes128gcm16-out", half.add(None).unwrap());
    let udp = Half { udp: true, ..half };
    assert_asked("aes128gcm16-encap-out", udp.add(None).unwrap());
    let moved = Half {
        destination: SocketAddr::from(([198, 18, 2, 2], 61_235)),
        ..udp
    };
    assert_asked("moved-out", moved.update().unwrap());
}

#[test]
fn an_sa_may_go_on_where_another_one_was() {
    let keymat = keymat("aes128gcm16");
    let half = half("aes128gcm16", Direction::Outbound, &keymat);
    let former = Sequence::Short(Replay {
        oseq: 0x2345,
        ..Replay::default()
    });
    let message = half.add(Some(former.skip(0x1_0000))).unwrap();
    assert_asked("continued-out", message);
}

#[test]
fn both_families_go_inside_and_outside() {
    let keymat = keymat("aes128gcm16");
    let four = half("aes128gcm16", INBOUND, &keymat);
    let six = Half {
        source: "[2001:db8:1::2]:4500".parse().unwrap(),
        destination: "[2001:db8:2::2]:4500".parse().unwrap(),
        ..four
    };
    assert_asked("outer-v6-in", six.add(None).unwrap());
    assert_asked("delete-sa-v6", six.name().delete());
    assert_asked("delete-sa", four.name().delete());
    let inner_six = Half {
        from: subnet("fd00:61:1::/48"),
        to: subnet("fd00:61:3::/48"),
        ..four
    };
    assert_asked("inner-v6-in", inner_six.add(None).unwrap());
}

#[test]
fn the_policies_of_a_pair_are_those_that_the_kernel_took() {
    let guard = Guard {
        local: subnet("10.61.1.0/24"),
        remote: subnet("10.61.3.0/24"),
        reqid: REQID,
    };
    let [inward, forward] = guard.require();
    assert_asked("policy-in", inward);
    assert_asked("policy-fwd", forward);
    let name = |source: &str, destination: &str| Name {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        spi: SPI,
    };
    let four = name("198.18.1.2", "198.18.2.2");
    assert_asked("policy-out", guard.carry(&four));
    let six = name("2001:db8:1::2", "2001:db8:2::2");
    assert_asked("policy-out-v6", guard.carry(&six));
    assert_asked("delete-policy", guard.release());
    let six = Guard {
        local: subnet("fd00:61:1::/48"),
        remote: subnet("fd00:61:3::/48"),
        ..guard
    };
    let [inward, _] = six.require();
    assert_asked("policy-in-inner-v6", inward);
    for taken in ["policy-in", "policy-fwd", "policy-out", "delete-policy"] {
        assert!(refusal(taken).is_none(), "{taken}");
    }
}

/// How the kernel refused, if it did.
fn refusal(name: &str) -> Option<Refusal> {
    let answers = &exchanges()[name].answers;
    let mut answers = answers.iter().flat_map(|answer| messages(answer));
    answers.find_map(|(header, payload)| match payload {
        NetlinkPayload::Error(error) if error.code.is_some() => {
            Some(Refusal::of(&error, header.flags))
        }
        _ => None,
    })
}

#[test]
fn a_refusal_says_what_the_kernel_lacks() {
    let refused = |name| refusal(name).unwrap();
    let no_cipher = refused("aes128gcm16-in");
    assert!(no_cipher.is(Errno::NOSYS));
    assert!(
        no_cipher
            .to_string()
            .starts_with("Requested AEAD algorithm not found ("),
        "{no_cipher}"
    );
    let no_esp = refused("aes128-sha256-in");
    assert!(no_esp.is(Errno::PROTONOSUPPORT));
    assert!(
        no_esp.to_string().starts_with("Requested type not found ("),
        "{no_esp}"
    );
    assert!(refused("delete-sa").is_absent());
    assert!(refused("delete-policy-again").is_absent());
    assert!(refused("policy-in-again").is(Errno::EXIST));
}

#[test]
fn a_request_leaves_no_keys_behind() {
    let keymat = keymat("aes128-sha256");
    let mut message = half("aes128-sha256", INBOUND, &keymat).add(None).unwrap();
    let shown = |message: &XfrmMessage| format!("{message:?}").contains("0, 1, 2, 3, 4, 5, 6, 7");
    assert!(shown(&message));
    super::sa::wipe(&mut message);
    assert!(!shown(&message));
}

//! What a person sees: a trace that reads like the diagrams of RFC 2409, and no secret in it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event as Logged, Level, Metadata, Subscriber};

use ike_core::{Event, PeerConfig, PreSharedKey, SecureRandom as _};

use crate::world::*;

/// Formats everything, whatever its level.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Logged<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = *event.metadata().level();
        self.0.lock().unwrap().push((level, line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn logged(run: impl FnOnce()) -> Vec<(Level, String)> {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), run);
    let lines = log.0.lock().unwrap();
    lines.clone()
}

#[test]
fn a_trace_reads_like_the_diagrams() {
    let lines = logged(|| {
        let _ = World::with(
            branch_config().pairs(vec![branch_pairs()[0]]),
            hub_config().pairs(vec![hub_pairs()[0]]),
        )
        .up();
    });
    let sent: Vec<_> = lines
        .iter()
        .filter(|(level, line)| *level == Level::TRACE && line.starts_with("--> "))
        .map(|(_, line)| line.as_str())
        .collect();
    let expected: [&[&str]; 6] = [
        &[
            "HDR(AGGRESSIVE, ",
            "SA(ISAKMP #1 AES_CBC 128 SHA2_256 PRE_SHARED_KEY CURVE25519 SECONDS 28800)",
            "KE, Ni, IDii(FQDN \"branch1\"), VID(Rfc3947)",
        ],
        &[
            "HDR(AGGRESSIVE, ",
            "SA(ISAKMP #1 AES_CBC 128",
            "KE, Nr, IDir(FQDN \"hub\"), HASH_R",
            "NAT-D, NAT-D",
        ],
        &[
            "HDR*(AGGRESSIVE, ",
            "HASH_I, NAT-D, NAT-D, N(INITIAL_CONTACT)",
        ],
        &[
            "HDR*(QUICK_MODE, ",
            "HASH(1), SA(ESP ",
            " #1 AES_GCM_16 SECONDS 3600 TUNNEL 128), Ni",
            "IDci(10.61.1.0/24), IDcr(10.61.3.0/24)",
        ],
        &[
            "HDR*(QUICK_MODE, ",
            "HASH(2), SA(ESP ",
            " #1 AES_GCM_16",
            "Nr, IDci(10.61.1.0/24), IDcr(10.61.3.0/24)",
        ],
        &["HDR*(QUICK_MODE, ", "HASH(3)"],
    ];
    assert_eq!(sent.len(), expected.len(), "{sent:#?}");
    for (line, parts) in sent.iter().zip(expected) {
        let mut rest = *line;
        for part in parts {
            let (_, after) = rest
                .split_once(part)
                .unwrap_or_else(|| panic!("no {part} in {line}"));
            rest = after;
        }
    }
    // What one side sends, the other reads in the same words.
    let received: Vec<_> = lines
        .iter()
        .filter(|(level, line)| *level == Level::TRACE && line.starts_with("<-- "))
        .map(|(_, line)| &line["<-- ".len()..])
        .collect();
    let sent: Vec<_> = sent.iter().map(|line| &line["--> ".len()..]).collect();
    assert_eq!(received, sent);
}

/// The lines of a trace, in the order in which they were written, without the cookies and Message IDs.
fn trace(run: impl FnOnce()) -> Vec<String> {
    let of_a_message = |(level, line): &(Level, String)| {
        let is_message = line.starts_with("--> ") || line.starts_with("<-- ");
        *level == Level::TRACE && is_message
    };
    let lines = logged(run);
    let lines = lines.iter().filter(|line| of_a_message(line));
    let short = |(_, line): &(Level, String)| {
        let (before, rest) = line.split_once('(').unwrap();
        let (exchange, rest) = rest.split_once(',').unwrap();
        let (_, rest) = rest.split_once(')').unwrap();
        format!("{before}({exchange}){}", rest.trim_end())
    };
    lines.map(short).collect()
}

fn single() -> World {
    World::with(
        branch_config().pairs(vec![branch_pairs()[0]]),
        hub_config().pairs(vec![hub_pairs()[0]]),
    )
}

#[test]
fn a_trace_shows_which_probe_and_which_sa() {
    let mut spi = String::new();
    let lines = trace(|| {
        let mut world = single().up();
        let (now, peer) = (world.now, world.peer);
        world.branch.check_liveness(now, peer);
        world.run_for(secs(1));
        spi = world.sas(Side::Branch).keys().next().unwrap().to_string();
        let now = world.now;
        world.branch.disconnect(now, peer);
        world.run_for(secs(1));
    });
    let has = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {lines:#?}"))
    };
    let offer = has("--> HDR*(QUICK_MODE), HASH(1), SA(ESP ");
    assert!(offer.contains(&format!("SA(ESP {spi} #1")), "{offer}");
    let probe = has("--> HDR*(INFORMATIONAL), HASH(1), N(R_U_THERE ");
    let number = probe.split("R_U_THERE ").nth(1).unwrap();
    has(&format!(
        "<-- HDR*(INFORMATIONAL), HASH(1), N(R_U_THERE_ACK {number}"
    ));
    has(&format!("--> HDR*(INFORMATIONAL), HASH(1), D(ESP {spi})"));
    has("<-- HDR*(INFORMATIONAL), HASH(1), D(ISAKMP ");
}

#[test]
fn a_trace_of_a_refusal_shows_who_said_what() {
    let proposal = trace(|| {
        let hub = hub_config().ike_proposals(vec!["aes256-sha256-curve25519".parse().unwrap()]);
        let mut world = World::with(branch_config(), hub);
        world.acquire_all();
        world.run_for(secs(30));
    });
    assert!(
        proposal[0].starts_with("--> HDR(AGGRESSIVE), SA(ISAKMP #1 AES_CBC 128"),
        "{proposal:#?}"
    );
    let refusal = "HDR(INFORMATIONAL), N(NO_PROPOSAL_CHOSEN)";
    assert_eq!(proposal[2], format!("--> {refusal}"));
    assert_eq!(proposal[3], format!("<-- {refusal}"));
    assert_eq!(proposal[4], "--> HDR(AGGRESSIVE), once more");

    let selector = trace(|| {
        let wider = pair("10.61.3.0/25", "10.61.1.0/24");
        let mut world = World::with(
            branch_config().pairs(vec![branch_pairs()[0]]),
            hub_config().pairs(vec![wider]),
        );
        world.acquire_all();
        world.run_for(secs(2));
    });
    let refusal = selector.last().unwrap();
    assert!(
        refusal.starts_with("<-- HDR*(INFORMATIONAL), HASH(1), N(INVALID_ID_INFORMATION ")
            && refusal.ends_with(" (10.61.1.0/24) (10.61.3.0/25))"),
        "{selector:#?}"
    );
}

/// What a log says of phase 1 that failed.
fn verdicts(lines: &[(Level, String)]) -> Vec<&str> {
    let lines = lines.iter().map(|(_, line)| line.trim_end());
    lines
        .filter(|line| line.starts_with("phase 1 failed"))
        .collect()
}

#[test]
fn a_trace_of_a_wrong_key_ends_with_what_is_wrong() {
    let lines = logged(|| {
        let other = PreSharedKey::new(b"another");
        let hub = PeerConfig::builder(name("hub"), name("branch1"), other);
        let mut world = World::with(branch_config(), quick(hub).pairs(hub_pairs()));
        world.acquire_all();
        world.run_for(secs(40));
    });
    let has = |start| lines.iter().any(|(_, line)| line.starts_with(start));
    assert!(has("<-- HDR(AGGRESSIVE, "), "message 2 has come");
    assert!(!has("--> HDR*("), "and was not believed");
    assert_eq!(
        verdicts(&lines),
        ["phase 1 failed peer=1 error=the pre-shared key differs from the peer's"]
    );
    assert!(lines.last().unwrap().1.starts_with("phase 1 failed"));

    // An initiator that believes every message 2.
    let lines = logged(|| {
        let mut world = World::new();
        let mut odd = crate::odd_peer::OddInitiator::new();
        odd.psk = b"another".to_vec();
        odd.connect(&mut world);
    });
    assert_eq!(
        verdicts(&lines),
        [
            "phase 1 failed identity=branch1 error=message 3 does not decrypt, the pre-shared key is probably wrong"
        ]
    );
}

#[test]
fn no_log_line_holds_a_secret() {
    let mut secrets = vec![hex::encode(PSK), String::from_utf8(PSK.to_vec()).unwrap()];
    let mut keys = Vec::new();
    let lines = logged(|| {
        let world = World::new().up();
        for (_, _, event) in &world.events {
            if let Event::SaInstalled { sa, .. } = event {
                keys.push(hex::encode(sa.inbound_keymat.as_slice()));
            }
            // What an embedder may log.
            tracing::info!(?event);
        }
    });
    assert_eq!(keys.len(), 6);
    secrets.extend(keys);
    for (_, line) in &lines {
        let line = line.replace([',', ' '], "").to_lowercase();
        for secret in &secrets {
            assert!(!line.contains(&secret.replace(' ', "")), "{line}");
        }
    }
}

#[test]
fn rejected_packets_can_be_logged_in_every_state() {
    let lines = logged(|| {
        let mut world = World::new();
        let random = Seeded::new(5);
        for round in 0..3 {
            for sent in world.wire.clone() {
                for position in (0..sent.contents.len()).step_by(7) {
                    let mut altered = sent.contents.clone();
                    altered[position] ^= 0x41;
                    for to in [Side::Branch, Side::Hub] {
                        let _ = world.deliver(to, sent.source, sent.destination, &altered);
                    }
                }
            }
            for len in 0..200 {
                let mut noise = vec![0; len];
                random.fill(&mut noise);
                for to in [Side::Branch, Side::Hub] {
                    let _ = world.deliver(to, HUB.parse().unwrap(), HUB.parse().unwrap(), &noise);
                }
            }
            if round == 0 {
                world.acquire_all();
            }
            world.run_for(secs(1));
        }
        assert_eq!(world.current(Side::Branch).len(), 3);
    });
    assert!(
        lines
            .iter()
            .any(|(_, line)| line.contains("datagram dropped"))
    );
    assert!(
        lines.iter().all(|(level, _)| *level != Level::ERROR),
        "no bug of ours"
    );
}

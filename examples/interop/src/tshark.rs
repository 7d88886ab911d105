//! What tshark, with the keys that an end has logged, makes of a capture.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{PAIRS, Pair};
use crate::process;

/// Reading a capture takes a second or two on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// IP protocol 50, ESP without a UDP header.
const ESP: &str = "50";
/// ISAKMP exchange and payload types, RFC 2408 sections 3.1.
const AGGRESSIVE: &str = "4";
const INFORMATIONAL: &str = "5";
const QUICK_MODE: &str = "32";
const SA: &str = "1";
const IDENTIFICATION: &str = "5";
const HASH: &str = "8";
const NONCE: &str = "10";
const NOTIFICATION: &str = "11";
const DELETE: &str = "12";

/// The fields asked for, in the order of [`Frame`].
const FIELDS: [&str; 13] = [
    "frame.number",
    "ip.proto",
    "udp.payload",
    "isakmp.exchangetype",
    "isakmp.flag_e",
    "isakmp.typepayload",
    "isakmp.id.data.ipv4_addr",
    "esp.spi",
    "esp.icv_good",
    "ip.src",
    "ip.dst",
    "icmp.type",
    "_ws.malformed",
];

/// One frame as tshark shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Frame {
    number: String,
    /// Protocols of the outer header and of those inside it.
    protocols: Vec<String>,
    /// The datagram, in hexadecimal.
    datagram: String,
    exchange: String,
    encrypted: bool,
    payloads: Vec<String>,
    /// Addresses of the subnets in ID payloads.
    subnets: Vec<String>,
    spi: String,
    icv_good: bool,
    /// Sources of the outer header and of those inside it.
    sources: Vec<String>,
    destinations: Vec<String>,
    icmp_type: String,
    malformed: bool,
}

impl Frame {
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|').map(str::to_owned);
        let mut next = || columns.next();
        let list = |text: String| {
            text.split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Some(Self {
            number: next()?,
            protocols: list(next()?),
            datagram: next()?,
            exchange: next()?,
            encrypted: next()? == "1",
            payloads: list(next()?),
            subnets: list(next()?),
            spi: next()?,
            icv_good: next()? == "1",
            sources: list(next()?),
            destinations: list(next()?),
            icmp_type: next()?,
            malformed: !next()?.is_empty(),
        })
    }

    fn has(&self, payload: &str) -> bool {
        self.payloads.iter().any(|it| it == payload)
    }

    /// Whether this is a ping, or its answer, of a pair.
    fn is_ping(&self, pair: &Pair, icmp_type: &str) -> bool {
        let inner = [self.sources.get(1), self.destinations.get(1)]
            .map(|address| address.map(String::as_str));
        self.icmp_type == icmp_type
            && (inner == [Some(pair.hub_address), Some(pair.branch_address)]
                || inner == [Some(pair.branch_address), Some(pair.hub_address)])
    }
}

/// What a capture contained, for the remark on a case.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Decrypted {
    /// Encrypted IKE messages.
    pub ike: usize,
    /// ESP packets.
    pub esp: usize,
    /// ESP packets without a UDP header.
    pub raw_esp: usize,
}

/// Checks that with the keys in `keys` everything in `capture` can be read: message 3 of aggressive mode, every quick mode and
/// informational message, and every ESP packet with a good ICV and pings of every pair, both ways, inside.
///
/// # Errors
///
/// When something cannot be read; says which frame.
pub fn decrypts(capture: &Path, keys: &Path) -> Result<Decrypted> {
    check(&read(capture, keys)?)
        .with_context(|| format!("{} with {}", capture.display(), keys.display()))
}

/// Checks that without keys nothing of the kind can be read: or the check above would mean little.
///
/// # Errors
///
/// When something can be read.
pub fn is_opaque(capture: &Path, empty: &Path) -> Result<()> {
    for frame in read(capture, empty)? {
        ensure!(
            !frame.encrypted || frame.exchange != QUICK_MODE || !frame.has(NONCE),
            "frame {} is readable without keys",
            frame.number
        );
        ensure!(
            frame.spi.is_empty() || frame.icmp_type.is_empty(),
            "frame {} is readable without keys",
            frame.number
        );
    }
    Ok(())
}

fn read(capture: &Path, keys: &Path) -> Result<Vec<Frame>> {
    let capture = capture.to_string_lossy();
    let mut argv = vec!["tshark", "-n", "-r", &capture];
    for preference in [
        "esp.enable_encryption_decode:TRUE",
        "esp.enable_authentication_check:TRUE",
    ] {
        argv.extend(["-o", preference]);
    }
    argv.extend([
        "-T",
        "fields",
        "-E",
        "separator=|",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=,",
    ]);
    for field in FIELDS {
        argv.extend(["-e", field]);
    }
    // The key log is a directory in the form of Wireshark's own settings.
    let text = process::feed(
        LIMIT,
        &argv,
        &[("WIRESHARK_CONFIG_DIR", &keys.to_string_lossy())],
        "",
    )?
    .stdout()?;
    text.lines()
        .map(|line| Frame::parse(line).with_context(|| format!("tshark printed {line}")))
        .collect()
}

fn check(frames: &[Frame]) -> Result<Decrypted> {
    let mut decrypted = Decrypted::default();
    let mut seen = BTreeSet::new();
    for frame in frames {
        if !frame.exchange.is_empty() {
            // tshark takes a repetition for the next message and decrypts it with the wrong IV.
            if frame.encrypted && seen.insert(&frame.datagram) {
                check_message(frame)?;
                decrypted.ike += 1;
            }
        } else if !frame.spi.is_empty() {
            ensure!(
                frame.icv_good,
                "frame {}: SPI {}: the ICV is not good, or not checked",
                frame.number,
                frame.spi
            );
            ensure!(
                frame.sources.len() == 2 && !frame.malformed,
                "frame {}: no inner packet",
                frame.number
            );
            decrypted.esp += 1;
            decrypted.raw_esp += usize::from(
                frame
                    .protocols
                    .first()
                    .is_some_and(|protocol| protocol == ESP),
            );
        }
    }
    let encrypted = |exchange| {
        frames
            .iter()
            .filter(move |frame| frame.exchange == exchange && frame.encrypted)
    };
    ensure!(
        encrypted(AGGRESSIVE).next().is_some(),
        "no encrypted message 3 of aggressive mode"
    );
    for pair in &PAIRS {
        let negotiated = encrypted(QUICK_MODE).any(|frame| {
            let subnets = frame.subnets.iter().map(String::as_str);
            let network = |subnet: &'static str| subnet.split('/').next();
            subnets
                .map(Some)
                .eq([network(pair.branch_subnet), network(pair.hub_subnet)])
        });
        ensure!(
            negotiated,
            "no quick mode with the subnets of {}",
            pair.name
        );
        for (icmp_type, word) in [("8", "ping"), ("0", "answer")] {
            ensure!(
                frames.iter().any(|frame| frame.is_ping(pair, icmp_type)),
                "no {word} through {}",
                pair.name
            );
        }
    }
    Ok(decrypted)
}

/// The payloads that an encrypted message must show.
fn check_message(frame: &Frame) -> Result<()> {
    let complete = match frame.exchange.as_str() {
        AGGRESSIVE => frame.has(HASH),
        // The third message holds a hash alone.
        QUICK_MODE => {
            frame.has(HASH)
                && [SA, NONCE, IDENTIFICATION]
                    .map(|payload| frame.has(payload))
                    .windows(2)
                    .all(|two| two.first() == two.last())
        }
        INFORMATIONAL => frame.has(HASH) && (frame.has(NOTIFICATION) || frame.has(DELETE)),
        other => bail!("frame {}: exchange type {other}", frame.number),
    };
    ensure!(
        complete && !frame.malformed,
        "frame {}: exchange type {} shows payloads {:?}",
        frame.number,
        frame.exchange,
        frame.payloads
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(line: &str) -> Frame {
        Frame::parse(line).unwrap()
    }

    #[test]
    fn a_quick_mode_message_without_its_nonce_is_not_decrypted() {
        assert!(
            check_message(&frame(
                "4|17|00|32|1|8,1,2,3,10,5,5|10.61.1.0,10.61.3.0|||198.18.1.2|198.18.2.2||"
            ))
            .is_ok()
        );
        assert!(
            check_message(&frame(
                "4|17|00|32|1|8,1,2,3,5,5|10.61.1.0,10.61.3.0|||198.18.1.2|198.18.2.2||"
            ))
            .is_err()
        );
        assert!(check_message(&frame("6|17|00|32|1|8||||198.18.1.2|198.18.2.2||")).is_ok());
        assert!(
            check_message(&frame(
                "6|17|00|32|1|8||||198.18.1.2|198.18.2.2||[Malformed Packet: ISAKMP]"
            ))
            .is_err()
        );
    }

    #[test]
    fn an_esp_packet_whose_icv_was_not_checked_is_refused() {
        let unchecked =
            frame("9|50,1||||||0xa978ac4e||198.18.2.2,10.61.3.26|198.18.1.2,10.61.1.1|8|");
        assert_eq!(unchecked.sources.len(), 2);
        let error = check(&[unchecked]).unwrap_err();
        assert!(error.to_string().contains("ICV"), "{error}");
    }

    #[test]
    fn a_ping_belongs_to_the_pair_of_its_inner_addresses() {
        let ping = frame("9|50,1||||||0xa978ac4e|1|198.18.2.2,10.61.3.26|198.18.1.2,10.61.1.1|8|");
        let pairs: Vec<&str> = PAIRS
            .iter()
            .filter(|pair| ping.is_ping(pair, "8"))
            .map(|pair| pair.name)
            .collect();
        assert_eq!(pairs, ["lan3"]);
        assert!(!ping.is_ping(&PAIRS[0], "0"));
    }
}

//! Values with a form of their own: each is parsed, and each mistake gets its remedy.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::{Path, PathBuf};

use ike_core::config::{IdentityError, ProposalError};
use ike_core::{EspProposal, Identity, IkeProposal};
use ipnet::IpNet;

use super::section::{Item, nearest};
use crate::assemble;

/// Whether this build has the algorithms for old peers.
const LEGACY: bool = cfg!(feature = "legacy");

/// Every word of the proposal notation, to find what a misspelt one was meant to be.
const ALGORITHMS: [&str; 27] = [
    "3des",
    "aes128",
    "aes128gcm16",
    "aes192",
    "aes192gcm16",
    "aes256",
    "aes256gcm16",
    "curve25519",
    "des",
    "ecp256",
    "ecp384",
    "ecp521",
    "esn",
    "md5",
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp6144",
    "modp768",
    "modp8192",
    "null",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
];

pub(super) fn identity(item: &Item<'_>) -> Option<Identity> {
    let text = item.string()?;
    match text.parse() {
        Ok(identity) => Some(identity),
        Err(error) => {
            let error: IdentityError = error;
            item.error(
                error.to_string(),
                r#"write a name ("hub"), name@domain, an address, or "keyid:…""#,
            );
            None
        }
    }
}

pub(super) fn address(item: &Item<'_>) -> Option<IpAddr> {
    let text = item.string()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let remedy = match text.parse::<SocketAddr>() {
        Ok(socket) => format!(
            "write \"{}\"; ports are set with ike_port and nat_port",
            socket.ip()
        ),
        Err(_) => "write an address as \"198.18.2.2\" or \"2001:db8::1\"; names are not looked up"
            .to_owned(),
    };
    item.error(format!("\"{text}\" is not an IP address"), remedy);
    None
}

pub(super) fn socket_address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.string()?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let remedy = match (text.parse::<IpAddr>(), text.strip_prefix("localhost:")) {
            (Ok(IpAddr::V4(address)), _) => format!("add the port: \"{address}:9464\""),
            (Ok(IpAddr::V6(address)), _) => format!("add the port: \"[{address}]:9464\""),
            (Err(_), Some(port)) => format!("names are not looked up: write \"127.0.0.1:{port}\""),
            (Err(_), None) => item.write_it_as(),
        };
        item.error(format!("\"{text}\" is not an address with a port"), remedy);
    }
    parsed
}

/// A subnet in canonical form; a bare address is a subnet of one.
pub(super) fn subnet(item: &Item<'_>) -> Option<IpNet> {
    let net = network(item)?;
    if net.addr() != net.network() {
        let meant = net.trunc();
        item.error(
            format!("{net} has host bits set"),
            format!(
                "write \"{meant}\" for the subnet, or \"{}\" for the one address",
                IpNet::from(net.addr())
            ),
        );
        return None;
    }
    Some(net)
}

/// An address of an interface with the prefix length of its network.
pub(super) fn interface_address(item: &Item<'_>) -> Option<IpNet> {
    network(item)
}

fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.string()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let remedy = match text.split_once('/') {
            Some((address, _)) => match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => "the prefix length is a number from 0 to 32",
                Ok(IpAddr::V6(_)) => "the prefix length is a number from 0 to 128",
                Err(_) => {
                    "write it as \"10.61.3.0/24\": four numbers from 0 to 255, a slash, the prefix length"
                }
            },
            None => "write it as \"10.61.3.0/24\": address, slash, prefix length",
        };
        item.error(format!("\"{text}\" is not a subnet"), remedy);
    }
    parsed
}

/// A duration as `8h`, `1h30m`, `20s` or `500ms`, within `range`.
pub(super) fn duration(item: &Item<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    let text = item.string()?;
    let Ok(duration) = humantime::parse_duration(text) else {
        item.error(
            format!("\"{text}\" is not a duration"),
            "write a number with its unit: \"8h\", \"1h30m\", \"20s\", \"500ms\"",
        );
        return None;
    };
    if !range.contains(&duration) {
        let (low, high) = (
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end()),
        );
        item.error(
            format!("{text} is out of range"),
            format!("write a duration from \"{low}\" to \"{high}\""),
        );
        return None;
    }
    Some(duration)
}

/// A path; a relative one starts at the settings file's directory.
pub(super) fn path(item: &Item<'_>, directory: &Path) -> Option<PathBuf> {
    let text = item.string()?;
    if text.is_empty() {
        item.error("the path is empty", item.write_it_as());
        return None;
    }
    Some(directory.join(text))
}

/// One of a few words.
pub(super) fn word<T: Copy>(item: &Item<'_>, words: &[(&'static str, T)]) -> Option<T> {
    let text = item.string()?;
    let found = words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let remedy = match nearest(text, &known) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("write one of \"{}\"", known.join("\", \"")),
        };
        item.error(format!("\"{text}\" is not known here"), remedy);
    }
    found
}

pub(super) fn ike_proposal(item: &Item<'_>) -> Option<IkeProposal> {
    let text = item.string()?;
    let example = "aes256-sha256-modp2048";
    let proposal: IkeProposal = text
        .parse()
        .map_err(|error| refuse_proposal(item, text, error, example))
        .ok()?;
    let supported = assemble::supports_ike(&proposal);
    accept(item, supported, proposal.is_legacy(), example).then_some(proposal)
}

pub(super) fn esp_proposal(item: &Item<'_>) -> Option<EspProposal> {
    let text = item.string()?;
    let example = "aes128gcm16";
    let proposal: EspProposal = text
        .parse()
        .map_err(|error| refuse_proposal(item, text, error, example))
        .ok()?;
    let supported = assemble::supports_esp(&proposal) && (LEGACY || !proposal.is_legacy());
    accept(item, supported, proposal.is_legacy(), example).then_some(proposal)
}

fn refuse_proposal(item: &Item<'_>, text: &str, error: ProposalError, example: &str) {
    let word_at = |position: usize| text.split('-').nth(position).unwrap_or_default();
    let (message, remedy) = match error {
        ProposalError::UnknownWord { position } => {
            let word = word_at(position);
            let remedy = match nearest(word, &ALGORITHMS) {
                Some(nearest) => {
                    format!("did you mean `{nearest}`? a whole proposal looks like \"{example}\"")
                }
                None => format!(
                    "write it as \"{example}\"; the words known are {}",
                    ALGORITHMS.join(", ")
                ),
            };
            (format!("unknown algorithm `{word}` in \"{text}\""), remedy)
        }
        ProposalError::Repeated { position } => (
            format!(
                "`{}` repeats a part of \"{text}\" that is already named",
                word_at(position)
            ),
            "write several proposals as elements of the list".to_owned(),
        ),
        ProposalError::NotInPhaseOne { position } => (
            format!("`{}` is not for phase 1 of IKEv1", word_at(position)),
            format!("write a CBC cipher here, as \"{example}\"; GCM goes into `esp`"),
        ),
        ProposalError::Missing { .. } | ProposalError::IntegrityTwice | _ => (
            format!("\"{text}\": {error}"),
            format!("write it as \"{example}\""),
        ),
    };
    item.error(message, remedy);
}

/// Refuses what this build leaves out.
fn accept(item: &Item<'_>, supported: bool, legacy: bool, example: &str) -> bool {
    if !supported {
        let text = item.string().unwrap_or_default();
        if legacy && !LEGACY {
            item.error(
                format!("\"{text}\" is for old peers, and this build leaves such algorithms out"),
                format!("build with `--features legacy`, or write \"{example}\""),
            );
        } else {
            item.error(
                format!("\"{text}\" holds an algorithm that is known by name only"),
                format!("write one that exists here, as \"{example}\""),
            );
        }
    }
    supported
}

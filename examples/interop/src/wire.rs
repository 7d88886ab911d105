//! Captures that tshark must be able to read with the keys that an end has logged.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::capture::Capture;
use crate::charon_keys;
use crate::lab::{Lab, Path, Role};
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::tshark;
use crate::tunnel::{Gateway, Tunnel};

/// How our own ESP travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Carriage {
    /// IP protocol 50.
    Raw,
    /// In UDP by setting.
    Encapsulated,
    /// In UDP because of a NAT.
    Nat,
}

/// Each phase 1 and each phase 2 proposal once, in each kind of carriage at least one.
const CASES: [(Carriage, &str, &str); 5] = [
    (Carriage::Raw, "aes128-sha256-curve25519", "aes128gcm16"),
    (Carriage::Raw, "aes128-sha256-modp2048", "aes128-sha256"),
    (
        Carriage::Encapsulated,
        "aes128-sha256-ecp256",
        "aes128-sha1",
    ),
    (
        Carriage::Nat,
        "aes256-sha384-modp3072",
        "aes256gcm16-modp2048",
    ),
    (Carriage::Nat, "aes128-sha1-modp1024", "aes128gcm16"),
];

/// `wire/…`: our branch with our hub, read with the key logs of both.
pub fn cases() -> Vec<Case> {
    CASES
        .into_iter()
        .map(|(carriage, ike, esp)| {
            let word = match carriage {
                Carriage::Raw => "raw",
                Carriage::Encapsulated => "encapsulated",
                Carriage::Nat => "nat",
            };
            Case::new(format!("wire/{word}/{ike}/{esp}"), move |site| {
                ours(site, carriage, ike, esp)
            })
        })
        .collect()
}

/// `lab/tshark/…`: strongSwan at both ends, read with the keys in its log.
pub fn lab_cases() -> Vec<Case> {
    ["aes128-sha1", "aes128-sha256", "aes128gcm16"]
        .into_iter()
        .map(|esp| Case::new(format!("lab/tshark/{esp}"), move |site| theirs(site, esp)))
        .collect()
}

fn ours(site: &Site, carriage: Carriage, ike: &'static str, esp: &'static str) -> Result<String> {
    let mut settings = Settings::new(ike, esp);
    settings.always_encapsulate = carriage == Carriage::Encapsulated;
    let path = if carriage == Carriage::Nat {
        Path::Nat
    } else {
        Path::Plain
    };
    let (tunnel, captures) = record(site, path, Make::Ours, &settings)?;
    let keys = [key_log(&tunnel.branch)?, key_log(&tunnel.hub)?];
    tunnel.part()?;
    let mut packets = 0;
    for (capture, keys) in captures.into_iter().zip(keys) {
        let capture = capture.finish()?;
        let decrypted = tshark::decrypts(&capture, &keys)?;
        tshark::is_opaque(&capture, site.directory())?;
        let expected = if carriage == Carriage::Raw {
            decrypted.esp
        } else {
            0
        };
        ensure!(
            decrypted.raw_esp == expected,
            "{} of {} ESP packets are raw",
            decrypted.raw_esp,
            decrypted.esp
        );
        packets += decrypted.ike + decrypted.esp;
    }
    Ok(format!("{packets} packets decrypted"))
}

fn theirs(site: &Site, esp: &'static str) -> Result<String> {
    let settings = Settings::new("aes128-sha256-modp2048", esp);
    let (tunnel, [capture, _]) = record(site, Path::Plain, Make::StrongSwan, &settings)?;
    let Gateway::StrongSwan(charon) = &tunnel.branch else {
        bail!("the branch is not charon")
    };
    let keys = site.directory().join("keys");
    let (cookie, _) = charon
        .sas()?
        .phase_one
        .into_iter()
        .next()
        .context("charon lists no phase 1")?;
    charon_keys::write(charon, &cookie, &keys)?;
    tunnel.part()?;
    let capture = capture.finish()?;
    let decrypted = tshark::decrypts(&capture, &keys)?;
    tshark::is_opaque(&capture, site.directory())?;
    Ok(format!(
        "{} packets decrypted",
        decrypted.ike + decrypted.esp
    ))
}

/// Brings a tunnel up and checks it while all of its traffic is recorded at the branch and at the hub.
fn record(
    site: &Site,
    path: Path,
    make: Make,
    settings: &Settings,
) -> Result<(Tunnel, [Capture; 2])> {
    let lab = Lab::new(site.prefix(), path)?;
    lab.split_on_the_wire()?;
    let captures = [
        Capture::start(&lab, Role::Branch, site.directory())?,
        Capture::start(&lab, Role::Hub, site.directory())?,
    ];
    let tunnel = Tunnel::up_in(lab, site, path, Ends::alike(make, make, settings))?;
    tunnel.check()?;
    Ok((tunnel, captures))
}

fn key_log(gateway: &Gateway) -> Result<PathBuf> {
    let Gateway::Ours(daemon) = gateway else {
        bail!("only our daemons keep a key log")
    };
    Ok(daemon.key_log().to_owned())
}

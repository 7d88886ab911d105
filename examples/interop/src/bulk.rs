//! Transfers large enough that packets travel many at a time, through every kind of path; nothing may be altered or refused.

use anyhow::{Result, ensure};

use crate::drops::Drops;
use crate::lab::{Lab, PAIRS, Path, Role};
use crate::process::BRIEF;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::site::Site;
use crate::stream::{self, Transfer};
use crate::tunnel::Tunnel;

const LEN: u64 = 30_000_000;
/// The TUN's packets do not fit this once they are encrypted.
const NARROW_MTU: &str = "1300";

/// What lies between the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// ESP right above IP.
    Raw,
    /// In UDP.
    Encapsulated,
    /// In UDP, on wires that carry datagrams one by one.
    Split,
    /// In UDP, where each datagram must be fragmented.
    Narrow,
    /// In UDP, with a NAT.
    Nat,
    /// In UDP, with a branch that passes packets one by one.
    Single,
}

const CASES: [(&str, Way, &str); 7] = [
    ("raw", Way::Raw, "aes128gcm16"),
    ("encapsulated", Way::Encapsulated, "aes128gcm16"),
    ("hmac", Way::Encapsulated, "aes128-sha1"),
    ("split", Way::Split, "aes128gcm16"),
    ("narrow", Way::Narrow, "aes128gcm16"),
    ("nat", Way::Nat, "aes256gcm16"),
    ("single", Way::Single, "aes128gcm16"),
];

/// `bulk/…`: our branch with our hub.
pub fn cases() -> Vec<Case> {
    CASES
        .into_iter()
        .map(|(name, way, esp)| Case::new(format!("bulk/{name}"), move |site| run(site, way, esp)))
        .collect()
}

fn run(site: &Site, way: Way, esp: &'static str) -> Result<String> {
    let settings = Settings {
        always_encapsulate: way != Way::Raw,
        measured: true,
        ..Settings::new("aes128-sha256-curve25519", esp)
    };
    let path = if way == Way::Nat {
        Path::Nat
    } else {
        Path::Plain
    };
    let lab = Lab::new(site.prefix(), path)?;
    match way {
        Way::Split => lab.split_on_the_wire()?,
        Way::Narrow => narrow(&lab)?,
        Way::Raw | Way::Encapsulated | Way::Nat | Way::Single => {}
    }
    let mut ends = Ends::alike(Make::Ours, Make::Ours, &settings);
    ends.branch.1.offload = way != Way::Single;
    let tunnel = Tunnel::up_in(lab, site, path, ends)?;
    let [pair, ..] = &PAIRS;
    let (branch, hub) = (tunnel.lab.end(Role::Branch), tunnel.lab.end(Role::Hub));
    let up = stream::transfer([branch, hub], pair.hub_address, LEN)?;
    let down = stream::transfer([hub, branch], pair.branch_address, LEN)?;
    let mut drops = Drops::default();
    for end in [branch, hub] {
        drops.add(&Drops::of_daemon_in(end)?);
    }
    ensure!(drops.suspicious() == 0, "{drops:?}");
    tunnel.check_leaks()?;
    tunnel.part()?;
    let rate = |Transfer { elapsed, .. }: Transfer| LEN as f64 * 8e-6 / elapsed.as_secs_f64();
    Ok(format!("{:.0} and {:.0} Mbit/s", rate(up), rate(down)))
}

fn narrow(lab: &Lab) -> Result<()> {
    for (namespace, device) in [
        (lab.end(Role::Branch), "wan"),
        (lab.end(Role::Hub), "wan"),
        (lab.isp(), "tobranch"),
        (lab.isp(), "tohub"),
    ] {
        namespace
            .run(BRIEF, &["ip", "link", "set", device, "mtu", NARROW_MTU])?
            .stdout()?;
    }
    Ok(())
}

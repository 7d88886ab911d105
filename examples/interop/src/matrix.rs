//! Every phase 1 proposal with every phase 2 proposal, against strongSwan at either end, with and without NAT.

use crate::lab::Path;
use crate::runner::Case;
use crate::settings::{Ends, Make, Settings};
use crate::tunnel::Tunnel;

/// Phase 1, in strongSwan's notation.
pub const PHASE_ONE: [&str; 5] = [
    "aes128-sha1-modp1024",
    "aes128-sha256-modp2048",
    "aes256-sha384-modp3072",
    "aes128-sha256-ecp256",
    "aes128-sha256-curve25519",
];

/// Phase 2; a group at the end means PFS.
pub const PHASE_TWO: [&str; 4] = [
    "aes128-sha1",
    "aes128-sha256",
    "aes128gcm16",
    "aes256gcm16-modp2048",
];

/// `branch/…`: our branch with a strongSwan hub; `hub/…`: a strongSwan branch with our hub.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, branch, hub) in [
        ("branch", Make::Ours, Make::StrongSwan),
        ("hub", Make::StrongSwan, Make::Ours),
    ] {
        for path in Path::ALL {
            for ike in PHASE_ONE {
                for esp in PHASE_TWO {
                    let name = format!("{family}/{}/{ike}/{esp}", path.label());
                    cases.push(case(
                        name,
                        path,
                        Ends::alike(branch, hub, &Settings::new(ike, esp)),
                    ));
                }
            }
        }
    }
    cases
}

/// `lab/…`: strongSwan at both ends, so that a failure of the lab is not taken for one of ours.
pub fn lab_cases() -> Vec<Case> {
    Path::ALL
        .into_iter()
        .map(|path| {
            let settings = Settings::new("aes128-sha256-modp2048", "aes128gcm16");
            case(
                format!("lab/{}", path.label()),
                path,
                Ends::alike(Make::StrongSwan, Make::StrongSwan, &settings),
            )
        })
        .collect()
}

/// `ours/…`: our branch with our hub, the one combination that can speak raw ESP here.
pub fn own_cases() -> Vec<Case> {
    Path::ALL
        .into_iter()
        .flat_map(|path| {
            PHASE_TWO.into_iter().map(move |esp| {
                let settings = Settings::new("aes128-sha256-curve25519", esp);
                case(
                    format!("ours/{}/{esp}", path.label()),
                    path,
                    Ends::alike(Make::Ours, Make::Ours, &settings),
                )
            })
        })
        .collect()
}

fn case(name: String, path: Path, ends: Ends) -> Case {
    Case::new(name, move |site| {
        let tunnel = Tunnel::up(site, path, ends.clone())?;
        tunnel.check()?;
        tunnel.part()?;
        Ok(String::new())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let names: BTreeSet<String> = cases().iter().map(|case| case.name().to_owned()).collect();
        assert_eq!(names.len(), 2 * 2 * 5 * 4);
        assert_eq!(cases().len(), names.len());
        assert!(names.contains("hub/nat/aes256-sha384-modp3072/aes256gcm16-modp2048"));
    }
}

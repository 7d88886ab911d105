//! WireGuard in user space, at both ends: wireguard-go and boringtun.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::clock;
use crate::lab::{HUB_ADDRESS, Lab, Role};
use crate::process::{BRIEF, Running};

/// The interface's name.
const DEVICE: &str = "wg0";
/// What the kernel module sets as well on a wire of 1500 octets.
const MTU: &str = "1420";
const PORT: &str = "51820";
/// Each program makes its control socket below /run/wireguard, so each gets a /run of its own.
const OWN_RUN: &str = "mount --make-rprivate / && mount --bind \"$1\" /run && shift && exec \"$@\"";

/// Two ends of a WireGuard tunnel between the lab's first pair of subnets.
#[derive(Debug)]
pub(super) struct WireGuard {
    ends: Vec<Running>,
}

impl WireGuard {
    /// Starts `program` with `options` at both ends.
    pub(super) fn start(
        lab: &Lab,
        program: &str,
        options: &[&str],
        directory: &Path,
    ) -> Result<Self> {
        let mut ends = Vec::new();
        for role in [Role::Branch, Role::Hub] {
            let place = directory.join(role.label());
            let run = place.join("run");
            fs::create_dir_all(run.join("wireguard"))?;
            let run_text = run.to_string_lossy().into_owned();
            let mut argv = vec!["sh", "-c", OWN_RUN, "sh", &run_text, program];
            argv.extend(options);
            argv.push(DEVICE);
            let environment = [
                ("LOG_LEVEL", "error"),
                ("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1"),
            ];
            let mut running =
                lab.end(role)
                    .start(program, &argv, &environment, &place.join("log"))?;
            clock::within(BRIEF, "the control socket of WireGuard", || {
                running.alive()?;
                Ok(run.join("wireguard/wg0.sock").exists().then_some(()))
            })?;
            let script =
                "umask 077; wg genkey > \"$1/key\" && wg pubkey < \"$1/key\" > \"$1/public\"";
            lab.end(role)
                .run(BRIEF, &["sh", "-c", script, "sh", &place.to_string_lossy()])?
                .stdout()?;
            ends.push(running);
        }
        for role in [Role::Branch, Role::Hub] {
            configure(lab, role, directory)?;
        }
        Ok(Self { ends })
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        self.ends.iter().map(Running::id).collect()
    }
}

fn configure(lab: &Lab, role: Role, directory: &Path) -> Result<()> {
    let other = match role {
        Role::Branch => Role::Hub,
        Role::Hub => Role::Branch,
    };
    let public = fs::read_to_string(directory.join(other.label()).join("public"))?;
    let place = directory.join(role.label());
    let (run, key) = (place.join("run"), place.join("key"));
    let (run, key) = (run.to_string_lossy(), key.to_string_lossy());
    let endpoint = format!("{HUB_ADDRESS}:{PORT}");
    let mut argv = vec![
        "sh",
        "-c",
        OWN_RUN,
        "sh",
        &run,
        "wg",
        "set",
        DEVICE,
        "private-key",
        &key,
        "listen-port",
        PORT,
        "peer",
        public.trim(),
    ];
    let (remote, source) = match role {
        Role::Branch => {
            argv.extend(["endpoint", &endpoint]);
            ("10.61.3.0/24", "10.61.1.1")
        }
        Role::Hub => ("10.61.1.0/24", "10.61.3.26"),
    };
    argv.extend(["allowed-ips", remote]);
    lab.end(role).run(BRIEF, &argv)?.stdout()?;
    lab.end(role).ip(&format!(
        "link set {DEVICE} mtu {MTU} up\nroute add {remote} dev {DEVICE} src {source}\n"
    ))
}

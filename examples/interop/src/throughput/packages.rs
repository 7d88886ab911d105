//! What the measurements need beyond the tests, installed where it is missing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

/// Debian's packages, each with a program of it.
const PACKAGES: [(&str, &str); 6] = [
    ("iperf3", "iperf3"),
    ("ethtool", "ethtool"),
    ("wireguard-go", "wireguard-go"),
    ("wireguard-tools", "wg"),
    ("strongswan-swanctl", "swanctl"),
    ("nftables", "nft"),
];
/// Of boringtun-cli.
const VERSION: &str = "0.7.1";
/// Debian's scripts ask this program before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const LIMIT: Duration = Duration::from_secs(900);

/// Installs what is missing; boringtun only if `tools` says where to.
///
/// # Errors
///
/// When a package cannot be had.
pub(super) fn install(tools: Option<&Path>) -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, program)| !exists(program))
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        let _guard = NoServices::begin()?;
        let options = "apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300";
        let script = format!(
            "export DEBIAN_FRONTEND=noninteractive; {options} update && {options} install --no-install-recommends {}",
            missing.join(" ")
        );
        process::run(LIMIT, &["sh", "-c", &script])?.stdout()?;
    }
    match tools {
        Some(tools) => boringtun(tools),
        None => Ok(()),
    }
}

fn boringtun(tools: &Path) -> Result<()> {
    if tools.join("boringtun-cli").exists() {
        return Ok(());
    }
    let root = tempfile_name();
    let root_text = root.to_string_lossy().into_owned();
    process::run(
        LIMIT,
        &[
            "cargo",
            "install",
            "-q",
            "--locked",
            "--version",
            VERSION,
            "--root",
            &root_text,
            "boringtun-cli",
        ],
    )?
    .stdout()?;
    fs::create_dir_all(tools)?;
    fs::copy(root.join("bin/boringtun-cli"), tools.join("boringtun-cli"))
        .with_context(|| format!("{}", tools.display()))?;
    Ok(fs::remove_dir_all(root)?)
}

fn tempfile_name() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("boringtun-{}", std::process::id()))
}

fn exists(program: &str) -> bool {
    process::run(
        process::BRIEF,
        &["sh", "-c", "command -v \"$1\"", "sh", program],
    )
    .is_ok_and(|finished| finished.success())
}

/// While it lives, packages may not start services. What was there before comes back.
struct NoServices {
    former: Option<(Vec<u8>, Permissions)>,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let former = match fs::read(POLICY) {
            Ok(text) => Some((text, fs::metadata(POLICY)?.permissions())),
            Err(_) => None,
        };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, Permissions::from_mode(0o755))?;
        Ok(Self { former })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        match self.former.take() {
            Some((text, permissions)) => {
                drop(fs::write(POLICY, text));
                drop(fs::set_permissions(POLICY, permissions));
            }
            None => drop(fs::remove_file(POLICY)),
        }
    }
}

//! Who seals and opens, beside the kernel of this machine: where it has ESP it is taken, where it has none that is said.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::clock;
use crate::lab::{PSK, Role};
use crate::namespace::Namespace;
use crate::process::BRIEF;
use crate::runner::Case;
use crate::site::Site;

/// A policy that a hub with the kernel's data path has left, and one of somebody else.
const LEFT: &str = "xfrm policy add src 10.0.1.0/24 dst 10.0.0.0/24 dir in priority 1208 \
                    tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 0x48000000 mode tunnel\n";
const FOREIGN: &str = "xfrm policy add src 10.9.1.0/24 dst 10.9.0.0/24 dir in \
                       tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 7 mode tunnel\n";

/// `dataplane/…`.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("dataplane/kernel".to_owned(), insisted),
        Case::new("dataplane/auto".to_owned(), |site| chosen(site, "auto")),
        Case::new("dataplane/user".to_owned(), |site| chosen(site, "user")),
    ]
}

/// A hub that is to use the kernel and nothing else.
fn insisted(site: &Site) -> Result<String> {
    let namespace = Namespace::new(format!("{}-dataplane", site.prefix()))?;
    if has_esp(&namespace)? {
        return run(site, &namespace, "kernel", "kernel");
    }
    let configuration = hub(site.directory(), &site.socket(Role::Hub), "kernel")?;
    let program = site.binaries().join("hub");
    let ended = namespace.run(
        BRIEF,
        &[
            &program.to_string_lossy(),
            "run",
            "--config",
            &configuration.to_string_lossy(),
        ],
    )?;
    ensure!(!ended.success(), "it runs without ESP in the kernel");
    for words in [
        "cannot leave ESP to the kernel",
        "CONFIG_",
        "`dataplane = \"user\"` works everywhere",
    ] {
        ensure!(
            ended.stderr.contains(words),
            "no {words:?} in {}",
            ended.stderr
        );
    }
    let left = namespace.run(BRIEF, &["ip", "link", "show", "hub0"])?;
    ensure!(!left.success(), "a TUN device is left");
    Ok("this kernel has no ESP: it ends, and says what it takes".to_owned())
}

/// A hub that runs on any kernel.
fn chosen(site: &Site, setting: &str) -> Result<String> {
    let namespace = Namespace::new(format!("{}-dataplane", site.prefix()))?;
    let taken = if setting == "auto" && has_esp(&namespace)? {
        "kernel"
    } else {
        "user"
    };
    run(site, &namespace, setting, taken)
}

fn run(site: &Site, namespace: &Namespace, setting: &str, taken: &str) -> Result<String> {
    namespace.ip(&format!("{LEFT}{FOREIGN}"))?;
    let (directory, control) = (site.directory(), site.socket(Role::Hub));
    let (configuration, log) = (hub(directory, &control, setting)?, directory.join("log"));
    let program = site.binaries().join("hub");
    let (program, configuration) = (program.to_string_lossy(), configuration.to_string_lossy());
    let argv = [&*program, "run", "--config", &configuration];
    let mut running = namespace.start("our hub", &argv, &[], &log)?;
    let asked = [&*program, "status", "--config", &configuration, "--json"];
    let status = clock::within(BRIEF, "an answer to `status`", || {
        running.alive()?;
        let answer = namespace.run(BRIEF, &asked)?;
        Ok(answer.success().then_some(answer.stdout))
    })?;
    let told = format!("\"data_path\":\"{taken}\"");
    ensure!(status.contains(&told), "no {told} in {status}");
    let policies = policies(namespace)?;
    ensure!(
        policies.contains("10.9.1.0/24"),
        "somebody else's policy is gone"
    );
    let ours = policies.contains("10.0.1.0/24");
    ensure!(
        ours == (taken == "kernel"),
        "policies of this run: {ours}\n{policies}"
    );
    let said = running.log()?;
    ensure!(
        said.contains("data path: ") == (setting != "user"),
        "the log says nothing, or too much: {said}"
    );
    ensure!(said.contains("an earlier run left in the kernel"), "{said}");
    running.end(Signal::TERM, BRIEF)?;
    let policies = self::policies(namespace)?;
    ensure!(!policies.contains("10.0.1.0/24"), "left behind: {policies}");
    Ok(format!("{setting}: {taken}"))
}

fn policies(namespace: &Namespace) -> Result<String> {
    namespace.run(BRIEF, &["ip", "xfrm", "policy"])?.stdout()
}

/// Whether `ip` can add an SA.
fn has_esp(namespace: &Namespace) -> Result<bool> {
    let name = "src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x99999999";
    let key = "0x000102030405060708090a0b0c0d0e0f10111213";
    let aead = format!("mode tunnel aead rfc4106(gcm(aes)) {key} 128");
    let words = |text: &str| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        words
    };
    let add = words(&format!("ip xfrm state add {name} {aead}"));
    let argv: Vec<&str> = add.iter().map(String::as_str).collect();
    let added = namespace.run(BRIEF, &argv)?.success();
    if added {
        namespace.ip(&format!("xfrm state delete {name}\n"))?;
    }
    Ok(added)
}

fn hub(directory: &Path, control: &Path, dataplane: &str) -> Result<PathBuf> {
    let file = directory.join("hub.toml");
    fs::write(
        &file,
        format!(
            "identity = \"hub\"\ncontrol = \"{}\"\ndataplane = \"{dataplane}\"\n\
             [tun]\naddresses = [\"10.0.0.1/24\"]\n\
             [[branch]]\nidentity = \"branch1\"\npsk = \"{PSK}\"\n\
             [[branch.pair]]\nname = \"lan\"\nlocal = \"10.0.0.0/24\"\nremote = \"10.0.1.0/24\"\n",
            control.display(),
        ),
    )?;
    Ok(file)
}

//! Follows a document to the letter: files are written and commands run where it says, on copies of this machine in
//! namespaces, so that the document cannot become untrue.
//!
//! A copy is an overlay over `/`, with a network of its own and a `systemctl` that starts what a unit says, as the user
//! and with the capabilities that it says.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::clock;
use crate::namespace::Namespace;
use crate::process::{self, BRIEF};

/// The longest that one block may take: a dead hub is noticed after 15 s.
const BLOCK_LIMIT: Duration = Duration::from_secs(60);

/// Machines by name, with the third octet of their outer network.
const MACHINES: [(&str, u8); 5] = [
    ("hub1", 2),
    ("hub2", 3),
    ("branch1", 11),
    ("branch2", 12),
    ("branch3", 13),
];

/// Enough of systemd for a document: it starts and ends what the unit says.
const SYSTEMCTL: &str = include_str!("follow/systemctl");
/// Copies to another machine, whose files are below /machines.
const SCP: &str = include_str!("follow/scp");

/// What to follow.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The document.
    document: PathBuf,
    /// The package that it installs.
    #[arg(long)]
    package: PathBuf,
    /// Already in a mount namespace of its own.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Follows the document.
///
/// # Errors
///
/// When something in it does not work; says what.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.inside {
        let status = Command::new("unshare")
            .arg("--mount")
            .arg(env::current_exe()?)
            .args(env::args_os().skip(1))
            .arg("--inside")
            .status()?;
        ensure!(status.success(), "the document is not followed: {status}");
        return Ok(());
    }
    let text = fs::read_to_string(&arguments.document)
        .with_context(|| format!("{}", arguments.document.display()))?;
    let blocks = blocks(&text)?;
    let world = World::new(&arguments.package)?;
    for block in &blocks {
        world.follow(block)?;
    }
    println!("\n{} blocks followed", blocks.len());
    Ok(())
}

/// One fenced block that says where it belongs.
#[derive(Debug, Eq, PartialEq)]
struct Block {
    line: usize,
    machines: Vec<String>,
    what: What,
    text: String,
}

#[derive(Debug, Eq, PartialEq)]
enum What {
    Commands,
    File(PathBuf),
}

/// A shell block without a place is a mistake in the document: it would never be tried.
fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        let words: Vec<&str> = info.split_whitespace().collect();
        let (what, machines) = match words.as_slice() {
            ["sh", "on", machines @ ..] if !machines.is_empty() => (What::Commands, machines),
            [_, "file", machines @ .., path] if !machines.is_empty() => {
                (What::File(PathBuf::from(path)), machines)
            }
            _ => bail!("line {}: a block that belongs nowhere", index + 1),
        };
        blocks.push(Block {
            line: index + 1,
            machines: machines.iter().map(|&name| name.to_owned()).collect(),
            what,
            text: body.join("\n") + "\n",
        });
    }
    Ok(blocks)
}

/// All machines and the network between them; gone when dropped.
struct World {
    machines: BTreeMap<&'static str, Machine>,
    isp: Namespace,
    scratch: PathBuf,
}

struct Machine {
    root: PathBuf,
    namespace: Namespace,
}

impl World {
    fn new(package: &Path) -> Result<Self> {
        let scratch = env::temp_dir().join(format!("follow-{}", std::process::id()));
        fs::create_dir(&scratch)?;
        mount(&["-t", "tmpfs", "tmpfs"], &scratch)?;
        let isp = Namespace::new(format!("follow{}-isp", std::process::id()))?;
        let mut world = Self {
            machines: BTreeMap::new(),
            isp,
            scratch,
        };
        for (name, network) in MACHINES {
            let machine = Machine::new(&world.scratch, &world.isp, name, network, package)?;
            world.machines.insert(name, machine);
        }
        for machine in world.machines.values() {
            for (name, other) in &world.machines {
                let shared = machine.root.join("machines").join(name);
                fs::create_dir_all(&shared)?;
                mount(&["--bind", &other.root.to_string_lossy()], &shared)?;
            }
        }
        Ok(world)
    }

    fn follow(&self, block: &Block) -> Result<()> {
        let start = clock::now();
        for name in &block.machines {
            let machine = self
                .machines
                .get(name.as_str())
                .with_context(|| format!("line {}: no machine {name}", block.line))?;
            match &block.what {
                What::File(path) => machine.write(path, &block.text)?,
                What::Commands => machine
                    .execute(&block.text)
                    .with_context(|| format!("line {}, on {name}", block.line))?,
            }
        }
        println!(
            "ok      line {:<4} {:40} {:5.1} s",
            block.line,
            block.machines.join(" "),
            clock::since(start).as_secs_f64()
        );
        Ok(())
    }
}

impl Machine {
    fn new(
        scratch: &Path,
        isp: &Namespace,
        name: &str,
        network: u8,
        package: &Path,
    ) -> Result<Self> {
        let namespace = Namespace::new(format!("follow{}-{name}", std::process::id()))?;
        isp.ip(&format!(
            "link add to-{name} type veth peer name eth0 netns {}\n\
             address add 198.18.{network}.1/24 dev to-{name}\n\
             link set to-{name} up\n",
            namespace.name()
        ))?;
        namespace.ip(&format!(
            "address add 198.18.{network}.2/24 dev eth0\n\
             link set eth0 up\n\
             route add default via 198.18.{network}.1\n"
        ))?;
        let root = scratch.join(name);
        let layer = |part: &str| scratch.join(format!(".{name}-{part}"));
        for directory in [&root, &layer("upper"), &layer("work")] {
            fs::create_dir(directory)?;
        }
        let options = format!(
            "lowerdir=/,upperdir={},workdir={}",
            layer("upper").display(),
            layer("work").display()
        );
        mount(&["-t", "overlay", "overlay", "-o", &options], &root)?;
        mount(&["-t", "proc", "proc"], &root.join("proc"))?;
        mount(&["--bind", "/dev"], &root.join("dev"))?;
        mount(&["-t", "tmpfs", "tmpfs"], &root.join("run"))?;
        mount(
            &["-t", "tmpfs", "-o", "mode=1777", "tmpfs"],
            &root.join("tmp"),
        )?;
        let machine = Self { root, namespace };
        machine.program("usr/local/bin/systemctl", SYSTEMCTL)?;
        machine.program("usr/local/bin/scp", SCP)?;
        machine.program("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")?;
        // Man pages need no index here, and making it takes longer than all the rest.
        drop(fs::remove_file(
            machine.root.join("var/lib/man-db/auto-update"),
        ));
        fs::copy(package, machine.root.join("root/ipsec-trigger.deb"))
            .with_context(|| format!("{}", package.display()))?;
        Ok(machine)
    }

    fn program(&self, path: &str, text: &str) -> Result<()> {
        let file = self.root.join(path);
        fs::write(&file, text)?;
        Ok(fs::set_permissions(
            file,
            fs::Permissions::from_mode(0o755),
        )?)
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let file = self.root.join(path.strip_prefix("/")?);
        fs::write(&file, text).with_context(|| format!("{}", path.display()))
    }

    fn execute(&self, commands: &str) -> Result<()> {
        let script =
            format!("cd /root; export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\n{commands}");
        let root = self.root.to_string_lossy();
        let shell = [
            "chroot",
            &root,
            "/bin/bash",
            "-euo",
            "pipefail",
            "-c",
            &script,
        ];
        let finished = self.namespace.run(BLOCK_LIMIT, &shell)?;
        for line in finished.stdout.lines() {
            println!("        {line}");
        }
        finished.stdout().map(drop)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for machine in self.machines.values() {
            // Whatever of ours still runs there.
            let name = machine.namespace.name();
            drop(process::run(
                BRIEF,
                &["sh", "-c", "kill -9 $(ip netns pids \"$1\")", "sh", name],
            ));
        }
        let scratch = self.scratch.to_string_lossy();
        drop(process::run(
            BRIEF,
            &["umount", "--recursive", "--lazy", &scratch],
        ));
        drop(fs::remove_dir(&self.scratch));
    }
}

fn mount(arguments: &[&str], target: &Path) -> Result<()> {
    let target = target.to_string_lossy();
    let argv: Vec<&str> = ["mount"]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain([&*target])
        .collect();
    process::run(BRIEF, &argv)?.stdout().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_the_document_belongs_somewhere() {
        let found = blocks(include_str!("../../../docs/operations.md")).unwrap();
        assert!(10 < found.len());
        for block in &found {
            for name in &block.machines {
                assert!(MACHINES.iter().any(|(known, _)| known == name), "{name}");
            }
        }
    }

    #[test]
    fn a_block_without_a_place_is_a_mistake() {
        let text = "text\n```sh on a b\nx\ny\n```\n```toml file a /etc/x\nz\n```\n";
        let found = blocks(text).unwrap();
        let texts: Vec<_> = found.iter().map(|block| block.text.as_str()).collect();
        assert_eq!(texts, ["x\ny\n", "z\n"]);
        assert_eq!(found.first().unwrap().machines, ["a", "b"]);
        assert_eq!(
            found.last().unwrap().what,
            What::File(PathBuf::from("/etc/x"))
        );
        let error = blocks("\n```sh\nx\n```\n").unwrap_err().to_string();
        assert_eq!(error, "line 2: a block that belongs nowhere");
    }
}

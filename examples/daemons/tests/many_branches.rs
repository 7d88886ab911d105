//! Settings in many files, and keys that are elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here should fail"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use daemons::settings::{
    Accepted, BranchSettings, HubSettings, KeySource, Report, SettingsError, Severity,
};

const KEY: &str = "8f0c2d5e7b1a49638e5d0f7c2b9a4e6d13570acfbd2468e0f1c3a5978642bdfe";

/// A directory with a hub's settings file and files that it includes; it goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, hub: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("branches.d")).unwrap();
        fs::write(path.join("hub.toml"), format!("identity = \"hub\"\n{hub}")).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text.replace("KEY", KEY)).unwrap();
        }
        Self(path)
    }

    fn hub(&self) -> PathBuf {
        self.0.join("hub.toml")
    }

    fn load(&self) -> Accepted<HubSettings> {
        HubSettings::load(&self.hub()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(&self) -> Report {
        match HubSettings::load(&self.hub()) {
            Err(SettingsError::Refused(report)) => report,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each has a key of its own where `key` is the usual one.
fn branch(number: usize, key: &str) -> String {
    let (high, low) = (number / 256, number % 256);
    let key = key.replace("KEY\"", &format!("KEY-{number}\""));
    format!(
        "[[branch]]\nidentity = \"b{number}\"\n{key}\n[[branch.pair]]\nname = \"p\"\nlocal = \"10.0.0.0/24\"\nremote = \"172.{}.{low}.0/24\"\n",
        16 + high
    )
}

/// What is found, as `file:line key: message; remedy`, the file without its directory.
fn told(report: &Report) -> Vec<String> {
    report
        .diagnostics()
        .iter()
        .map(|found| {
            let file = found.file.file_name().unwrap().to_string_lossy();
            format!(
                "{file}:{} {}: {}; {}",
                found.line, found.key, found.message, found.remedy
            )
        })
        .collect()
}

#[track_caller]
fn only(report: &Report, start: &str, words: &[&str]) {
    let told = told(report);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(start), "{told:?}");
    for word in words {
        assert!(told[0].contains(word), "{word} in {told:?}");
    }
}

const INCLUDE: &str = "include = \"branches.d/*.toml\"\n";
const PSK: &str = "psk = \"KEY\"";

#[test]
fn branches_come_from_the_file_itself_and_from_those_it_includes() {
    let own = format!("{INCLUDE}{}", branch(1, PSK)).replace("KEY", KEY);
    let two = branch(2, PSK) + &branch(3, PSK);
    let directory = Directory::new(
        "include",
        &own,
        &[
            ("branches.d/one.toml", &two),
            ("branches.d/two.toml", &branch(4, PSK)),
            ("branches.d/.two.toml.swp", "what an editor leaves"),
            ("branches.d/three.toml~", "and another"),
        ],
    );
    let accepted = directory.load();
    assert_eq!(told(&accepted.report), [] as [&str; 0]);
    let identities: Vec<_> = accepted
        .settings
        .branches
        .iter()
        .map(|branch| branch.identity.to_string())
        .collect();
    assert_eq!(identities, ["b1", "b2", "b3", "b4"]);
}

#[test]
fn several_patterns_may_overlap_and_a_key_file_lies_beside_its_branch() {
    let hub = "include = [\"branches.d/*.toml\", \"branches.d/b?.toml\"]\n";
    let directory = Directory::new(
        "patterns",
        hub,
        &[
            ("branches.d/b1.toml", &branch(1, "psk_file = \"b1.psk\"")),
            ("branches.d/b1.psk", "KEY\n"),
        ],
    );
    let key = directory.0.join("branches.d/b1.psk");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let accepted = directory.load();
    assert_eq!(told(&accepted.report), [] as [&str; 0]);
    assert_eq!(accepted.settings.branches.len(), 1);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let report = directory.load().report;
    only(
        &report,
        "b1.toml:3 branch[0].psk_file:",
        &["can be read by others", "chmod 600"],
    );
    assert_eq!(report.diagnostics()[0].severity, Severity::Warning);
}

#[test]
fn a_mistake_in_an_included_file_has_its_file_line_and_key() {
    let wrong = branch(1, PSK).replace("172.16.1.0/24", "172.16.1.0/33");
    let directory = Directory::new("mistake", INCLUDE, &[("branches.d/a.toml", &wrong)]);
    let report = directory.refused();
    only(
        &report,
        "a.toml:7 branch[0].pair[0].remote:",
        &["not a subnet", "from 0 to 32"],
    );
    let rendered = report.render(false);
    assert!(
        rendered.contains("branches.d/a.toml:7:10") && rendered.contains("172.16.1.0/33"),
        "{rendered}"
    );

    let syntax = Directory::new(
        "syntax",
        INCLUDE,
        &[("branches.d/a.toml", "[[branch]]\nidentity = b1\n")],
    );
    let told = told(&syntax.refused());
    assert!(told[0].starts_with("a.toml:2 syntax:"), "{told:?}");
}

#[test]
fn what_collides_across_files_names_both_places() {
    let directory = Directory::new(
        "collide",
        INCLUDE,
        &[
            ("branches.d/a.toml", &branch(1, PSK)),
            ("branches.d/b.toml", &(branch(2, PSK) + &branch(1, PSK))),
        ],
    );
    let told = told(&directory.refused());
    assert_eq!(told.len(), 2, "{told:?}");
    let a = directory.0.join("branches.d/a.toml");
    assert!(
        told[0].starts_with(
            "b.toml:9 branch[1].identity: a branch \"b1\" already exists on line 2 of "
        ) && told[0].contains(&*a.to_string_lossy()),
        "{told:?}"
    );
    assert!(
        told[1].starts_with(
            "b.toml:14 branch[1].pair[0].remote: pair \"p\" overlaps pair \"p\" of line 7 of "
        ) && told[1].contains(&*a.to_string_lossy()),
        "{told:?}"
    );
}

#[test]
fn an_included_file_holds_branches_only() {
    let directory = Directory::new(
        "only",
        INCLUDE,
        &[(
            "branches.d/a.toml",
            &format!("listen = [\"198.18.2.2\"]\n{}", branch(1, PSK)),
        )],
    );
    only(
        &directory.refused(),
        "a.toml:1 listen: unknown key",
        &["the file that includes this one"],
    );
    let directory = Directory::new(
        "near",
        INCLUDE,
        &[(
            "branches.d/a.toml",
            &branch(1, PSK)
                .replace("[[branch]]", "[[brnach]]")
                .replace("[[branch.pair]]", "[[brnach.pair]]"),
        )],
    );
    let told = told(&directory.refused());
    assert!(
        told.iter()
            .any(|told| told.contains("did you mean `branch`?")),
        "{told:?}"
    );
}

#[test]
fn what_includes_nothing_is_told_what_it_lacks() {
    let directory = Directory::new("nothing", INCLUDE, &[]);
    let told_ = told(&directory.refused());
    assert!(
        told_[0].contains("missing key") || told_[1].contains("missing key"),
        "{told_:?}"
    );
    let missing = Directory::new("missing", "include = \"branches/*.toml\"\n", &[]);
    only(
        &missing.refused(),
        "hub.toml:2 include:",
        &["no file matches", "this file's directory"],
    );
    let one = Directory::new("one", "include = \"branches.d/one.toml\"\n", &[]);
    only(&one.refused(), "hub.toml:2 include:", &["no file matches"]);
    let folder = Directory::new("folder", "include = \"branches.d\"\n", &[]);
    only(
        &folder.refused(),
        "hub.toml:2 include:",
        &["cannot read", "branches.d"],
    );
    let pattern = Directory::new("pattern", "include = \"a***\"\n", &[]);
    only(
        &pattern.refused(),
        "hub.toml:2 include:",
        &["not a pattern"],
    );
}

#[test]
fn two_thousand_files_are_read_and_one_mistake_is_found_among_them() {
    let directory = Directory::new("thousands", INCLUDE, &[]);
    for number in 0..2000 {
        let text = branch(number, &format!("psk_file = \"{number}\""));
        let file = directory.0.join(format!("branches.d/b{number:04}.toml"));
        fs::write(file, text).unwrap();
        let key = directory.0.join(format!("branches.d/{number}"));
        fs::write(&key, format!("{KEY}-{number}")).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(directory.load().settings.branches.len(), 2000);
    let wrong = branch(1234, "psk_flie = \"1234\"");
    fs::write(directory.0.join("branches.d/b1234.toml"), wrong).unwrap();
    let told = told(&directory.refused());
    assert!(
        told.iter().all(|told| told.starts_with("b1234.toml:")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|told| told.contains("did you mean `psk_file`?")),
        "{told:?}"
    );
}

#[test]
fn a_device_a_pipe_and_an_empty_file_are_no_keys() {
    for (source, words) in [
        ("psk_file = \"/dev/zero\"", ["it is no file", "on one line"]),
        ("psk_file = \"empty\"", ["the key is empty", "hub psk"]),
        ("psk_file = \"blank\"", ["the key is empty", "hub psk"]),
        ("psk_file = \"long\"", ["too long for a key", "on one line"]),
    ] {
        let directory = Directory::new(
            "device",
            &branch(1, source),
            &[("empty", ""), ("blank", "\n"), ("long", &"KEY".repeat(100))],
        );
        for file in ["empty", "blank"] {
            fs::set_permissions(directory.0.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        only(
            &directory.refused(),
            "hub.toml:4 branch[0].psk_file:",
            &words,
        );
    }
}

#[test]
fn a_program_is_named_by_its_path_and_its_arguments_stand_alone() {
    let refused = |command: &str, words: &[&str]| {
        let directory = Directory::new("program", &branch(1, command), &[("text", "no program")]);
        only(
            &directory.refused(),
            "hub.toml:4 branch[0].psk_command:",
            words,
        );
    };
    refused(
        "psk_command = \"/bin/echo a\"",
        &["expected an array", "{identity}"],
    );
    refused("psk_command = []", &["no program"]);
    refused("psk_command = [\"echo\"]", &["no path", "/usr/bin/echo"]);
    refused("psk_command = [\"/no/such\"]", &["cannot run /no/such"]);
    refused("psk_command = [\"./text\"]", &["is no program", "chmod +x"]);
    refused(
        "psk_command = [\"/bin/echo\", \"vpn/{identity}\"]",
        &["a part of", "argument of its own"],
    );

    let twice = format!("{}\npsk_command = [\"/bin/echo\"]", PSK.replace("KEY", KEY));
    let directory = Directory::new("twice", &branch(1, &twice), &[]);
    only(
        &directory.refused(),
        "hub.toml:4 branch[0].psk:",
        &["given twice", "`psk` or `psk_command`"],
    );
}

#[test]
fn one_program_may_have_the_keys_of_all_branches_that_name_none() {
    let own = branch(2, PSK).replace("KEY", KEY);
    let hub = format!(
        "psk_command = [\"/bin/echo\", \"{{identity}}\"]\npsk_lifetime = \"10m\"\n{}{own}",
        branch(1, "")
    );
    let directory = Directory::new("all", &hub, &[]);
    let settings = directory.load().settings;
    assert_eq!(settings.psk_lifetime.as_secs(), 600);
    let KeySource::Command(command) = &settings.branches[0].psk else {
        panic!("{:?}", settings.branches[0]);
    };
    assert_eq!(command.program, Path::new("/bin/echo"));
    assert!(matches!(settings.branches[1].psk, KeySource::Read(_)));
    // What a program would take for an option is no identity.
    let option = branch(1, "psk_command = [\"/bin/echo\"]").replace("\"b1\"", "\"-rf\"");
    let directory = Directory::new("option", &option, &[]);
    only(
        &directory.refused(),
        "hub.toml:3 branch[0].identity:",
        &["psk_command", "hyphen"],
    );
}

#[test]
fn a_credential_without_systemd_says_what_the_unit_lacks() {
    // No test may set the environment of the process: it is the others' as well.
    assert!(std::env::var_os("CREDENTIALS_DIRECTORY").is_none());
    let directory = Directory::new("credential", &branch(1, "psk_credential = \"b1\""), &[]);
    only(
        &directory.refused(),
        "hub.toml:4 branch[0].psk_credential:",
        &["CREDENTIALS_DIRECTORY", "LoadCredential=b1:"],
    );
    let directory = Directory::new("path", &branch(1, "psk_credential = \"../b1\""), &[]);
    only(
        &directory.refused(),
        "hub.toml:4 branch[0].psk_credential:",
        &["not the name"],
    );
}

#[test]
fn a_credential_is_read_from_where_systemd_puts_it() {
    let directory = Directory::new(
        "systemd",
        &branch(1, "psk_credential = \"b1\""),
        &[("b1", "KEY")],
    );
    let credential = directory.0.join("b1");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).unwrap();
    let check = |variable: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_hub"))
            .args(["check", "--config"])
            .arg(directory.hub())
            .env(variable, &directory.0)
            .output()
            .unwrap()
    };
    let accepted = check("CREDENTIALS_DIRECTORY");
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(accepted.stderr.is_empty(), "{accepted:?}");
    assert!(!check("ANOTHER_VARIABLE").status.success());
}

#[test]
fn a_branch_runs_its_program_only_when_it_is_to_run() {
    let branch = |command: &str| {
        let text = format!(
            "identity = \"b1\"\nhubs = [\"198.18.2.2\"]\nhub_identity = \"hub\"\npsk_command = {command}\n\
             [[pair]]\nname = \"p\"\nlocal = \"10.61.1.0/24\"\nremote = \"10.61.3.0/24\"\ntrigger = {{ source = \"10.61.1.1\", target = \"10.61.3.26\" }}\n"
        );
        BranchSettings::parse(Path::new("branch.toml"), &text)
            .unwrap()
            .settings
    };
    let settings = branch(&format!("[\"/bin/echo\", \"{KEY}\"]"));
    assert!(matches!(settings.psk, KeySource::Command(_)));
    match settings.with_key().unwrap().psk {
        KeySource::Read(key) => assert_eq!(key.as_slice(), KEY.as_bytes()),
        other => panic!("{other:?}"),
    }
    let weak = branch("[\"/bin/echo\", \"{identity}\"]")
        .with_key()
        .unwrap_err();
    assert!(weak.to_string().contains("weak"), "{weak}");
    let fails = branch("[\"/bin/false\"]").with_key().unwrap_err();
    assert!(fails.to_string().contains("/bin/false failed"), "{fails}");
}

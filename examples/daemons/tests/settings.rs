//! Every kind of mistake in a settings file is reported with file, line, key and remedy.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here should fail"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemons::role::Role;
use daemons::settings::{
    BranchSettings, DataPlane, Diagnostic, HubSettings, KeySource, Report, RouteWhen,
    SettingsError, Severity, control_path,
};

const STRONG: &str = "8f0c2d5e7b1a49638e5d0f7c2b9a4e6d13570acfbd2468e0f1c3a5978642bdfe";

const HUB: &str = r#"identity = "hub"
listen = ["198.18.2.2"]
ike = ["aes256-sha256-modp2048"]
esp = ["aes128gcm16-modp2048", "aes128-sha256"]
ike_lifetime = "8h"
sa_lifetime = "1h30m"
dpd_delay = "20s"
metrics = "127.0.0.1:9464"

[tun]
name = "hub0"
addresses = ["10.61.3.26/24"]
mtu = 1400

[ntp]
serve = true

[[branch]]
identity = "branch1"
psk = "KEY"
[[branch.pair]]
name = "telemetry"
local = "10.61.3.0/24"
remote = "10.61.1.0/24"
[[branch.pair]]
name = "lan"
local = "10.61.253.0/24"
remote = "10.61.1.0/24"
"#;

const BRANCH: &str = r#"identity = "branch1"
hubs = ["198.18.2.2"]
hub_identity = "hub"
psk = "KEY"

[[pair]]
name = "telemetry"
local = "10.61.1.0/24"
remote = "10.61.3.0/24"
trigger = { source = "10.61.1.1", target = "10.61.3.26", mode = "client" }
"#;

fn read_key(source: &KeySource) -> &[u8] {
    match source {
        KeySource::Read(key) => key.as_slice(),
        other => panic!("{other:?}"),
    }
}

fn file() -> &'static Path {
    Path::new("somewhere/gateway.toml")
}

fn with_key(text: &str) -> String {
    text.replace("KEY", STRONG)
}

/// The file with one line changed.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in the example");
    with_key(&text.replacen(from, to, 1))
}

fn hub_report(text: &str) -> Report {
    HubSettings::parse(file(), text).map_or_else(|report| report, |accepted| accepted.report)
}

fn branch_report(text: &str) -> Report {
    BranchSettings::parse(file(), text).map_or_else(|report| report, |accepted| accepted.report)
}

/// There is one finding: an error on this line at this key, whose message and remedy say this.
#[track_caller]
fn only_error(report: &Report, line: usize, key: &str, message: &str, remedy: &str) {
    let [found] = report.diagnostics() else {
        panic!("{}", report.render(false))
    };
    check(found, Severity::Error, line, key, message, remedy);
    let rendered = report.render(false);
    assert!(
        rendered.contains(&format!("gateway.toml:{line}:")) && rendered.contains("help: "),
        "{rendered}"
    );
}

#[track_caller]
fn check(
    found: &Diagnostic,
    severity: Severity,
    line: usize,
    key: &str,
    message: &str,
    remedy: &str,
) {
    assert_eq!(
        (found.severity, found.line, found.key.as_str()),
        (severity, line, key),
        "{found}"
    );
    assert_eq!(found.file, file());
    assert!(found.message.contains(message), "{found}");
    assert!(found.remedy.contains(remedy), "{found}");
}

#[test]
fn the_examples_are_accepted_without_a_finding() {
    let hub = HubSettings::parse(file(), &with_key(HUB)).unwrap();
    assert_eq!(hub.report.diagnostics(), []);
    assert_eq!(hub.settings.branches[0].pairs.len(), 2);
    assert_eq!(hub.settings.gateway.sa_lifetime, Duration::from_secs(5400));
    let branch = BranchSettings::parse(file(), &with_key(BRANCH)).unwrap();
    assert_eq!(branch.report.diagnostics(), []);
    assert_eq!(
        (branch.settings.hub_ike_port, branch.settings.hub_nat_port),
        (500, 4500)
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "identity = \"hub\"\n[[branch]]\nidentity = \"b\"\npsk = \"KEY\"\n[[branch.pair]]\nname = \"p\"\nlocal = \"10.0.0.0/24\"\nremote = \"10.0.1.0/24\"\n";
    let hub = HubSettings::parse(file(), &with_key(text))
        .unwrap()
        .settings;
    let gateway = &hub.gateway;
    assert_eq!((gateway.ike_port, gateway.nat_port), (500, 4500));
    assert_eq!(gateway.listen, [] as [std::net::IpAddr; 0]);
    assert_eq!((gateway.tun.name.as_str(), gateway.tun.mtu), ("hub0", 1400));
    assert!(gateway.tun.offload);
    assert_eq!(gateway.control, Path::new("/run/ike-hub.sock"));
    assert_eq!((gateway.metrics, gateway.key_log.as_ref()), (None, None));
    assert_eq!(gateway.dpd_delay, Duration::from_secs(20));
    let ike: Vec<_> = gateway.ike.iter().map(ToString::to_string).collect();
    let expected: &[&str] = if cfg!(feature = "legacy") {
        &["aes256-sha256-modp2048", "aes128-sha1-modp1024"]
    } else {
        &["aes256-sha256-modp2048"]
    };
    assert_eq!(ike, expected);
    assert!(hub.serve_ntp);
}

#[test]
fn an_unknown_key_gets_the_nearest_known_one() {
    let report = hub_report(&changed(HUB, "dpd_delay", "dpd_dely"));
    only_error(
        &report,
        7,
        "dpd_dely",
        "unknown key",
        "did you mean `dpd_delay`?",
    );
    let report = branch_report(&changed(BRANCH, "source =", "sorce ="));
    let errors = report.diagnostics();
    assert!(
        errors
            .iter()
            .any(|error| error.key == "pair[0].trigger.sorce" && error.remedy.contains("`source`"))
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_where_it_belongs() {
    let report = hub_report(&changed(
        HUB,
        "mtu = 1400",
        "mtu = 1400\ncontrol = \"/run/x.sock\"",
    ));
    only_error(
        &report,
        14,
        "tun.control",
        "unknown key",
        "belongs to the top of the file",
    );
    let report = hub_report(&changed(HUB, "dpd_delay", "mtu = 1300\ndpd_delay"));
    only_error(&report, 7, "mtu", "unknown key", "`[tun]`");
}

#[test]
fn a_key_that_nobody_knows_gets_the_list() {
    let report = hub_report(&changed(HUB, "serve = true", "serve = true\nxyzzy = 1"));
    only_error(
        &report,
        17,
        "ntp.xyzzy",
        "unknown key",
        "the keys here are serve",
    );
}

#[test]
fn missing_keys_are_named_with_a_line_to_add() {
    let report = hub_report(&changed(HUB, "identity = \"hub\"\n", ""));
    only_error(
        &report,
        1,
        "identity",
        "missing key",
        "add `identity = \"hub\"`",
    );
    let report = branch_report(&changed(BRANCH, "hub_identity = \"hub\"\n", ""));
    only_error(
        &report,
        1,
        "hub_identity",
        "missing key",
        "add `hub_identity",
    );
    let report = branch_report(&changed(BRANCH, "remote = \"10.61.3.0/24\"\n", ""));
    only_error(&report, 6, "pair[0].remote", "missing key", "add `remote");
    let report = hub_report(&changed(HUB, "psk = \"KEY\"\n", ""));
    only_error(&report, 18, "branch[0].psk_file", "missing key", "hub psk");
    let pair = BRANCH.find("[[pair]]").unwrap();
    let report = branch_report(&with_key(&BRANCH[..pair]));
    only_error(&report, 1, "pair", "missing key", "add a `[[pair]]`");
    let report = branch_report(&changed(
        BRANCH,
        "trigger = { source = \"10.61.1.1\", target = \"10.61.3.26\", mode = \"client\" }\n",
        "",
    ));
    only_error(
        &report,
        6,
        "pair[0].trigger",
        "missing key",
        "add `trigger = {",
    );
}

#[test]
fn offload_can_be_done_without() {
    let text = changed(HUB, "mtu = 1400", "mtu = 1400\noffload = false");
    let hub = HubSettings::parse(file(), &text).unwrap().settings;
    assert!(!hub.gateway.tun.offload);
    let report = hub_report(&changed(HUB, "mtu = 1400", "offload = \"no\""));
    only_error(
        &report,
        13,
        "tun.offload",
        "expected true or false, found a string",
        "`offload = false`",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown_right() {
    let report = hub_report(&changed(HUB, "mtu = 1400", "mtu = \"1400\""));
    only_error(
        &report,
        13,
        "tun.mtu",
        "expected an integer, found a string",
        "`mtu = 1400`",
    );
    let report = hub_report(&changed(HUB, "identity = \"hub\"", "identity = 7"));
    only_error(
        &report,
        1,
        "identity",
        "expected a string, found an integer",
        "`identity = \"hub\"`",
    );
    let report = branch_report(&changed(
        BRANCH,
        "hubs = [\"198.18.2.2\"]",
        "hubs = \"198.18.2.2\"",
    ));
    only_error(&report, 2, "hubs", "expected an array", "`hubs = [");
}

#[test]
fn a_bad_subnet_says_which_was_meant() {
    let report = hub_report(&changed(
        HUB,
        "local = \"10.61.3.0/24\"",
        "local = \"10.61.3.26/24\"",
    ));
    only_error(
        &report,
        23,
        "branch[0].pair[0].local",
        "host bits",
        "write \"10.61.3.0/24\"",
    );
    let report = branch_report(&changed(BRANCH, "\"10.61.3.0/24\"", "\"10.61.3.0/33\""));
    only_error(&report, 9, "pair[0].remote", "not a subnet", "from 0 to 32");
    let report = branch_report(&changed(BRANCH, "\"10.61.3.0/24\"", "\"10.61.3/24\""));
    only_error(&report, 9, "pair[0].remote", "not a subnet", "four numbers");
}

#[test]
fn pairs_may_share_one_side_but_not_both() {
    let report = hub_report(&changed(HUB, "10.61.253.0/24", "10.61.3.128/25"));
    only_error(
        &report,
        28,
        "branch[0].pair[1].remote",
        "\"lan\" overlaps pair \"telemetry\" of line 24 on both sides (10.61.3.128/25 and 10.61.1.0/24)",
        "narrower or different",
    );
}

#[test]
fn pairs_of_two_branches_must_not_overlap_either() {
    let second = "[[branch]]\nidentity = \"branch2\"\npsk = \"7KEY\"\n[[branch.pair]]\nname = \"wide\"\nlocal = \"10.61.0.0/16\"\nremote = \"10.61.0.0/17\"\n";
    let report = hub_report(&with_key(&format!("{HUB}{second}")));
    let overlaps: Vec<_> = report
        .diagnostics()
        .iter()
        .map(|found| (found.line, found.message.clone()))
        .collect();
    assert_eq!(overlaps.len(), 2, "{overlaps:?}");
    assert!(
        overlaps
            .iter()
            .all(|(line, message)| *line == 35 && message.starts_with("pair \"wide\" overlaps"))
    );
}

#[test]
fn identical_or_mixed_sides_are_refused() {
    let report = branch_report(&changed(
        BRANCH,
        "remote = \"10.61.3.0/24\"",
        "remote = \"2001:db8::/32\"",
    ));
    assert!(
        report
            .diagnostics()
            .iter()
            .any(|found| found.line == 9 && found.message.contains("address families"))
    );
    let report = hub_report(&changed(
        HUB,
        "local = \"10.61.3.0/24\"",
        "local = \"10.61.1.0/24\"",
    ));
    only_error(
        &report,
        24,
        "branch[0].pair[0].remote",
        "local and remote are both",
        "different subnets",
    );
}

#[test]
fn an_unknown_algorithm_gets_the_nearest_known_one() {
    let report = hub_report(&changed(
        HUB,
        "aes256-sha256-modp2048",
        "aes256-sha265-modp2048",
    ));
    only_error(
        &report,
        3,
        "ike[0]",
        "unknown algorithm `sha265`",
        "did you mean `sha256`?",
    );
    let report = hub_report(&changed(HUB, "\"aes128-sha256\"", "\"blowfish-sha256\""));
    only_error(
        &report,
        4,
        "esp[1]",
        "unknown algorithm `blowfish`",
        "the words known are",
    );
    let report = hub_report(&changed(HUB, "aes256-sha256-modp2048", "aes256-sha256"));
    only_error(
        &report,
        3,
        "ike[0]",
        "the group is missing",
        "aes256-sha256-modp2048",
    );
    let report = hub_report(&changed(
        HUB,
        "aes256-sha256-modp2048",
        "aes128gcm16-sha256-modp2048",
    ));
    only_error(&report, 3, "ike[0]", "not for phase 1", "`esp`");
    let report = hub_report(&changed(
        HUB,
        "aes256-sha256-modp2048",
        "aes256-sha256-ecp521",
    ));
    only_error(
        &report,
        3,
        "ike[0]",
        "known by name only",
        "one that exists here",
    );
    let report = hub_report(&changed(HUB, "[\"aes256-sha256-modp2048\"]", "[]"));
    only_error(&report, 3, "ike", "no proposal", "write it as");
}

#[test]
fn algorithms_for_old_peers_depend_on_the_build() {
    let text = changed(HUB, "aes256-sha256-modp2048", "3des-md5-modp1024");
    if cfg!(feature = "legacy") {
        let accepted = HubSettings::parse(file(), &text).unwrap();
        assert_eq!(
            accepted.settings.gateway.legacy_proposals(),
            ["3des-md5-modp1024"]
        );
    } else {
        only_error(
            &hub_report(&text),
            3,
            "ike[0]",
            "for old peers",
            "--features legacy",
        );
    }
}

#[test]
fn a_weak_key_is_refused_unless_allowed() {
    let weak = HUB.replace("KEY", "correct horse battery");
    let report = hub_report(&weak);
    only_error(&report, 20, "branch[0].psk", "128 are needed", "hub psk");
    let allowed = format!("allow_weak_psk = true\n{weak}");
    let accepted = HubSettings::parse(file(), &allowed).unwrap();
    check(
        &accepted.report.diagnostics()[0],
        Severity::Warning,
        21,
        "branch[0].psk",
        "weak",
        "hub psk",
    );
}

#[test]
fn a_key_that_several_branches_share_is_accepted_with_a_warning() {
    let alone = HubSettings::parse(file(), &HUB.replace("KEY", STRONG)).unwrap();
    assert!(alone.report.diagnostics().is_empty() && alone.settings.shared_keys().is_empty());
    let mut text = HUB.replace("KEY", STRONG);
    for number in 2..5 {
        text += &format!(
            "[[branch]]\nidentity = \"branch{number}\"\npsk = \"{STRONG}\"\n\
             [[branch.pair]]\nname = \"lan\"\nlocal = \"10.61.3.0/24\"\nremote = \"10.6{number}.1.0/24\"\n"
        );
    }
    let accepted = HubSettings::parse(file(), &text).unwrap();
    assert_eq!(accepted.report.diagnostics().len(), 1);
    check(
        &accepted.report.diagnostics()[0],
        Severity::Warning,
        20,
        "branch[0].psk",
        "4 branches share this pre-shared key: branch1, branch2 and 2 more",
        "hub psk",
    );
    let shared = accepted.settings.shared_keys();
    assert!(shared.len() == 4 && shared.values().all(|count| *count == 4));
}

#[test]
fn a_key_is_never_shown() {
    for line in [
        "psk = \"s3cretß\"",
        "psk='s3cretß' # x",
        "\"psk\" = \"s3cretß\"",
        "psk = \"s3cretß",
    ] {
        let rendered = hub_report(&HUB.replace("psk = \"KEY\"", line)).render(false);
        assert!(
            rendered.contains("***") && !rendered.contains("s3cret"),
            "{rendered}"
        );
    }
}

#[test]
fn the_key_is_needed_once() {
    let report = branch_report(&changed(
        BRANCH,
        "psk = \"KEY\"",
        "psk = \"KEY\"\npsk_file = \"x.psk\"",
    ));
    only_error(&report, 4, "psk", "given twice", "keep either");
    let report = branch_report(&changed(BRANCH, "psk = \"KEY\"", "psk = \"\""));
    only_error(&report, 4, "psk", "empty", "hub psk");
}

#[test]
fn an_unreadable_key_file_says_how_to_make_one() {
    let report = branch_report(&changed(
        BRANCH,
        "psk = \"KEY\"",
        "psk_file = \"no-such.psk\"",
    ));
    only_error(
        &report,
        4,
        "psk_file",
        "cannot read somewhere/no-such.psk",
        "hub psk > somewhere/no-such.psk",
    );
    let report = branch_report(&changed(BRANCH, "psk = \"KEY\"", "psk_file = \"/\""));
    only_error(
        &report,
        4,
        "psk_file",
        "cannot read /",
        "holds the key on one line",
    );
}

#[test]
fn a_key_file_ends_before_its_newline_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = directory("key");
    let key = directory.join("branch1.psk");
    fs::write(&key, format!("{STRONG}\n")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let config = directory.join("branch.toml");
    fs::write(
        &config,
        BRANCH.replace("psk = \"KEY\"", "psk_file = \"branch1.psk\""),
    )
    .unwrap();
    let accepted = BranchSettings::load(&config).unwrap();
    assert_eq!(read_key(&accepted.settings.psk), STRONG.as_bytes());
    assert_eq!(accepted.report.diagnostics(), []);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let accepted = BranchSettings::load(&config).unwrap();
    assert!(
        accepted.report.diagnostics()[0]
            .remedy
            .contains("chmod 600")
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn names_and_identities_are_unique() {
    let report = hub_report(&changed(HUB, "name = \"lan\"", "name = \"telemetry\""));
    only_error(
        &report,
        26,
        "branch[0].pair[1].name",
        "already named \"telemetry\" on line 22",
        "name of its own",
    );
    let second = "[[branch]]\nidentity = \"branch1\"\npsk = \"KEY\"\n[[branch.pair]]\nname = \"x\"\nlocal = \"10.61.3.0/24\"\nremote = \"10.61.2.0/24\"\n";
    let report = hub_report(&with_key(&format!("{HUB}{second}")));
    only_error(
        &report,
        30,
        "branch[1].identity",
        "already exists on line 19",
        "identity of its own",
    );
    let report = hub_report(&changed(
        HUB,
        "identity = \"branch1\"",
        "identity = \"hub\"",
    ));
    only_error(
        &report,
        19,
        "branch[0].identity",
        "hub's own identity",
        "identity of its own",
    );
    let report = branch_report(&changed(
        BRANCH,
        "hub_identity = \"hub\"",
        "hub_identity = \"branch1\"",
    ));
    only_error(
        &report,
        3,
        "hub_identity",
        "branch's own identity",
        "hub's settings file",
    );
    let report = hub_report(&changed(
        HUB,
        "identity = \"branch1\"",
        "identity = \"keyid:0xzz\"",
    ));
    only_error(&report, 19, "branch[0].identity", "hexadecimal", "keyid:");
}

#[test]
fn a_trigger_lies_within_its_pair() {
    let report = branch_report(&changed(
        BRANCH,
        "source = \"10.61.1.1\"",
        "source = \"10.61.2.1\"",
    ));
    only_error(
        &report,
        10,
        "pair[0].trigger.source",
        "not in the pair's local subnet",
        "an own address within 10.61.1.0/24",
    );
    let report = branch_report(&changed(
        BRANCH,
        "target = \"10.61.3.26\"",
        "target = \"10.61.4.26\"",
    ));
    only_error(
        &report,
        10,
        "pair[0].trigger.target",
        "not in the pair's remote subnet",
        "an address of the hub",
    );
    let report = branch_report(&changed(BRANCH, "\"client\"", "\"cleint\""));
    only_error(
        &report,
        10,
        "pair[0].trigger.mode",
        "not known here",
        "did you mean \"client\"?",
    );
}

#[test]
fn durations_have_units_and_limits() {
    let report = hub_report(&changed(HUB, "\"20s\"", "\"20\""));
    only_error(&report, 7, "dpd_delay", "not a duration", "\"1h30m\"");
    let report = hub_report(&changed(HUB, "\"20s\"", "20"));
    only_error(
        &report,
        7,
        "dpd_delay",
        "expected a string",
        "dpd_delay = \"20s\"",
    );
    let report = hub_report(&changed(HUB, "\"8h\"", "\"1s\""));
    only_error(
        &report,
        5,
        "ike_lifetime",
        "out of range",
        "from \"10s\" to \"7days\"",
    );
}

#[test]
fn ports_and_addresses_are_checked() {
    let report = hub_report(&changed(HUB, "listen", "nat_port = 0\nlisten"));
    only_error(
        &report,
        2,
        "nat_port",
        "0 is not within 1 to 65535",
        "nat_port = 4500",
    );
    let report = hub_report(&changed(HUB, "listen", "ike_port = 70000\nlisten"));
    only_error(&report, 2, "ike_port", "70000", "ike_port = 500");
    let report = hub_report(&changed(HUB, "listen", "nat_port = 500\nlisten"));
    only_error(&report, 2, "nat_port", "both 500", "different ports");
    let report = branch_report(&changed(
        BRANCH,
        "hubs = [\"198.18.2.2\"]",
        "hubs = [\"hub.example.org\"]",
    ));
    only_error(
        &report,
        2,
        "hubs[0]",
        "not an IP address",
        "names are not looked up",
    );
    let report = branch_report(&changed(
        BRANCH,
        "hubs = [\"198.18.2.2\"]",
        "hubs = [\"198.18.2.2:500\"]",
    ));
    only_error(&report, 2, "hubs[0]", "not an IP address", "ike_port");
    let report = branch_report(&changed(BRANCH, "hubs = [\"198.18.2.2\"]", "hubs = []"));
    only_error(&report, 2, "hubs", "no hub", "hubs = [");
    let report = branch_report(&changed(
        BRANCH,
        "hubs = [\"198.18.2.2\"]",
        "hubs = [\"198.18.2.2\", \"198.18.2.2\"]",
    ));
    only_error(&report, 2, "hubs[1]", "listed twice", "remove one");
    let report = branch_report(&changed(
        BRANCH,
        "remote = \"10.61.3.0/24\"",
        "remote = \"0.0.0.0/0\"",
    ));
    only_error(
        &report,
        9,
        "pair[0].remote",
        "contains the hub's outer address",
        "private subnets",
    );
}

#[test]
fn the_outlets_are_checked() {
    let report = hub_report(&changed(HUB, "\"127.0.0.1:9464\"", "\"127.0.0.1\""));
    only_error(&report, 8, "metrics", "with a port", "\"127.0.0.1:9464\"");
    let report = hub_report(&changed(HUB, "\"127.0.0.1:9464\"", "\"0.0.0.0:9464\""));
    check(
        &report.diagnostics()[0],
        Severity::Warning,
        8,
        "metrics",
        "can be read by whoever",
        "packet filter",
    );
    let long = format!("control = \"/run/{}.sock\"\nlisten", "x".repeat(110));
    let report = hub_report(&changed(HUB, "listen", &long));
    only_error(
        &report,
        2,
        "control",
        "the system takes 107",
        "shorter path",
    );
    let report = hub_report(&changed(
        HUB,
        "listen",
        "encapsulation = \"allways\"\nlisten",
    ));
    only_error(
        &report,
        2,
        "encapsulation",
        "not known here",
        "did you mean \"always\"?",
    );
}

#[test]
fn who_seals_and_opens_is_the_program_unless_told_otherwise() {
    let dataplane = |text: &str| {
        let accepted = HubSettings::parse(file(), text).unwrap();
        assert!(!accepted.report.has_errors());
        accepted.settings.gateway.dataplane
    };
    assert_eq!(dataplane(&with_key(HUB)), DataPlane::User);
    let set = |word: &str| changed(HUB, "listen", &format!("dataplane = \"{word}\"\nlisten"));
    assert_eq!(dataplane(&set("kernel")), DataPlane::Kernel);
    assert_eq!(dataplane(&set("auto")), DataPlane::Auto);
    let report = hub_report(&set("kernal"));
    only_error(
        &report,
        2,
        "dataplane",
        "not known here",
        "did you mean \"kernel\"?",
    );
}

#[test]
fn what_the_kernel_cannot_serve_is_refused_or_left_to_the_program() {
    let set = |text: &str, word: &str| {
        changed(text, "listen", &format!("dataplane = \"{word}\"\nlisten"))
    };
    let workers = changed(HUB, "listen", "workers = 4\nlisten");
    let report = hub_report(&set(&workers, "kernel"));
    only_error(
        &report,
        3,
        "dataplane",
        "knows no `workers`",
        "dataplane = \"user\"",
    );
    let accepted = HubSettings::parse(file(), &set(&workers, "auto")).unwrap();
    let said = accepted.report.render(false);
    assert!(
        said.contains("\"auto\" takes this program's data path"),
        "{said}"
    );
    assert!(accepted.settings.kernel_obstacle().is_some());
    let fine = HubSettings::parse(file(), &set(HUB, "kernel")).unwrap();
    assert_eq!(fine.settings.kernel_obstacle(), None);
}

/// The hub's file with a hook, whose table begins on line 10.
fn hook(lines: &str) -> String {
    changed(HUB, "[tun]", &format!("[hook]\n{lines}\n[tun]"))
}

#[test]
fn a_hook_has_its_defaults() {
    let text = hook("command = [\"/bin/true\", \"$(x)\"]");
    let hub = HubSettings::parse(file(), &text).unwrap().settings;
    let hook = hub.gateway.hook.unwrap();
    assert_eq!(hook.program, Path::new("/bin/true"));
    assert_eq!(hook.arguments, ["$(x)"]);
    assert_eq!(hook.events, ["pair_up", "pair_down"]);
    assert_eq!(hook.timeout, Duration::from_secs(10));
}

#[test]
fn a_hook_is_checked() {
    use std::os::unix::fs::PermissionsExt as _;
    let error = |lines: &str, line, key: &str, message: &str, remedy: &str| {
        only_error(&hub_report(&hook(lines)), line, key, message, remedy);
    };
    error(
        "timeout = \"1s\"",
        10,
        "hook.command",
        "missing key",
        "add `command",
    );
    error(
        "command = []",
        11,
        "hook.command",
        "no program",
        "command = [",
    );
    error(
        "command = \"/bin/true x\"",
        11,
        "hook.command",
        "expected an array",
        "command = [",
    );
    error(
        "command = [\"/bin/no such program\"]",
        11,
        "hook.command[0]",
        "cannot run",
        "whole path",
    );
    error(
        "command = [\"/etc/passwd\"]",
        11,
        "hook.command[0]",
        "no program",
        "chmod 755",
    );
    error(
        "command = [\"/bin/true\", \"a\\u0000b\"]",
        11,
        "hook.command[1]",
        "zero octet",
        "leave",
    );
    error(
        "command = [\"/bin/true\"]\nevents = [\"pair_upp\"]",
        12,
        "hook.events[0]",
        "not known",
        "did you mean \"pair_up\"?",
    );
    error(
        "command = [\"/bin/true\"]\ntimeout = \"1h\"",
        12,
        "hook.timeout",
        "out of range",
        "from \"100ms\" to \"10m\"",
    );
    let directory = directory("hook");
    let program = directory.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    error(
        &format!("command = [\"{}\"]", program.display()),
        11,
        "hook.command[0]",
        "changed by others",
        "chmod 755",
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_files_of_the_package_are_accepted() {
    let with_key = |text: &str| {
        let text = text.replace("psk_file = \"branch1.psk\"", "psk = \"KEY\"");
        with_key(&text)
    };
    let hub = with_key(include_str!("../packaging/hub.toml"));
    assert_eq!(hub_report(&hub).diagnostics(), []);
    let branch = with_key(include_str!("../packaging/branch.toml"));
    assert_eq!(branch_report(&branch).diagnostics(), []);
}

#[test]
fn the_tun_is_checked() {
    let report = hub_report(&changed(HUB, "\"hub0\"", "\"a name too long for it\""));
    only_error(&report, 11, "tun.name", "not an interface name", "1 to 15");
    let report = hub_report(&changed(HUB, "mtu = 1400", "mtu = 100"));
    only_error(
        &report,
        13,
        "tun.mtu",
        "100 is not within 576 to 9000",
        "mtu = 1400",
    );
    let report = hub_report(&changed(HUB, "mtu = 1400", "mtu = 1500"));
    check(
        &report.diagnostics()[0],
        Severity::Warning,
        13,
        "tun.mtu",
        "may not fit",
        "mtu = 1400",
    );
    let report = hub_report(&changed(HUB, "\"10.61.3.26/24\"", "\"10.61.3.256/24\""));
    only_error(
        &report,
        12,
        "tun.addresses[0]",
        "not a subnet",
        "four numbers",
    );
    let text =
        changed(HUB, "\"10.61.3.26/24\"", "\"2001:db8::1/64\"").replace("mtu = 1400", "mtu = 1000");
    only_error(
        &hub_report(&text),
        13,
        "tun.mtu",
        "at least 1280",
        "mtu = 1280",
    );
}

#[test]
fn the_routes_are_checked() {
    let routes = |text: &str| {
        let text = changed(HUB, "[ntp]", &format!("[routes]\n{text}\n[ntp]"));
        HubSettings::parse(file(), &text).map(|accepted| accepted.settings.routes)
    };
    let defaults = routes("").unwrap();
    assert_eq!(
        (
            defaults.install,
            defaults.when,
            defaults.metric,
            defaults.table
        ),
        (true, RouteWhen::Proved, 10, 254)
    );
    let chosen =
        routes("install = false\nwhen = \"always\"\nmetric = 0x64\ntable = 100000").unwrap();
    assert_eq!(
        (chosen.install, chosen.when, chosen.metric, chosen.table),
        (false, RouteWhen::Always, 100, 100_000)
    );
    let refused = |text: &str, key, message, remedy| {
        only_error(&routes(text).unwrap_err(), 16, key, message, remedy);
    };
    refused(
        "when = \"prooved\"",
        "routes.when",
        "not known here",
        "did you mean \"proved\"?",
    );
    refused(
        "metric = 16777216",
        "routes.metric",
        "not within 1 to 16777215",
        "metric = 10",
    );
    refused("table = 255", "routes.table", "the kernel's own", "254");
    refused("metrics = 3", "routes.metrics", "unknown key", "`metric`");
    let misplaced = hub_report(&changed(HUB, "dpd_delay", "table = 7\ndpd_delay"));
    only_error(&misplaced, 7, "table", "unknown key", "`[routes]`");
}

#[test]
fn whether_strangers_are_answered_is_said_once_for_the_hub() {
    let answers = |text: &str| {
        let text = changed(HUB, "dpd_delay", &format!("{text}\ndpd_delay"));
        HubSettings::parse(file(), &text)
            .map(|accepted| accepted.settings.answer_unknown_identities)
    };
    assert!(!answers("").unwrap());
    assert!(answers("answer_unknown_identities = true").unwrap());
    let key = "answer_unknown_identities";
    let report = answers("answer_unknown_identities = \"yes\"").unwrap_err();
    only_error(
        &report,
        7,
        key,
        "true or false",
        "answer_unknown_identities = true",
    );
    let misplaced = hub_report(&changed(
        HUB,
        "psk = \"KEY\"",
        "psk = \"KEY\"\nanswer_unknown_identities = true",
    ));
    let [found] = misplaced.diagnostics() else {
        panic!("{}", misplaced.render(false))
    };
    assert!(found.to_string().contains("unknown key"), "{found}");
    let misspelt = hub_report(&changed(
        HUB,
        "dpd_delay",
        "answer_unknown_identity = true\ndpd_delay",
    ));
    only_error(
        &misspelt,
        7,
        "answer_unknown_identity",
        "unknown key",
        "`answer_unknown_identities`",
    );
}

#[test]
fn the_number_of_workers_is_checked() {
    let workers = |text: &str| {
        let text = changed(HUB, "dpd_delay", &format!("{text}\ndpd_delay"));
        HubSettings::parse(file(), &text).map(|accepted| accepted.settings.workers.get())
    };
    assert_eq!(workers("").unwrap(), 1);
    assert_eq!(workers("workers = 4").unwrap(), 4);
    for wrong in ["workers = 0", "workers = 65", "workers = 256"] {
        let report = workers(wrong).unwrap_err();
        only_error(&report, 7, "workers", "not within 1 to 64", "workers = 2");
    }
}

#[test]
fn syntax_errors_have_their_line_and_are_all_found() {
    let report = hub_report("identity = hub\nlisten = [\"198.18.2.2\"\n");
    let lines: Vec<_> = report
        .diagnostics()
        .iter()
        .map(|found| found.line)
        .collect();
    assert!(
        lines.contains(&1) && 2 <= lines.len(),
        "{}",
        report.render(false)
    );
    let report = hub_report("identity = \"a\"\nidentity = \"b\"\n");
    only_error(&report, 2, "syntax", "duplicate key", "keep one");
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = changed(HUB, "8h", "8")
        .replace("mtu = 1400", "mtu = 1")
        .replace("10.61.253.0/24", "10.61.253.1/24");
    let report = hub_report(&text);
    let lines: Vec<_> = report
        .diagnostics()
        .iter()
        .map(|found| found.line)
        .collect();
    assert_eq!(lines, [5, 13, 27]);
    assert!(report.has_errors());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = HubSettings::load(Path::new("/nowhere/hub.toml")).unwrap_err();
    assert!(matches!(error, SettingsError::Unreadable { .. }));
    assert!(
        error.to_string().contains("/nowhere/hub.toml") && error.to_string().contains("--config"),
        "{error}"
    );
}

#[test]
fn status_needs_no_more_than_the_control_socket() {
    let directory = directory("control");
    let config = directory.join("hub.toml");
    fs::write(&config, "xyzzy = 1\ncontrol = \"c.sock\"\n").unwrap();
    assert_eq!(
        control_path(&config, Role::Hub).unwrap(),
        directory.join("c.sock")
    );
    fs::write(&config, "identity = \"hub\"\n").unwrap();
    assert_eq!(
        control_path(&config, Role::Branch).unwrap(),
        Path::new("/run/ike-branch.sock")
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_files_of_the_readme_are_accepted() {
    let readme = include_str!("../../../README.md");
    let files: Vec<_> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let [hub, branch] = files.as_slice() else {
        panic!("{} files", files.len())
    };
    let key = format!("psk = \"{STRONG}\"");
    let with_key = |text: &str| text.replace("psk_file = \"branch1.psk\"", &key);
    let hub = HubSettings::parse(file(), &with_key(hub)).unwrap();
    let branch = BranchSettings::parse(file(), &with_key(branch)).unwrap();
    assert_eq!(
        (hub.report.diagnostics(), branch.report.diagnostics()),
        (&[][..], &[][..])
    );
    let (at_hub, at_branch) = (
        &hub.settings.branches[0].pairs[0],
        &branch.settings.pairs[0],
    );
    assert_eq!(
        (at_hub.local, at_hub.remote),
        (at_branch.remote, at_branch.local)
    );
}

#[test]
fn two_thousand_branches_with_shared_subnets_are_accepted() {
    let mut text = "identity = \"hub\"\n".to_owned();
    for index in 0..2000 {
        let (high, low) = (index / 256, index % 256);
        text.push_str(&format!(
            "[[branch]]\nidentity = \"b{index}\"\npsk = \"{STRONG}\"\n"
        ));
        for (name, local) in [
            ("a", "10.0.0.0/16"),
            ("b", "10.1.0.0/16"),
            ("c", "10.2.0.0/16"),
        ] {
            text.push_str(&format!("[[branch.pair]]\nname = \"{name}\"\nlocal = \"{local}\"\nremote = \"172.{high}.{low}.0/24\"\n"));
        }
    }
    assert_eq!(
        HubSettings::parse(file(), &text)
            .unwrap()
            .settings
            .branches
            .len(),
        2000
    );
}

#[test]
fn a_second_hub_is_cold_unless_it_is_to_be_hot() {
    let parsed = |text: &str| BranchSettings::parse(file(), text).unwrap().settings;
    let settings = parsed(&with_key(BRANCH));
    assert_eq!(settings.standby, trigger::Standby::Cold);
    assert_eq!(settings.failback_hold, Duration::from_secs(60));

    let hubs = "hubs = [\"198.18.2.2\"]";
    let with = |more: &str| changed(BRANCH, hubs, &format!("{hubs}\n{more}"));
    let settings = parsed(&with("standby = \"hot\"\nfailback_hold = \"5m\""));
    assert_eq!(settings.standby, trigger::Standby::Hot);
    assert_eq!(settings.failback_hold, Duration::from_secs(300));

    let report = branch_report(&with("standby = \"warm\""));
    only_error(&report, 3, "standby", "warm", "hot");
    let report = branch_report(&with("failback_hold = \"10ms\""));
    only_error(&report, 3, "failback_hold", "10ms", "1s");
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("daemons-settings-{name}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

//! What the program offers, which needs no root.
#![allow(clippy::unwrap_used, reason = "a test that fails here should fail")]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn every_case_has_a_name_of_its_own() {
    let listed = Command::new(env!("CARGO_BIN_EXE_interop"))
        .arg("list")
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let names: BTreeSet<_> = text.lines().collect();
    assert_eq!(names.len(), text.lines().count());
    for name in [
        "operate/takeover/plain",
        "operate/reload",
        "operate/control-under-load",
    ] {
        assert!(names.contains(name), "no {name} in {text}");
    }
}

//! The map of requirements names files and tests: each of them exists.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks in the rows of the tables.
fn cited() -> Vec<String> {
    let text = fs::read_to_string(crate_folder().join("../docs/requirements.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_test_of_the_map_exists() {
    let mut checked = 0;
    for name in cited() {
        let Some((file, function)) = name.split_once("::") else {
            continue;
        };
        let path: PathBuf = if file.ends_with(".rs") {
            crate_folder().join(file)
        } else {
            crate_folder().join(format!("tests/machine/{file}.rs"))
        };
        let source = fs::read_to_string(&path);
        let source = source.unwrap_or_else(|error| panic!("{name}: {error}"));
        let test = format!("#[test]\n{{}}fn {function}() {{");
        let found = ["", "    "]
            .iter()
            .any(|indent| source.contains(&test.replacen("{}", indent, 1)));
        assert!(found, "no test {name}");
        checked += 1;
    }
    assert!(50 < checked, "{checked}");
}

#[test]
fn every_file_of_the_map_exists() {
    let mut checked = 0;
    for name in cited() {
        if name.ends_with(".rs") && !name.contains("::") {
            assert!(
                crate_folder().join("src").join(&name).is_file(),
                "no file {name}"
            );
            checked += 1;
        }
    }
    assert!(40 < checked, "{checked}");
}

//! Runs every target over its corpus, without a fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_entry_of_the_corpus_passes() {
    for (target, body) in fuzz::TARGETS {
        let paths = entries(&corpus().join(target));
        assert!(!paths.is_empty(), "{target} has no corpus");
        for path in paths {
            let octets = fs::read(&path).unwrap();
            assert!(
                catch_unwind(|| body(&octets)).is_ok(),
                "{} fails",
                path.display()
            );
        }
    }
}

#[test]
fn every_prefix_and_every_altered_octet_of_a_seed_passes() {
    let bodies: std::collections::BTreeMap<_, _> = fuzz::TARGETS.iter().copied().collect();
    for seed in fuzz::seeds::all() {
        let body = bodies[seed.target];
        for len in 0..seed.octets.len() {
            body(&seed.octets[..len]);
            for value in [0, 1, 0x7F, 0x80, 0xFF, seed.octets[len] ^ 1] {
                let mut octets = seed.octets.clone();
                octets[len] = value;
                assert!(
                    catch_unwind(|| body(&octets)).is_ok(),
                    "{} {}: octet {len} = {value}",
                    seed.target,
                    seed.name
                );
            }
        }
    }
}

#[test]
fn the_seeds_are_in_the_corpus() {
    for seed in fuzz::seeds::all() {
        let path = corpus().join(seed.target).join(seed.name);
        let octets = fs::read(&path).ok();
        assert_eq!(
            octets.as_deref(),
            Some(seed.octets.as_slice()),
            "{}: run the example `seeds`",
            path.display()
        );
    }
}

#[test]
fn targets_folders_and_the_manifest_agree() {
    let named: BTreeSet<String> = fuzz::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let stems = |folder: PathBuf| -> BTreeSet<String> {
        entries(&folder)
            .iter()
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(stems(corpus()), named);
    assert_eq!(
        stems(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets")),
        named
    );
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let in_manifest = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"))
        .count();
    assert_eq!(in_manifest, named.len());
}

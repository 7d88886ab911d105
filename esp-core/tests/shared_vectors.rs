//! The wide check: every ESP packet of the vectors kept beside the repository, from Linux, DPDK,
//! scapy and Wireshark among others. Runs when `SHARED_VECTORS=1`, and then fails without them.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it left out"
)]

mod pair;

use std::fs;
use std::path::Path;

use esp_core::EspSuite;
use serde_json::Value;

/// A case, if its suite is one of ours.
struct Case {
    name: String,
    suite: EspSuite,
    keymat: Vec<u8>,
    sequence: u64,
    packet: Vec<u8>,
    plaintext: Vec<u8>,
    /// Whether the packet has an ICV; those without are checked up to where it would start.
    has_icv: bool,
}

fn hex_of(case: &Value, field: &str) -> Vec<u8> {
    case[field]
        .as_str()
        .map(|text| hex::decode(text).unwrap())
        .unwrap_or_default()
}

fn number_of(case: &Value, field: &str) -> u64 {
    hex_of(case, field)
        .iter()
        .fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn suite_name(case: &Value, bits: usize) -> Option<(String, bool)> {
    let algorithm = case["algorithm"].as_str().unwrap().to_lowercase();
    let hash = ["sha1", "sha256", "sha384", "sha512", "md5"]
        .into_iter()
        .find(|hash| algorithm.replace("sha2-", "sha").contains(hash));
    let cipher = match &algorithm {
        name if name.contains("ccm") => return None,
        name if name.contains("gmac") => format!("aes{bits}gmac"),
        name if name.contains("gcm-16") => format!("aes{bits}gcm16"),
        name if name.contains("chacha20") => "chacha20poly1305".to_owned(),
        name if name.contains("aes-ctr") => format!("aes{bits}ctr"),
        name if name.contains("3des") => "3des".to_owned(),
        name if name.contains("aes-cbc") => format!("aes{bits}"),
        name if name.starts_with("null") => "null".to_owned(),
        name => panic!("unknown algorithm {name}"),
    };
    let combined = ["gcm", "gmac", "chacha"]
        .iter()
        .any(|mode| cipher.contains(mode));
    Some(match (combined, hash) {
        (true, _) => (cipher, true),
        (false, Some(hash)) => (format!("{cipher}-{hash}"), true),
        (false, None) => (format!("{cipher}-sha1"), false),
    })
}

impl Case {
    fn read(file: &str, index: usize, case: &Value) -> Option<Self> {
        let key = hex_of(case, "key");
        let (name, has_icv) = suite_name(case, key.len() * 8)?;
        let mut suite: EspSuite = name.parse().unwrap();
        if case["esn"].as_bool() == Some(true) {
            suite = suite.with_esn();
        }
        let mut keymat = [key, hex_of(case, "salt"), hex_of(case, "auth_key")].concat();
        if !has_icv {
            keymat.resize(suite.keymat_len(), 0);
        }
        Some(Self {
            name: format!("{file}[{index}] {suite}"),
            suite,
            keymat,
            sequence: number_of(case, "seq_hi") << 32 | number_of(case, "seq"),
            packet: hex_of(case, "packet"),
            plaintext: hex_of(case, "plaintext"),
            has_icv,
        })
    }

    fn check(&self) {
        let header_len = self.suite.header_len();
        for (provider_name, provider) in pair::providers() {
            if !provider.supports(self.suite) {
                eprintln!("{}: left out, {provider_name} has no such suite", self.name);
                continue;
            }
            let mut octets = self.packet[..header_len].to_vec();
            octets.extend_from_slice(&self.plaintext);
            octets.resize(octets.len() + self.suite.icv_len(), 0);
            let sealer = provider.sealer(self.suite, &self.keymat).unwrap();
            sealer.seal(self.sequence, &mut octets).unwrap();
            let compared = if self.has_icv {
                octets.len()
            } else {
                self.packet.len()
            };
            assert_eq!(
                hex::encode(&octets[..compared]),
                hex::encode(&self.packet),
                "{}",
                self.name
            );

            let opener = provider.opener(self.suite, &self.keymat).unwrap();
            let range = opener.open(self.sequence, &mut octets).unwrap();
            assert_eq!(
                hex::encode(&octets[range]),
                hex::encode(&self.plaintext),
                "{}",
                self.name
            );
        }
    }
}

#[test]
fn every_shared_esp_packet_seals_and_opens() {
    if std::env::var("SHARED_VECTORS").as_deref() != Ok("1") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/esp");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut checked = 0;
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let contents: Value = serde_json::from_str(&text).unwrap();
        for (index, case) in contents["cases"].as_array().unwrap().iter().enumerate() {
            match Case::read(&file, index, case) {
                Some(case) => {
                    case.check();
                    checked += 1;
                }
                None => eprintln!("{file}[{index}]: left out, {}", case["algorithm"]),
            }
        }
    }
    assert!(39 <= checked, "only {checked} packets checked");
}

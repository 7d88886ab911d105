//! The keys in charon's log, in the form that Wireshark reads: a yardstick for the key log of our own daemons.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::strongswan::Charon;

/// Writes `ikev1_decryption_table` and `esp_sa` from what a charon that initiated has logged.
///
/// # Errors
///
/// When its log has no keys, or the files cannot be written.
pub fn write(charon: &Charon, initiator_cookie: &str, directory: &Path) -> Result<()> {
    let keys = Keys::parse(&charon.log()?)?;
    fs::create_dir_all(directory)?;
    fs::write(
        directory.join("ikev1_decryption_table"),
        format!("{initiator_cookie},{}\n", keys.phase_one),
    )?;
    Ok(fs::write(directory.join("esp_sa"), keys.esp_sa)?)
}

#[derive(Debug, Eq, PartialEq)]
struct Keys {
    phase_one: String,
    esp_sa: String,
}

impl Keys {
    fn parse(log: &str) -> Result<Self> {
        let mut phase_one = None;
        let (mut encryption, mut integrity) = (Directions::default(), Directions::default());
        let mut outbound = false;
        let mut esp_sa = String::new();
        for (number, line) in log.lines().enumerate() {
            let dump = || dump(log, number);
            if line.contains("encryption key Ka =>") {
                phase_one = Some(dump());
            } else if line.contains("encryption initiator key =>") {
                encryption.initiator = dump();
            } else if line.contains("encryption responder key =>") {
                encryption.responder = dump();
            } else if line.contains("integrity initiator key =>") {
                integrity.initiator = dump();
            } else if line.contains("integrity responder key =>") {
                integrity.responder = dump();
            } else if line.contains("adding outbound ESP SA") {
                outbound = true;
            } else if line.contains("adding inbound ESP SA") {
                outbound = false;
            } else if let Some((_, rest)) = line.split_once("  SPI 0x") {
                let spi = rest.split(',').next().unwrap_or_default();
                esp_sa.push_str(&esp_line(
                    spi,
                    encryption.of(outbound),
                    integrity.of(outbound),
                )?);
            }
        }
        Ok(Self {
            phase_one: phase_one.context("charon's log shows no phase 1 key")?,
            esp_sa,
        })
    }
}

/// Keys of the two directions, as the initiator names them.
#[derive(Debug, Default)]
struct Directions {
    initiator: String,
    responder: String,
}

impl Directions {
    fn of(&self, outbound: bool) -> &str {
        if outbound {
            &self.initiator
        } else {
            &self.responder
        }
    }
}

/// A line of Wireshark's table of ESP SAs.
fn esp_line(spi: &str, encryption: &str, integrity: &str) -> Result<String> {
    let (cipher, hash, integrity) = match integrity.len() {
        0 => ("AES-GCM with 16 octet ICV [RFC4106]", "NULL", String::new()),
        40 => (
            "AES-CBC [RFC3602]",
            "HMAC-SHA-1-96 [RFC2404]",
            format!("0x{integrity}"),
        ),
        64 => (
            "AES-CBC [RFC3602]",
            "HMAC-SHA-256-128 [RFC4868]",
            format!("0x{integrity}"),
        ),
        other => bail!("an integrity key of {other} hexadecimal digits"),
    };
    Ok(format!(
        "\"IPv4\",\"*\",\"*\",\"0x{spi}\",\"{cipher}\",\"0x{encryption}\",\"{hash}\",\"{integrity}\"\n"
    ))
}

/// The octets below a line that announces them.
fn dump(log: &str, announced: usize) -> String {
    log.lines().skip(announced + 1).map_while(octets).collect()
}

/// The octets of a line of a dump: "  16: 2A 27 D8 3D    *'.=".
pub fn octets(line: &str) -> Option<String> {
    let (_, after) = line.split_once(": ")?;
    let (octets, _) = after.split_once("  ")?;
    octets
        .split(' ')
        .all(|octet| octet.len() == 2 && u8::from_str_radix(octet, 16).is_ok())
        .then(|| octets.replace(' ', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
15:30:15 09[IKE] <vpn|1> encryption key Ka => 16 bytes @ 0x7f4e50009b20
15:30:15 09[IKE] <vpn|1>    0: 0A 40 49 D2 1F E8 AE 50 D1 83 BC 1F CC E8 18 30  .@I....P.......0
15:30:15 13[CHD] <vpn|1> encryption initiator key => 20 bytes @ 0x7f4e40001f70
15:30:15 13[CHD] <vpn|1>    0: BE 40 49 D2 1F E8 AE 50 D1 83 BC 1F CC E8 18 30  .@I....P.......0
15:30:15 13[CHD] <vpn|1>   16: 2A 27 D8 3D                                      *'.=
15:30:15 13[CHD] <vpn|1> encryption responder key => 20 bytes @ 0x7f4e40001e60
15:30:15 13[CHD] <vpn|1>    0: 8B B1 8A 68 5E 82 46 46 0E 28 BC 2F C7 01 1E 77  ...h^.FF.(./...w
15:30:15 13[CHD] <vpn|1>   16: E0 E0 EC C0                                      ....
15:30:15 13[CHD] <vpn|1> adding inbound ESP SA
15:30:15 13[CHD] <vpn|1>   SPI 0xf713cf9e, src 198.18.2.2 dst 198.18.1.2
";

    #[test]
    fn keys_are_found_in_a_log() {
        assert_eq!(
            Keys::parse(LOG).unwrap(),
            Keys {
                phase_one: "0A4049D21FE8AE50D183BC1FCCE81830".to_owned(),
                esp_sa:
                    "\"IPv4\",\"*\",\"*\",\"0xf713cf9e\",\"AES-GCM with 16 octet ICV [RFC4106]\",\
                         \"0x8BB18A685E8246460E28BC2FC7011E77E0E0ECC0\",\"NULL\",\"\"\n"
                        .to_owned(),
            }
        );
    }
}

//! The keys of every SA in the files that Wireshark reads, for whoever debugs with a capture.
//!
//! `ikev1_decryption_table` and `esp_sa` are lines of Wireshark's own tables: copy the files into its
//! profile, or give each line to `tshark -o 'uat:esp_sa:…'`.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use ike_core::{EspCipher, EspIntegrity, EspTransform, InitiatorCookie, IpsecSa, KeyLog};
use tracing::warn;
use trigger::EspKeyLog;

use crate::io::SystemError;

/// Name of the file with the keys of ISAKMP SAs.
pub const IKE_FILE: &str = "ikev1_decryption_table";
/// Name of the file with the keys of ESP SAs.
pub const ESP_FILE: &str = "esp_sa";

/// Appends to Wireshark's two tables.
#[derive(Debug)]
pub struct WiresharkKeyLog {
    ike: Mutex<File>,
    esp: Mutex<File>,
}

impl WiresharkKeyLog {
    /// Opens both files in `directory`, which is made if it is missing, for their owner only.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(directory: &Path) -> Result<Self, SystemError> {
        let refused = |error| {
            let action = format!("write keys into {}", directory.display());
            SystemError::new(
                action,
                error,
                "set `key_log` to a directory that can be written, or leave it out",
            )
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(refused)?;
        let open = |name| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(directory.join(name))
        };
        Ok(Self {
            ike: Mutex::new(open(IKE_FILE).map_err(refused)?),
            esp: Mutex::new(open(ESP_FILE).map_err(refused)?),
        })
    }
}

impl KeyLog for WiresharkKeyLog {
    fn ikev1(&self, initiator_cookie: InitiatorCookie, cipher_key: &[u8]) {
        append(&self.ike, &ike_line(initiator_cookie, cipher_key));
    }
}

impl EspKeyLog for WiresharkKeyLog {
    fn ipsec_sa(&self, sa: &IpsecSa) {
        let (local, remote) = (sa.local_address.ip(), sa.remote_address.ip());
        let keymat = (sa.inbound_keymat.as_slice(), sa.outbound_keymat.as_slice());
        let inbound = esp_line(sa.transform, remote, local, sa.inbound_spi.get(), keymat.0);
        let outbound = esp_line(sa.transform, local, remote, sa.outbound_spi.get(), keymat.1);
        append(&self.esp, &format!("{inbound}{outbound}"));
    }
}

fn append(file: &Mutex<File>, line: &str) {
    let written = match file.lock() {
        Ok(mut file) => file.write_all(line.as_bytes()),
        Err(_) => Err(io::Error::other("another thread failed")),
    };
    if let Err(error) = written {
        warn!(%error, "cannot write to the key log");
    }
}

/// Cookie and key; Wireshark takes hexadecimal without quotes here.
fn ike_line(cookie: InitiatorCookie, key: &[u8]) -> String {
    format!("{},{}\n", hex(&cookie.octets()), hex(key))
}

/// Family, source, destination, SPI, cipher, key, integrity algorithm, key.
fn esp_line(
    transform: EspTransform,
    source: IpAddr,
    destination: IpAddr,
    spi: u32,
    keymat: &[u8],
) -> String {
    let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
    let (cipher_key, integrity_key) =
        keymat.split_at(transform.cipher.keymat_len().min(keymat.len()));
    let cipher = match transform.cipher {
        EspCipher::AesGcm16 { .. } => "AES-GCM with 16 octet ICV [RFC4106]",
        EspCipher::AesCbc { .. } => "AES-CBC [RFC3602]",
        EspCipher::TripleDes => "TripleDES-CBC [RFC2451]",
        EspCipher::Des => "DES-CBC [RFC2405]",
        EspCipher::Null | _ => "NULL",
    };
    let integrity = match transform.integrity {
        Some(EspIntegrity::HmacMd5_96) => "HMAC-MD5-96 [RFC2403]",
        Some(EspIntegrity::HmacSha1_96) => "HMAC-SHA-1-96 [RFC2404]",
        Some(EspIntegrity::HmacSha256_128) => "HMAC-SHA-256-128 [RFC4868]",
        Some(EspIntegrity::HmacSha384_192) => "HMAC-SHA-384-192 [RFC4868]",
        Some(EspIntegrity::HmacSha512_256) => "HMAC-SHA-512-256 [RFC4868]",
        Some(_) | None => "NULL",
    };
    let (cipher_key, integrity_key) = (quoted_key(cipher_key), quoted_key(integrity_key));
    format!(
        "\"{family}\",\"{source}\",\"{destination}\",\"{spi:#010x}\",\"{cipher}\",{cipher_key},\"{integrity}\",{integrity_key}\n"
    )
}

fn quoted_key(key: &[u8]) -> String {
    if key.is_empty() {
        "\"\"".to_owned()
    } else {
        format!("\"0x{}\"", hex(key))
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ike_core::EspProposal;

    use super::*;

    fn transform(text: &str) -> EspTransform {
        text.parse::<EspProposal>().unwrap().transform()
    }

    #[test]
    fn lines_are_in_the_form_of_wiresharks_tables() {
        let cookie = InitiatorCookie::new([0x61, 0x74, 0xaf, 0x58, 0x13, 0x31, 0xe2, 0x80]);
        assert_eq!(ike_line(cookie, &[0x1c, 0xef]), "6174af581331e280,1cef\n");
        let (source, destination) = ([198, 18, 1, 2].into(), [198, 18, 2, 2].into());
        let line = esp_line(
            transform("aes128gcm16"),
            source,
            destination,
            0x0069_6a5f,
            &[7; 20],
        );
        assert_eq!(
            line,
            format!(
                "\"IPv4\",\"198.18.1.2\",\"198.18.2.2\",\"0x00696a5f\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x{}\",\"NULL\",\"\"\n",
                "07".repeat(20)
            )
        );
    }

    #[test]
    fn keymat_is_cut_where_the_cipher_key_ends() {
        let (source, destination) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        );
        let keymat = [[1; 16], [2; 16], [2; 16]].concat();
        let line = esp_line(
            transform("aes128-sha256"),
            source,
            destination,
            256,
            &keymat,
        );
        let cipher = format!("\"AES-CBC [RFC3602]\",\"0x{}\"", "01".repeat(16));
        let integrity = format!("\"HMAC-SHA-256-128 [RFC4868]\",\"0x{}\"", "02".repeat(32));
        assert!(
            line.starts_with("\"IPv6\",") && line.contains(&cipher) && line.contains(&integrity),
            "{line}"
        );
        let line = esp_line(transform("null-sha1"), source, destination, 256, &[3; 20]);
        assert!(
            line.contains("\"NULL\",\"\",\"HMAC-SHA-1-96 [RFC2404]\""),
            "{line}"
        );
    }

    #[test]
    fn the_files_are_private_and_appended_to() {
        let directory = std::env::temp_dir().join(format!("daemons-keys-{}", std::process::id()));
        for _ in 0..2 {
            let log = WiresharkKeyLog::open(&directory.join("deep")).unwrap();
            log.ikev1(InitiatorCookie::new([1; 8]), &[2; 16]);
        }
        let file = directory.join("deep").join(IKE_FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}

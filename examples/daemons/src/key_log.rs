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

use ike_core::{EspCipher, EspIntegrity, InitiatorCookie, IpsecSa, KeyLog};
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
        let inbound = esp_line(
            sa,
            remote,
            local,
            sa.inbound_spi.get(),
            sa.inbound_keymat.as_slice(),
        );
        let outbound = esp_line(
            sa,
            local,
            remote,
            sa.outbound_spi.get(),
            sa.outbound_keymat.as_slice(),
        );
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
fn esp_line(sa: &IpsecSa, source: IpAddr, destination: IpAddr, spi: u32, keymat: &[u8]) -> String {
    let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
    let transform = sa.transform;
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

//! The pre-shared key of one peer: in the settings file or, better, in a file of its own.

use core::ops::Range;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ike_core::PreSharedKey;

use super::section::{Item, Key, Section};
use super::value;

/// Bits of estimated entropy below which a key falls to a patient guesser.
const STRONG_BITS: u32 = 128;
/// No key is longer than this, and no file that is longer is a key.
const MAX_LEN: u64 = 4096;

const PSK_FILE: Key = Key::new("psk_file", "psk_file = \"branch1.psk\"");
const PSK: Key = Key::new("psk", "psk = \"…\"");

/// A key and where the settings name it.
pub(super) struct PlacedKey {
    pub(super) key: PreSharedKey,
    pub(super) setting: String,
    pub(super) span: Range<usize>,
}

pub(super) fn read(
    section: &mut Section<'_>,
    directory: &Path,
    allow_weak: bool,
) -> Option<PlacedKey> {
    let file = section.optional(PSK_FILE);
    let inline = section.optional(PSK);
    let (item, octets) = match (file, inline) {
        (Some(_), Some(inline)) => {
            inline.error("the key is given twice", "keep either `psk` or `psk_file`");
            return None;
        }
        (Some(item), None) => {
            let octets = read_file(&item, &value::path(&item, directory)?)?;
            (item, octets)
        }
        (None, Some(item)) => {
            let octets = item.string()?.as_bytes().to_vec();
            (item, octets)
        }
        (None, None) => {
            section.missing(
                "psk_file",
                "add `psk_file = \"branch1.psk\"`; `hub psk > branch1.psk` makes a key",
            );
            return None;
        }
    };
    let key = PreSharedKey::new(without_newline(&octets));
    check(&item, &key, allow_weak).then(|| PlacedKey {
        key,
        setting: item.key.clone(),
        span: item.span.clone(),
    })
}

fn check(item: &Item<'_>, key: &PreSharedKey, allow_weak: bool) -> bool {
    if key.is_empty() {
        item.error("the key is empty", "put the output of `hub psk` there");
        return false;
    }
    let bits = key.estimated_entropy_bits();
    if STRONG_BITS <= bits {
        return true;
    }
    let message =
        format!("weak pre-shared key: about {bits} bits of entropy, {STRONG_BITS} are needed");
    if allow_weak {
        item.warning(
            message,
            "anyone who knows the identity can guess it off line: take the output of `hub psk`",
        );
    } else {
        item.error(
            message,
            "take the output of `hub psk`, or set `allow_weak_psk = true` and accept the risk",
        );
    }
    allow_weak
}

fn read_file(item: &Item<'_>, path: &Path) -> Option<Vec<u8>> {
    let read = std::fs::metadata(path).and_then(|metadata| {
        if MAX_LEN < metadata.len() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the file is too long for a key",
            ));
        }
        Ok((std::fs::read(path)?, metadata.mode()))
    });
    match read {
        Ok((octets, mode)) => {
            if mode & 0o077 != 0 {
                let message = format!("{} can be read by others than its owner", path.display());
                item.warning(message, format!("chmod 600 {}", path.display()));
            }
            Some(octets)
        }
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => format!("make one with `hub psk > {}`", path.display()),
                io::ErrorKind::PermissionDenied => {
                    "run as the user that owns the file, usually root".to_owned()
                }
                _ => "name a file that holds the key on one line".to_owned(),
            };
            item.error(format!("cannot read {}: {error}", path.display()), remedy);
            None
        }
    }
}

/// Editors end a file with a newline that is not part of the key.
fn without_newline(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

//! The pre-shared key of one peer: in the settings file or, better, in a file of its own, in the hands of systemd, or
//! in a store that a program asks.

use core::ops::Range;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ike_core::{Identity, PreSharedKey};

use super::section::{Item, Key, Section};
use super::value;
use crate::key_command::{IDENTITY_ARGUMENT, KeyCommand};

/// Bits of estimated entropy below which a key falls to a patient guesser.
const STRONG_BITS: u32 = 128;
/// No key is longer than this in octets, and no file that is longer is a key.
pub(crate) const MAX_KEY_LEN: usize = 4096;
/// How long a program may look for a key: as long as a hub waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where systemd puts the credentials of a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

const PSK_FILE: Key = Key::new("psk_file", "psk_file = \"branch1.psk\"");
const PSK_CREDENTIAL: Key = Key::new("psk_credential", "psk_credential = \"branch1.psk\"");
const PSK_COMMAND: Key = Key::new(
    "psk_command",
    "psk_command = [\"/usr/bin/pass\", \"show\", \"{identity}\"]",
);
const PSK: Key = Key::new("psk", "psk = \"…\"");

/// Where a key is, and where the settings say so.
pub(super) struct PlacedKey {
    pub(super) source: KeySource,
    pub(super) setting: String,
    pub(super) span: Range<usize>,
}

/// Where a pre-shared key comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeySource {
    /// It was read with the settings.
    Read(PreSharedKey),
    /// A program prints it when it is needed.
    Command(KeyCommand),
}

/// What keys are measured by, and what a peer without one falls back to.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) allow_weak: bool,
    pub(super) command: Option<KeyCommand>,
}

pub(super) fn read(
    section: &mut Section<'_>,
    directory: &Path,
    terms: &Terms,
) -> Option<PlacedKey> {
    let sources = [PSK_FILE, PSK_CREDENTIAL, PSK_COMMAND, PSK];
    let given: Vec<_> = sources
        .into_iter()
        .filter_map(|key| Some((key, section.optional(key)?)))
        .collect();
    let (key, item) = match given.as_slice() {
        [] => return fall_back(section, terms),
        [(key, item)] => (key, item),
        [(first, _), (second, item), ..] => {
            item.error(
                "the key is given twice",
                format!("keep either `{}` or `{}`", second.name, first.name),
            );
            return None;
        }
    };
    let placed = |source| PlacedKey {
        source,
        setting: item.key.clone(),
        span: item.span.clone(),
    };
    let octets = match key.name {
        "psk_command" => {
            let command = command(item, directory)?;
            return Some(placed(KeySource::Command(command)));
        }
        "psk_file" => read_file(item, &value::path(item, directory)?)?,
        "psk_credential" => read_file(item, &credential(item)?)?,
        _ => item.string()?.as_bytes().to_vec(),
    };
    let key = PreSharedKey::new(without_newline(&octets));
    check(item, &key, terms.allow_weak).then(|| placed(KeySource::Read(key)))
}

/// The program that stands for the keys of all branches without one.
pub(super) fn read_command(root: &mut Section<'_>, directory: &Path) -> Option<KeyCommand> {
    let item = root.optional(PSK_COMMAND)?;
    command(&item, directory)
}

/// Whether the identity may be given to a program as an argument, which it must not take for an option.
pub(super) fn check_identity(item: &Item<'_>, identity: &Identity, key: Option<&PlacedKey>) {
    let text = identity.to_string();
    let unfit = text.starts_with('-') || text.chars().any(char::is_control);
    if unfit && key.is_some_and(|key| matches!(key.source, KeySource::Command(_))) {
        item.error(
            "not an identity that can be given to `psk_command`",
            "write one without control characters that does not begin with a hyphen, or use `psk_file`",
        );
    }
}

/// Whether a key that a program has printed is good enough.
pub(crate) fn is_strong(key: &PreSharedKey) -> bool {
    STRONG_BITS <= key.estimated_entropy_bits()
}

fn fall_back(section: &Section<'_>, terms: &Terms) -> Option<PlacedKey> {
    if let Some(command) = &terms.command {
        return Some(PlacedKey {
            source: KeySource::Command(command.clone()),
            setting: PSK_COMMAND.name.to_owned(),
            span: Range::default(),
        });
    }
    section.missing(
        "psk_file",
        "add `psk_file = \"branch1.psk\"`; `hub psk > branch1.psk` makes a key",
    );
    None
}

fn check(item: &Item<'_>, key: &PreSharedKey, allow_weak: bool) -> bool {
    if key.is_empty() {
        item.error("the key is empty", "put the output of `hub psk` there");
        return false;
    }
    if is_strong(key) {
        return true;
    }
    let bits = key.estimated_entropy_bits();
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

/// The program and its arguments. Nothing is run here.
fn command(item: &Item<'_>, directory: &Path) -> Option<KeyCommand> {
    let words: Vec<_> = item
        .elements()?
        .iter()
        .map(Item::string)
        .collect::<Option<_>>()?;
    let Some((program, arguments)) = words.split_first() else {
        item.error("no program", item.write_it_as());
        return None;
    };
    if !program.contains('/') {
        item.error(
            format!("\"{program}\" is no path: nothing is looked up"),
            format!("write where it is, as \"/usr/bin/{program}\""),
        );
        return None;
    }
    let inside = |word: &&&str| word.contains(IDENTITY_ARGUMENT) && **word != IDENTITY_ARGUMENT;
    if let Some(word) = arguments.iter().find(inside) {
        item.error(
            format!("{IDENTITY_ARGUMENT} is a part of \"{word}\""),
            format!("write \"{IDENTITY_ARGUMENT}\" as an argument of its own: it is replaced by the branch's identity"),
        );
        return None;
    }
    let program = directory.join(program);
    let executable =
        fs::metadata(&program).map(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0);
    match executable {
        Ok(true) => {}
        Ok(false) => {
            let remedy = format!("chmod +x {}", program.display());
            item.error(format!("{} is no program", program.display()), remedy);
            return None;
        }
        Err(error) => {
            item.error(
                format!("cannot run {}: {error}", program.display()),
                "write the path of the program, then its arguments, each a text of its own",
            );
            return None;
        }
    }
    Some(KeyCommand {
        program,
        arguments: arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect(),
        patience: PATIENCE,
    })
}

/// Where systemd has put the credential of this name.
fn credential(item: &Item<'_>) -> Option<PathBuf> {
    let name = item.string()?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        item.error(
            format!("\"{name}\" is not the name of a credential"),
            "write the name that `LoadCredential=` has before the colon",
        );
        return None;
    }
    let Some(directory) = env::var_os(CREDENTIALS_DIRECTORY) else {
        item.error(
            format!("no credentials: {CREDENTIALS_DIRECTORY} is not set"),
            format!("add `LoadCredential={name}:/etc/credstore/{name}` to the unit and let systemd start the daemon"),
        );
        return None;
    };
    Some(Path::new(&directory).join(name))
}

fn read_file(item: &Item<'_>, path: &Path) -> Option<Vec<u8>> {
    match read_bounded(path) {
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

/// A file that is no longer than a key, and its mode. A pipe or a device could keep us for ever.
fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let limit = u64::try_from(MAX_KEY_LEN).unwrap_or(u64::MAX);
    let mut octets = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut octets)?;
    if MAX_KEY_LEN < octets.len() {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is too long for a key",
        ));
    }
    Ok((octets, metadata.mode()))
}

/// Editors end a file with a newline that is not part of the key.
pub(crate) fn without_newline(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

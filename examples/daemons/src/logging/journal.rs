//! The journal, as systemd's documentation of its native protocol has it: one datagram an entry, a field a line.
//!
//! The text of an entry says everything that a line on standard error would, and each value is a field besides, so
//! that `journalctl VPN_PEER=branch1` finds what concerns one peer.

use core::fmt::{Debug, Write as _};
use std::env;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SOCKET: &str = "/run/systemd/journal/socket";
/// What systemd sets to the device and inode of the stream that it has connected to the journal.
const STREAM: &str = "JOURNAL_STREAM";
/// Fields of our own begin with this.
const PREFIX: &str = "VPN_";
/// The longest value, in octets; a datagram has its limits.
const MAX_VALUE: usize = 8192;

/// Sends entries to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    identifier: String,
}

impl Journal {
    /// The journal, if standard error is connected to it; not if somebody has sent it elsewhere.
    pub(super) fn behind_stderr() -> Option<Self> {
        let stream = env::var(STREAM).ok()?;
        let stderr = std::fs::metadata("/dev/stderr").ok()?;
        if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        Self::at(Path::new(SOCKET)).ok()
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // Nobody waits for a journal that is slow; it is asked now so that an absent one is noticed.
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        let program = env::args_os().next().unwrap_or_default();
        let identifier = Path::new(&program).file_name().unwrap_or_default();
        Ok(Self {
            socket,
            path: path.to_owned(),
            identifier: identifier.to_string_lossy().into_owned(),
        })
    }

    fn send(&self, entry: &[u8]) {
        let sent = self.socket.send(entry);
        // A journal that has been started again has another socket under the same name.
        if sent.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            let _ = self.socket.send_to(entry, &self.path);
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::default();
        event.record(&mut entry);
        let Entry {
            mut message,
            details,
            mut octets,
        } = entry;
        message.push_str(&details);
        put(&mut octets, "MESSAGE", &message);
        put(&mut octets, "PRIORITY", priority(*metadata.level()));
        put(&mut octets, "SYSLOG_IDENTIFIER", &self.identifier);
        put(&mut octets, "TARGET", metadata.target());
        self.send(&octets);
    }
}

/// The levels of syslog, RFC 5424 section 6.2.1.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// One entry while its fields are visited.
#[derive(Debug, Default)]
struct Entry {
    message: String,
    /// Every field but the message, as a line on standard error has them.
    details: String,
    octets: Vec<u8>,
}

impl Entry {
    fn take(&mut self, field: &Field, shown: &str, plain: &str) {
        if field.name() == "message" {
            plain.clone_into(&mut self.message);
        } else {
            // Writing to a String does not fail.
            let _ = write!(self.details, " {}={shown}", field.name());
            put(&mut self.octets, &field_name(field.name()), plain);
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &format!("{value:?}"), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.take(field, &text, &text);
    }
}

/// Capitals, digits and underscores are what the journal takes.
fn field_name(name: &str) -> String {
    let letters = name.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    PREFIX.chars().chain(letters).collect()
}

/// A field with its length before it: so no value can pass for another field.
fn put(octets: &mut Vec<u8>, name: &str, value: &str) {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = value.get(..end).unwrap_or_default();
    octets.extend_from_slice(name.as_bytes());
    octets.push(b'\n');
    octets.extend_from_slice(&(value.len() as u64).to_le_bytes());
    octets.extend_from_slice(value.as_bytes());
    octets.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What journald makes of a datagram.
    fn fields(mut octets: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !octets.is_empty() {
            let newline = octets.iter().position(|octet| *octet == b'\n').unwrap();
            let (name, rest) = octets.split_at(newline);
            let (len, rest) = rest[1..].split_first_chunk::<8>().unwrap();
            let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*len)).unwrap());
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
            fields.insert(text(name), text(value));
            octets = rest.strip_prefix(b"\n").unwrap();
        }
        fields
    }

    #[test]
    fn an_entry_reads_like_a_line_and_has_fields() {
        let path = env::temp_dir().join(format!("daemons-journal-{}.sock", std::process::id()));
        let journald = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let failure = "a reason\nPRIORITY=0\nVPN_PEER=forged";
            tracing::warn!(peer = "branch1", rtt = 3, failure, "pair down");
        });
        let mut datagram = [0; 4096];
        let len = journald.recv(&mut datagram).unwrap();
        std::fs::remove_file(&path).unwrap();
        let fields = fields(&datagram[..len]);
        let value = |name: &str| fields.get(name).map(String::as_str);
        assert_eq!(
            value("MESSAGE"),
            Some(
                r#"pair down peer="branch1" rtt=3 failure="a reason\nPRIORITY=0\nVPN_PEER=forged""#
            )
        );
        assert_eq!(value("VPN_PEER"), Some("branch1"));
        assert_eq!(
            value("VPN_FAILURE"),
            Some("a reason\nPRIORITY=0\nVPN_PEER=forged")
        );
        assert_eq!(value("PRIORITY"), Some("4"));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let mut octets = Vec::new();
        put(&mut octets, "X", &"ü".repeat(MAX_VALUE));
        assert_eq!(fields(&octets).get("X").unwrap().len(), MAX_VALUE);
        let mut octets = Vec::new();
        put(&mut octets, "X", &format!("a{}", "ü".repeat(MAX_VALUE)));
        assert_eq!(fields(&octets).get("X").unwrap().len(), MAX_VALUE - 1);
    }
}

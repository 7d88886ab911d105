//! The control socket: one JSON object a line, both ways.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::broadcast::error::RecvError;
use tracing::debug;

use super::{Ask, Departure};
use crate::handover::{Handover, Piece};
use crate::io::SystemError;
use crate::roll::Line;
use crate::status::Status;

/// The longest request, in octets.
const MAX_REQUEST: u64 = 4096;
/// How long a client may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long reading the settings again may take, a key store that is slow included.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// One line on the control socket.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Request {
    /// Asks for the [`Status`].
    Status,
    /// Asks for the settings to be read again.
    Reload,
    /// Asks for the daemon's descriptors; it goes on until it is told to depart.
    Takeover,
    /// After a takeover over the same connection: asks it to stop at once.
    Depart,
    /// Asks for everything that happens from now on, a line each, until the client goes.
    Events,
}

/// The answer, one line as well. A daemon gives a status that it writes as it goes along.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Answer<S = Status<'static>> {
    /// What was asked for.
    Status(S),
    /// What reading the settings again has come to.
    Reload(Reloading),
    /// What comes with this line, in the order of the descriptors.
    Estate(Vec<Piece>),
    /// The daemon has stopped; what it knew of its branches.
    Departed(Vec<Line>),
    /// Why there is no answer.
    Error(String),
}

/// What reading the settings again has come to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reloading {
    /// They are in use.
    Applied {
        /// What has changed, in one line.
        summary: String,
        /// What a person should know about them, with lines of the file; empty where there is nothing.
        findings: String,
    },
    /// Everything stays as it was; why, with lines of the file.
    Refused(String),
}

/// Has the daemon behind the control socket read its settings again, and waits until it has.
///
/// # Errors
///
/// [`SystemError`] says what to do.
pub fn ask_reload(control: &Path) -> Result<Reloading, SystemError> {
    match ask(control, &Request::Reload, RELOAD_PATIENCE)? {
        Answer::Reload(reloading) => Ok(reloading),
        other => Err(failed(control, other.unexpected())),
    }
}

/// Asks the daemon behind the control socket for its status.
///
/// # Errors
///
/// [`SystemError`] says what to do.
pub fn ask_status(control: &Path) -> Result<Status<'static>, SystemError> {
    match ask(control, &Request::Status, PATIENCE)? {
        Answer::Status(status) => Ok(status),
        other => Err(failed(control, other.unexpected())),
    }
}

fn ask(control: &Path, asked: &Request, patience: Duration) -> Result<Answer, SystemError> {
    let ask = || -> io::Result<Answer> {
        let mut lines = request(control, asked, Some(patience))?;
        let line = lines.next().transpose()?.unwrap_or_default();
        Ok(serde_json::from_str(&line)?)
    };
    ask().map_err(|error| failed(control, error))
}

impl Answer {
    pub(crate) fn unexpected(self) -> io::Error {
        match self {
            Self::Error(error) => io::Error::other(error),
            Self::Status(_) | Self::Reload(_) | Self::Estate(_) | Self::Departed(_) => {
                io::Error::other("an answer to something else")
            }
        }
    }
}

/// What happens at the daemon behind the control socket, one JSON object a line, for as long as both live.
///
/// # Errors
///
/// [`SystemError`] says what to do.
pub fn follow_events(
    control: &Path,
) -> Result<impl Iterator<Item = io::Result<String>> + use<>, SystemError> {
    request(control, &Request::Events, None).map_err(|error| failed(control, error))
}

fn failed(control: &Path, error: io::Error) -> SystemError {
    let action = format!("ask the daemon at {}", control.display());
    let remedy = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "it does not run: start it with `run`"
        }
        io::ErrorKind::PermissionDenied => "run this as the same user, usually root",
        _ => "look at the daemon's log",
    };
    SystemError::new(action, error, remedy)
}

fn request(
    control: &Path,
    request: &Request,
    patience: Option<Duration>,
) -> io::Result<io::Lines<io::BufReader<UnixStream>>> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(patience)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(io::BufReader::new(stream).lines())
}

/// Opens the socket; in place of one that a killed daemon has left, or as a predecessor has handed it over.
pub(super) fn bind(path: &Path, handover: &mut Handover) -> Result<UnixListener, SystemError> {
    let ours = |piece: &Piece| matches!(piece, Piece::Control { path: theirs } if theirs == path);
    if let Some((_, fd)) = handover.take(ours) {
        return Ok(fd.into());
    }
    let refused = |error: io::Error, remedy: &str| {
        SystemError::new(
            format!("open the control socket {}", path.display()),
            error,
            remedy,
        )
    };
    if UnixStream::connect(path).is_ok() {
        let error = io::ErrorKind::AddrInUse.into();
        return Err(refused(
            error,
            "the daemon runs already: stop it, or set another `control`",
        ));
    }
    // What is left of a daemon that was killed; anything but a socket stays where it is.
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(path).map_err(|error| refused(error, "remove it by hand"))?;
    }
    let bind = || {
        // The socket must at no moment be open to others.
        let umask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        let listener = UnixListener::bind(path);
        rustix::process::umask(umask);
        let listener = listener?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| {
        refused(
            error,
            "set `control` to a path whose directory exists and can be written",
        )
    })
}

/// Serves the socket for ever.
pub(super) async fn serve(control: UnixListener, ask: Ask) -> io::Result<()> {
    let control = tokio::net::UnixListener::from_std(control)?;
    loop {
        match control.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, ask.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: do not spin.
                debug!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers line by line until the client goes, errs or dawdles.
async fn converse(mut stream: tokio::net::UnixStream, ask: Ask) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut has_taken = false;
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(MAX_REQUEST);
        let read = limited.read_until(b'\n', &mut line);
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(len)) if 0 < len && line.ends_with(b"\n") => {}
            _ => return,
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(Request::Status) => match ask.snapshot().await {
                Some(snapshot) => {
                    if write_at_once(&mut writer, snapshot.status_line())
                        .await
                        .is_none()
                    {
                        return;
                    }
                    continue;
                }
                None => ending(),
            },
            Ok(Request::Reload) => ask.reload().await.map_or_else(ending, Answer::Reload),
            Ok(Request::Takeover) => match ask.takeover().await {
                Some(handover) => {
                    has_taken = true;
                    if hand_over(&mut writer, &handover).await.is_none() {
                        return;
                    }
                    continue;
                }
                None => ending(),
            },
            Ok(Request::Depart) if has_taken => match ask.depart().await {
                Some(Departure { roll, gone }) => {
                    let departed: Answer = Answer::Departed(roll);
                    let written = write_line(&mut writer, &departed).await;
                    // The main loop waits for this, and goes on if nobody has its roll.
                    let _ = gone.send(written.is_some());
                    return;
                }
                None => ending(),
            },
            Ok(Request::Depart) => Answer::Error("nobody has taken over".to_owned()),
            Ok(Request::Events) => {
                let mut nothing = [0];
                tokio::select! {
                    () = tell(&mut writer, &ask) => {}
                    // Whoever listens says no more; that it has gone shows here.
                    _ = reader.read(&mut nothing) => {}
                }
                return;
            }
            Err(error) => Answer::Error(format!("not a request: {error}")),
        };
        if write_line(&mut writer, &answer).await.is_none() {
            return;
        }
    }
}

/// Writes what there is to take over, the descriptors with its first octets.
async fn hand_over(
    writer: &mut tokio::net::unix::WriteHalf<'_>,
    handover: &Handover,
) -> Option<()> {
    let estate: Answer = Answer::Estate(handover.pieces());
    let mut line = serde_json::to_vec(&estate).ok()?;
    line.push(b'\n');
    let sent = loop {
        writer.writable().await.ok()?;
        let stream: &tokio::net::UnixStream = writer.as_ref();
        let send = || handover.send(stream.as_fd(), &line);
        match stream.try_io(tokio::io::Interest::WRITABLE, send) {
            Ok(sent) => break sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                debug!(%error, "cannot hand over");
                return None;
            }
        }
    };
    writer.write_all(line.get(sent..)?).await.ok()
}

/// Writes a line that may be long. The socket takes it as a whole, as far as the system lets it: a client that waits for the
/// processor then does so once, not for every part.
async fn write_at_once(
    writer: &mut tokio::net::unix::WriteHalf<'_>,
    line: Option<&[u8]>,
) -> Option<()> {
    let line = line?;
    let stream: &tokio::net::UnixStream = writer.as_ref();
    if sockopt::socket_send_buffer_size(stream).is_ok_and(|size| size < line.len()) {
        // With a smaller one it only takes longer.
        let _ = sockopt::set_socket_send_buffer_size(stream, line.len());
    }
    writer.write_all(line).await.ok()
}

fn ending() -> Answer {
    Answer::Error("the daemon is ending".to_owned())
}

/// Writes what happens, a line each, until the client goes or is too slow.
async fn tell(writer: &mut (impl tokio::io::AsyncWrite + Unpin), ask: &Ask) {
    let mut facts = ask.facts.subscribe();
    loop {
        let written = match facts.recv().await {
            Ok(fact) => write_line(writer, &*fact).await,
            Err(RecvError::Lagged(lost)) => {
                let lost: Answer = Answer::Error(format!("{lost} events lost: read faster"));
                write_line(writer, &lost).await
            }
            Err(RecvError::Closed) => None,
        };
        if written.is_none() {
            return;
        }
    }
}

async fn write_line(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    line: &impl Serialize,
) -> Option<()> {
    let mut octets = serde_json::to_vec(line).ok()?;
    octets.push(b'\n');
    writer.write_all(&octets).await.ok()
}

//! The control socket: one JSON object a line, both ways.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::broadcast::error::RecvError;
use tracing::debug;

use super::Ask;
use crate::io::SystemError;
use crate::status::Status;

/// The longest request, in octets.
const MAX_REQUEST: u64 = 4096;
/// How long a client may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line on the control socket.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Request {
    /// Asks for the [`Status`].
    Status,
    /// Asks for everything that happens from now on, a line each, until the client goes.
    Events,
}

/// The answer, one line as well.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Answer {
    /// What was asked for.
    Status(Status),
    /// Why there is no answer.
    Error(String),
}

/// Asks the daemon behind the control socket for its status.
///
/// # Errors
///
/// [`SystemError`] says what to do.
pub fn ask_status(control: &Path) -> Result<Status, SystemError> {
    let ask = || -> io::Result<Answer> {
        let mut lines = request(control, &Request::Status, Some(PATIENCE))?;
        let line = lines.next().transpose()?.unwrap_or_default();
        Ok(serde_json::from_str(&line)?)
    };
    match ask().map_err(|error| failed(control, error))? {
        Answer::Status(status) => Ok(status),
        Answer::Error(error) => Err(failed(control, io::Error::other(error))),
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

/// Opens the socket; in place of one that a killed daemon has left.
pub(super) fn bind(path: &Path) -> Result<UnixListener, SystemError> {
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
                Some(snapshot) => Answer::Status(snapshot.status.clone()),
                None => Answer::Error("the daemon is ending".to_owned()),
            },
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

/// Writes what happens, a line each, until the client goes or is too slow.
async fn tell(writer: &mut (impl tokio::io::AsyncWrite + Unpin), ask: &Ask) {
    let mut facts = ask.facts.subscribe();
    loop {
        let written = match facts.recv().await {
            Ok(fact) => write_line(writer, &*fact).await,
            Err(RecvError::Lagged(lost)) => {
                let lost = Answer::Error(format!("{lost} events lost: read faster"));
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

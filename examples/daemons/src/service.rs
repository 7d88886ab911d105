//! The second thread: the control socket and the metrics page, answered from snapshots.
//!
//! It never touches the machine. It asks the main loop, which answers between two batches, so that
//! neither can disturb the other.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::io::SystemError;
use crate::metrics;
use crate::snapshot::Snapshot;
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

type Asked = oneshot::Sender<Arc<Snapshot>>;

/// What the main loop holds: who waits for a snapshot.
pub(crate) struct Service {
    asked: mpsc::Receiver<Asked>,
    wake: Arc<OwnedFd>,
    control: PathBuf,
}

/// What the second thread holds.
#[derive(Clone)]
struct Ask {
    asked: mpsc::Sender<Asked>,
    wake: Arc<OwnedFd>,
}

impl Service {
    /// Opens the control socket and, if asked for, the metrics port, and begins to serve.
    pub(crate) fn begin(control: &Path, metrics: Option<SocketAddr>) -> Result<Self, SystemError> {
        let page = metrics.map(bind_metrics).transpose()?;
        let listener = bind_control(control)?;
        let failed = |error: io::Error| {
            SystemError::new("begin to serve status", error, "check the system's limits")
        };
        let wake = Arc::new(
            eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
                .map_err(|errno| failed(errno.into()))?,
        );
        let (sender, asked) = mpsc::channel();
        let ask = Ask {
            asked: sender,
            wake: Arc::clone(&wake),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let serve = move || {
            if let Err(error) = runtime.block_on(serve(listener, page, ask)) {
                warn!(%error, "status and metrics are not served any more");
            }
        };
        thread::Builder::new()
            .name("status".to_owned())
            .spawn(serve)
            .map_err(failed)?;
        Ok(Self {
            asked,
            wake,
            control: control.to_owned(),
        })
    }

    /// Gives everybody who waits the snapshot that `take` makes; it is called only if someone does.
    pub(crate) fn answer(&self, take: impl FnOnce() -> Arc<Snapshot>) {
        let mut count = [0; 8];
        // The counter is all the same; reading it makes the descriptor quiet.
        let _ = rustix::io::read(&self.wake, &mut count);
        let waiting: Vec<_> = self.asked.try_iter().collect();
        if waiting.is_empty() {
            return;
        }
        let snapshot = take();
        for asked in waiting {
            // Whoever has gone meanwhile needs no answer.
            let _ = asked.send(Arc::clone(&snapshot));
        }
    }
}

impl AsFd for Service {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.control);
    }
}

impl Ask {
    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let (sender, answer) = oneshot::channel();
        self.asked.send(sender).ok()?;
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok()?;
        answer.await.ok()
    }
}

/// Asks the daemon behind the control socket for its status.
///
/// # Errors
///
/// [`SystemError`] says what to do.
pub fn ask_status(control: &Path) -> Result<Status, SystemError> {
    let failed = |error: io::Error| {
        let action = format!("ask the daemon at {}", control.display());
        let remedy = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "it does not run: start it with `run`"
            }
            io::ErrorKind::PermissionDenied => "run this as the same user, usually root",
            _ => "look at the daemon's log",
        };
        SystemError::new(action, error, remedy)
    };
    match request(control, &Request::Status).map_err(failed)? {
        Answer::Status(status) => Ok(status),
        Answer::Error(error) => Err(failed(io::Error::other(error))),
    }
}

fn request(control: &Path, request: &Request) -> io::Result<Answer> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    io::BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

fn bind_metrics(address: SocketAddr) -> Result<TcpListener, SystemError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| {
        let remedy =
            "another program has the port, or the machine lacks the address: correct `metrics`";
        SystemError::new(format!("serve metrics on {address}"), error, remedy)
    })
}

fn bind_control(path: &Path) -> Result<UnixListener, SystemError> {
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

async fn serve(control: UnixListener, metrics: Option<TcpListener>, ask: Ask) -> io::Result<()> {
    if let Some(listener) = metrics {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new()
            .route("/metrics", get(metrics_page))
            .with_state(ask.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                warn!(%error, "metrics are not served any more");
            }
        });
    }
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

async fn metrics_page(State(ask): State<Ask>) -> Response {
    match ask.snapshot().await {
        Some(snapshot) => (
            [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
            metrics::text(&snapshot),
        )
            .into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
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
            Err(error) => Answer::Error(format!("not a request: {error}")),
        };
        let Ok(mut octets) = serde_json::to_vec(&answer) else {
            return;
        };
        octets.push(b'\n');
        if writer.write_all(&octets).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::os::unix::fs::MetadataExt as _;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn snapshot() -> Arc<Snapshot> {
        let status = Status {
            role: "hub".into(),
            identity: "hub".into(),
            uptime_seconds: 1.0,
            peers: Vec::new(),
        };
        Arc::new(Snapshot {
            taken: UNIX_EPOCH,
            status,
            negotiations: Vec::new(),
            drops: vec![("late".into(), 1)],
        })
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("daemons-{name}-{}.sock", std::process::id()))
    }

    /// Answers as the main loop does, until `done`.
    fn answer_until(service: &Service, done: impl Fn() -> bool) {
        while !done() {
            service.answer(snapshot);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn status_comes_over_the_control_socket_as_json_lines() {
        let path = path("status");
        let service = Service::begin(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let asking = {
            let path = path.clone();
            thread::spawn(move || ask_status(&path).unwrap())
        };
        answer_until(&service, || asking.is_finished());
        assert_eq!(asking.join().unwrap().identity, "hub");
        drop(service);
        let error = ask_status(&path).unwrap_err().to_string();
        assert!(error.contains("it does not run"), "{error}");
    }

    #[test]
    fn nonsense_is_answered_and_the_next_request_too() {
        let path = path("nonsense");
        let service = Service::begin(&path, None).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream
            .write_all(b"{\"command\":\"dance\"}\n{\"command\":\"status\"}\n")
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        answer_until(&service, || reading.is_finished());
        let text = reading.join().unwrap();
        let answers: Vec<Answer> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            matches!(answers.as_slice(), [Answer::Error(_), Answer::Status(_)]),
            "{text}"
        );
    }

    #[test]
    fn a_running_daemon_is_not_replaced_and_a_dead_one_is() {
        let path = path("twice");
        let service = Service::begin(&path, None).unwrap();
        let error = Service::begin(&path, None).err().unwrap().to_string();
        assert!(error.contains("runs already"), "{error}");
        drop(service);
        // What a killed daemon leaves: a socket that nobody listens to.
        drop(UnixListener::bind(path.with_extension("dead")).unwrap());
        assert!(Service::begin(&path.with_extension("dead"), None).is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").unwrap();
        let error = Service::begin(&path, None).err().unwrap().to_string();
        assert!(error.contains("set `control`"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn metrics_come_over_http() {
        let path = path("metrics");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let service = Service::begin(&path, Some(port)).unwrap();
        let reading = thread::spawn(move || {
            let mut stream = TcpStream::connect(port).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        answer_until(&service, || reading.is_finished());
        let text = reading.join().unwrap();
        assert!(
            text.starts_with("HTTP/1.0 200") && text.contains("vpn_drops_total{reason=\"late\"} 1"),
            "{text}"
        );
        drop(service);
    }
}

//! The second thread: the control socket, the metrics and the status page, answered from snapshots.
//!
//! It never touches the machine. It asks the main loop, which answers between two batches, so that
//! neither can disturb the other.

mod control;
mod history;
mod known;
mod page;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, oneshot};
use tracing::warn;
use trigger::Event;

pub use self::control::{Answer, Reloading, Request, ask_reload, ask_status, follow_events};
use self::known::{Known, Way};
use crate::fact::Fact;
use crate::handover::{Handover, Piece};
use crate::io::SystemError;
use crate::privileges;
use crate::roll::Line;
use crate::snapshot::Snapshot;
use crate::wake::Wake;

/// Facts that a slow listener may be behind before it loses some.
const FACT_BACKLOG: usize = 1024;

/// How long the main loop may be busy before who asks is told what was known a moment ago.
const BUSY: Duration = Duration::from_millis(20);

/// Where so many pairs have come up or gone down, somebody is about to ask.
const STIRRED: u32 = 10;

/// What somebody wants of the main loop, and where the answer goes.
pub(crate) enum Asked {
    /// What there is to know.
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
    /// That the settings are read again.
    Reload(oneshot::Sender<Reloading>),
    /// What a successor needs.
    Takeover(oneshot::Sender<Handover>),
    /// That the daemon stops, as a successor has everything.
    Depart(oneshot::Sender<Departure>),
}

/// The last words of a daemon that a successor replaces.
pub(crate) struct Departure {
    /// What it knows of its branches.
    pub(crate) roll: Vec<Line>,
    /// Told whether the successor has got it.
    pub(crate) gone: mpsc::Sender<bool>,
}

/// What the main loop holds: who waits for a snapshot, and who wants to hear what happens.
pub(crate) struct Service {
    asked: mpsc::Receiver<Asked>,
    known: Known,
    facts: broadcast::Sender<Arc<Fact>>,
    wake: Wake,
    /// Has the second thread make an answer ready.
    wanted: Arc<Notify>,
    /// Pairs that have come up or gone down since it last did.
    stirred: u32,
    control: PathBuf,
    /// For a successor: the listening sockets.
    listeners: Vec<(Piece, OwnedFd)>,
    /// Whether the control socket is a successor's.
    left: bool,
}

/// What the second thread holds.
#[derive(Clone)]
struct Ask {
    asked: mpsc::Sender<Asked>,
    known: Known,
    /// Whether a snapshot is being taken that nobody waits for.
    renews: Arc<AtomicBool>,
    facts: broadcast::Sender<Arc<Fact>>,
    wake: Wake,
}

impl Service {
    /// Opens the control socket and, if asked for, the port of metrics and page, and begins to serve. `first` is told until
    /// the main loop answers.
    pub(crate) fn begin(
        control: &Path,
        metrics: Option<SocketAddr>,
        handover: &mut Handover,
        first: Option<Arc<Snapshot>>,
    ) -> Result<Self, SystemError> {
        let page = metrics
            .map(|address| page::bind(address, handover))
            .transpose()?;
        let listener = control::bind(control, handover)?;
        let failed = |error: io::Error| {
            SystemError::new("begin to serve status", error, "check the system's limits")
        };
        let mut listeners = vec![(
            Piece::Control {
                path: control.to_owned(),
            },
            listener.as_fd().try_clone_to_owned().map_err(failed)?,
        )];
        if let Some((address, page)) = metrics.zip(page.as_ref()) {
            let fd = page.as_fd().try_clone_to_owned().map_err(failed)?;
            listeners.push((Piece::Metrics { address }, fd));
        }
        let wake = Wake::new().map_err(failed)?;
        let (sender, asked) = mpsc::channel();
        let (facts, _) = broadcast::channel(FACT_BACKLOG);
        let known = Known::default();
        if let Some(first) = first {
            known.remember(first);
        }
        let ask = Ask {
            asked: sender,
            known: known.clone(),
            renews: Arc::default(),
            facts: facts.clone(),
            wake: wake.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let wanted = Arc::<Notify>::default();
        let heard = Arc::clone(&wanted);
        let serve = async move {
            tokio::spawn(make_ready(heard, ask.clone()));
            if let Some(listener) = page {
                tokio::spawn(page::serve(listener, ask.clone()));
            }
            control::serve(listener, ask).await
        };
        let run = move || {
            // Everything is open; where the system gave it nothing, there is nothing to give up.
            let _ = privileges::give_up_own();
            if let Err(error) = runtime.block_on(serve) {
                warn!(%error, "status and metrics are not served any more");
            }
        };
        thread::Builder::new()
            .name("status".to_owned())
            .spawn(run)
            .map_err(failed)?;
        Ok(Self {
            asked,
            known,
            facts,
            wake,
            wanted,
            stirred: 0,
            control: control.to_owned(),
            listeners,
            left: false,
        })
    }

    /// Everything that happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Fact>> {
        self.facts.subscribe()
    }

    /// Gives everybody who waits the snapshot that `take` makes; it is called only if someone does. Returns
    /// what else is wanted.
    pub(crate) fn answer(&self, take: impl FnOnce() -> Arc<Snapshot>) -> Vec<Asked> {
        self.wake.quiet();
        let (mut waiting, mut others) = (Vec::new(), Vec::new());
        for asked in self.asked.try_iter() {
            match asked {
                Asked::Snapshot(sender) => waiting.push(sender),
                other => others.push(other),
            }
        }
        if !waiting.is_empty() {
            let snapshot = take();
            for sender in waiting {
                // Whoever has gone meanwhile needs no answer.
                let _ = sender.send(Arc::clone(&snapshot));
            }
        }
        others
    }

    /// Has an answer made ready although nobody asks.
    pub(crate) fn prepare(&mut self) {
        self.stirred = 0;
        self.wanted.notify_one();
    }

    /// Takes note of what has happened. While pairs come and go, an answer is kept ready, as the first who asks would wait
    /// longest then; where nothing happens, it costs nothing.
    pub(crate) fn note(&mut self, event: &Event) {
        if !matches!(event, Event::PairUp { .. } | Event::PairDown { .. }) {
            return;
        }
        self.stirred = self.stirred.saturating_add(1);
        if STIRRED <= self.stirred && self.known.is_rested() {
            self.prepare();
        }
    }

    /// What was known is true no more: nobody is told it.
    pub(crate) fn forget(&self) {
        self.known.forget();
    }

    /// What a successor is handed.
    pub(crate) fn pieces(&self) -> io::Result<Vec<(Piece, OwnedFd)>> {
        let listeners = self.listeners.iter();
        listeners
            .map(|(piece, fd)| Ok((piece.clone(), fd.try_clone()?)))
            .collect()
    }

    /// Leaves the control socket to a successor.
    pub(crate) fn leave(&mut self) {
        self.left = true;
    }

    /// Wakes the main loop for what other threads have for it.
    pub(crate) fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Tells everybody who listens what has happened; `make` is called only if someone does.
    pub(crate) fn publish(&self, make: impl FnOnce() -> Option<Fact>) {
        if 0 < self.facts.receiver_count()
            && let Some(fact) = make()
        {
            // The last listener may have gone meanwhile.
            let _ = self.facts.send(Arc::new(fact));
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
        if !self.left {
            // Somebody else may have removed it.
            let _ = fs::remove_file(&self.control);
        }
    }
}

/// Makes an answer ready whenever the main loop says so.
async fn make_ready(wanted: Arc<Notify>, ask: Ask) {
    loop {
        wanted.notified().await;
        ask.renew();
    }
}

impl Ask {
    /// What there is to know now; where the main loop is busy, a moment ago.
    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let known = match self.known.way() {
            Way::Tell(known) => return Some(known),
            Way::TellAndRenew(known) => {
                self.renew();
                return Some(known);
            }
            Way::Wait(known) => known,
        };
        let mut fresh = pin!(self.fresh());
        if let Ok(fresh) = tokio::time::timeout(BUSY, &mut fresh).await {
            return fresh;
        }
        match known {
            Some(known) => Some(known),
            None => fresh.await,
        }
    }

    /// What there is to know now, for others as well.
    async fn fresh(&self) -> Option<Arc<Snapshot>> {
        let snapshot = self.ask(Asked::Snapshot).await?;
        self.known.remember(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// Takes and writes a snapshot while nobody waits for it, unless that is being done.
    fn renew(&self) {
        if self.renews.swap(true, Ordering::Relaxed) {
            return;
        }
        let ask = self.clone();
        tokio::spawn(async move {
            if let Some(snapshot) = ask.ask(Asked::Snapshot).await {
                let written = Arc::clone(&snapshot);
                // Whoever asks meanwhile is told what is there.
                let _ = tokio::task::spawn_blocking(move || written.status_line().is_some()).await;
                ask.known.remember(snapshot);
            }
            ask.renews.store(false, Ordering::Relaxed);
        });
    }

    async fn reload(&self) -> Option<Reloading> {
        self.ask(Asked::Reload).await
    }

    async fn takeover(&self) -> Option<Handover> {
        self.ask(Asked::Takeover).await
    }

    async fn depart(&self) -> Option<Departure> {
        self.ask(Asked::Depart).await
    }

    async fn ask<T>(&self, asked: impl FnOnce(oneshot::Sender<T>) -> Asked) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.asked.send(asked(sender)).ok()?;
        self.wake.up();
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::fact::FactKind;

    fn snapshot() -> Arc<Snapshot> {
        Arc::new(Snapshot::example())
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
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
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
    fn a_main_loop_that_is_busy_keeps_nobody_waiting_who_was_answered_a_moment_ago() {
        let path = path("busy");
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let ask = || {
            let path = path.clone();
            thread::spawn(move || ask_status(&path).unwrap())
        };
        let first = ask();
        while !first.is_finished() {
            service.answer(lasting);
            thread::sleep(Duration::from_millis(1));
        }
        // Nobody answers any more; the test would hang if anybody waited for it.
        assert_eq!(ask().join().unwrap().identity, "hub");
        service.forget();
        let late = ask();
        thread::sleep(4 * BUSY);
        assert!(!late.is_finished(), "what was forgotten is not told");
        answer_until(&service, || late.is_finished());
    }

    #[test]
    fn a_daemon_that_begins_has_an_answer_before_its_main_loop_does() {
        let path = path("first");
        let handover = &mut Handover::default();
        let _service = Service::begin(&path, None, handover, Some(lasting())).unwrap();
        assert_eq!(ask_status(&path).unwrap().identity, "hub");
    }

    /// One that is as good as new for as long as the test takes.
    fn lasting() -> Arc<Snapshot> {
        Arc::new(Snapshot {
            began: clock::now() + Duration::from_secs(3600),
            ..Snapshot::example()
        })
    }

    #[test]
    fn while_pairs_come_and_go_an_answer_is_ready_that_nobody_has_asked_for() {
        let path = path("ready");
        let mut service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let pair = crate::snapshot::tests::snapshot().names.pairs().next();
        let up = Event::PairUp {
            pair: pair.unwrap(),
            rtt: None,
        };
        for _ in 1..STIRRED {
            service.note(&up);
        }
        thread::sleep(Duration::from_millis(50));
        service.answer(|| panic!("a few pairs are no reason"));
        service.note(&up);
        while matches!(service.known.way(), Way::Wait(None)) {
            service.answer(lasting);
            thread::sleep(Duration::from_millis(1));
        }
        // Nobody answers any more; the test would hang if anybody waited for it.
        assert_eq!(ask_status(&path).unwrap().identity, "hub");
    }

    #[test]
    fn nonsense_is_answered_and_the_next_request_too() {
        let path = path("nonsense");
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
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
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let error = Service::begin(&path, None, &mut Handover::default(), None)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("runs already"), "{error}");
        drop(service);
        // What a killed daemon leaves: a socket that nobody listens to.
        drop(UnixListener::bind(path.with_extension("dead")).unwrap());
        assert!(
            Service::begin(
                &path.with_extension("dead"),
                None,
                &mut Handover::default(),
                None
            )
            .is_ok()
        );
    }

    #[test]
    fn a_file_in_the_way_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").unwrap();
        let error = Service::begin(&path, None, &mut Handover::default(), None)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("set `control`"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(path).unwrap();
    }

    /// What one HTTP request is answered with.
    fn get(name: &str, request: &'static str) -> String {
        let path = path(name);
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let service = Service::begin(&path, Some(port), &mut Handover::default(), None).unwrap();
        let reading = thread::spawn(move || {
            let mut stream = TcpStream::connect(port).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            write!(stream, "GET {request} HTTP/1.0\r\n\r\n").unwrap();
            let mut octets = Vec::new();
            // A stream of events does not end by itself.
            let _ = stream.read_to_end(&mut octets);
            String::from_utf8(octets).unwrap()
        });
        answer_until(&service, || reading.is_finished());
        reading.join().unwrap()
    }

    #[test]
    fn metrics_come_over_http() {
        let text = get("metrics", "/metrics");
        assert!(
            text.starts_with("HTTP/1.0 200")
                && text.contains("vpn_drops_total{reason=\"outer_send\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn the_page_may_load_nothing_from_elsewhere() {
        for page in ["/", "/peer/branch1"] {
            let text = get("page", page);
            assert!(
                text.starts_with("HTTP/1.0 200")
                    && text.contains("content-security-policy: default-src 'none'"),
                "{text}"
            );
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{text}"
            );
        }
    }

    #[test]
    fn changes_begin_with_everything() {
        let text = get("changes", "/changes");
        assert!(
            text.contains("text/event-stream")
                && text.contains("event: all\ndata: {\"role\":\"hub\""),
            "{text}"
        );
    }

    #[test]
    fn nobody_has_the_history_of_a_stranger() {
        let text = get("history", "/history/stranger");
        assert!(text.starts_with("HTTP/1.0 404"), "{text}");
    }

    #[test]
    fn events_come_over_the_control_socket_until_the_client_goes() {
        let path = path("events");
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let mut events = follow_events(&path).unwrap();
        let fact = || Fact {
            at: 1.5,
            event: FactKind::PairUp,
            peer: "branch1".to_owned(),
            pair: None,
            detail: None,
        };
        let reading = thread::spawn(move || {
            let line = events.next().unwrap().unwrap();
            drop(events);
            line
        });
        // Nobody hears what happens before the request has come in.
        while !reading.is_finished() {
            service.publish(|| Some(fact()));
            thread::sleep(Duration::from_millis(1));
        }
        let line = reading.join().unwrap();
        assert_eq!(line, r#"{"at":1.5,"event":"pair_up","peer":"branch1"}"#);
        let gone = || service.facts.receiver_count() == 0;
        for _ in 0..1000 {
            if gone() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert!(gone(), "who has gone is not told any more");
    }
}

//! HTTP: Prometheus text at `/metrics`, and the status page at `/`, with a page for each peer at `/peer/IDENTITY`.
//!
//! Read-only, without secrets, and complete in itself: no script, style or font comes from elsewhere. The page
//! keeps itself up to date by server-sent events: everything first, and then once a second what has changed.

use core::convert::Infallible;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;
use tracing::warn;

use super::Ask;
use super::history::History;
use crate::fact::unix_seconds;
use crate::handover::{Handover, Piece};
use crate::io::SystemError;
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::status::{PairStatus, PeerStatus, Status};

/// How often the page looks at the daemon.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Updates that a slow browser may be behind before it is sent everything anew.
const UPDATE_BACKLOG: usize = 16;
/// Browsers that may listen at a time.
const LISTENERS: usize = 64;

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every request needs.
#[derive(Clone)]
struct Page {
    ask: Ask,
    history: Arc<Mutex<History>>,
    updates: broadcast::Sender<Arc<str>>,
    listeners: Arc<Semaphore>,
}

/// Everything that the page shows.
#[derive(Serialize)]
struct Whole<'a> {
    role: &'a str,
    identity: &'a str,
    /// Unix times in seconds, as all here.
    now: f64,
    began: f64,
    peers: Vec<Peer<'a>>,
}

#[derive(Serialize)]
struct Peer<'a> {
    identity: &'a str,
    address: Option<SocketAddr>,
    nat: bool,
    ike: &'a str,
    ike_proposal: Option<&'a str>,
    legacy: bool,
    last_failure: Option<&'a str>,
    pairs: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    local: &'a str,
    remote: &'a str,
    state: &'a str,
    esp: Option<&'a str>,
    /// When a reply last came back.
    proof: Option<f64>,
    rtt_ms: Option<f64>,
    reach: &'a str,
    bytes_in: u64,
    bytes_out: u64,
    last_failure: Option<&'a str>,
}

/// What each peer's part of the page said last.
#[derive(Debug, Default)]
struct Board(BTreeMap<String, String>);

/// Opens the port.
pub(super) fn bind(
    address: SocketAddr,
    handover: &mut Handover,
) -> Result<TcpListener, SystemError> {
    if let Some((_, fd)) = handover.take(|piece| *piece == Piece::Metrics { address }) {
        return Ok(fd.into());
    }
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

/// Serves until the daemon ends.
pub(super) async fn serve(listener: TcpListener, ask: Ask) {
    let page = Page {
        ask,
        history: Arc::default(),
        updates: broadcast::channel(UPDATE_BACKLOG).0,
        listeners: Arc::new(Semaphore::new(LISTENERS)),
    };
    let router = Router::new()
        .route("/metrics", get(prometheus))
        .route("/", get(html))
        .route("/peer/{identity}", get(html))
        .route("/page.css", get(style))
        .route("/page.js", get(script))
        .route("/changes", get(changes))
        .route("/history/{identity}", get(history))
        .with_state(page.clone());
    tokio::spawn(watch(page));
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        warn!(%error, "metrics and status page are not served any more");
    }
}

/// Looks at the daemon once a second: for the history, and for who listens.
async fn watch(page: Page) {
    let mut board = Board::default();
    let mut facts = page.ask.facts.subscribe();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let Some(snapshot) = page.ask.snapshot().await else {
                    return;
                };
                page.look(&mut board, &snapshot);
            }
            fact = facts.recv() => match fact {
                Ok(fact) => page.history().hear(fact),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

impl Page {
    fn history(&self) -> MutexGuard<'_, History> {
        // It holds nothing that a panic could leave half done.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, board: &mut Board, snapshot: &Snapshot) {
        let unix = snapshot.taken.duration_since(UNIX_EPOCH);
        let whole_seconds = unix.map_or(0, |since| since.as_secs());
        let status = snapshot.status();
        self.history().look(whole_seconds, &status);
        let now = unix_seconds(snapshot.taken);
        if self.updates.receiver_count() == 0 {
            board.0.clear();
        } else if let Some(update) = board.update(now, &status.peers) {
            // The last browser may have gone meanwhile.
            let _ = self.updates.send(update.into());
        }
    }
}

impl Board {
    /// A JSON array of the peers that have changed; `None` if none has.
    fn update(&mut self, now: f64, peers: &[PeerStatus<'_>]) -> Option<String> {
        let mut changed = Vec::new();
        for peer in peers {
            let text = serde_json::to_string(&Peer::of(now, peer)).ok()?;
            if self.0.get(&*peer.identity) != Some(&text) {
                self.0.insert(peer.identity.to_string(), text.clone());
                changed.push(text);
            }
        }
        (!changed.is_empty()).then(|| format!("[{}]", changed.join(",")))
    }
}

impl<'a> Whole<'a> {
    fn of(taken: SystemTime, status: &'a Status<'a>) -> Self {
        let now = unix_seconds(taken);
        Self {
            role: &status.role,
            identity: &status.identity,
            now,
            began: (now - status.uptime_seconds).round(),
            peers: status
                .peers
                .iter()
                .map(|peer| Peer::of(now, peer))
                .collect(),
        }
    }
}

impl<'a> Peer<'a> {
    fn of(now: f64, peer: &'a PeerStatus<'a>) -> Self {
        Self {
            identity: &peer.identity,
            address: peer.address,
            nat: peer.nat,
            ike: &peer.ike,
            ike_proposal: peer.ike_proposal.as_deref(),
            legacy: peer.legacy,
            last_failure: peer.last_failure.as_deref(),
            pairs: peer.pairs.iter().map(|pair| Pair::of(now, pair)).collect(),
        }
    }
}

impl<'a> Pair<'a> {
    fn of(now: f64, pair: &'a PairStatus<'a>) -> Self {
        Self {
            name: &pair.name,
            local: &pair.local,
            remote: &pair.remote,
            state: &pair.state,
            esp: pair.esp.as_deref(),
            // Whole seconds: it is not news that the same proof is another second old.
            proof: pair.last_proof_seconds.map(|ago| (now - ago).round()),
            rtt_ms: pair.rtt_ms,
            reach: &pair.path_reach,
            bytes_in: pair.bytes_in,
            bytes_out: pair.bytes_out,
            last_failure: pair.last_failure.as_deref(),
        }
    }
}

async fn prometheus(State(page): State<Page>) -> Response {
    match page.ask.snapshot().await {
        Some(snapshot) => (
            [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
            metrics::text(&snapshot),
        )
            .into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn html() -> Response {
    asset("text/html; charset=utf-8", HTML)
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    ([(header::CONTENT_TYPE, kind)], HEADERS, text).into_response()
}

/// Server-sent events: `all` once, and `changes` from then on. A browser that falls behind is cut off; it
/// connects again by itself and is given everything anew.
async fn changes(State(page): State<Page>) -> Response {
    let Ok(permit) = Arc::clone(&page.listeners).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // First the subscription: what changes meanwhile is told twice rather than never.
    let updates = BroadcastStream::new(page.updates.subscribe());
    let Some(snapshot) = page.ask.snapshot().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(whole) = serde_json::to_string(&Whole::of(snapshot.taken, &snapshot.status())) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let event =
        |name: &str, data: &str| Ok::<_, Infallible>(Event::default().event(name).data(data));
    let all = tokio_stream::once(event("all", &whole));
    let changes = updates.map_while(Result::ok).map(move |update| {
        let _permit = &permit;
        event("changes", &update)
    });
    Sse::new(all.chain(changes))
        .keep_alive(KeepAlive::default())
        .into_response()
}

async fn history(State(page): State<Page>, Path(identity): Path<String>) -> Response {
    let history = page.history();
    match history
        .page(&identity)
        .map(|page| serde_json::to_string(&page))
    {
        Some(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

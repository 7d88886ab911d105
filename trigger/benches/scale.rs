//! What one event costs a hub, by the number of its branches: it must not grow with it.
//!
//! Branches are established through the machines themselves, in a group whose exponentiations cost nothing. Each event is
//! another branch's, in no order, so that what it needs is as cold as in a hub whose branches take turns.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::std_instead_of_core,
    clippy::disallowed_methods,
    unreachable_pub,
    unused_qualifications,
    reason = "a bench may panic, print and look at the clock"
)]

#[path = "../tests/crowd/mod.rs"]
mod crowd;

use std::cell::RefCell;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use crowd::{Crowd, Inbound, Setup};
use trigger::{Carrier, Datagram, DatagramError, Encapsulated, MAX_OVERHEAD, Received, Transmit};

/// The smaller crowd.
const FEW: u32 = 100;
/// The larger crowd, unless `SCALE_BRANCHES` says otherwise.
const MANY: u32 = 100_000;
/// Datagrams that a driver receives together: as many as quinn-udp, and so the hub's daemon, takes in one system call.
const BATCH: usize = 32;
/// Branches of a crowd that go on to speak.
const SPEAKERS: u32 = 4_096;
/// How much more an event may cost in the larger crowd.
const FLAT: f64 = 1.5;
/// Timers in one sample at most.
const MOST_TIMERS: u64 = 300;
/// What a read may take of the hub's time.
const READ: Duration = Duration::from_micros(50);

/// A kind of event.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Runs about that many events.
    run: fn(&mut Crowd, u64) -> Measured,
}

/// How long the hub took for how many events.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    took: Duration,
    events: u64,
}

impl Measured {
    /// Runs `events` more of them.
    fn add(&mut self, events: usize, run: impl FnOnce()) {
        timed(&mut self.took, run);
        self.events += events as u64;
    }

    /// What `count` of them take.
    fn of(self, count: u64) -> Duration {
        self.took.mul_f64(count as f64 / self.events as f64)
    }
}

const KINDS: [Kind; 9] = [
    Kind {
        name: TIMERS,
        run: timeouts,
    },
    Kind {
        name: "poll_timeout",
        run: poll_timeouts,
    },
    Kind {
        name: "ESP probe and answer",
        run: |crowd, count| asked(crowd, count, false, 1),
    },
    Kind {
        name: "ESP probes in batches",
        run: |crowd, count| asked(crowd, count, false, BATCH),
    },
    Kind {
        name: "IKE DPD exchange",
        run: |crowd, count| asked(crowd, count, true, 1),
    },
    Kind {
        name: "IKE DPD in batches",
        run: |crowd, count| asked(crowd, count, true, BATCH),
    },
    Kind {
        name: "encapsulate a read",
        run: |crowd, count| reads(crowd, count, Half::Sealing, 1),
    },
    Kind {
        name: "read: encapsulate and open",
        run: |crowd, count| reads(crowd, count, Half::Both, 1),
    },
    Kind {
        name: "reads opened in batches",
        run: |crowd, count| reads(crowd, count, Half::Both, BATCH),
    },
];

const TIMERS: &str = "timeout: one due";

/// A function of its own, so that a tool can be told to count nothing else.
#[inline(never)]
fn timed<T>(total: &mut Duration, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    *total += start.elapsed();
    result
}

/// One timer after the other, each at its own time: the hub asks a silent branch whether it lives. A timer that had
/// another outcome is not counted, for how many of those there are depends on how many branches of a crowd still speak.
/// Where many are wanted, a part stands for them: in a small crowd, hours pass with them, and SAs end.
fn timeouts(crowd: &mut Crowd, count: u64) -> Measured {
    let (mut total, mut asked, wanted) = (Duration::ZERO, 0, count.clamp(1, MOST_TIMERS));
    while asked < wanted {
        let due = crowd.hub.poll_timeout().unwrap();
        crowd.now = crowd.now.max(due);
        let now = crowd.now;
        let mut took = Duration::ZERO;
        let mut sent: Vec<Transmit> = timed(&mut took, || {
            crowd.hub.handle_timeout(now);
            crowd.hub.poll_transmit()
        })
        .into_iter()
        .collect();
        sent.extend(std::iter::from_fn(|| crowd.hub.poll_transmit()));
        if !sent.is_empty() {
            total += took;
            asked += sent.len() as u64;
        }
        for transmit in sent {
            answer(crowd, &transmit);
        }
        while crowd.hub.poll_event().is_some() {}
    }
    Measured {
        took: total,
        events: asked,
    }
}

fn answer(crowd: &mut Crowd, transmit: &Transmit) {
    let Some(site) = crowd.site_at(transmit.path.destination) else {
        return;
    };
    for inbound in crowd.answer(site, transmit) {
        take_in(crowd, inbound);
    }
}

fn take_in(crowd: &mut Crowd, mut inbound: Inbound) -> Option<Transmit> {
    let _ = crowd.hub.handle_datagram(
        crowd.now,
        inbound.source,
        inbound.destination,
        &mut inbound.contents,
    );
    crowd.hub.poll_transmit()
}

fn poll_timeouts(crowd: &mut Crowd, count: u64) -> Measured {
    let mut total = Duration::ZERO;
    timed(&mut total, || {
        for _ in 0..count {
            black_box(black_box(&crowd.hub).poll_timeout());
        }
    });
    Measured {
        took: total,
        events: count,
    }
}

/// Probes, or IKE's questions whether the hub lives, and the hub's answers: `together` so many at a time.
fn asked(crowd: &mut Crowd, count: u64, ike: bool, together: usize) -> Measured {
    let mut measured = Measured::default();
    while measured.events < count {
        let (wanted, others): (Vec<_>, Vec<_>) = crowd
            .ask_all()
            .into_iter()
            .partition(|inbound| inbound.is_ike() == ike && (!ike || is_informational(inbound)));
        assert!(!wanted.is_empty(), "nobody asks");
        // All of a round: the first of them find everything cold, the processor's own tables included.
        for inbound in wanted.chunks(BATCH) {
            let mut received = just_received(inbound);
            let mut sent = Vec::with_capacity(BATCH);
            measured.add(inbound.len(), || {
                for inbound in received.chunks_mut(together) {
                    take_together(crowd, inbound, |taken| {
                        assert!(matches!(taken, Ok(Received::Consumed)), "{taken:?}");
                    });
                    sent.extend(std::iter::from_fn(|| crowd.hub.poll_transmit()));
                }
            });
            // A Delete has no answer. What is kept longer than a driver does would be cold memory for the next answer.
            let mut sent = sent.into_iter().peekable();
            for inbound in inbound {
                let answer = sent.next_if(|sent| sent.path.destination == inbound.source);
                if let Some(answer) = answer {
                    crowd.deliver(inbound.site, &answer);
                }
            }
            assert!(sent.next().is_none(), "an answer to nobody");
        }
        for inbound in others {
            let site = inbound.site;
            if let Some(answer) = take_in(crowd, inbound) {
                crowd.deliver(site, &answer);
            }
        }
        while crowd.hub.poll_event().is_some() {}
    }
    measured
}

/// The datagrams in buffers of their own, which have just been written, as those of a driver: the crowd's are as cold as
/// the crowd is large, and that is not the hub's cost.
fn just_received(inbound: &[Inbound]) -> Vec<Inbound> {
    inbound.to_vec()
}

/// Gives the hub datagrams as a driver that has received so many at a time.
fn take_together(
    crowd: &mut Crowd,
    inbound: &mut [Inbound],
    mut each: impl FnMut(Result<Received<'_>, DatagramError>),
) {
    if let [inbound] = inbound {
        let (source, destination) = (inbound.source, inbound.destination);
        let contents = &mut inbound.contents;
        each(
            crowd
                .hub
                .handle_datagram(crowd.now, source, destination, contents),
        );
        return;
    }
    let datagrams = inbound.iter_mut().map(|inbound| {
        let (source, destination) = (inbound.source, inbound.destination);
        Datagram::new(source, destination, Carrier::Udp, &mut inbound.contents)
    });
    crowd
        .hub
        .handle_batch(crowd.now, datagrams, |_, taken| each(taken));
}

/// Hours pass with so many of them, and SAs are renewed meanwhile: that is another kind of event.
fn is_informational(inbound: &Inbound) -> bool {
    const INFORMATIONAL: u8 = 5;
    let marker = if inbound.destination.port() == 4500 {
        4
    } else {
        0
    };
    inbound.contents.get(marker + 18) == Some(&INFORMATIONAL)
}

/// What is measured of a read.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Half {
    Sealing,
    Both,
}

/// Reads: what sealing the questions takes, or that and what opening the answers does, `together` so many at a time.
fn reads(crowd: &mut Crowd, count: u64, half: Half, together: usize) -> Measured {
    let (mut measured, mut turn) = (Measured::default(), 0);
    while measured.events < count {
        turn += 1;
        crowd.now += Duration::from_secs(2);
        let sites: Vec<usize> = (0..crowd.sites.len()).collect();
        let mut replies = Vec::new();
        for sites in sites.chunks(BATCH) {
            replies.extend(questions(crowd, sites, turn, &mut measured));
        }
        for replies in replies.chunks(BATCH) {
            let mut received = just_received(replies);
            let mut open = || {
                for replies in received.chunks_mut(together) {
                    take_together(crowd, replies, |opened| {
                        assert!(matches!(opened, Ok(Received::Packet { .. })), "{opened:?}");
                    });
                }
            };
            match half {
                Half::Sealing => open(),
                Half::Both => measured.add(0, open),
            }
        }
        while crowd.hub.poll_transmit().is_some() || crowd.hub.poll_event().is_some() {}
    }
    measured
}

/// Asks these sites, and returns what they answer.
fn questions(
    crowd: &mut Crowd,
    sites: &[usize],
    turn: usize,
    measured: &mut Measured,
) -> Vec<Inbound> {
    let questions: Vec<Vec<u8>> = sites
        .iter()
        .map(|&site| crowd.question(site, (site + turn) % crowd::PAIRS))
        .collect();
    let mut sealed: Vec<Vec<u8>> = questions
        .iter()
        .map(|question| vec![0; question.len() + MAX_OVERHEAD])
        .collect();
    let mut sources = Vec::with_capacity(BATCH);
    measured.add(sites.len(), || {
        for (question, out) in questions.iter().zip(&mut sealed) {
            match crowd.hub.encapsulate(crowd.now, question, out) {
                Ok(Encapsulated::Sealed { path, len, .. }) => {
                    out.truncate(len);
                    sources.push(path.source);
                }
                other => panic!("the question does not leave: {other:?}"),
            }
        }
    });
    let answered = sites.iter().zip(&mut sealed).zip(sources);
    answered
        .map(|((&site, sealed), source)| crowd.reply(site, sealed, source))
        .collect()
}

/// How long adding branches one by one takes, each of them after a datagram has come in.
fn loading(setup: &Setup, count: u32) -> Duration {
    let now = Instant::now();
    let mut hub = setup.hub(now);
    let members: Vec<_> = (0..count).map(|number| setup.member(number)).collect();
    let (source, destination) = ("198.18.7.7:500", "198.18.255.1:500");
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let mut total = Duration::ZERO;
    timed(&mut total, || {
        for member in members {
            hub.add_member(member).unwrap();
            let _ = hub.handle_datagram(now, source, destination, &mut [0; 28]);
        }
    });
    total
}

/// Kinds of events, with commas between them, on one crowd, `SCALE_BRANCHES` large: for a tool that counts what happens
/// within [`timed`], and can be told that a kind ends with [`once`].
fn count(names: &str, size: u32) -> ExitCode {
    let spacing = Duration::from_secs(5) / size;
    let setup = Setup::new("aes128gcm16");
    let mut crowd = Crowd::new(&setup, size, size.min(SPEAKERS), spacing, Instant::now());
    for name in names.split(',') {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            eprintln!("no such kind: {name:?}");
            return ExitCode::FAILURE;
        };
        let measured = once(*kind, &mut crowd);
        let (events, took) = (measured.events, measured.of(1).as_secs_f64() * 1e6);
        println!("{name}: {size} branches, {events} events of {took:.3} us");
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn once(kind: Kind, crowd: &mut Crowd) -> Measured {
    (kind.run)(crowd, 500)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() -> ExitCode {
    let many = std::env::var("SCALE_BRANCHES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(MANY);
    if let Ok(name) = std::env::var("SCALE_ONCE") {
        return count(&name, many);
    }
    let is_test = std::env::args().any(|argument| argument == "--test");
    let sizes = [FEW, if is_test { FEW } else { many }];
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let setup = Setup::new("aes128gcm16");
    let start = Instant::now();
    // Timers of ten seconds of silence lie apart; those of a second are never due together.
    let crowds = sizes.map(|size| {
        let spacing = Duration::from_secs(5) / size;
        RefCell::new(Crowd::new(&setup, size, size.min(SPEAKERS), spacing, start))
    });
    eprintln!("established {sizes:?} branches in {:.1?}", start.elapsed());

    let mut failed = false;
    let mut report = Vec::new();
    for kind in KINDS {
        let mut figures = [0.0; 2];
        for ((size, crowd), figure) in sizes.iter().zip(&crowds).zip(&mut figures) {
            let samples = RefCell::new(Vec::new());
            let mut group = criterion.benchmark_group(kind.name);
            if kind.name == TIMERS {
                // Every sample takes the same short time.
                group.warm_up_time(Duration::from_millis(5));
            }
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter_custom(|count| {
                    let took = (kind.run)(&mut crowd.borrow_mut(), count).of(count);
                    samples
                        .borrow_mut()
                        .push(took.as_secs_f64() / count as f64 * 1e6);
                    took
                });
            });
            *figure = samples
                .borrow_mut()
                .get_mut(..)
                .filter(|samples| !samples.is_empty())
                .map_or(f64::NAN, median);
        }
        report.push((kind.name, figures));
    }
    criterion.final_summary();
    if is_test {
        return ExitCode::SUCCESS;
    }

    println!("\nmicroseconds of the hub per event: median with {FEW} branches, with {many}, ratio");
    for (name, [few, many]) in report {
        let ratio = many / few;
        let mut verdict = "ok";
        if FLAT < ratio || (name.starts_with("read") && READ.as_secs_f64() * 1e6 < many) {
            (failed, verdict) = (true, "FAILED");
        }
        println!("  {name:<28}{few:10.3}{many:10.3}{ratio:8.2}  {verdict}");
    }
    let [one, ten] =
        [1_000, 10_000].map(|count| loading(&setup, count).as_secs_f64() / f64::from(count) * 1e6);
    println!(
        "  {:<28}{one:10.3}{ten:10.3}{:8.2}",
        "add a branch (1,000, 10,000)",
        ten / one
    );
    failed |= FLAT * 2.0 < ten / one;
    println!(
        "flat within {FLAT}, a read under {READ:?}: {}",
        if failed { "FAILED" } else { "ok" }
    );
    ExitCode::from(u8::from(failed))
}

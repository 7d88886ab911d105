//! The contract test, held against a toy machine: the honest one passes, and each way to break a rule is caught.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sim::contract::{Contract, Machine, Violation};
use sim::{Random, elapsed};

/// Ways to break the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    StaysDue,
    NamesNoTimer,
    NamesTimerTooLate,
    ActsBeforeItsTime,
    DropsQueueOnInput,
    OrderDependsOnDrain,
    HidesOutput,
    Refills,
    Floods,
    NotDeterministic,
    FollowsOlderNow,
    LogsError,
    WakesForNothing,
}

/// Sends a message and repeats it with a growing, jittered interval until it is acknowledged or given up.
struct Sender {
    fault: Fault,
    random: Random,
    now: Instant,
    newest: Instant,
    message: u32,
    attempts: u32,
    due: Option<Instant>,
    transmits: VecDeque<(u32, u32)>,
    events: VecDeque<String>,
    early_calls: u32,
    refills: u32,
}

#[derive(Debug)]
enum Input {
    Send(u32),
    Acknowledge(u32),
}

static OUTSIDE_STATE: AtomicU64 = AtomicU64::new(0);

impl Sender {
    fn new(fault: Fault, now: Instant) -> Self {
        Self {
            fault,
            random: Random::new(1),
            now,
            newest: now,
            message: 0,
            attempts: 0,
            due: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            early_calls: 0,
            refills: 0,
        }
    }

    fn observe(&mut self, now: Instant) {
        self.newest = self.newest.max(now);
        self.now = match self.fault {
            Fault::FollowsOlderNow => now,
            _ => self.newest,
        };
    }

    fn transmit(&mut self) {
        self.transmits.push_back((self.message, self.attempts));
        self.attempts += 1;
        let base = Duration::from_secs(1) * 2u32.pow(self.attempts.min(4));
        let jitter = self.random.duration(base / 4);
        let outside = match self.fault {
            Fault::NotDeterministic => OUTSIDE_STATE.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        self.due = Some(self.now + base + jitter + Duration::from_nanos(outside));
    }

    fn on_due(&mut self) {
        if self.attempts < 5 {
            self.transmit();
            return;
        }
        self.due = None;
        self.events.push_back(format!("gave up {}", self.message));
        if self.fault == Fault::LogsError {
            tracing::error!("gave up");
        }
    }
}

impl Machine for Sender {
    type Input = Input;
    type Transmit = (u32, u32);
    type Event = String;

    fn apply(&mut self, now: Instant, input: &Input) {
        self.observe(now);
        if self.fault == Fault::DropsQueueOnInput {
            self.transmits.clear();
        }
        match input {
            Input::Send(message) => {
                self.message = *message;
                self.attempts = 0;
                if self.fault == Fault::OrderDependsOnDrain && !self.events.is_empty() {
                    self.message += 100;
                }
                self.transmit();
                if self.fault == Fault::Floods {
                    self.transmits
                        .extend((0..1_000).map(|copy| (*message, copy)));
                }
            }
            Input::Acknowledge(message) => {
                if *message == self.message {
                    self.due = None;
                    self.events.push_back(format!("acknowledged {message}"));
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.observe(now);
        if self.fault == Fault::ActsBeforeItsTime {
            self.early_calls += 1;
            if self.early_calls.is_multiple_of(50) {
                self.events.push_back("counted calls".to_owned());
            }
        }
        if self.fault == Fault::WakesForNothing {
            self.due = Some(self.now + Duration::from_nanos(1));
            return;
        }
        if self.due.is_some_and(|due| due <= self.now) {
            if self.fault == Fault::StaysDue {
                return;
            }
            self.on_due();
        }
    }

    fn poll_transmit(&mut self) -> Option<(u32, u32)> {
        let next = self.transmits.pop_front();
        if next.is_none() && self.fault == Fault::Refills && self.refills < 1 {
            self.refills += 1;
            self.transmits.push_back((9, 9));
        }
        next
    }

    fn poll_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let queued = !self.transmits.is_empty() || !self.events.is_empty();
        if queued && self.fault != Fault::HidesOutput {
            return Some(self.newest);
        }
        match self.fault {
            Fault::NamesNoTimer => None,
            Fault::NamesTimerTooLate => self.due.map(|due| due + Duration::from_secs(1)),
            _ => self.due,
        }
    }
}

/// One message is acknowledged at the third attempt, one never, and two inputs come at the same time.
fn script() -> Vec<(Duration, Input)> {
    [
        (0, Input::Send(1)),
        (7_503, Input::Acknowledge(1)),
        (9_000, Input::Send(2)),
        (9_000, Input::Acknowledge(7)),
        (120_000, Input::Send(3)),
        (120_001, Input::Acknowledge(3)),
        (120_002, Input::Send(4)),
        (120_003, Input::Acknowledge(4)),
    ]
    .into_iter()
    .map(|(millis, input)| (Duration::from_millis(millis), input))
    .collect()
}

fn verdict(fault: Fault) -> Option<Violation> {
    let script = script();
    let build = |now| Sender::new(fault, now);
    Contract::new(&build, &script, Duration::from_secs(200))
        .verify()
        .err()
}

#[test]
fn an_honest_machine_keeps_the_contract() {
    let script = script();
    let build = |now| Sender::new(Fault::None, now);
    let log = Contract::new(&build, &script, Duration::from_secs(200)).check();
    let events: Vec<&str> = log.events.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(
        events,
        [
            "acknowledged 1",
            "gave up 2",
            "acknowledged 3",
            "acknowledged 4"
        ]
    );
    assert_eq!(log.transmits.first(), Some(&(Duration::ZERO, (1, 0))));
    assert_eq!(
        log.transmits
            .iter()
            .filter(|(_, (message, _))| *message == 2)
            .count(),
        5
    );
}

#[test]
fn each_broken_rule_is_caught_by_name() {
    let is = |fault, check: fn(&Violation) -> bool| {
        let verdict = verdict(fault);
        assert!(
            verdict.as_ref().is_some_and(check),
            "{fault:?} gave {verdict:?}"
        );
    };
    is(Fault::StaysDue, |found| {
        matches!(found, Violation::Spins { .. })
    });
    is(Fault::NamesNoTimer, |found| {
        matches!(found, Violation::TicksMatter(_))
    });
    is(Fault::NamesTimerTooLate, |found| {
        matches!(found, Violation::TicksMatter(_))
    });
    is(Fault::ActsBeforeItsTime, |found| {
        matches!(found, Violation::TicksMatter(_))
    });
    is(Fault::DropsQueueOnInput, |found| {
        matches!(found, Violation::DrainsMatter(_))
    });
    is(Fault::OrderDependsOnDrain, |found| {
        matches!(found, Violation::DrainsMatter(_))
    });
    is(Fault::HidesOutput, |found| {
        matches!(found, Violation::HidesOutput { .. })
    });
    is(Fault::Refills, |found| {
        matches!(found, Violation::Refills { .. })
    });
    is(Fault::Floods, |found| {
        matches!(found, Violation::Floods { .. })
    });
    is(Fault::NotDeterministic, |found| {
        matches!(found, Violation::NotDeterministic(_))
    });
    is(Fault::FollowsOlderNow, |found| {
        matches!(found, Violation::OlderNowMatters(_))
    });
    is(Fault::LogsError, |found| {
        matches!(found, Violation::LogsError { .. })
    });
    is(Fault::WakesForNothing, |found| {
        matches!(found, Violation::WakesTooOften { .. })
    });
}

#[test]
fn a_violation_reads_as_a_sentence() {
    let violation = verdict(Fault::NamesNoTimer).unwrap();
    let text = violation.to_string();
    assert!(
        text.starts_with("C5: ticking differs from sleeping: entry 1"),
        "{text}"
    );
}

#[test]
#[should_panic(expected = "C5: at 2.")]
fn check_panics_with_the_rule() {
    let script = script();
    let build = |now| Sender::new(Fault::StaysDue, now);
    Contract::new(&build, &script, Duration::from_secs(200)).check();
}

#[test]
fn virtual_instants_count_from_one_origin() {
    let at = Duration::from_secs(5);
    assert_eq!(elapsed(sim::instant(at)), at);
    assert_eq!(sim::instant(at) - sim::instant(Duration::ZERO), at);
}

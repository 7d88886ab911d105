//! The contract of the state machines (C1 to C14 in ARCHITECTURE.md) as one test for all of them.
//!
//! A test adapts its machine to [`Machine`], writes a script of inputs and calls [`Contract::check`]. The script is
//! played several times to fresh machines, each time by a driver with another habit that the contract allows, and the
//! outputs are compared:
//!
//! | driver | rule | must equal the reference |
//! | --- | --- | --- |
//! | sleeps exactly until `poll_timeout`, drains after every call (the reference) | C2, C3, C5 | - |
//! | the same again | C12 | in times and values |
//! | wakes every 10 ms as well | C5: `poll_timeout` is sufficient, and waking early does nothing | in times and values |
//! | makes the same calls, drains rarely and the two queues apart | C3, C4 | in values, per queue |
//! | lets the clock fall back: calls with an older `now` come in between | C1 | in times and values |
//! | wakes only every 10 ms, so every timer is served late | C5: late is allowed | nothing; the rules below still hold |
//!
//! In every run: after `handle_timeout(t)` and a full drain `poll_timeout` is `None` or later than `t`; while output is
//! queued it is the newest `now` seen; an empty queue stays empty; no call yields more output than a limit; nothing is
//! logged at ERROR.
//!
//! Why the ticking driver wakes at `poll_timeout` too: a driver that *only* ticks serves timers up to 10 ms late, and a
//! timer served late may rightly lose a race against an input, or be armed again from the later time. What C5 promises
//! is that no call in between is needed. If `poll_timeout` names too late a time, or none, the tick finds the work
//! first and the logs differ; if a call before its time has an effect, they differ as well.

use std::fmt::{self, Debug};
use std::time::{Duration, Instant};

use crate::{Random, elapsed, errors, instant};

/// A state machine as the contract sees it.
pub trait Machine {
    /// Anything that is done to the machine besides waking it: datagrams, calls.
    type Input;
    /// What is sent, as a value that can be compared; text made by `Debug` will do.
    type Transmit: Debug + PartialEq;
    /// What is reported, likewise.
    type Event: Debug + PartialEq;

    /// Applies an input.
    fn apply(&mut self, now: Instant, input: &Self::Input);
    /// Wakes the machine.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram.
    fn poll_transmit(&mut self) -> Option<Self::Transmit>;
    /// The next event.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When the machine wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// A rule that a machine has broken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// C5: a timer is still due after `handle_timeout` and a full drain.
    Spins {
        /// When.
        at: Duration,
    },
    /// C5: output was queued, and `poll_timeout` was not the newest `now` seen.
    HidesOutput {
        /// When.
        at: Duration,
        /// What it was.
        poll_timeout: Option<Duration>,
    },
    /// C3: a queue that had been emptied gave more.
    Refills {
        /// When.
        at: Duration,
    },
    /// C2: one call yielded more output than the limit.
    Floods {
        /// When.
        at: Duration,
    },
    /// The machine woke more often than the limit.
    WakesTooOften {
        /// When the limit was reached.
        at: Duration,
    },
    /// C12: two runs differ.
    NotDeterministic(Difference),
    /// C5: waking every tick differs from sleeping until `poll_timeout`.
    TicksMatter(Difference),
    /// C4: draining late changes what comes out.
    DrainsMatter(Difference),
    /// C1: an older `now` is not taken as the newest seen.
    OlderNowMatters(Difference),
    /// Something was logged at ERROR, which means a bug.
    LogsError {
        /// The first such line.
        line: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spins { at } => write!(
                formatter,
                "C5: at {at:?} a timer that was just served is due again"
            ),
            Self::HidesOutput { at, poll_timeout } => {
                write!(
                    formatter,
                    "C5: at {at:?} output was queued and poll_timeout was {poll_timeout:?}"
                )
            }
            Self::Refills { at } => write!(formatter, "C3: at {at:?} an emptied queue gave more"),
            Self::Floods { at } => {
                write!(formatter, "C2: at {at:?} one call yielded too much output")
            }
            Self::WakesTooOften { at } => {
                write!(formatter, "the machine had woken too often by {at:?}")
            }
            Self::NotDeterministic(difference) => {
                write!(formatter, "C12: two runs differ: {difference}")
            }
            Self::TicksMatter(difference) => {
                write!(formatter, "C5: ticking differs from sleeping: {difference}")
            }
            Self::DrainsMatter(difference) => {
                write!(formatter, "C4: draining late differs: {difference}")
            }
            Self::OlderNowMatters(difference) => {
                write!(formatter, "C1: an older now differs: {difference}")
            }
            Self::LogsError { line } => write!(formatter, "logged at ERROR: {line}"),
        }
    }
}

/// Where two logs part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// Number of the first entry that differs.
    pub index: usize,
    /// The entry of the reference run, if it has one.
    pub expected: Option<String>,
    /// The entry of the other run, if it has one.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |entry: &Option<String>| entry.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(
            formatter,
            "entry {}: {} expected, {} found",
            self.index,
            text(&self.expected),
            text(&self.found)
        )
    }
}

/// What a machine put out, with virtual times.
#[derive(Debug, PartialEq)]
pub struct Log<T, E> {
    /// What was sent.
    pub transmits: Vec<(Duration, T)>,
    /// What was reported.
    pub events: Vec<(Duration, E)>,
}

type MachineLog<M> = Log<<M as Machine>::Transmit, <M as Machine>::Event>;

/// A script, and the machine that it is played to.
pub struct Contract<'a, M: Machine> {
    build: &'a dyn Fn(Instant) -> M,
    script: &'a [(Duration, M::Input)],
    end: Duration,
    tick: Duration,
    output_limit: usize,
    wake_limit: usize,
}

impl<'a, M: Machine> Contract<'a, M> {
    /// The contract of the machine that `build` makes, for inputs at virtual times, up to `end`.
    ///
    /// `build` must give equal machines: same configuration, same random source.
    ///
    /// # Panics
    ///
    /// If the inputs are not in the order of time.
    #[must_use]
    pub fn new(
        build: &'a dyn Fn(Instant) -> M,
        script: &'a [(Duration, M::Input)],
        end: Duration,
    ) -> Self {
        assert!(
            script.is_sorted_by_key(|(at, _)| at),
            "a script is in the order of time"
        );
        Self {
            build,
            script,
            end,
            tick: Duration::from_millis(10),
            output_limit: 64,
            wake_limit: 1_000_000,
        }
    }

    /// The interval of the ticking drivers. Default: 10 ms.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// The most datagrams and events that one call may yield, together. Default: 64.
    #[must_use]
    pub fn output_limit(mut self, limit: usize) -> Self {
        self.output_limit = limit;
        self
    }

    /// Plays the script with every driver.
    ///
    /// # Panics
    ///
    /// When a rule is broken, with the rule's name and where it was broken.
    pub fn check(&self) -> MachineLog<M> {
        match self.verify() {
            Ok(log) => log,
            Err(violation) => panic!("{violation}"),
        }
    }

    /// Plays the script with every driver and returns the reference log.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn verify(&self) -> Result<MachineLog<M>, Violation> {
        let (result, errors) = errors::catch(|| self.play_all());
        match errors.into_iter().next() {
            Some(line) => Err(Violation::LogsError { line }),
            None => result,
        }
    }

    fn play_all(&self) -> Result<MachineLog<M>, Violation> {
        let (reference, calls) = self.play(Habit::Sleeps)?;
        let (again, _) = self.play(Habit::Sleeps)?;
        compare(&reference, &again).map_err(Violation::NotDeterministic)?;
        let (ticking, _) = self.play(Habit::SleepsAndTicks)?;
        compare(&reference, &ticking).map_err(Violation::TicksMatter)?;
        let (falling, _) = self.play(Habit::FallsBack)?;
        compare(&reference, &falling).map_err(Violation::OlderNowMatters)?;
        for seed in 0..8 {
            let lazy = self.replay_lazily(&calls, seed)?;
            compare_values(&reference, &lazy).map_err(Violation::DrainsMatter)?;
        }
        self.play(Habit::Ticks)?;
        Ok(reference)
    }

    /// One run: inputs at their times, wakes by habit, drained after every call.
    fn play(&self, habit: Habit) -> Result<(MachineLog<M>, Vec<Call>), Violation> {
        let mut run = Run::new((self.build)(instant(Duration::ZERO)), self.output_limit);
        let mut calls = Vec::new();
        run.drain()?;
        let mut next_input = 0;
        loop {
            let input_at = self.script.get(next_input).map(|(at, _)| *at);
            let wake_at = self.wake(habit, &run);
            let Some(at) = input_at
                .into_iter()
                .chain(wake_at)
                .min()
                .filter(|at| *at <= self.end)
            else {
                return Ok((run.log, calls));
            };
            // Due timers first: an input at the same time finds them served, whatever the driver.
            if wake_at.is_some_and(|wake| wake <= at) {
                run.wake(at)?;
                calls.push(Call::Wake(at));
            } else if let Some((_, input)) = self.script.get(next_input) {
                if habit == Habit::FallsBack {
                    run.wake(at)?;
                    run.fall_back(at)?;
                    run.apply(at, at.saturating_sub(FALL_BACK), input)?;
                } else {
                    run.apply(at, at, input)?;
                }
                calls.push(Call::Input(next_input));
                next_input += 1;
            }
            if self.wake_limit < calls.len() && habit == Habit::Sleeps {
                return Err(Violation::WakesTooOften { at });
            }
        }
    }

    fn wake(&self, habit: Habit, run: &Run<M>) -> Option<Duration> {
        let timer = run
            .machine
            .poll_timeout()
            .map(|due| elapsed(due).max(run.now));
        // Ticks stand on their grid, also where the driver has been woken in between.
        let ticks = run.now.as_nanos() / self.tick.as_nanos().max(1);
        let next_tick = self.tick * u32::try_from(ticks + 1).unwrap_or(u32::MAX);
        match habit {
            Habit::Sleeps | Habit::FallsBack => timer,
            Habit::SleepsAndTicks => Some(timer.map_or(next_tick, |timer| timer.min(next_tick))),
            Habit::Ticks => Some(next_tick),
        }
    }

    /// Makes the same calls at the same times and drains only now and then, each queue for itself.
    fn replay_lazily(&self, calls: &[Call], seed: u64) -> Result<MachineLog<M>, Violation> {
        let mut random = Random::new(seed);
        let mut run = Run::new(
            (self.build)(instant(Duration::ZERO)),
            self.output_limit * LAZY_CALLS,
        );
        let mut owed = 0;
        for call in calls {
            match call {
                Call::Wake(at) => run.machine.handle_timeout(instant(*at)),
                Call::Input(index) => {
                    if let Some((at, input)) = self.script.get(*index) {
                        run.machine.apply(instant(*at), input);
                    }
                }
            }
            owed += 1;
            if owed == LAZY_CALLS || random.chance(0.3) {
                run.drain_transmits()?;
                run.drain_events()?;
                owed = 0;
            } else if random.chance(0.2) {
                run.drain_events()?;
            } else if random.chance(0.2) {
                run.drain_transmits()?;
            }
        }
        run.drain_events()?;
        run.drain_transmits()?;
        Ok(run.log)
    }
}

impl<M: Machine> Debug for Contract<'_, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Contract")
            .field("inputs", &self.script.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// The most calls that the lazy driver makes without draining a queue.
const LAZY_CALLS: usize = 4;
/// How far the clock falls back.
const FALL_BACK: Duration = Duration::from_secs(7);

/// How a driver wakes its machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Habit {
    Sleeps,
    SleepsAndTicks,
    Ticks,
    FallsBack,
}

/// One call of the reference run.
#[derive(Clone, Copy, Debug)]
enum Call {
    Wake(Duration),
    Input(usize),
}

struct Run<M: Machine> {
    machine: M,
    now: Duration,
    output_limit: usize,
    log: MachineLog<M>,
}

impl<M: Machine> Run<M> {
    fn new(machine: M, output_limit: usize) -> Self {
        let log = Log {
            transmits: Vec::new(),
            events: Vec::new(),
        };
        Self {
            machine,
            now: Duration::ZERO,
            output_limit,
            log,
        }
    }

    fn wake(&mut self, at: Duration) -> Result<(), Violation> {
        self.now = at;
        self.machine.handle_timeout(instant(at));
        self.drain()?;
        if self
            .machine
            .poll_timeout()
            .is_some_and(|due| due <= instant(at))
        {
            return Err(Violation::Spins { at });
        }
        Ok(())
    }

    /// A wake with a clock that has fallen back.
    fn fall_back(&mut self, at: Duration) -> Result<(), Violation> {
        self.machine
            .handle_timeout(instant(at.saturating_sub(FALL_BACK)));
        self.drain()
    }

    fn apply(
        &mut self,
        at: Duration,
        claimed: Duration,
        input: &M::Input,
    ) -> Result<(), Violation> {
        self.now = at;
        self.machine.apply(instant(claimed), input);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Violation> {
        let before = self.machine.poll_timeout();
        let count = self.drain_transmits()? + self.drain_events()?;
        if 0 < count && before != Some(instant(self.now)) {
            return Err(Violation::HidesOutput {
                at: self.now,
                poll_timeout: before.map(elapsed),
            });
        }
        if self.output_limit < count {
            return Err(Violation::Floods { at: self.now });
        }
        Ok(())
    }

    fn drain_transmits(&mut self) -> Result<usize, Violation> {
        let before = self.log.transmits.len();
        while let Some(transmit) = self.machine.poll_transmit() {
            self.log.transmits.push((self.now, transmit));
            if self.output_limit < self.log.transmits.len() - before {
                return Err(Violation::Floods { at: self.now });
            }
        }
        match self.machine.poll_transmit() {
            Some(_) => Err(Violation::Refills { at: self.now }),
            None => Ok(self.log.transmits.len() - before),
        }
    }

    fn drain_events(&mut self) -> Result<usize, Violation> {
        let before = self.log.events.len();
        while let Some(event) = self.machine.poll_event() {
            self.log.events.push((self.now, event));
            if self.output_limit < self.log.events.len() - before {
                return Err(Violation::Floods { at: self.now });
            }
        }
        match self.machine.poll_event() {
            Some(_) => Err(Violation::Refills { at: self.now }),
            None => Ok(self.log.events.len() - before),
        }
    }
}

fn compare<T, E>(expected: &Log<T, E>, found: &Log<T, E>) -> Result<(), Difference>
where
    T: Debug + PartialEq,
    E: Debug + PartialEq,
{
    compare_entries(&expected.transmits, &found.transmits, PartialEq::eq)?;
    compare_entries(&expected.events, &found.events, PartialEq::eq)
}

fn compare_values<T, E>(expected: &Log<T, E>, found: &Log<T, E>) -> Result<(), Difference>
where
    T: Debug + PartialEq,
    E: Debug + PartialEq,
{
    compare_entries(&expected.transmits, &found.transmits, |a, b| a.1 == b.1)?;
    compare_entries(&expected.events, &found.events, |a, b| a.1 == b.1)
}

fn compare_entries<T: Debug>(
    expected: &[T],
    found: &[T],
    equal: impl Fn(&T, &T) -> bool,
) -> Result<(), Difference> {
    let shared = expected.iter().zip(found).position(|(a, b)| !equal(a, b));
    let index = match shared {
        Some(index) => index,
        None if expected.len() == found.len() => return Ok(()),
        None => expected.len().min(found.len()),
    };
    let text = |entries: &[T]| entries.get(index).map(|entry| format!("{entry:?}"));
    Err(Difference {
        index,
        expected: text(expected),
        found: text(found),
    })
}

//! The course of the demonstration, and what it measures.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde::Serialize;
use trigger::ike_core::DisconnectReason;
use trigger::{Event, RollEntry};

use crate::node::{Node, Ports, Report, Sockets, clock};
use crate::reading;
use crate::scenario::{FLOWS, Flow};
use crate::site;
use crate::timeline::{Actor, Mood, Timeline};

/// How long all pairs may take to answer before the demonstration fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two tries of a read.
const RETRY: Duration = Duration::from_millis(20);
/// Reads of each pair while all is well, before and after the faults.
const READS: u32 = 5;
/// The first of the hub's reader ports; each flow has its own.
const READER_PORT: u16 = 9000;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub pairs: Vec<PairOutcome>,
    pub cold_start_to_all_pairs_ms: f64,
    pub branch_reboot_to_all_pairs_ms: f64,
    pub hub_reboot_to_all_pairs_ms: f64,
    pub ok: bool,
}

/// What one pair did.
#[derive(Debug, Serialize)]
pub struct PairOutcome {
    pub name: &'static str,
    pub local: String,
    pub remote: String,
    pub reads_before: u32,
    pub reads_after: u32,
    pub first_packet_lost: bool,
}

/// Runs the whole course.
pub fn run() -> anyhow::Result<Outcome> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (hub_sockets, hub_ports) = Sockets::bind(address, 0, 0)?;
    let (branch_sockets, branch_ports) = Sockets::bind(address, 0, 0)?;
    let mut course = Course::new(hub_ports, branch_ports);

    Timeline::headline("Cold start");
    course.say(
        Actor::Demo,
        Mood::Plain,
        "the hub starts; it knows its branch by name, not by address",
    );
    let mut hub = site::start_hub(hub_sockets, hub_ports, branch_ports, Vec::new())?;
    course.say(
        Actor::Reader,
        Mood::Plain,
        "the hub asks each pair for a reading; there is no tunnel yet",
    );
    let first = course.ask_all(&hub)?;
    let began = course.say(
        Actor::Branch,
        Mood::Plain,
        "the branch powers up, its link is up",
    );
    let mut branch = site::start_branch(branch_sockets, branch_ports, hub_ports)?;
    let cold_start = course.await_answers(&hub, &branch, began, first, None)?;
    let held = course.answered.clone();
    course.read_all(&hub, &branch, Phase::Before)?;

    Timeline::headline("The branch loses power");
    branch.kill();
    course.say(
        Actor::Branch,
        Mood::Bad,
        "killed: no Delete, all state gone",
    );
    let (sockets, _) = Sockets::bind(address, branch_ports.ike, branch_ports.nat)?;
    let began = course.say(Actor::Branch, Mood::Plain, "the branch powers up again");
    branch = site::start_branch(sockets, branch_ports, hub_ports)?;
    let branch_reboot = course.await_all(&hub, &branch, began)?;

    Timeline::headline("The hub loses power");
    hub.kill();
    course.say(
        Actor::Hub,
        Mood::Bad,
        "killed: no Delete, all state gone but the roll of its branches",
    );
    let (sockets, _) = Sockets::bind(address, hub_ports.ike, hub_ports.nat)?;
    let began = course.say(
        Actor::Hub,
        Mood::Plain,
        "the hub starts again and calls its roll",
    );
    hub = site::start_hub(sockets, hub_ports, branch_ports, course.roll.clone())?;
    let hub_reboot = course.await_all(&hub, &branch, began)?;
    course.read_all(&hub, &branch, Phase::After)?;
    Ok(course.outcome(&held, [cold_start, branch_reboot, hub_reboot]))
}

/// Whether reads are counted as before or after the faults.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Before,
    After,
}

/// One question that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Question {
    flow: usize,
    number: u64,
}

struct Course {
    timeline: Timeline,
    roll: Vec<RollEntry>,
    /// Numbers of all questions so far.
    asked: u64,
    /// Questions answered rightly, in the order of the answers.
    answered: Vec<Question>,
    reads: [(u32, u32); FLOWS.len()],
    wrong: u32,
    names: Names,
}

/// The names of the ports, for the timeline.
#[derive(Clone, Copy, Debug)]
struct Names {
    hub: Ports,
    branch: Ports,
}

impl Course {
    fn new(hub: Ports, branch: Ports) -> Self {
        let timeline = Timeline::new(clock());
        Self {
            timeline,
            roll: Vec::new(),
            asked: 0,
            answered: Vec::new(),
            reads: Default::default(),
            wrong: 0,
            names: Names { hub, branch },
        }
    }

    fn say(&self, actor: Actor, mood: Mood, text: &str) -> Instant {
        let now = clock();
        self.timeline.fact(now, actor, mood, text);
        now
    }

    /// Asks one question.
    fn ask(&mut self, hub: &Node, flow: usize) -> anyhow::Result<Question> {
        self.asked += 1;
        let number = self.asked;
        let chosen = flow_at(flow)?;
        let reader = chosen.reader(READER_PORT + u16::try_from(flow)?);
        let packet = reading::question(reader, chosen.service(), number)
            .ok_or_else(|| anyhow::anyhow!("cannot build the question"))?;
        hub.send(packet);
        Ok(Question { flow, number })
    }

    fn ask_all(&mut self, hub: &Node) -> anyhow::Result<Vec<Question>> {
        (0..FLOWS.len()).map(|flow| self.ask(hub, flow)).collect()
    }

    /// Asks every pair again and again until each has answered one of these questions.
    fn await_all(&mut self, hub: &Node, branch: &Node, began: Instant) -> anyhow::Result<Duration> {
        let first = self.ask_all(hub)?;
        self.await_answers(hub, branch, began, first, Some(RETRY))
    }

    /// Waits until every flow has an answer to one of the questions, asking again every `retry`.
    fn await_answers(
        &mut self,
        hub: &Node,
        branch: &Node,
        began: Instant,
        mut open: Vec<Question>,
        retry: Option<Duration>,
    ) -> anyhow::Result<Duration> {
        let mut missing: Vec<usize> = (0..FLOWS.len()).collect();
        let mut asked = clock();
        while !missing.is_empty() {
            self.listen(hub, branch, &open, |question| {
                missing.retain(|&flow| flow != question.flow)
            });
            let now = clock();
            anyhow::ensure!(
                now < began + DEADLINE,
                "no reading over {} after {DEADLINE:?}",
                list(&missing)?
            );
            if retry.is_some_and(|retry| asked + retry <= now) {
                for &flow in &missing {
                    open.push(self.ask(hub, flow)?);
                }
                asked = now;
            }
        }
        let took = clock().saturating_duration_since(began);
        let text = format!(
            "every pair has answered, {:.1} ms after",
            took.as_secs_f64() * 1e3
        );
        self.say(Actor::Demo, Mood::Good, &text);
        Ok(took)
    }

    /// Reads every pair a few times, one question after the other.
    fn read_all(&mut self, hub: &Node, branch: &Node, phase: Phase) -> anyhow::Result<()> {
        for flow in 0..FLOWS.len() {
            for _ in 0..READS {
                let question = self.ask(hub, flow)?;
                let deadline = clock() + DEADLINE;
                let mut done = false;
                while !done {
                    self.listen(hub, branch, &[question], |_| done = true);
                    anyhow::ensure!(
                        clock() < deadline,
                        "a read over {} was lost",
                        flow_at(flow)?.name
                    );
                }
                if let Some((before, after)) = self.reads.get_mut(flow) {
                    match phase {
                        Phase::Before => *before += 1,
                        Phase::After => *after += 1,
                    }
                }
            }
        }
        let text = format!(
            "{READS} readings over each of {} pairs, all right",
            FLOWS.len()
        );
        self.say(Actor::Reader, Mood::Good, &text);
        Ok(())
    }

    /// Takes what both machines report for a moment; `right` is told of each right answer.
    fn listen(
        &mut self,
        hub: &Node,
        branch: &Node,
        open: &[Question],
        mut right: impl FnMut(Question),
    ) {
        let first = hub.reports.recv_timeout(Duration::from_millis(2)).ok();
        let of = |actor| move |(at, report): (Instant, Report)| (at, actor, report);
        let at_hub = first
            .into_iter()
            .chain(hub.reports.try_iter())
            .map(of(Actor::Hub));
        let mut reports: Vec<_> = at_hub
            .chain(branch.reports.try_iter().map(of(Actor::Branch)))
            .collect();
        reports.sort_by_key(|(at, ..)| *at);
        for (at, actor, report) in reports {
            match report {
                Report::Event(event) => {
                    if let Event::RollChanged { entry } = &event {
                        self.roll = vec![entry.as_ref().clone()];
                    }
                    self.tell(at, actor, &event);
                }
                Report::Delivered(packet) => match answer_to(&packet, open) {
                    Some(question) => {
                        self.answered.push(question);
                        right(question);
                    }
                    None => self.stray(&packet),
                },
            }
        }
    }

    /// An answer to a question that is no longer open may be late, but it must be right.
    fn stray(&mut self, packet: &[u8]) {
        if !FLOWS
            .iter()
            .any(|flow| reading::check(packet, flow.service()).is_some())
        {
            self.wrong += 1;
            self.say(Actor::Reader, Mood::Bad, "a wrong answer");
        }
    }

    fn tell(&self, at: Instant, actor: Actor, event: &Event) {
        let pair = |number: u32| {
            usize::try_from(number)
                .ok()
                .and_then(|at| FLOWS.get(at))
                .map_or("?", |flow| flow.name)
        };
        let (mood, text) = match event {
            Event::PeerUp { address, nat, .. } => {
                let by = if *nat { "UDP-encapsulated" } else { "raw" };
                (
                    Mood::Plain,
                    format!("ISAKMP SA up with {}, ESP {by}", self.names.name(*address)),
                )
            }
            Event::PeerDown { reason, .. } => (Mood::Bad, farewell(reason)),
            Event::SaUp {
                pair: id,
                inbound_spi,
                outbound_spi,
                ..
            } => (
                Mood::Plain,
                format!(
                    "{}: IPsec SA up, SPI {inbound_spi:08x} in, {outbound_spi:08x} out",
                    pair(id.number())
                ),
            ),
            Event::PairUp { pair: id, rtt } => {
                let rtt = rtt.map_or_else(String::new, |rtt| {
                    format!(" in {:.1} ms", rtt.as_secs_f64() * 1e3)
                });
                (
                    Mood::Good,
                    format!("{}: up, a reply has come back{rtt}", pair(id.number())),
                )
            }
            Event::PairDown { pair: id, reason } => {
                (Mood::Bad, format!("{}: down, {reason}", pair(id.number())))
            }
            Event::Hint { .. } => (
                Mood::Plain,
                "hint that the hub has lost its state: check whether it lives".into(),
            ),
            Event::NegotiationFailed { failure, .. } => (Mood::Bad, failure.to_string()),
            _ => return,
        };
        self.timeline.fact(at, actor, mood, &text);
    }

    fn outcome(&self, held: &[Question], [cold, branch, hub]: [Duration; 3]) -> Outcome {
        let pairs: Vec<PairOutcome> = (0..)
            .zip(FLOWS.iter().zip(self.reads))
            .filter_map(|(index, (flow, (reads_before, reads_after)))| {
                let pair = flow.at_hub().ok()?;
                // The first question of each flow was asked once, before there was a tunnel.
                let first_packet_lost = !held.iter().any(|question| question.flow == index);
                let (local, remote) = (pair.local().to_string(), pair.remote().to_string());
                Some(PairOutcome {
                    name: flow.name,
                    local,
                    remote,
                    reads_before,
                    reads_after,
                    first_packet_lost,
                })
            })
            .collect();
        let read = |pair: &PairOutcome| {
            pair.reads_before == READS && pair.reads_after == READS && !pair.first_packet_lost
        };
        let ok = self.wrong == 0 && pairs.len() == FLOWS.len() && pairs.iter().all(read);
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
        Outcome {
            pairs,
            cold_start_to_all_pairs_ms: millis(cold),
            branch_reboot_to_all_pairs_ms: millis(branch),
            hub_reboot_to_all_pairs_ms: millis(hub),
            ok,
        }
    }
}

impl Names {
    fn name(&self, address: std::net::SocketAddr) -> String {
        let of = |ports: Ports| {
            ports.address == address.ip() && [ports.ike, ports.nat].contains(&address.port())
        };
        match (of(self.hub), of(self.branch)) {
            (true, _) => format!("the hub at {address}"),
            (_, true) => format!("the branch at {address}"),
            _ => address.to_string(),
        }
    }
}

impl Outcome {
    /// Prints the closing table.
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    pub fn print_table(&self) {
        Timeline::headline("Result");
        println!(
            "{:<12}{:<18}{:<18}{:>8}{:>8}   first packet",
            "pair", "hub side", "branch side", "before", "after"
        );
        for pair in &self.pairs {
            let first = if pair.first_packet_lost {
                "lost"
            } else {
                "delivered"
            };
            println!(
                "{:<12}{:<18}{:<18}{:>8}{:>8}   {first}",
                pair.name, pair.local, pair.remote, pair.reads_before, pair.reads_after
            );
        }
        println!();
        for (what, millis) in [
            ("cold start to all pairs", self.cold_start_to_all_pairs_ms),
            (
                "branch reboot to all pairs",
                self.branch_reboot_to_all_pairs_ms,
            ),
            ("hub reboot to all pairs", self.hub_reboot_to_all_pairs_ms),
        ] {
            println!("{what:<30}{millis:>10.1} ms");
        }
        println!(
            "{}",
            if self.ok {
                "every read got the right answer"
            } else {
                "FAILED: a read was lost or wrong"
            }
        );
    }
}

fn farewell(reason: &DisconnectReason) -> String {
    match reason {
        DisconnectReason::PeerDead { tries, .. } => {
            format!("the hub has not answered {tries} times: it is dead")
        }
        DisconnectReason::DeletedByPeer => "ISAKMP SA deleted by the peer".into(),
        other => format!("ISAKMP SA down: {other:?}"),
    }
}

fn answer_to(packet: &[u8], open: &[Question]) -> Option<Question> {
    open.iter().copied().find(|question| {
        let Some(flow) = FLOWS.get(question.flow) else {
            return false;
        };
        let reader =
            u16::try_from(question.flow).map(|flow_number| flow.reader(READER_PORT + flow_number));
        reading::check(packet, flow.service())
            .is_some_and(|(asker, number)| number == question.number && Ok(asker) == reader)
    })
}

fn flow_at(index: usize) -> anyhow::Result<Flow> {
    FLOWS
        .get(index)
        .copied()
        .ok_or_else(|| anyhow::anyhow!("no flow {index}"))
}

fn list(flows: &[usize]) -> anyhow::Result<String> {
    let names: Vec<&str> = flows
        .iter()
        .map(|&flow| flow_at(flow).map(|flow| flow.name))
        .collect::<Result<_, _>>()?;
    Ok(names.join(", "))
}

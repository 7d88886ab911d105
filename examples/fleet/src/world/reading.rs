//! Hosts behind a hub that read from those behind the branches, and the other way round.

use std::time::Duration;

use trigger::Event;

use super::{Member, World};
use crate::plan::PAIRS;
use crate::reader::{Chatter, Question};
use crate::site::Fact;

impl World {
    /// From now on, the hub asks over every pair of every branch until it has one answer from each.
    pub fn begin_reading(&mut self, hub: usize) {
        self.absorb();
        for member in &mut self.branches {
            member.read = [None; PAIRS];
        }
        self.ask(hub, self.settings.read_interval, true);
    }

    /// From now on, the hub asks over every pair every so often and for ever.
    pub fn keep_reading(&mut self, hub: usize, interval: Duration) {
        self.ask(hub, interval, false);
    }

    fn ask(&mut self, hub: usize, interval: Duration, once: bool) {
        let mut phase = self.network.random(2 + self.network.now().as_secs());
        let mut questions = Vec::new();
        for (branch, member) in (0..).zip(&self.branches) {
            for (pair, plan) in (0..).zip(member.pairs) {
                let question = Question {
                    reader: plan.target,
                    service: plan.service,
                    interval,
                    once,
                };
                questions.push(((branch, pair), phase.duration(interval), question));
            }
        }
        self.network.act(self.hubs[hub], |site, now| {
            for (key, phase, question) in questions {
                site.begin_asking(now + phase, key, question);
            }
        });
    }

    /// From now on, every branch sends something of its own over every pair every so often; nobody answers it.
    pub fn keep_chattering(&mut self, interval: Duration) {
        let mut phase = self.network.random(3);
        for member in &self.branches {
            for plan in member.pairs {
                let flow = (plan.source, plan.target);
                let delay = phase.duration(interval);
                self.network.act(member.host, |site, now| {
                    site.begin_chatter(Chatter {
                        flow,
                        interval,
                        due: now + delay,
                    });
                });
            }
        }
    }

    /// Runs until the hub has read every pair, or for as long as the limit. Returns for each branch how long its last
    /// pair took.
    pub fn run_until_read(&mut self, limit: Duration) -> Vec<Option<Duration>> {
        let start = self.network.now();
        let chunk = Duration::from_millis(20);
        while self.network.now() < start + limit {
            self.network.run_for(chunk);
            self.absorb();
            if self
                .branches
                .iter()
                .all(|member| member.read.iter().all(Option::is_some))
            {
                break;
            }
        }
        let last = |member: &Member| {
            let times: Option<Vec<Duration>> = member.read.iter().copied().collect();
            times
                .and_then(|times| times.into_iter().max())
                .map(|at| at - start)
        };
        self.branches.iter().map(last).collect()
    }

    /// Takes what was reported out of the network's log.
    pub fn absorb(&mut self) {
        for entry in self.network.take_events() {
            match entry.event {
                Fact::Read { branch, pair } => {
                    let member = usize::try_from(branch)
                        .ok()
                        .and_then(|branch| self.branches.get_mut(branch));
                    if let Some(read) =
                        member.and_then(|member| member.read.get_mut(usize::from(pair)))
                    {
                        *read = Some(entry.at);
                    }
                }
                Fact::Reported(Event::RollChanged { entry }) => {
                    self.roll.insert(entry.identity().to_string(), *entry);
                }
                Fact::Reported(event) if !self.settings.quiet() => {
                    self.reported.push((entry.at, entry.host, event));
                }
                Fact::Reported(_) => {}
            }
        }
    }
}

//! The contract of the state machines over recorded scripts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ike_core::{Datagram, Endpoint, PairIndex, PeerId};
use sim::contract::{Contract, Machine};

use crate::world::*;

#[derive(Clone, Debug)]
enum Input {
    Acquire(u16),
    Datagram {
        source: String,
        destination: String,
        contents: Vec<u8>,
    },
    CheckLiveness,
    Disconnect,
}

struct Driven {
    endpoint: Endpoint,
    peer: Option<PeerId>,
}

impl Machine for Driven {
    type Input = Input;
    type Transmit = String;
    type Event = String;

    fn apply(&mut self, now: Instant, input: &Input) {
        match input {
            Input::Acquire(pair) => {
                let _ = self
                    .endpoint
                    .acquire(now, self.peer.unwrap(), PairIndex::new(*pair));
            }
            Input::Datagram {
                source,
                destination,
                contents,
            } => {
                let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
                let _ = self.endpoint.handle_datagram(
                    now,
                    Datagram {
                        source,
                        destination,
                        contents,
                    },
                );
            }
            Input::CheckLiveness => self.endpoint.check_liveness(now, self.peer.unwrap()),
            Input::Disconnect => self.endpoint.disconnect(now, self.peer.unwrap()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
    }

    fn poll_transmit(&mut self) -> Option<String> {
        self.endpoint
            .poll_transmit()
            .map(|transmit| format!("{transmit:?}"))
    }

    fn poll_event(&mut self) -> Option<String> {
        self.endpoint.poll_event().map(|event| format!("{event:?}"))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }
}

fn branch(now: Instant) -> Driven {
    let mut endpoint = endpoint(1, now);
    let config = Arc::new(
        branch_config()
            .sa_lifetime(secs(60))
            .ike_lifetime(secs(100))
            .build()
            .unwrap(),
    );
    let peer = endpoint.add_peer(now, config, BRANCH.parse().unwrap(), HUB.parse().unwrap());
    Driven {
        endpoint,
        peer: Some(peer),
    }
}

fn hub(now: Instant) -> Driven {
    let mut endpoint = endpoint(1001, now);
    endpoint.set_credentials(table(hub_config().build().unwrap()));
    Driven {
        endpoint,
        peer: None,
    }
}

/// What arrives at a side while the two talk, some of it lost, for three minutes.
fn recorded(side: Side, lost: u64) -> Vec<(Duration, Input)> {
    let mut world = World::with(
        branch_config()
            .sa_lifetime(secs(60))
            .ike_lifetime(secs(100)),
        hub_config(),
    );
    world.fate = Box::new(move |sent| {
        if lost != 0 && (sent.index as u64 + 3) % lost == 0 {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    world.acquire_all();
    world.run_for(secs(180));
    let mut script: Vec<_> = world
        .wire
        .iter()
        .filter(|sent| sent.from != side && (lost == 0 || (sent.index as u64 + 3) % lost != 0))
        .map(|sent| {
            let input = Input::Datagram {
                source: sent.source.to_string(),
                destination: sent.destination.to_string(),
                contents: sent.contents.clone(),
            };
            (sent.at + LATENCY, input)
        })
        .collect();
    if side == Side::Branch {
        let acquires = (0..3).map(|pair| (Duration::ZERO, Input::Acquire(pair)));
        script.splice(0..0, acquires);
        script.push((secs(181), Input::CheckLiveness));
        script.push((secs(190), Input::Acquire(0)));
        script.push((secs(195), Input::Disconnect));
    }
    script.sort_by_key(|(at, _)| *at);
    script
}

#[test]
fn the_initiator_keeps_the_contract() {
    for lost in [0, 7] {
        let script = recorded(Side::Branch, lost);
        Contract::new(&branch, &script, secs(240)).check();
    }
}

#[test]
fn the_responder_keeps_the_contract() {
    for lost in [0, 7] {
        let script = recorded(Side::Hub, lost);
        Contract::new(&hub, &script, secs(240)).check();
    }
}

#[test]
fn a_silent_network_keeps_the_contract() {
    let script = vec![
        (ms(5), Input::Acquire(0)),
        (secs(30), Input::Acquire(1)),
        (secs(31), Input::Disconnect),
    ];
    Contract::new(&branch, &script, secs(60)).check();
}

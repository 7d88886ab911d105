//! Inside the encryption: two endpoints that trust each other, and a tester that holds the keys.

use std::time::Duration;

use super::side::{Role, Side};
use crate::steps::Steps;

/// Rounds in which two sides may answer each other before they must have come to rest.
const ROUNDS: usize = 64;

/// Quick mode and informational messages of any contents under a living ISAKMP SA.
///
/// Phase 1 and one quick mode have succeeded when the steps begin. Each names the side in its lowest bit: 0 an encrypted
/// message with a good HASH, 1 deliver all that is on its way, 2 lose it, 3 deliver the next with an octet altered, 4
/// some time, 5 sleep, 6 a call, 7 any octets.
pub fn ike_inside(octets: &[u8]) {
    play(octets);
}

/// Plays the steps; both sides can be looked at afterwards.
pub(super) fn play(octets: &[u8]) -> World {
    let mut world = World::new();
    let mut steps = Steps::new(octets);
    while let Some(code) = steps.next_code() {
        world.step(code, &mut steps);
    }
    world
}

pub(super) struct World {
    pub(super) sides: [Side; 2],
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            sides: [Side::new(Role::Initiator), Side::new(Role::Responder)],
        };
        world.sides[0].call(0, 0);
        world.exchange();
        world
    }

    fn step(&mut self, code: u8, steps: &mut Steps<'_>) {
        let which = usize::from(code & 1);
        let side = &mut self.sides[which];
        match (code >> 1) % 8 {
            0 => {
                let exchange = if steps.octet() & 1 == 0 { 32 } else { 5 };
                let message_id = steps.number();
                let first = steps.octet();
                let message = side.encrypted(exchange, message_id, first, steps.string());
                side.receive(0, &message);
            }
            1 => self.exchange(),
            2 => side.lose_sent(),
            3 => self.deliver_altered(which, steps),
            4 => self.wait(steps.millis() * 16),
            5 => self.sleep(),
            6 => {
                let (call, argument) = (steps.octet(), steps.octet());
                side.call(call, argument);
            }
            _ => {
                let from = steps.octet();
                side.receive(from, steps.string());
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        for side in &mut self.sides {
            side.settle();
        }
    }

    /// Delivers what is on its way until nothing is.
    fn exchange(&mut self) {
        self.settle();
        for _ in 0..ROUNDS {
            let mut quiet = true;
            for which in [0, 1] {
                while let Some(transmit) = self.sides[which].take_sent() {
                    quiet = false;
                    self.sides[1 - which].deliver(
                        transmit.source,
                        transmit.destination,
                        &transmit.contents,
                    );
                }
                self.settle();
            }
            if quiet {
                return;
            }
        }
        panic!("two endpoints do not stop answering each other");
    }

    fn deliver_altered(&mut self, which: usize, steps: &mut Steps<'_>) {
        let (at, value) = (usize::from(steps.number()), steps.octet());
        let Some(transmit) = self.sides[which].take_sent() else {
            return;
        };
        let mut contents = transmit.contents.to_vec();
        if let Some(octet) = contents.get_mut(at) {
            *octet ^= value;
        }
        self.sides[1 - which].deliver(transmit.source, transmit.destination, &contents);
    }

    fn wait(&mut self, time: Duration) {
        for side in &mut self.sides {
            side.wait(time);
        }
    }

    /// Sleeps until either side has something to do.
    fn sleep(&mut self) {
        let [a, b] = &mut self.sides;
        let now = a.now.max(b.now);
        let next = [a.endpoint.poll_timeout(), b.endpoint.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        let until = next.map_or(now, |next| {
            next.clamp(now, now + Duration::from_secs(86_400))
        });
        (a.now, b.now) = (until, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_begin_with_an_sa_on_both_sides() {
        let world = play(&[]);
        for side in &world.sides {
            assert_eq!((side.established, side.installed), (1, 1));
        }
    }

    #[test]
    fn the_keys_open_every_door() {
        for seed in crate::seeds::all()
            .iter()
            .filter(|seed| seed.target == "ike_inside")
        {
            let world = play(&seed.octets);
            match seed.name {
                "quick_mode" => {
                    assert_eq!(world.sides[1].installed, 2, "the tester's own quick mode")
                }
                _ => assert_eq!(world.sides[1].established, 1),
            }
        }
    }
}

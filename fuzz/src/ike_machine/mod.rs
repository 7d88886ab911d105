//! The IKE endpoint: as a responder, as an initiator, and with an authentic peer that says what it likes.
//!
//! All of them run with [null cryptography](crate::null_crypto): whoever sends sixteen zeros is believed, so that the
//! fuzzer's messages get as far as a compromised peer's would.

mod inside;
mod side;

use std::time::Duration;

use ike_core::wire::header::HEADER_LEN;

pub use inside::ike_inside;

use crate::steps::Steps;
use side::{Role, Side};

/// A responder that has seen nothing yet.
///
/// Steps: 0 any octets, 1 a message with the cookies of the last answer, 2 an encrypted one, 3 some time, 4 sleep until
/// the next timer, 5 a call.
pub fn ike_responder(octets: &[u8]) {
    live(Side::new(Role::Responder), octets);
}

/// An initiator that has sent message 1. The steps are those of [`ike_responder`].
pub fn ike_initiator(octets: &[u8]) {
    let mut side = Side::new(Role::Initiator);
    side.call(0, 0);
    live(side, octets);
}

/// Plays the steps; the side can be looked at afterwards.
fn live(mut side: Side, octets: &[u8]) -> Side {
    let mut steps = Steps::new(octets);
    side.settle();
    while let Some(code) = steps.next_code() {
        match code % 6 {
            0 => {
                let from = steps.octet();
                side.receive(from, steps.string());
            }
            1 => {
                let from = steps.octet();
                let message = side.with_live_cookies(steps.string());
                side.receive(from, &message);
            }
            2 => {
                let from = steps.octet();
                let exchange = steps.octet();
                let message_id = steps.number();
                let first = steps.octet();
                let message = side.encrypted(exchange, message_id, first, steps.string());
                side.receive(from, &message);
            }
            3 => side.wait(steps.millis() * 16),
            4 => side.sleep(Duration::from_secs(86_400)),
            _ => {
                let (call, argument) = (steps.octet(), steps.octet());
                side.call(call, argument);
            }
        }
        side.settle();
    }
    side
}

/// Puts the length that a message has into its header, and its cookies.
fn patch(message: &mut [u8], cookies: &[u8]) {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if let Some(header) = message.first_chunk_mut::<HEADER_LEN>() {
        header[..cookies.len().min(16)].copy_from_slice(&cookies[..cookies.len().min(16)]);
        header[24..].copy_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(target: &str, name: &str) -> Vec<u8> {
        let found = crate::seeds::all()
            .into_iter()
            .find(|seed| seed.target == target && seed.name == name);
        found
            .unwrap_or_else(|| panic!("no seed {target} {name}"))
            .octets
    }

    #[test]
    fn a_seed_brings_the_responder_to_an_sa() {
        let side = live(
            Side::new(Role::Responder),
            &seed("ike_responder", "to_an_sa"),
        );
        assert_eq!((side.established, side.installed), (1, 1));
    }

    #[test]
    fn a_seed_brings_the_initiator_to_an_sa() {
        let mut side = Side::new(Role::Initiator);
        side.call(0, 0);
        let side = live(side, &seed("ike_initiator", "to_an_sa"));
        assert_eq!((side.established, side.installed), (1, 1));
    }
}

//! What is read: a question with a number, and the one right answer to it.

use std::net::SocketAddr;

use trigger::esp_core::ip::{Dscp, UdpDatagram, udp_packet};

use crate::scenario::SERVICE_PORT;

/// The data service behind the branch: answers a question that is addressed to it.
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let question = UdpDatagram::parse(packet).ok()?;
    if question.destination.port() != SERVICE_PORT {
        return None;
    }
    let number = u64::from_be_bytes(*question.payload.first_chunk()?);
    let reading = format!(
        "{number:016x} at {} is {}",
        question.destination.ip(),
        meter(number)
    );
    udp(question.destination, question.source, reading.as_bytes())
}

/// The hub's question as a whole IP packet.
pub fn question(reader: SocketAddr, service: SocketAddr, number: u64) -> Option<Vec<u8>> {
    udp(reader, service, &number.to_be_bytes())
}

/// The number of the question that `packet` answers rightly, and which reader had asked.
pub fn check(packet: &[u8], service: SocketAddr) -> Option<(SocketAddr, u64)> {
    let answer = UdpDatagram::parse(packet).ok()?;
    let text = core::str::from_utf8(answer.payload).ok()?;
    let number = u64::from_str_radix(text.get(..16)?, 16).ok()?;
    let right = format!("{number:016x} at {} is {}", service.ip(), meter(number));
    (answer.source == service && text == right).then_some((answer.destination, number))
}

/// What the meter shows: a function of the question, so that a stale or crossed answer is wrong.
fn meter(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) % 100_000
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    udp_packet(source, destination, Dscp::default(), payload, &mut packet).ok()?;
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_service_is_wrong() {
        let reader: SocketAddr = ([10, 61, 3, 26], 9000).into();
        let service: SocketAddr = ([10, 61, 1, 10], SERVICE_PORT).into();
        let other: SocketAddr = ([192, 168, 1, 10], SERVICE_PORT).into();
        let answer = answer(&question(reader, service, 7).unwrap()).unwrap();

        assert_eq!(check(&answer, service), Some((reader, 7)));
        assert_eq!(check(&answer, other), None);
    }
}

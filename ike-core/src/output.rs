//! What waits to be polled: datagrams and events, both bounded.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::event::Event;
use crate::limits::{FRAGMENT_LEN, QUEUED_EVENTS, QUEUED_TRANSMITS, STRANGERS_EVENTS};
use crate::stats::Stats;
use crate::trace;
use crate::transmit::Transmit;
use crate::wire::fragment_message;

/// Four zero octets where ESP has its SPI, RFC 3948 section 2.2.
pub(crate) const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// A keepalive's only octet, RFC 3948 section 2.3.
const KEEPALIVE: &[u8] = &[0xff];

/// Both queues, with the counters that everything adds to.
#[derive(Debug)]
pub(crate) struct Output {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    pub(crate) stats: Stats,
    nat_port: u16,
    /// What the fragments of the next message are numbered with.
    next_fragmented: u16,
}

impl Output {
    pub(crate) fn new(nat_port: u16) -> Self {
        Self {
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            nat_port,
            next_fragmented: 1,
        }
    }

    /// The UDP payload of a message sent from `local`: behind the non-ESP marker on the NAT port.
    pub(crate) fn frame(&self, local: SocketAddr, message: Vec<u8>) -> Bytes {
        if local.port() == self.nat_port {
            [&NON_ESP_MARKER[..], &message].concat().into()
        } else {
            message.into()
        }
    }

    /// Queues a message and returns its framed octets, for the retransmission.
    pub(crate) fn send(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        message: Vec<u8>,
    ) -> Bytes {
        let contents = self.frame(local, message);
        self.send_framed(local, remote, contents.clone());
        contents
    }

    /// Queues octets that are framed already.
    pub(crate) fn send_framed(&mut self, local: SocketAddr, remote: SocketAddr, contents: Bytes) {
        if QUEUED_TRANSMITS <= self.transmits.len() {
            self.stats.overflows += 1;
            return;
        }
        self.stats.datagrams_out += 1;
        self.transmits.push_back(Transmit {
            source: local,
            destination: remote,
            contents,
        });
    }

    /// Queues octets that are framed already, in fragments if they are many. The receiver must understand those.
    pub(crate) fn send_in_fragments(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        contents: Bytes,
    ) {
        let framing = if local.port() == self.nat_port {
            NON_ESP_MARKER.len()
        } else {
            0
        };
        let message = contents.get(framing..).unwrap_or_default();
        match fragment_message(message, self.next_fragmented, FRAGMENT_LEN) {
            Some(fragments) => {
                // Each transmission has a number of its own: fragments of two do not mix.
                self.next_fragmented = self.next_fragmented.wrapping_add(1);
                for fragment in fragments {
                    self.send(local, remote, fragment);
                }
            }
            None => self.send_framed(local, remote, contents),
        }
    }

    pub(crate) fn send_keepalive(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.send_framed(local, remote, Bytes::from_static(KEEPALIVE));
    }

    /// Counts a message that goes out once more.
    pub(crate) fn repeats(&mut self, contents: &[u8]) {
        self.stats.retransmissions += 1;
        trace::repeated(contents);
    }

    pub(crate) fn event(&mut self, event: Event) {
        if QUEUED_EVENTS <= self.events.len() {
            self.stats.overflows += 1;
            return;
        }
        self.events.push_back(event);
    }

    /// Queues an event that a stranger has caused, unless the queue is filling up: there is always room for facts about
    /// those who have proved themselves.
    pub(crate) fn event_of_stranger(&mut self, event: Event) {
        if STRANGERS_EVENTS <= self.events.len() {
            self.stats.overflows += 1;
            return;
        }
        self.event(event);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.transmits.is_empty() && self.events.is_empty()
    }
}

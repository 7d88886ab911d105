//! What was sent and can still be answered.

use alloc::collections::VecDeque;
use core::time::Duration;
use std::time::Instant;

use crate::config::Purpose;
use crate::packet::Mode;
use crate::sample::Exchange;
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// Packets that can be answered at the same time. More than one, because a path that is just coming up
/// may hold several requests and deliver them late.
const MAX_OPEN: usize = 8;

/// One packet of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The transmit timestamp as sent: what the answer must carry as its origin.
    pub(crate) origin: WireTimestamp,
    /// When it was sent by the wall clock (T1), which a nonce in `origin` hides.
    pub(crate) wall: NtpTimestamp,
    pub(crate) at: Instant,
    pub(crate) mode: Mode,
    pub(crate) purpose: Purpose,
    pub(crate) source_port: u16,
    pub(crate) answered: bool,
    /// The other origin that the answer may carry: in interleaved mode, to complete the exchange before.
    pub(crate) interleaved: Option<Interleaved>,
}

/// An interleaved request: what completes the exchange before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interleaved {
    /// The request's receive timestamp, a nonce.
    pub(crate) origin: WireTimestamp,
    pub(crate) previous: Previous,
}

/// An exchange that went before, complete but for the time when the reply really left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Previous {
    pub(crate) t1: NtpTimestamp,
    pub(crate) t2: WireTimestamp,
    pub(crate) t4: NtpTimestamp,
    pub(crate) sent_at: Instant,
    pub(crate) received_at: Instant,
    pub(crate) purpose: Purpose,
}

impl Previous {
    /// The whole exchange, once it is known when the reply left.
    pub(crate) fn exchange(&self, t3: WireTimestamp) -> Exchange {
        let elapsed = self.received_at.saturating_duration_since(self.sent_at);
        Exchange {
            t1: self.t1,
            t2: self.t2,
            t3,
            t4: self.t4,
            elapsed,
        }
    }
}

impl Request {
    /// What an interleaved answer with that origin completes.
    pub(crate) fn completes(&self, origin: WireTimestamp) -> Option<&Previous> {
        let interleaved = self.interleaved.as_ref()?;
        (interleaved.origin == origin).then_some(&interleaved.previous)
    }
}

/// The last few packets of ours, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    open: VecDeque<Request>,
}

impl Requests {
    pub(crate) fn push(&mut self, request: Request) {
        self.open.truncate(MAX_OPEN - 1);
        self.open.push_front(request);
    }

    /// The packet of that mode with that transmit timestamp.
    pub(crate) fn find(&self, mode: Mode, origin: WireTimestamp) -> Option<&Request> {
        if origin.is_zero() {
            return None;
        }
        self.open.iter().find(|request| {
            request.mode == mode
                && (request.origin == origin || request.completes(origin).is_some())
        })
    }

    /// As [`find`](Self::find), for requests that go out of date.
    pub(crate) fn find_recent(
        &self,
        mode: Mode,
        origin: WireTimestamp,
        now: Instant,
        timeout: Duration,
    ) -> Option<&Request> {
        self.find(mode, origin)
            .filter(|request| now.saturating_duration_since(request.at) <= timeout)
    }

    pub(crate) fn mark_answered(&mut self, origin: WireTimestamp) {
        for request in self
            .open
            .iter_mut()
            .filter(|request| request.origin == origin)
        {
            request.answered = true;
        }
    }

    /// How many requests in a row, up to the newest, have not been answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.open
            .iter()
            .take_while(|request| !request.answered)
            .count()
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

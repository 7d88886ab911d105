//! Facts that wait for the driver (contract C4): never more than so many, and the oldest makes room.

use alloc::collections::VecDeque;

use crate::event::Event;

/// What a machine has to say and was not asked for yet.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    limit: usize,
}

impl EventQueue {
    /// Without events, for `limit` of them.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            events: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.limit <= self.events.len() {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

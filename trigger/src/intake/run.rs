//! ESP packets of one SA that came one behind the other, and are opened together.

use alloc::vec::Vec;
use core::net::SocketAddr;

use esp_core::{OpenSlot, Spi};

/// The most packets that are opened together; more would gain nothing.
const MAX_RUN: usize = 16;

/// Where ESP packets of one SA came from and to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Flow {
    pub(crate) spi: Spi,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Packets of one flow, one behind the other, that have yet to be opened.
#[derive(Debug, Default)]
pub(crate) struct Run<'a> {
    flow: Option<Flow>,
    slots: Vec<OpenSlot<'a>>,
}

impl<'a> Run<'a> {
    /// Whether a packet of `flow` may be opened with those that are in it already.
    pub(crate) fn takes(&self, flow: Flow) -> bool {
        self.flow.is_none_or(|own| own == flow) && self.slots.len() < MAX_RUN
    }

    /// Appends a packet that it takes.
    pub(crate) fn push(&mut self, flow: Flow, esp: &'a mut [u8]) {
        self.flow = Some(flow);
        self.slots.push(OpenSlot::new(esp));
    }

    /// What is in it, and room for others.
    pub(crate) fn take(&mut self) -> Option<(Flow, Vec<OpenSlot<'a>>)> {
        Some((self.flow.take()?, core::mem::take(&mut self.slots)))
    }
}

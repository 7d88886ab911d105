//! Packets of a batch: buffers that the caller owns, with what became of each.

use core::ops::Range;

use super::inbound::{Opened, Reading};
use super::seal_key::Layout;
use crate::error::OpenError;

/// A packet that is to be sealed in a batch, in its place in a buffer of the caller's.
#[derive(Debug)]
pub struct SealSlot<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) packet: Range<usize>,
    pub(super) layout: Option<Layout>,
}

impl<'a> SealSlot<'a> {
    /// The IP packet that lies in `buffer` at `packet`, with room around it as for
    /// [`OutboundSa::seal_in_place`](crate::OutboundSa::seal_in_place).
    #[must_use]
    pub const fn new(buffer: &'a mut [u8], packet: Range<usize>) -> Self {
        Self {
            buffer,
            packet,
            layout: None,
        }
    }

    /// Where in the buffer the ESP packet lies, from SPI to ICV; empty before it is sealed.
    #[must_use]
    pub fn esp(&self) -> Range<usize> {
        self.layout
            .as_ref()
            .map_or(0..0, |layout| layout.esp.clone())
    }

    /// The ESP packet; empty before it is sealed.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.buffer.get(self.esp()).unwrap_or(&[])
    }
}

/// A packet that is to be opened in a batch, and then what came out of it.
#[derive(Debug)]
pub struct OpenSlot<'a> {
    pub(super) esp: &'a mut [u8],
    pub(super) outcome: Result<Reading, OpenError>,
}

impl<'a> OpenSlot<'a> {
    /// An ESP packet, everything from SPI to ICV.
    #[must_use]
    pub const fn new(esp: &'a mut [u8]) -> Self {
        // What an empty packet would give; every slot is written before it is read.
        Self {
            esp,
            outcome: Err(OpenError::Truncated { len: 0 }),
        }
    }

    /// What came out, as from [`InboundSa::open_in_place`](crate::InboundSa::open_in_place).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn into_opened(self) -> Result<Opened<'a>, OpenError> {
        self.outcome.and_then(|reading| reading.borrow(self.esp))
    }
}

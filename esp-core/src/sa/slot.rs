//! Packets of a batch: buffers that the caller owns, with what became of each.

use core::ops::Range;

use super::inbound::{Opened, Place};
use super::seal_key::Layout;
use crate::error::OpenError;
use crate::ip::Protocol;

/// A packet that is to be sealed in a batch, in its place in a buffer of the caller's.
#[derive(Debug)]
pub struct SealSlot<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) packet: Range<usize>,
    pub(super) sequence: u64,
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
            sequence: 0,
            layout: None,
        }
    }

    /// The IP packet as it was given, until it is sealed.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.buffer.get(self.packet.clone()).unwrap_or(&[])
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

    /// What a [`Sealer`](crate::crypto::Sealer) seals: the whole sequence number and the packet,
    /// laid out as on the wire.
    #[must_use]
    pub fn lane(&mut self) -> (u64, &mut [u8]) {
        let esp = self.esp();
        (self.sequence, self.buffer.get_mut(esp).unwrap_or_default())
    }
}

/// A packet that is to be opened in a batch, and then what came out of it.
///
/// Its fields are plain numbers rather than one enum, so that they are written and read one by one:
/// a batch has many slots, and copies of enums are dear.
#[derive(Debug)]
pub struct OpenSlot<'a> {
    pub(super) esp: &'a mut [u8],
    pub(super) stage: Stage,
    /// From [`Stage::Fresh`] on.
    pub(super) sequence: u64,
    /// Of the plaintext from [`Stage::Authentic`] on, of the inner packet when it is opened.
    pub(super) place: Place,
    /// Why it was refused.
    pub(super) error: OpenError,
}

/// How far a packet has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Not yet looked at.
    New,
    /// To be verified.
    Fresh,
    /// The peer's, but the window may not want it.
    Authentic,
    Opened,
    Refused,
}

impl<'a> OpenSlot<'a> {
    /// An ESP packet, everything from SPI to ICV.
    #[must_use]
    pub const fn new(esp: &'a mut [u8]) -> Self {
        let place = Place {
            offset: 0,
            len: 0,
            next_header: Protocol::NO_NEXT_HEADER,
        };
        // What an SA that never saw the packet would say of it.
        let error = OpenError::Truncated { len: 0 };
        Self {
            esp,
            stage: Stage::New,
            sequence: 0,
            place,
            error,
        }
    }

    /// Length of the ESP packet.
    #[must_use]
    pub const fn esp_len(&self) -> usize {
        self.esp.len()
    }

    /// What came out, as from [`InboundSa::open_in_place`](crate::InboundSa::open_in_place).
    ///
    /// # Errors
    ///
    /// As there; [`OpenError::Truncated`] if no SA has opened it.
    #[inline]
    pub fn into_opened(self) -> Result<Opened<'a>, OpenError> {
        if self.stage == Stage::Opened {
            self.place.borrow(self.sequence, self.esp)
        } else {
            Err(self.error)
        }
    }

    /// What an [`Opener`](crate::crypto::Opener) opens: the whole sequence number and the packet.
    /// `None` if there is nothing to do: it has been refused already.
    #[must_use]
    pub fn lane(&mut self) -> Option<(u64, &mut [u8])> {
        (self.stage == Stage::Fresh).then_some((self.sequence, &mut *self.esp))
    }

    /// Takes what [`Opener::open`](crate::crypto::Opener::open) gives for the packet.
    pub fn settle(&mut self, outcome: Result<Range<usize>, OpenError>) {
        if self.stage != Stage::Fresh {
            return;
        }
        match outcome {
            Ok(plaintext) => {
                self.stage = Stage::Authentic;
                self.place.offset = plaintext.start;
                self.place.len = plaintext.len();
            }
            Err(error) => self.refuse(error),
        }
    }

    pub(super) const fn refuse(&mut self, error: OpenError) {
        self.stage = Stage::Refused;
        self.error = error;
    }
}

//! Messages that came too early to be understood.

use bytes::Bytes;

use crate::error::DatagramError;
use crate::isakmp_sa::Path;
use crate::limits::{HELD_MESSAGE_LEN, HELD_MESSAGES, HELD_OCTETS};

/// One of them, and the way that it came.
#[derive(Debug)]
pub(crate) struct HeldMessage {
    pub(crate) path: Path,
    pub(crate) contents: Bytes,
}

impl HeldMessage {
    pub(crate) fn len(&self) -> usize {
        self.contents.len()
    }
}

/// Those of one exchange, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct HeldMessages(Vec<HeldMessage>);

impl HeldMessages {
    /// Holds one more, if there is room for it beside all `octets` that are held for whatever exchange.
    pub(crate) fn hold(
        &mut self,
        message: HeldMessage,
        octets: usize,
    ) -> Result<(), DatagramError> {
        if self.0.iter().any(|held| held.contents == message.contents) {
            return Err(DatagramError::Duplicate);
        }
        let len = message.len();
        let room = len <= HELD_MESSAGE_LEN && octets + len <= HELD_OCTETS;
        if !room || HELD_MESSAGES <= self.0.len() {
            return Err(DatagramError::LimitReached);
        }
        self.0.push(message);
        Ok(())
    }

    pub(crate) fn octets(&self) -> usize {
        self.0.iter().map(HeldMessage::len).sum()
    }
}

impl IntoIterator for HeldMessages {
    type Item = HeldMessage;
    type IntoIter = alloc::vec::IntoIter<HeldMessage>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

//! Initiators that the embedder is asked about: their first messages wait for credentials.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use crate::config::Identity;
use crate::error::DatagramError;
use crate::event::CredentialsRequest;
use crate::isakmp_sa::Path;
use crate::limits::{
    HALF_OPEN_LIFETIME, HELD_MESSAGE_LEN, PENDING_CREDENTIALS, PENDING_PATIENCE, PENDING_PER_PREFIX,
};
use crate::phase_one::half_open::Prefix;
use crate::time::Instant;

/// All that are unanswered, in the order in which they were asked.
#[derive(Debug)]
pub(super) struct Questions {
    pending: BTreeMap<CredentialsRequest, Question>,
    next: u64,
}

/// A first message that waits for credentials.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) path: Path,
    pub(super) contents: Bytes,
    pub(super) identity: Identity,
    since: Instant,
}

impl Questions {
    pub(super) const fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            next: 1,
        }
    }

    /// Has a first message wait for an answer.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        identity: Identity,
        contents: &[u8],
        path: Path,
    ) -> Result<CredentialsRequest, DatagramError> {
        let mut pending = self.pending.values();
        if pending.any(|question| question.path == path && question.identity == identity) {
            return Err(DatagramError::Duplicate);
        }
        if HELD_MESSAGE_LEN < contents.len() {
            return Err(DatagramError::LimitReached);
        }
        self.make_room(now, path)?;
        let request = CredentialsRequest(self.next);
        self.next += 1;
        let question = Question {
            path,
            contents: Bytes::copy_from_slice(contents),
            identity,
            since: now,
        };
        self.pending.insert(request, question);
        Ok(request)
    }

    /// Questions that the embedder has had no time to answer stay: a flood of new ones cannot push them out.
    fn make_room(&mut self, now: Instant, path: Path) -> Result<(), DatagramError> {
        let prefix = Prefix::of(path.remote.ip());
        let same_prefix = |question: &&Question| Prefix::of(question.path.remote.ip()) == prefix;
        if PENDING_PER_PREFIX <= self.pending.values().filter(same_prefix).count() {
            return Err(DatagramError::LimitReached);
        }
        if PENDING_CREDENTIALS <= self.pending.len() {
            let oldest = self.pending.first_entry().filter(|oldest| {
                PENDING_PATIENCE <= now.saturating_duration_since(oldest.get().since)
            });
            oldest.ok_or(DatagramError::LimitReached)?.remove();
        }
        Ok(())
    }

    /// The question that is answered, unless it is too late for that.
    pub(super) fn take(&mut self, request: CredentialsRequest) -> Option<Question> {
        self.pending.remove(&request)
    }

    /// When the next question is too old.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let pending = self.pending.values();
        pending
            .map(|question| question.since + HALF_OPEN_LIFETIME)
            .min()
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        let oldest = now.checked_sub(HALF_OPEN_LIFETIME);
        self.pending
            .retain(|_, question| oldest.is_none_or(|oldest| oldest < question.since));
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }
}

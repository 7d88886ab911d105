//! What a lane's hub is good for, as far as the lane has seen.

use std::time::Instant;

/// Whether the hub is proved, and how it was lost.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    proved_since: Option<Instant>,
    was_proved: bool,
    loss: Option<Loss>,
    delivered: Option<Instant>,
}

/// How a hub was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// It does not answer.
    Silent,
    /// It has ended the connection, or refuses one.
    Refused,
}

impl Standing {
    /// Since when every pair has been up without a reply missing.
    pub(crate) const fn proved_since(&self) -> Option<Instant> {
        self.proved_since
    }

    /// Whether that was ever so since the link came up.
    pub(crate) const fn was_proved(&self) -> bool {
        self.was_proved
    }

    /// How the hub was lost, if it was and has not come back: what the latest attempt to reach it, or the end of the
    /// connection, says of it.
    pub(crate) const fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// When something last came that was for whoever is behind the branch.
    pub(crate) const fn delivered(&self) -> Option<Instant> {
        self.delivered
    }

    /// Whether every pair is up now, and no reply missing.
    pub(super) fn judge(&mut self, now: Instant, proved: bool) {
        self.proved_since = proved.then(|| self.proved_since.unwrap_or(now));
        if proved {
            self.was_proved = true;
            self.loss = None;
        }
    }

    pub(super) fn set_loss(&mut self, loss: Option<Loss>) {
        self.loss = loss;
    }

    pub(super) fn note_delivery(&mut self, now: Instant) {
        self.delivered = Some(now);
    }

    /// There is another link, or it has come back.
    pub(super) fn begin_anew(&mut self) {
        self.was_proved = false;
    }
}

//! Counters.

use crate::error::DatagramError;

/// What an endpoint has done since it was made. Every counter only grows; [`half_open`](Self::half_open) is a gauge.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams that were handed in.
    pub datagrams_in: u64,
    /// Datagrams that were queued for sending.
    pub datagrams_out: u64,
    /// Messages that were sent again for want of an answer.
    pub retransmissions: u64,
    /// Phase 1 exchanges that succeeded.
    pub phase_one_established: u64,
    /// Phase 1 exchanges that failed.
    pub phase_one_failed: u64,
    /// Quick modes that succeeded.
    pub quick_mode_established: u64,
    /// Quick modes that failed.
    pub quick_mode_failed: u64,
    /// Liveness probes sent.
    pub probes_out: u64,
    /// Liveness probes answered by the peer.
    pub probes_answered: u64,
    /// Peers that were declared dead.
    pub peers_dead: u64,
    /// Exchanges that are half-open now: whose initiator has not proved itself yet.
    pub half_open: u64,
    /// Half-open exchanges given up for newer ones.
    pub half_open_evicted: u64,
    /// Half-open exchanges whose initiator never came back.
    pub half_open_expired: u64,
    /// Initiators that were asked to wait with message 3 until there is time for them.
    pub slots_given: u64,
    /// Our own phase 1 exchanges that waited with message 3 because the responder asked for it.
    pub slots_taken: u64,
    /// Quick mode messages held until message 3 of phase 1 had come.
    pub held: u64,
    /// Fragments received.
    pub fragments_in: u64,
    /// Messages put together from fragments.
    pub reassembled: u64,
    /// Unauthenticated answers to strangers.
    pub stranger_answers_out: u64,
    /// Such answers that a limit suppressed.
    pub stranger_answers_suppressed: u64,
    /// Diffie-Hellman values made in quiet time.
    pub exponents_prepared: u64,
    /// Public-key operations for peers: shared secrets computed and values made outside of quiet time.
    pub exponentiations: u64,
    /// Outgoing datagrams and events that found their queue full.
    pub overflows: u64,
    /// Why datagrams were dropped.
    pub drops: Drops,
}

/// Dropped datagrams by reason; see [`DatagramError`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each is the variant of the error of the same name"
)]
pub struct Drops {
    pub not_ike: u64,
    pub malformed: u64,
    pub unsupported_version: u64,
    pub unsupported_exchange: u64,
    pub unknown_cookies: u64,
    pub unknown_identity: u64,
    pub no_proposal_chosen: u64,
    pub invalid_key_exchange: u64,
    pub not_encrypted: u64,
    pub undecryptable: u64,
    pub authentication_failed: u64,
    pub duplicate: u64,
    pub unexpected: u64,
    pub refused: u64,
    pub wrong_source: u64,
    pub limit_reached: u64,
    pub unauthenticated_notify: u64,
    pub closed: u64,
}

impl Stats {
    /// Adds what another endpoint has counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            datagrams_in,
            datagrams_out,
            retransmissions,
            phase_one_established,
            phase_one_failed,
            quick_mode_established,
            quick_mode_failed,
            probes_out,
            probes_answered,
            peers_dead,
            half_open,
            half_open_evicted,
            half_open_expired,
            held,
            slots_given,
            slots_taken,
            fragments_in,
            reassembled,
            stranger_answers_out,
            stranger_answers_suppressed,
            exponents_prepared,
            exponentiations,
            overflows,
            drops,
        } = self;
        let counters = [
            (datagrams_in, other.datagrams_in),
            (datagrams_out, other.datagrams_out),
            (retransmissions, other.retransmissions),
            (phase_one_established, other.phase_one_established),
            (phase_one_failed, other.phase_one_failed),
            (quick_mode_established, other.quick_mode_established),
            (quick_mode_failed, other.quick_mode_failed),
            (probes_out, other.probes_out),
            (probes_answered, other.probes_answered),
            (peers_dead, other.peers_dead),
            (half_open, other.half_open),
            (half_open_evicted, other.half_open_evicted),
            (half_open_expired, other.half_open_expired),
            (held, other.held),
            (slots_given, other.slots_given),
            (slots_taken, other.slots_taken),
            (fragments_in, other.fragments_in),
            (reassembled, other.reassembled),
            (stranger_answers_out, other.stranger_answers_out),
            (
                stranger_answers_suppressed,
                other.stranger_answers_suppressed,
            ),
            (exponents_prepared, other.exponents_prepared),
            (exponentiations, other.exponentiations),
            (overflows, other.overflows),
        ];
        for (count, more) in counters {
            *count = count.saturating_add(more);
        }
        drops.add(&other.drops);
    }
}

impl Drops {
    fn add(&mut self, other: &Self) {
        let Self {
            not_ike,
            malformed,
            unsupported_version,
            unsupported_exchange,
            unknown_cookies,
            unknown_identity,
            no_proposal_chosen,
            invalid_key_exchange,
            not_encrypted,
            undecryptable,
            authentication_failed,
            duplicate,
            unexpected,
            refused,
            wrong_source,
            limit_reached,
            unauthenticated_notify,
            closed,
        } = self;
        let counters = [
            (not_ike, other.not_ike),
            (malformed, other.malformed),
            (unsupported_version, other.unsupported_version),
            (unsupported_exchange, other.unsupported_exchange),
            (unknown_cookies, other.unknown_cookies),
            (unknown_identity, other.unknown_identity),
            (no_proposal_chosen, other.no_proposal_chosen),
            (invalid_key_exchange, other.invalid_key_exchange),
            (not_encrypted, other.not_encrypted),
            (undecryptable, other.undecryptable),
            (authentication_failed, other.authentication_failed),
            (duplicate, other.duplicate),
            (unexpected, other.unexpected),
            (refused, other.refused),
            (wrong_source, other.wrong_source),
            (limit_reached, other.limit_reached),
            (unauthenticated_notify, other.unauthenticated_notify),
            (closed, other.closed),
        ];
        for (count, more) in counters {
            *count = count.saturating_add(more);
        }
    }

    pub(crate) fn count(&mut self, error: &DatagramError) {
        *self.counter(error) += 1;
    }

    fn counter(&mut self, error: &DatagramError) -> &mut u64 {
        match error {
            DatagramError::NotIke => &mut self.not_ike,
            DatagramError::Malformed(_) => &mut self.malformed,
            DatagramError::UnsupportedVersion { .. } => &mut self.unsupported_version,
            DatagramError::UnsupportedExchange { .. } => &mut self.unsupported_exchange,
            DatagramError::UnknownCookies => &mut self.unknown_cookies,
            DatagramError::UnknownIdentity => &mut self.unknown_identity,
            DatagramError::NoProposalChosen => &mut self.no_proposal_chosen,
            DatagramError::InvalidKeyExchange => &mut self.invalid_key_exchange,
            DatagramError::NotEncrypted => &mut self.not_encrypted,
            DatagramError::Undecryptable => &mut self.undecryptable,
            DatagramError::AuthenticationFailed => &mut self.authentication_failed,
            DatagramError::Duplicate => &mut self.duplicate,
            DatagramError::Unexpected => &mut self.unexpected,
            DatagramError::Refused => &mut self.refused,
            DatagramError::WrongSource => &mut self.wrong_source,
            DatagramError::LimitReached => &mut self.limit_reached,
            DatagramError::UnauthenticatedNotify => &mut self.unauthenticated_notify,
            DatagramError::Closed => &mut self.closed,
        }
    }

    /// Name and count of every reason, for metrics.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 18] {
        [
            ("not_ike", self.not_ike),
            ("malformed", self.malformed),
            ("unsupported_version", self.unsupported_version),
            ("unsupported_exchange", self.unsupported_exchange),
            ("unknown_cookies", self.unknown_cookies),
            ("unknown_identity", self.unknown_identity),
            ("no_proposal_chosen", self.no_proposal_chosen),
            ("invalid_key_exchange", self.invalid_key_exchange),
            ("not_encrypted", self.not_encrypted),
            ("undecryptable", self.undecryptable),
            ("authentication_failed", self.authentication_failed),
            ("duplicate", self.duplicate),
            ("unexpected", self.unexpected),
            ("refused", self.refused),
            ("wrong_source", self.wrong_source),
            ("limit_reached", self.limit_reached),
            ("unauthenticated_notify", self.unauthenticated_notify),
            ("closed", self.closed),
        ]
    }
}

//! Our own phase 1 with a peer: from message 2 on.

use super::aggressive_initiator::{Completed, Verified};
use crate::context::Context;
use crate::error::{DatagramError, PhaseOneError, QuickModeError};
use crate::event::{Event, Hint};
use crate::isakmp_sa::{Fingerprint, IsakmpSa, Path};
use crate::peer::Peer;
use crate::wire::Message;

impl Peer {
    /// Takes in message 2 of our phase 1.
    pub(crate) fn receive_second(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let phase_one = self.phase_one.as_mut().ok_or(DatagramError::Unexpected)?;
        if phase_one.cookie() != message.header().cookies().initiator() {
            return Err(DatagramError::UnknownCookies);
        }
        if path.remote.ip() != phase_one.path().remote.ip() {
            phase_one.heard = true;
            return Err(DatagramError::WrongSource);
        }
        if phase_one.has_answer_of(message.header().cookies().responder()) {
            return Err(DatagramError::Duplicate);
        }
        let provider = context.config.provider();
        match phase_one.verify(context.now, provider, &self.config, message, contents) {
            Ok(verified) => {
                context.output.stats.exponentiations += 1;
                match phase_one.keep_for_slot(context.now, verified) {
                    Some(verified) => self.complete_phase_one(context, verified),
                    None => context.output.stats.slots_taken += 1,
                }
                Ok(())
            }
            Err(error) => {
                let dropped = drop_reason(&error);
                let mismatch = error == PhaseOneError::PskMismatch;
                if phase_one.suspect(error) && mismatch {
                    context.output.event(Event::Hinted {
                        peer: self.id,
                        hint: Hint::PskMismatch,
                    });
                }
                Err(dropped)
            }
        }
    }

    /// Message 2 was accepted, and its slot has come: message 3 goes out.
    pub(crate) fn complete_phase_one(&mut self, context: &mut Context<'_>, verified: Verified) {
        let Some(phase_one) = self.phase_one.take() else {
            return;
        };
        context.index.initiating.remove(&phase_one.cookie());
        // Who renews holds what came before.
        let announce = self.initial_contact && self.isakmp_sas.is_empty();
        let completed = phase_one.establish(context, &self.config, verified, announce);
        self.established(context, completed);
    }

    fn established(&mut self, context: &mut Context<'_>, completed: Completed) {
        self.measure(completed.round_trip);
        self.initial_contact = false;
        let mut isakmp = IsakmpSa::new(context, completed.negotiated);
        isakmp.peer_is_busy = completed.waited;
        isakmp.third_message = Some(completed.third_message);
        self.install_isakmp_sa(context, isakmp, false);
        for pair in core::mem::take(&mut self.wanted) {
            if self.start_quick_mode(context, pair).is_err() {
                let error = QuickModeError::NoProposalChosen { mismatch: None };
                self.report_quick_mode_failure(context, Some(pair), error);
            }
        }
        if completed.renewal {
            // Whether message 3 has arrived shows when the peer answers under the new SA.
            self.check_liveness(context, None);
        }
    }

    /// Takes in a message of aggressive mode under an ISAKMP SA that is established: message 2 again, for want of our
    /// message 3, or another message 3 of the peer's.
    pub(crate) fn receive_aggressive_again(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        contents: &[u8],
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let isakmp = self
            .isakmp_sas
            .iter_mut()
            .find(|isakmp| isakmp.cookies() == cookies);
        let isakmp = isakmp.ok_or(DatagramError::UnknownCookies)?;
        if let Some(third) = isakmp.repeat_third_message(Some(Fingerprint::of(contents))) {
            let path = isakmp.path();
            context.output.repeats(&third);
            context.output.send_framed(path.local, path.remote, third);
            return Err(DatagramError::Duplicate);
        }
        isakmp.correct_third_message(message, contents)
    }
}

/// Why a message 2 that failed for this reason was dropped.
fn drop_reason(error: &PhaseOneError) -> DatagramError {
    match error {
        PhaseOneError::PskMismatch
        | PhaseOneError::AuthenticationFailed
        | PhaseOneError::UndecryptableMessage3 => DatagramError::AuthenticationFailed,
        PhaseOneError::Malformed(error) => DatagramError::Malformed(*error),
        PhaseOneError::IdentityMismatch { .. }
        | PhaseOneError::NoProposalChosen { .. }
        | PhaseOneError::RefusedByPeer { .. }
        | PhaseOneError::AnswerNotOffered
        | PhaseOneError::WrongGroup { .. }
        | PhaseOneError::TimedOut { .. }
        | PhaseOneError::UnsupportedAlgorithm => DatagramError::Refused,
    }
}

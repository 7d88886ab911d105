//! What a peer has to do, and when: the earliest of its few deadlines.

use super::Peer;
use crate::context::Context;
use crate::ipsec_sa::InstalledSa;
use crate::quick_mode::exchange::Exchange;
use crate::retransmit::Due;
use crate::time::Instant;

impl Peer {
    /// The earliest time at which something is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let phase_one = self.phase_one.as_ref().map(|phase_one| phase_one.due());
        let exchanges = self.exchanges.iter().map(Exchange::next_deadline);
        let sas = self.sas.iter().map(InstalledSa::next_deadline);
        let isakmp_sas =
            (0..self.isakmp_sas.len()).filter_map(|position| self.isakmp_deadline(position));
        let singles = [phase_one, self.probe_due(), self.keepalive];
        singles
            .into_iter()
            .flatten()
            .chain(exchanges)
            .chain(sas)
            .chain(isakmp_sas)
            .min()
    }

    /// Does what is due at `context.now`.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.run_phase_one(context);
        self.run_exchanges(context);
        self.run_sas(context);
        self.run_isakmp_sas(context);
        if self.probe_due().is_some_and(|due| due <= context.now) {
            self.probe(context);
        }
        self.run_keepalive(context);
    }

    fn run_phase_one(&mut self, context: &mut Context<'_>) {
        let Some(phase_one) = &mut self.phase_one else {
            return;
        };
        if context.now < phase_one.due() {
            return;
        }
        if let Some(verified) = phase_one.take_for_slot(context.now) {
            return self.complete_phase_one(context, verified);
        }
        match phase_one
            .retransmit
            .on_due(context.now, &*context.config.provider().secure_random)
        {
            Due::Send(contents) => {
                let path = phase_one.path();
                context.output.repeats(&contents);
                context
                    .output
                    .send_framed(path.local, path.remote, contents);
            }
            Due::GiveUp => self.fail_phase_one(context),
        }
    }

    /// When the peer is to be asked whether it is there.
    fn probe_due(&self) -> Option<Instant> {
        let newest = self.isakmp_sas.last()?;
        let delay = self
            .config
            .dpd_delay()
            .filter(|_| newest.capabilities().dead_peer_detection);
        self.liveness.due(delay)
    }

    fn run_keepalive(&mut self, context: &mut Context<'_>) {
        if self.keepalive.is_none_or(|due| context.now < due) {
            return;
        }
        let path = self.current_path();
        context.output.send_keepalive(path.local, path.remote);
        self.keepalive = Some(context.now + self.config.keepalive_interval());
    }
}

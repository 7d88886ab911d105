//! What authentic messages tell of a peer: that it lives, how far away it is, and where.

use core::time::Duration;

use super::Peer;
use crate::context::Context;
use crate::event::{Event, Role};
use crate::isakmp_sa::{IsakmpSa, Path};

impl Peer {
    /// Takes a round-trip time into the average, RFC 6298 section 2.
    pub(crate) fn measure(&mut self, round_trip: Option<Duration>) {
        if let Some(sample) = round_trip {
            self.srtt = Some(self.srtt.map_or(sample, |srtt| (srtt * 7 + sample) / 8));
        }
    }

    /// A message of IKE has come over this path under the ISAKMP SA at `position`, which is authentic and no replay: the
    /// answer to something of ours, or a probe with a new number.
    pub(crate) fn heard(&mut self, context: &mut Context<'_>, position: usize, path: Path) {
        self.liveness.on_heard(context.now, true);
        self.prove(position);
        self.learn_path(context, position, path);
    }

    /// A message of IKE under the ISAKMP SA at `position` is authentic: both ends have it.
    pub(crate) fn prove(&mut self, position: usize) {
        if let Some(isakmp) = self.isakmp_sas.get_mut(position) {
            isakmp.prove();
        }
    }

    /// RFC 3947 section 7: a NAT may give the peer another mapping. Only who waits for the other to come learns, only
    /// on the NAT port, and never from there back to the IKE port.
    fn may_move(&self, context: &Context<'_>, isakmp: &IsakmpSa, path: Path) -> bool {
        self.role == Role::Responder
            && isakmp.traversal().dialect.is_some()
            && path.local.port() == context.config.nat_port()
    }

    /// Where to answer a message that is authentic, but may be a replay: to where it came from, if the peer may be
    /// there. Nothing is learned from it.
    pub(crate) fn answer_path(&self, context: &Context<'_>, isakmp: &IsakmpSa, path: Path) -> Path {
        if self.may_move(context, isakmp, path) {
            path
        } else {
            isakmp.path()
        }
    }

    /// Goes on where the peer is now.
    pub(crate) fn learn_path(&mut self, context: &mut Context<'_>, position: usize, path: Path) {
        let newest = position + 1 == self.isakmp_sas.len();
        let moves = self
            .isakmp_sas
            .get(position)
            .is_some_and(|isakmp| isakmp.path() != path && self.may_move(context, isakmp, path));
        let Some(isakmp) = self.isakmp_sas.get_mut(position).filter(|_| moves) else {
            return;
        };
        tracing::debug!(peer = %self.id, remote = %path.remote, "new address learned");
        isakmp.move_to(path, true);
        if newest {
            context.output.event(Event::AddressChanged {
                peer: self.id,
                local: path.local,
                remote: path.remote,
            });
        }
    }
}

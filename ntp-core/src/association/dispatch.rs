//! Which packets an association takes, RFC 5905 figure 20.

use crate::config::AssociationMode;
use crate::packet::Mode;

/// What to do with a packet that belongs to an association by its addresses.
#[expect(
    clippy::exhaustive_enums,
    reason = "the entries of RFC 5905 figure 20 for existing associations"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// PROC: the association takes it.
    Process,
    /// DSCRD: it is dropped.
    Discard,
    /// ERR: an ephemeral association ends.
    Demobilise,
}

/// The row of the table for an existing association.
///
/// A mode 4 packet may answer the prelude of a symmetric association or the volley of a broadcast client:
/// it passes here, and is dropped later unless it answers a mode 3 request that was sent.
#[must_use]
pub const fn dispatch(association: AssociationMode, packet: Mode) -> Verdict {
    match (association, packet) {
        (AssociationMode::SymmetricActive, Mode::SymmetricActive | Mode::SymmetricPassive)
        | (AssociationMode::SymmetricPassive, Mode::SymmetricActive)
        | (
            AssociationMode::Client
            | AssociationMode::SymmetricActive
            | AssociationMode::BroadcastClient,
            Mode::Server,
        )
        | (AssociationMode::BroadcastClient, Mode::Broadcast) => Verdict::Process,
        (AssociationMode::SymmetricPassive, Mode::SymmetricPassive) => Verdict::Demobilise,
        (
            AssociationMode::Client
            | AssociationMode::SymmetricActive
            | AssociationMode::SymmetricPassive
            | AssociationMode::BroadcastServer
            | AssociationMode::BroadcastClient,
            _,
        ) => Verdict::Discard,
    }
}

//! Who takes a datagram: an association, the server, or an association that it makes.

use alloc::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use super::config::{BroadcastPolicy, PassivePolicy};
use super::{AssociationId, Entry, System, SystemEvent};
use crate::association::{Reply, Verdict, dispatch};
use crate::config::{AssociationConfig, AssociationMode};
use crate::datagram::Datagram;
use crate::error::{ConfigError, Refusal, Rejection};
use crate::mac::SymmetricKey;
use crate::message::{Authenticator, Message};
use crate::packet::Mode;
use crate::poll_interval::PollInterval;
use crate::schedule::{RfcSchedule, Schedule};
use crate::timestamp::NtpTimestamp;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Handled {
    /// An association took it.
    Taken {
        /// Which one.
        id: AssociationId,
        /// What it made of it.
        reply: Reply,
    },
    /// The server answered it.
    Served,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Dropped {
    /// An association, or the dispatch between them, rejected it.
    #[error("packet rejected")]
    Rejected(#[from] Rejection),
    /// The server refused it.
    #[error("request refused")]
    Refused(#[from] Refusal),
}

impl System {
    /// The dispatch of RFC 5905 figure 20. Mode 3 is served whoever sends it: the sender may be our peer and
    /// our client at once.
    pub(super) fn route(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let flags = datagram.contents.first().copied().unwrap_or_default();
        let mode = Mode::from_bits(flags);
        if let Some(id) = self.find(mode, datagram) {
            return self.hand_to(id, now, wall, datagram);
        }
        match mode {
            Mode::SymmetricActive => self.meet_peer(now, wall, datagram),
            Mode::Broadcast => self.meet_broadcaster(now, wall, datagram),
            Mode::SymmetricPassive | Mode::Server => Err(Rejection::Unmatched.into()),
            Mode::Reserved | Mode::Client | Mode::Control | Mode::Private => {
                self.serve(now, wall, datagram)
            }
        }
    }

    /// The association with these addresses that does not simply discard that mode.
    fn find(&self, mode: Mode, datagram: &Datagram<'_>) -> Option<AssociationId> {
        let known = self.by_remote.get(&datagram.source)?;
        known.iter().copied().find(|id| {
            self.association(*id).is_some_and(|association| {
                association.is_addressed(datagram)
                    && dispatch(association.config().mode(), mode) != Verdict::Discard
            })
        })
    }

    fn hand_to(
        &mut self,
        id: AssociationId,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let entry = self.associations.get_mut(&id).ok_or(Rejection::Closed)?;
        let result = entry.association.handle_datagram(now, wall, *datagram);
        self.collect();
        Ok(Handled::Taken { id, reply: result? })
    }

    fn serve(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let server = self.server.as_mut().ok_or(Refusal::AccessDenied)?;
        let reply = server.respond(now, wall, wall, *datagram)?;
        self.enqueue(reply);
        Ok(Handled::Served)
    }

    /// NEWPS: a peer that nobody configured.
    fn meet_peer(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let message = Message::decode(datagram.contents).map_err(Rejection::from)?;
        let key = self.key_of(&message);
        let (is_welcome, quota) = match self.config.passive {
            PassivePolicy::Stateless => (false, 0),
            PassivePolicy::Authenticated { quota } => (key.is_some(), quota),
            PassivePolicy::Anybody { quota } => (
                key.is_some() || message.authenticator() == Authenticator::None,
                quota,
            ),
        };
        if !is_welcome || quota <= self.ephemeral_count(AssociationMode::SymmetricPassive) {
            return self.serve(now, wall, datagram);
        }
        // No stranger makes us poll more often than the RFC's shortest interval.
        let fastest = message
            .packet()
            .poll
            .clamp(PollInterval::MIN, PollInterval::USUAL_MIN);
        let mut builder = AssociationConfig::builder(datagram.destination, datagram.source)
            .mode(AssociationMode::SymmetricPassive)
            .version(message.packet().version)
            .schedule(Schedule::Rfc(
                RfcSchedule::default().poll_range(fastest, PollInterval::USUAL_MAX),
            ));
        if let Some(key) = key {
            builder = builder.key(key);
        }
        self.mobilise(now, wall, datagram, builder.build())
    }

    /// NEWBC: a broadcast server that nobody configured.
    fn meet_broadcaster(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let BroadcastPolicy::Listen { local, key, quota } = &self.config.broadcast else {
            return Err(Rejection::WrongMode {
                mode: Mode::Broadcast,
            }
            .into());
        };
        let message = Message::decode(datagram.contents).map_err(Rejection::from)?;
        let mut builder = AssociationConfig::builder(*local, datagram.source)
            .mode(AssociationMode::BroadcastClient);
        if let Some(key) = key {
            message.verify(key).map_err(Rejection::from)?;
            builder = builder.key(key.clone());
        }
        if *quota <= self.ephemeral_count(AssociationMode::BroadcastClient) {
            return Err(Rejection::QuotaReached.into());
        }
        self.mobilise(now, wall, datagram, builder.build())
    }

    fn mobilise(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
        config: Result<AssociationConfig, ConfigError>,
    ) -> Result<Handled, Dropped> {
        let config = config.map_err(|_| Rejection::WrongAddress)?;
        let mode = config.mode();
        let id = self.insert(now, Arc::new(config), true);
        self.raise(SystemEvent::Mobilised {
            id,
            mode,
            remote: datagram.source,
        });
        self.hand_to(id, now, wall, datagram)
    }

    /// The server's key that a packet was made with, if it is authentic.
    fn key_of(&self, message: &Message<'_>) -> Option<SymmetricKey> {
        let Authenticator::Mac { key, .. } = message.authenticator() else {
            return None;
        };
        let key = self.config.server.as_ref()?.key(key)?;
        message.verify(key).ok().map(|()| key.clone())
    }

    fn ephemeral_count(&self, mode: AssociationMode) -> usize {
        let is_such =
            |entry: &&Entry| entry.is_ephemeral && entry.association.config().mode() == mode;
        self.associations.values().filter(is_such).count()
    }
}

//! The public state machine: which peer a message is for, and what may come of it.

use alloc::sync::Arc;
use core::net::SocketAddr;

use crate::config::{EndpointConfig, PairIndex, PeerConfig, StaticCredentials};
use crate::cookie::CookiePair;
use crate::error::{AcquireError, DatagramError};
use crate::event::{CredentialsRequest, Event, IkeSaStatus, PeerId};
use crate::spi::Spi;
use crate::stats::Stats;
use crate::time::Instant;
use crate::transmit::{Datagram, Transmit};

/// Any number of peers over IKEv1, as initiator and as responder.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    now: Instant,
    stats: Stats,
    next_peer: u64,
}

#[expect(unused_variables, clippy::needless_pass_by_value, clippy::unused_self, reason = "shape")]
impl Endpoint {
    /// An endpoint without peers.
    #[must_use]
    pub fn new(config: EndpointConfig, now: Instant) -> Self {
        Self { config, now, stats: Stats::default(), next_peer: 0 }
    }

    /// Makes a peer known that we may initiate to. `local` and `remote` carry the IKE ports. Sends nothing yet.
    pub fn add_peer(&mut self, now: Instant, config: Arc<PeerConfig>, local: SocketAddr, remote: SocketAddr) -> PeerId {
        self.next_peer += 1;
        PeerId(self.next_peer)
    }

    /// Gives a peer another path. What is in flight is abandoned and every SA dropped, silently.
    pub fn set_path(&mut self, now: Instant, peer: PeerId, local: SocketAddr, remote: SocketAddr) {}

    /// Wants an IPsec SA for a pair: starts phase 1 if needed, quick mode after. Does nothing if one is up or in flight.
    ///
    /// # Errors
    ///
    /// See [`AcquireError`].
    pub fn acquire(&mut self, now: Instant, peer: PeerId, pair: PairIndex) -> Result<(), AcquireError> {
        Ok(())
    }

    /// Answers [`Event::CredentialsWanted`].
    pub fn provide_credentials(&mut self, now: Instant, request: CredentialsRequest, config: Arc<PeerConfig>) {}

    /// Answers [`Event::CredentialsWanted`] in the negative. Nothing is sent.
    pub fn refuse_credentials(&mut self, now: Instant, request: CredentialsRequest) {}

    /// Replaces the table of who may connect. SAs that exist stay.
    pub fn set_credentials(&mut self, table: StaticCredentials) {}

    /// Deletes the SAs of one pair, and tells the peer.
    pub fn delete_pair(&mut self, now: Instant, peer: PeerId, pair: PairIndex) {}

    /// Deletes all SAs with a peer, and tells it. An initiator's peer stays known, a responder's is forgotten.
    pub fn disconnect(&mut self, now: Instant, peer: PeerId) {}

    /// As [`disconnect`](Self::disconnect), without telling the peer.
    pub fn abandon(&mut self, now: Instant, peer: PeerId) {}

    /// Forgets a peer; as [`disconnect`](Self::disconnect) for what exists.
    pub fn remove_peer(&mut self, now: Instant, peer: PeerId) {}

    /// Checks in a hurry whether a peer is alive.
    pub fn check_liveness(&mut self, now: Instant, peer: PeerId) {}

    /// Takes note of an *authenticated* ESP packet.
    pub fn note_inbound(&mut self, now: Instant, inbound_spi: Spi, source: SocketAddr) {}

    /// Takes note of how many octets an SA has carried so far, in both directions together.
    pub fn report_usage(&mut self, now: Instant, inbound_spi: Spi, octets: u64) {}

    /// Answers an ESP packet with an unknown SPI by a notification, limited in rate.
    pub fn handle_unknown_spi(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, spi: u32) {}

    /// Tells a peer of a former life that its ISAKMP SA is gone.
    pub fn announce_loss(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, cookies: CookiePair) {}

    /// The newest ISAKMP SA with a peer.
    #[must_use]
    pub fn ike_sa(&self, peer: PeerId) -> Option<IkeSaStatus> {
        None
    }

    /// What has happened so far, in numbers.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Takes in a datagram.
    ///
    /// # Errors
    ///
    /// Why it was dropped; nothing has changed then.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Result<(), DatagramError> {
        Ok(())
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {}

    /// The next datagram to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Deletes everything and accepts nothing more.
    pub fn close(&mut self, now: Instant) {}

    /// Whether the endpoint is closed and all its output was taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        false
    }
}

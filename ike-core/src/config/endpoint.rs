//! Settings of an endpoint as a whole.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt::Debug;
use core::time::Duration;

use super::identity::Identity;
use super::peer::PeerConfig;
use super::proposal::{EspProposal, IkeProposal};
use crate::cookie::InitiatorCookie;
use crate::crypto::CryptoProvider;
use crate::error::ConfigError;

/// Receives the keys of ISAKMP SAs, for Wireshark's `ikev1_decryption_table`. Off unless one is given.
pub trait KeyLog: Debug + Send + Sync {
    /// An ISAKMP SA with this initiator cookie encrypts under this key.
    fn ikev1(&self, initiator_cookie: InitiatorCookie, cipher_key: &[u8]);
}

/// The ready-made answer to who may connect: a table of identities.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials {
    peers: BTreeMap<Identity, Arc<PeerConfig>>,
    /// Known, but their keys are elsewhere.
    asked_for: BTreeSet<Identity>,
    decoy: Option<Arc<PeerConfig>>,
    /// How many of them have each key.
    keys: BTreeMap<ByKey, usize>,
}

/// The settings of a peer, in the order of pre-shared keys.
#[derive(Clone, Debug)]
struct ByKey(Arc<PeerConfig>);

impl StaticCredentials {
    /// An empty table: nobody may connect.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits the peer under the identity that its settings name as the remote one; the settings replaced, if any.
    pub fn insert(&mut self, config: Arc<PeerConfig>) -> Option<Arc<PeerConfig>> {
        *self.keys.entry(ByKey(Arc::clone(&config))).or_default() += 1;
        let replaced = self.peers.insert(config.remote().clone(), config);
        self.release_key(replaced.as_ref());
        replaced
    }

    /// Has the embedder asked for this peer's settings when it comes
    /// ([`Event::CredentialsWanted`](crate::Event::CredentialsWanted)), unless the table holds some by then.
    pub fn ask_for(&mut self, identity: Identity) {
        self.asked_for.insert(identity);
    }

    /// Removes a peer from the table, however it was known. SAs that exist stay.
    pub fn remove(&mut self, identity: &Identity) -> Option<Arc<PeerConfig>> {
        self.asked_for.remove(identity);
        let removed = self.peers.remove(identity);
        self.release_key(removed.as_ref());
        removed
    }

    /// The peer no longer counts among those that have its key.
    fn release_key(&mut self, peer: Option<&Arc<PeerConfig>>) {
        let Some((key, count)) =
            peer.and_then(|peer| self.keys.remove_entry(&ByKey(Arc::clone(peer))))
        else {
            return;
        };
        if 1 < count {
            self.keys.insert(key, count - 1);
        }
    }

    pub(crate) fn asks_for(&self, identity: &Identity) -> bool {
        self.asked_for.contains(identity)
    }

    /// Answers whoever is not in the table as well, as `decoy` says, so that nobody can find out which identities are:
    /// form and time of the answers are those of a known identity whose key the stranger does not have. Default: `None`,
    /// silence.
    ///
    /// The decoy has the local identity and the proposals of the genuine peers, a remote identity of no meaning, and a
    /// [generated](crate::PreSharedKey::generate) key. Nobody connects by it, whatever they know. It has a price: message 1
    /// of a stranger then costs hashes and a half-open entry, of which all decoys together have as many as one identity.
    pub fn set_decoy(&mut self, decoy: Option<Arc<PeerConfig>>) {
        self.decoy = decoy;
    }

    /// How many peers are known, about: one whose key is asked for may have been given since.
    pub(crate) fn len(&self) -> usize {
        self.peers.len().max(self.asked_for.len())
    }

    pub(crate) fn decoy(&self) -> Option<&Arc<PeerConfig>> {
        self.decoy.as_ref()
    }

    /// The settings for an identity.
    #[must_use]
    pub fn get(&self, identity: &Identity) -> Option<&Arc<PeerConfig>> {
        self.peers.get(identity)
    }

    /// How many peers share each pre-shared key that is not one peer's alone, the largest group first.
    ///
    /// Whoever holds such a key can pass for any peer of its group, the hub included: it works, and is worth a warning.
    #[must_use]
    pub fn shared_keys(&self) -> Vec<usize> {
        let mut shared: Vec<_> = self
            .keys
            .values()
            .copied()
            .filter(|peers| 1 < *peers)
            .collect();
        shared.sort_unstable_by(|one, other| other.cmp(one));
        shared
    }

    /// How many peers have the key that these settings have.
    pub(crate) fn sharing(&self, config: &Arc<PeerConfig>) -> usize {
        self.keys
            .get(&ByKey(Arc::clone(config)))
            .copied()
            .unwrap_or(0)
    }

    /// All peers, in the order of their identities.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<PeerConfig>> {
        self.peers.values()
    }
}

impl FromIterator<Arc<PeerConfig>> for StaticCredentials {
    fn from_iter<I: IntoIterator<Item = Arc<PeerConfig>>>(peers: I) -> Self {
        let mut table = Self::new();
        for config in peers {
            table.insert(config);
        }
        table
    }
}

// Both sides are our own settings, so that how long a comparison takes tells nobody anything.
impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.psk().as_slice().cmp(other.0.psk().as_slice())
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByKey {}

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    provider: CryptoProvider,
    ike_port: u16,
    nat_port: u16,
    shard: Option<u8>,
    half_open_limit: usize,
    half_open_per_prefix: usize,
    half_open_per_identity: usize,
    exponent_pool: usize,
    key_exchange_time: Duration,
    ask_for_credentials: bool,
    stranger_answers_per_second: u32,
    key_log: Option<Arc<dyn KeyLog>>,
}

impl EndpointConfig {
    /// Starts from the one thing without a default: where cryptography and randomness come from.
    pub fn builder(provider: CryptoProvider) -> EndpointConfigBuilder {
        EndpointConfigBuilder(Self {
            provider,
            ike_port: 500,
            nat_port: 4500,
            shard: None,
            half_open_limit: 20_000,
            half_open_per_prefix: 8_192,
            half_open_per_identity: 8_192,
            exponent_pool: 32,
            key_exchange_time: Duration::ZERO,
            ask_for_credentials: false,
            stranger_answers_per_second: 2_000,
            key_log: None,
        })
    }

    /// Where cryptography and randomness come from.
    #[must_use]
    pub fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// Our port for IKE.
    #[must_use]
    pub fn ike_port(&self) -> u16 {
        self.ike_port
    }

    /// Our port for IKE and ESP through NAT.
    #[must_use]
    pub fn nat_port(&self) -> u16 {
        self.nat_port
    }

    /// Checks that the provider implements everything a peer's settings may negotiate.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnsupportedAlgorithm`] names the first proposal that cannot be used.
    pub fn check(&self, peer: &PeerConfig) -> Result<(), ConfigError> {
        let ike = peer
            .ike_proposals()
            .iter()
            .position(|proposal| !self.supports_ike(proposal));
        if let Some(position) = ike {
            return Err(ConfigError::UnsupportedAlgorithm { phase: 1, position });
        }
        let esp = peer
            .esp_proposals()
            .iter()
            .position(|proposal| !self.supports_esp(proposal));
        match esp {
            Some(position) => Err(ConfigError::UnsupportedAlgorithm { phase: 2, position }),
            None => Ok(()),
        }
    }

    /// Whether the provider implements every part of a phase 1 proposal.
    #[must_use]
    pub fn supports_ike(&self, proposal: &IkeProposal) -> bool {
        let provider = &self.provider;
        provider.hash(proposal.hash()).is_some()
            && provider.group(proposal.group()).is_some()
            && provider
                .cipher(proposal.encryption())
                .is_some_and(|cipher| cipher.key_lengths().octets(proposal.key_bits()).is_some())
    }

    /// Whether the provider implements the group of a phase 2 proposal, if it has one. Cipher and integrity algorithm
    /// are for whoever processes ESP to judge.
    #[must_use]
    pub fn supports_esp(&self, proposal: &EspProposal) -> bool {
        proposal
            .group()
            .is_none_or(|group| self.provider.group(group).is_some())
    }

    /// First octet of every responder cookie and SPI, if it is not random.
    #[must_use]
    pub fn shard(&self) -> Option<u8> {
        self.shard
    }

    /// How long a peer that comes back keeps us busy; zero if nobody is to wait.
    #[must_use]
    pub fn key_exchange_time(&self) -> Duration {
        self.key_exchange_time
    }

    pub(crate) fn half_open_limit(&self) -> usize {
        self.half_open_limit
    }

    pub(crate) fn half_open_per_prefix(&self) -> usize {
        self.half_open_per_prefix
    }

    pub(crate) fn half_open_per_identity(&self) -> usize {
        self.half_open_per_identity
    }

    pub(crate) fn exponent_pool(&self) -> usize {
        self.exponent_pool
    }

    pub(crate) fn asks_for_credentials(&self) -> bool {
        self.ask_for_credentials
    }

    pub(crate) fn stranger_answers_per_second(&self) -> u32 {
        self.stranger_answers_per_second
    }

    pub(crate) fn key_log(&self) -> Option<&Arc<dyn KeyLog>> {
        self.key_log.as_ref()
    }
}

/// Collects the settings of an endpoint; see [`EndpointConfig::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EndpointConfigBuilder(EndpointConfig);

impl EndpointConfigBuilder {
    /// Our port for IKE. Default: 500.
    pub fn ike_port(mut self, port: u16) -> Self {
        self.0.ike_port = port;
        self
    }

    /// Our port for IKE and ESP through NAT. Default: 4500.
    pub fn nat_port(mut self, port: u16) -> Self {
        self.0.nat_port = port;
        self
    }

    /// First octet of every responder cookie and SPI we choose, so that several workers can share one address behind
    /// a stateless balancer. Default: random.
    pub fn shard(mut self, shard: Option<u8>) -> Self {
        self.0.shard = shard;
        self
    }

    /// How many exchanges with initiators that have not proved themselves are kept in all. Default: 20,000.
    pub fn half_open_limit(mut self, limit: usize) -> Self {
        self.0.half_open_limit = limit;
        self
    }

    /// How many of them may come from one prefix (IPv4 /24, IPv6 /48). Default: 8,192, since branches can share a NAT.
    pub fn half_open_per_prefix(mut self, limit: usize) -> Self {
        self.0.half_open_per_prefix = limit;
        self
    }

    /// How many of them may name one identity. Default: 8,192: a forger who knows a name should not be able to push out
    /// the one it belongs to within a round trip.
    pub fn half_open_per_identity(mut self, limit: usize) -> Self {
        self.0.half_open_per_identity = limit;
        self
    }

    /// How many Diffie-Hellman values per group are prepared in quiet time. Default: 32.
    pub fn exponent_pool(mut self, count: usize) -> Self {
        self.0.exponent_pool = count;
        self
    }

    /// How long it keeps us busy when a peer comes back: an exponentiation, and all the rest of phase 1, of quick modes
    /// and of whatever follows at once. Default: zero, nobody is asked to wait.
    ///
    /// As a responder, when many come at once, we ask each initiator that understands it to send message 3 when its turn
    /// comes, so long after the one before it and 0.3 % more for each second that the key exchanges of all known peers would
    /// take: that is left to what else they want. Too long a time wastes some. Too short a one makes a queue, and is
    /// corrected: how long key exchanges really take is measured by the times at which we are called.
    ///
    /// With a time other than zero a message 3 is no longer served where it comes in, but by
    /// [`handle_timeout`](crate::Endpoint::handle_timeout), one at a time and in the order of the slots, so that what costs
    /// less is not kept waiting by those that come together. A driver takes in what has come between two calls of it.
    pub fn key_exchange_time(mut self, time: Duration) -> Self {
        self.0.key_exchange_time = time;
        self
    }

    /// Whether every identity that the static table lacks raises [`Event::CredentialsWanted`](crate::Event::CredentialsWanted).
    /// Default: no, the message is dropped and counted.
    pub fn ask_for_credentials(mut self, ask: bool) -> Self {
        self.0.ask_for_credentials = ask;
        self
    }

    /// How many unauthenticated notifications per second are sent in all; each source gets one a second. Default: 2,000.
    pub fn stranger_answers_per_second(mut self, count: u32) -> Self {
        self.0.stranger_answers_per_second = count;
        self
    }

    /// Who is told the keys of ISAKMP SAs. Default: nobody.
    pub fn key_log(mut self, key_log: Arc<dyn KeyLog>) -> Self {
        self.0.key_log = Some(key_log);
        self
    }

    /// Checks everything at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Ports`] unless the two ports differ and neither is 0; [`ConfigError::HalfOpenLimit`] if a limit is 0.
    pub fn build(self) -> Result<EndpointConfig, ConfigError> {
        let config = self.0;
        if config.ike_port == config.nat_port || config.ike_port == 0 || config.nat_port == 0 {
            return Err(ConfigError::Ports);
        }
        if [
            config.half_open_limit,
            config.half_open_per_prefix,
            config.half_open_per_identity,
        ]
        .contains(&0)
        {
            return Err(ConfigError::HalfOpenLimit);
        }
        Ok(config)
    }
}

//! Settings of one peer.

use core::fmt;
use core::time::Duration;

use super::identity::Identity;
use super::proposal::{EspProposal, IkeProposal};
use super::psk::PreSharedKey;
use super::retransmission::Retransmission;
use super::subnet::Subnet;
use crate::error::ConfigError;
use crate::wire::numbers::GroupNumber;

/// What one IPsec SA of IKEv1 can protect: traffic between one local and one remote subnet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_structs,
    reason = "IKEv1 has one selector per side, for ever"
)]
pub struct SelectorPair {
    /// The subnet on this side.
    pub local: Subnet,
    /// The subnet behind the peer.
    pub remote: Subnet,
}

impl fmt::Display for SelectorPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote } = self;
        write!(f, "{local} here and {remote} behind the peer")
    }
}

/// Position of a pair in [`PeerConfig::pairs`], counted from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PairIndex(u16);

impl PairIndex {
    /// The pair at this position.
    #[must_use]
    pub const fn new(position: u16) -> Self {
        Self(position)
    }

    /// The position.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The position as an index of a slice.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// When ESP travels inside UDP, RFC 3948.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Encapsulation {
    /// If a NAT is found on the way.
    #[default]
    Auto,
    /// Always: a NAT is feigned towards the peer. Lets both ends run without raw sockets.
    Always,
}

/// Everything that is agreed with one peer in advance.
///
/// Built by [`PeerConfig::builder`], immutable, shared as `Arc`.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    local: Identity,
    remote: Identity,
    psk: PreSharedKey,
    ike_proposals: Vec<IkeProposal>,
    esp_proposals: Vec<EspProposal>,
    pairs: Vec<SelectorPair>,
    ike_lifetime: Duration,
    sa_lifetime: Duration,
    sa_lifetime_kilobytes: Option<u64>,
    dpd_delay: Option<Duration>,
    dpd_tries: u32,
    encapsulation: Encapsulation,
    remote_nat_port: u16,
    keepalive_interval: Duration,
    retransmission: Retransmission,
    responder_may_rekey: bool,
}

impl PeerConfig {
    /// The shortest lifetime of either kind of SA.
    pub const MIN_LIFETIME: Duration = Duration::from_secs(10);

    /// Starts from what cannot be guessed: our identity, the peer's, and the key the two share.
    pub fn builder(local: Identity, remote: Identity, psk: PreSharedKey) -> PeerConfigBuilder {
        PeerConfigBuilder(Self {
            local,
            remote,
            psk,
            ike_proposals: default_ike_proposals(),
            esp_proposals: default_esp_proposals(),
            pairs: Vec::new(),
            ike_lifetime: Duration::from_secs(8 * 3600),
            sa_lifetime: Duration::from_secs(3600),
            sa_lifetime_kilobytes: None,
            dpd_delay: Some(Duration::from_secs(20)),
            dpd_tries: 5,
            encapsulation: Encapsulation::Auto,
            remote_nat_port: 4500,
            keepalive_interval: Duration::from_secs(20),
            retransmission: Retransmission::default(),
            responder_may_rekey: true,
        })
    }

    /// How we name ourselves.
    #[must_use]
    pub fn local(&self) -> &Identity {
        &self.local
    }

    /// How the peer names itself.
    #[must_use]
    pub fn remote(&self) -> &Identity {
        &self.remote
    }

    /// The key shared with the peer.
    #[must_use]
    pub fn psk(&self) -> &PreSharedKey {
        &self.psk
    }

    /// Phase 1 proposals, the preferred one first.
    #[must_use]
    pub fn ike_proposals(&self) -> &[IkeProposal] {
        &self.ike_proposals
    }

    /// Phase 2 proposals, the preferred one first.
    #[must_use]
    pub fn esp_proposals(&self) -> &[EspProposal] {
        &self.esp_proposals
    }

    /// What is to be protected.
    #[must_use]
    pub fn pairs(&self) -> &[SelectorPair] {
        &self.pairs
    }

    /// Lifetime of the ISAKMP SA as we propose it.
    #[must_use]
    pub fn ike_lifetime(&self) -> Duration {
        self.ike_lifetime
    }

    /// Lifetime of an IPsec SA as we propose it.
    #[must_use]
    pub fn sa_lifetime(&self) -> Duration {
        self.sa_lifetime
    }

    /// Lifetime of an IPsec SA in units of 1024 octets, as we propose it.
    #[must_use]
    pub fn sa_lifetime_kilobytes(&self) -> Option<u64> {
        self.sa_lifetime_kilobytes
    }

    /// How long a peer may be silent before it is asked whether it is there. `None`: it is not asked.
    #[must_use]
    pub fn dpd_delay(&self) -> Option<Duration> {
        self.dpd_delay
    }

    /// How often a silent peer is asked before it counts as dead.
    #[must_use]
    pub fn dpd_tries(&self) -> u32 {
        self.dpd_tries
    }

    /// When ESP travels inside UDP.
    #[must_use]
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// The peer's port for traffic through NAT.
    #[must_use]
    pub fn remote_nat_port(&self) -> u16 {
        self.remote_nat_port
    }

    /// How often the mapping of a NAT in front of us is refreshed.
    #[must_use]
    pub fn keepalive_interval(&self) -> Duration {
        self.keepalive_interval
    }

    /// When unanswered messages are sent again.
    #[must_use]
    pub fn retransmission(&self) -> Retransmission {
        self.retransmission
    }

    /// Whether we, as the side that did not initiate, may renew IPsec SAs on our own.
    #[must_use]
    pub fn responder_may_rekey(&self) -> bool {
        self.responder_may_rekey
    }

    /// The selectors at a position of [`pairs`](Self::pairs).
    #[must_use]
    pub fn pair(&self, index: PairIndex) -> Option<&SelectorPair> {
        self.pairs.get(index.index())
    }

    /// The same settings with another key, as a key store has just given it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptyPreSharedKey`].
    pub fn with_psk(&self, psk: PreSharedKey) -> Result<Self, ConfigError> {
        if psk.is_empty() {
            return Err(ConfigError::EmptyPreSharedKey);
        }
        Ok(Self {
            psk,
            ..self.clone()
        })
    }

    /// The pair with these selectors.
    pub(crate) fn index_of(&self, selectors: &SelectorPair) -> Option<PairIndex> {
        self.indexed_pairs()
            .find(|(_, pair)| *pair == selectors)
            .map(|(index, _)| index)
    }

    /// Every pair with its index.
    pub(crate) fn indexed_pairs(&self) -> impl Iterator<Item = (PairIndex, &SelectorPair)> {
        (0..=u16::MAX).map(PairIndex).zip(&self.pairs)
    }
}

/// Collects the settings of a peer; see [`PeerConfig::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PeerConfigBuilder(PeerConfig);

impl PeerConfigBuilder {
    /// Phase 1 proposals, the preferred one first. Default: AES-256 and AES-128 with SHA2-256, then AES-128 with
    /// SHA-1, all in the 2048-bit MODP group.
    ///
    /// Aggressive mode offers one group only, that of the first proposal; a responder takes any.
    pub fn ike_proposals(mut self, proposals: Vec<IkeProposal>) -> Self {
        self.0.ike_proposals = proposals;
        self
    }

    /// Phase 2 proposals, the preferred one first. Default: AES-128-GCM with perfect forward secrecy in the 2048-bit
    /// MODP group; as a responder also without, and AES-128-CBC with HMAC-SHA2-256 or HMAC-SHA1.
    ///
    /// An initiator offers those that agree with the first about forward secrecy; a responder takes any.
    pub fn esp_proposals(mut self, proposals: Vec<EspProposal>) -> Self {
        self.0.esp_proposals = proposals;
        self
    }

    /// What is to be protected, from our point of view. At least one; no default.
    pub fn pairs(mut self, pairs: Vec<SelectorPair>) -> Self {
        self.0.pairs = pairs;
        self
    }

    /// Lifetime of the ISAKMP SA; the smaller of both peers' wins. Default: 8 h.
    pub fn ike_lifetime(mut self, lifetime: Duration) -> Self {
        self.0.ike_lifetime = lifetime;
        self
    }

    /// Lifetime of an IPsec SA; the smaller of both peers' wins. Default: 1 h.
    pub fn sa_lifetime(mut self, lifetime: Duration) -> Self {
        self.0.sa_lifetime = lifetime;
        self
    }

    /// Lifetime of an IPsec SA in units of 1024 octets, both directions together. Default: none.
    pub fn sa_lifetime_kilobytes(mut self, kilobytes: Option<u64>) -> Self {
        self.0.sa_lifetime_kilobytes = kilobytes;
        self
    }

    /// How long a peer may be silent before it is asked whether it is there, RFC 3706; `None` never asks. Default: 20 s.
    pub fn dpd_delay(mut self, delay: Option<Duration>) -> Self {
        self.0.dpd_delay = delay;
        self
    }

    /// How often a silent peer is asked before it counts as dead. Default: 5.
    pub fn dpd_tries(mut self, tries: u32) -> Self {
        self.0.dpd_tries = tries;
        self
    }

    /// When ESP travels inside UDP. Default: if a NAT is found.
    pub fn encapsulation(mut self, encapsulation: Encapsulation) -> Self {
        self.0.encapsulation = encapsulation;
        self
    }

    /// The peer's port for traffic through NAT. Default: 4500.
    pub fn remote_nat_port(mut self, port: u16) -> Self {
        self.0.remote_nat_port = port;
        self
    }

    /// How often the mapping of a NAT in front of us is refreshed, RFC 3948 section 4. Default: 20 s.
    pub fn keepalive_interval(mut self, interval: Duration) -> Self {
        self.0.keepalive_interval = interval;
        self
    }

    /// When unanswered messages are sent again.
    pub fn retransmission(mut self, retransmission: Retransmission) -> Self {
        self.0.retransmission = retransmission;
        self
    }

    /// Whether we, as the side that did not initiate, may renew IPsec SAs on our own, later than the initiator
    /// would. Default: yes.
    pub fn responder_may_rekey(mut self, may: bool) -> Self {
        self.0.responder_may_rekey = may;
        self
    }

    /// Checks everything at once.
    ///
    /// # Errors
    ///
    /// The first setting that cannot work, as a [`ConfigError`].
    pub fn build(self) -> Result<PeerConfig, ConfigError> {
        let config = self.0;
        if config.psk.is_empty() {
            return Err(ConfigError::EmptyPreSharedKey);
        }
        check_proposals(&config)?;
        check_pairs(&config.pairs)?;
        for lifetime in [config.ike_lifetime, config.sa_lifetime] {
            if lifetime < PeerConfig::MIN_LIFETIME {
                return Err(ConfigError::LifetimeTooShort {
                    got: lifetime,
                    min: PeerConfig::MIN_LIFETIME,
                });
            }
            if u64::from(u32::MAX) < lifetime.as_secs() {
                return Err(ConfigError::LifetimeTooLong { got: lifetime });
            }
        }
        if config
            .sa_lifetime_kilobytes
            .is_some_and(|kilobytes| !(1..=u64::from(u32::MAX)).contains(&kilobytes))
        {
            return Err(ConfigError::KilobytesOutOfRange);
        }
        if config
            .dpd_delay
            .is_some_and(|delay| delay < Duration::from_secs(1))
            || config.dpd_tries == 0
        {
            return Err(ConfigError::DeadPeerDetectionTooFast);
        }
        if config.keepalive_interval < Duration::from_secs(1) || config.remote_nat_port == 0 {
            return Err(ConfigError::NatSettings);
        }
        if !config.retransmission.is_valid() {
            return Err(ConfigError::Retransmission);
        }
        Ok(config)
    }
}

fn check_proposals(config: &PeerConfig) -> Result<(), ConfigError> {
    if config.ike_proposals.is_empty() {
        return Err(ConfigError::NoProposal { phase: 1 });
    }
    if config.esp_proposals.is_empty() {
        return Err(ConfigError::NoProposal { phase: 2 });
    }
    let max = crate::limits::OFFERED_TRANSFORMS;
    if max < config.ike_proposals.len() || max < config.esp_proposals.len() {
        return Err(ConfigError::TooManyProposals { max });
    }
    Ok(())
}

fn check_pairs(pairs: &[SelectorPair]) -> Result<(), ConfigError> {
    if pairs.is_empty() {
        return Err(ConfigError::NoPair);
    }
    if usize::from(u16::MAX) < pairs.len() {
        return Err(ConfigError::TooManyPairs);
    }
    for (second, pair) in (0..=u16::MAX).zip(pairs) {
        if pair.local.address().is_ipv4() != pair.remote.address().is_ipv4() {
            return Err(ConfigError::MixedFamilies {
                pair: PairIndex(second),
            });
        }
        let overlaps = |other: &SelectorPair| {
            pair.local.overlaps(&other.local) && pair.remote.overlaps(&other.remote)
        };
        let earlier = (0..second).zip(pairs).find(|(_, other)| overlaps(other));
        if let Some((first, _)) = earlier {
            return Err(ConfigError::OverlappingPairs {
                first: PairIndex(first),
                second: PairIndex(second),
            });
        }
    }
    Ok(())
}

fn default_ike_proposals() -> Vec<IkeProposal> {
    parse_all(&[
        "aes256-sha256-modp2048",
        "aes128-sha256-modp2048",
        "aes128-sha1-modp2048",
    ])
}

fn default_esp_proposals() -> Vec<EspProposal> {
    parse_all(&[
        "aes128gcm16-modp2048",
        "aes128gcm16",
        "aes128-sha256-modp2048",
        "aes128-sha256",
        "aes128-sha1",
    ])
}

/// Parses constants of this file; a test sees to it that none is lost.
fn parse_all<T: core::str::FromStr>(texts: &[&str]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

impl PeerConfig {
    /// The groups that a pool of prepared values should hold for this peer.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupNumber> {
        self.ike_proposals.iter().map(IkeProposal::group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> PeerConfigBuilder {
        let pair = pair("10.61.1.0/24", "10.61.3.0/24");
        PeerConfig::builder(
            Identity::Fqdn("branch1".into()),
            Identity::Fqdn("hub".into()),
            PreSharedKey::new(b"secret"),
        )
        .pairs(vec![pair])
    }

    fn pair(local: &str, remote: &str) -> SelectorPair {
        SelectorPair {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = builder().build().unwrap();
        assert_eq!(config.ike_proposals().len(), 3);
        assert_eq!(config.esp_proposals().len(), 5);
        assert!(!config.ike_proposals().iter().any(IkeProposal::is_legacy));
        assert!(!config.esp_proposals().iter().any(EspProposal::is_legacy));
    }

    #[test]
    fn pairs_overlap_only_if_both_sides_do() {
        let shared_side = vec![
            pair("10.61.1.0/24", "10.61.3.0/24"),
            pair("10.61.1.0/24", "10.61.253.0/24"),
        ];
        assert!(builder().pairs(shared_side).build().is_ok());
        let overlapping = vec![
            pair("10.61.1.0/24", "10.61.253.0/24"),
            pair("10.61.1.0/24", "10.61.3.0/24"),
            pair("10.61.1.128/25", "10.61.0.0/16"),
        ];
        let error = builder().pairs(overlapping).build().unwrap_err();
        assert_eq!(
            error,
            ConfigError::OverlappingPairs {
                first: PairIndex(0),
                second: PairIndex(2)
            }
        );
        let mixed = vec![pair("10.61.1.0/24", "2001:db8::/64")];
        assert_eq!(
            builder().pairs(mixed).build().unwrap_err(),
            ConfigError::MixedFamilies { pair: PairIndex(0) }
        );
        assert_eq!(
            builder().pairs(Vec::new()).build().unwrap_err(),
            ConfigError::NoPair
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let second = Duration::from_secs(1);
        let error = |builder: PeerConfigBuilder| builder.build().unwrap_err();
        assert_eq!(
            error(builder().ike_proposals(Vec::new())),
            ConfigError::NoProposal { phase: 1 }
        );
        assert_eq!(
            error(builder().esp_proposals(Vec::new())),
            ConfigError::NoProposal { phase: 2 }
        );
        assert_eq!(
            error(builder().ike_lifetime(second)),
            ConfigError::LifetimeTooShort {
                got: second,
                min: PeerConfig::MIN_LIFETIME
            }
        );
        assert_eq!(
            error(builder().sa_lifetime_kilobytes(Some(0))),
            ConfigError::KilobytesOutOfRange
        );
        assert_eq!(
            error(builder().dpd_tries(0)),
            ConfigError::DeadPeerDetectionTooFast
        );
        assert_eq!(
            error(builder().remote_nat_port(0)),
            ConfigError::NatSettings
        );
        let hasty = Retransmission::default().initial(Duration::from_millis(1));
        assert_eq!(
            error(builder().retransmission(hasty)),
            ConfigError::Retransmission
        );
    }
}

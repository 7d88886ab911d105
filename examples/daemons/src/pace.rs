//! How long it keeps this machine busy when a branch comes back: measured once, when the hub begins.

use std::time::Duration;

use ike_core::crypto::{CryptoProvider, Group};

use crate::clock;
use crate::settings::HubSettings;

/// What phase 1 costs besides its exponentiation, and each pair besides its own: estimates, of the size that `cargo bench -p
/// fleet --bench hub_inputs` suggests for a machine that takes 760 us for an exponentiation in group 14.
const REST_OF_A_BRANCH: Duration = Duration::from_micros(100);
const REST_OF_A_PAIR: Duration = Duration::from_micros(100);

/// How long one branch keeps the hub busy, with as many pairs as its branches have on average.
pub(crate) fn key_exchange_time(provider: &CryptoProvider, settings: &HubSettings) -> Duration {
    let branches = settings.branches.len().max(1);
    let pairs: usize = settings
        .branches
        .iter()
        .map(|branch| branch.pairs.len())
        .sum();
    let pairs = u32::try_from(pairs.div_ceil(branches)).unwrap_or(u32::MAX);
    let find = |number| provider.group(number);
    let phase_one = settings
        .gateway
        .ike
        .first()
        .and_then(|ike| find(ike.group()));
    let phase_two = settings
        .gateway
        .esp
        .first()
        .and_then(|esp| find(esp.group()?));
    let time = |group: Option<&dyn Group>| {
        group.map_or(Duration::ZERO, |group| exponentiation(provider, group))
    };
    // With perfect forward secrecy, each pair takes a value and a shared secret.
    REST_OF_A_BRANCH + time(phase_one) + (REST_OF_A_PAIR + 2 * time(phase_two)) * pairs
}

/// The shortest of a few, as whatever else the machine does only makes it longer.
fn exponentiation(provider: &CryptoProvider, group: &dyn Group) -> Duration {
    let random = &*provider.secure_random;
    let (ours, theirs) = (group.generate(random), group.generate(random));
    let time = || {
        let begun = clock::now();
        // A value that was just made is a good one.
        let _ = ours.agree(theirs.public());
        clock::now() - begun
    };
    (0..5).map(|_| time()).min().unwrap_or_default()
}

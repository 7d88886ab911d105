//! Seeds of the corpus, made by our own encoders.
//!
//! `cargo run -p fuzz --example seeds` writes them to `corpus/`; what the fuzzers find is added there beside them.

mod esp;
mod ike;
mod ike_machine;
mod ntp;
mod world;

/// One seed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Seed {
    /// The target it belongs to.
    pub target: &'static str,
    /// The name of its file.
    pub name: &'static str,
    /// What the target is given.
    pub octets: Vec<u8>,
}

impl Seed {
    fn new(target: &'static str, name: &'static str, octets: Vec<u8>) -> Self {
        Self {
            target,
            name,
            octets,
        }
    }
}

/// Every seed.
#[must_use]
pub fn all() -> Vec<Seed> {
    [
        ike::seeds(),
        ike_machine::seeds(),
        esp::seeds(),
        ntp::seeds(),
        world::seeds(),
    ]
    .concat()
}

/// A string as [`Steps`](crate::steps::Steps) reads one.
fn string(octets: &[u8]) -> Vec<u8> {
    let len = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes()[..], octets].concat()
}

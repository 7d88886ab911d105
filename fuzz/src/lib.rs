//! Bodies of the fuzz targets.
//!
//! Each is a plain function from octets to nothing that panics when it finds something: a panic in a core, a decoded
//! value that does not survive encoding, output without bound, a timer that stands still. The targets in
//! `fuzz_targets/` only call them, and `tests/replay.rs` runs them over the corpus on a stable toolchain.
//!
//! `CARGO_PROFILE_RELEASE_LTO=off cargo +nightly fuzz run --features libfuzzer ike_message` explores one (coverage cannot be counted in
//! what is optimised across crates); `cargo run -p fuzz --example seeds` writes the seeds into the corpus.

mod esp;
mod ike_machine;
mod ike_wire;
mod ntp;
mod null_crypto;
pub mod seeds;
mod steps;
mod world;

pub use esp::{esp_encapsulation, esp_inner_packet, esp_open};
pub use ike_machine::{ike_initiator, ike_inside, ike_responder};
pub use ike_wire::{
    ike_attributes, ike_delete, ike_fragment, ike_identification, ike_message, ike_notification,
    ike_sa,
};
pub use ntp::{ntp_association, ntp_extensions, ntp_message, ntp_server};
pub use world::world;

/// A target: its name, which is also its folder in the corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("esp_encapsulation", esp_encapsulation),
    ("esp_inner_packet", esp_inner_packet),
    ("esp_open", esp_open),
    ("ike_attributes", ike_attributes),
    ("ike_delete", ike_delete),
    ("ike_fragment", ike_fragment),
    ("ike_identification", ike_identification),
    ("ike_initiator", ike_initiator),
    ("ike_inside", ike_inside),
    ("ike_message", ike_message),
    ("ike_notification", ike_notification),
    ("ike_responder", ike_responder),
    ("ike_sa", ike_sa),
    ("ntp_association", ntp_association),
    ("ntp_extensions", ntp_extensions),
    ("ntp_message", ntp_message),
    ("ntp_server", ntp_server),
    ("world", world),
];

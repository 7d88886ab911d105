//! Bodies of the fuzz targets.
//!
//! Each is a plain function from octets to nothing that panics when it finds something: a panic in a core, a decoded
//! value that does not survive encoding, output without bound, a timer that stands still. The targets in
//! `fuzz_targets/` only call them, and `tests/replay.rs` runs them over the corpus on a stable toolchain.
//!
//! `cargo fuzz run --features libfuzzer ike_message` explores one with a nightly toolchain; `cargo run -p fuzz
//! --example seeds` writes the seeds into the corpus.

mod esp;
mod ike_wire;
pub mod seeds;
mod steps;

pub use esp::{esp_encapsulation, esp_inner_packet, esp_open};
pub use ike_wire::{
    ike_attributes, ike_delete, ike_fragment, ike_identification, ike_message, ike_notification,
    ike_sa,
};

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
    ("ike_message", ike_message),
    ("ike_notification", ike_notification),
    ("ike_sa", ike_sa),
];

//! Explores [`fuzz::ike_fragment`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_fragment(octets));

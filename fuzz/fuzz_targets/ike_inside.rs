//! Explores [`fuzz::ike_inside`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_inside(octets));

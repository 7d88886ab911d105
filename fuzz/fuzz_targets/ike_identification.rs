//! Explores [`fuzz::ike_identification`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_identification(octets));

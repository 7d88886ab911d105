//! Explores [`fuzz::ike_attributes`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_attributes(octets));

//! Explores [`fuzz::ike_sa`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_sa(octets));

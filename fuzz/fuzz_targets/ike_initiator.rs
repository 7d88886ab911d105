//! Explores [`fuzz::ike_initiator`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_initiator(octets));

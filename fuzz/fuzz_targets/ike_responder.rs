//! Explores [`fuzz::ike_responder`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_responder(octets));

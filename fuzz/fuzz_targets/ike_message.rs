//! Explores [`fuzz::ike_message`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_message(octets));

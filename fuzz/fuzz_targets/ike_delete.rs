//! Explores [`fuzz::ike_delete`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_delete(octets));

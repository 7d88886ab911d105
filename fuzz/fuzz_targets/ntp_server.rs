//! Explores [`fuzz::ntp_server`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ntp_server(octets));

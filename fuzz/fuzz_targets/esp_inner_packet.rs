//! Explores [`fuzz::esp_inner_packet`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::esp_inner_packet(octets));

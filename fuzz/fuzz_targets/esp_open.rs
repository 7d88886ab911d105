//! Explores [`fuzz::esp_open`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::esp_open(octets));

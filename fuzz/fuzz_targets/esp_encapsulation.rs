//! Explores [`fuzz::esp_encapsulation`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::esp_encapsulation(octets));

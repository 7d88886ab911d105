//! Explores [`fuzz::ntp_extensions`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ntp_extensions(octets));

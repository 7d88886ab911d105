//! Explores [`fuzz::ntp_association`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ntp_association(octets));

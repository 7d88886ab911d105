//! Explores [`fuzz::ntp_message`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ntp_message(octets));

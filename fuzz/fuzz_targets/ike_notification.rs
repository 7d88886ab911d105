//! Explores [`fuzz::ike_notification`].
#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::ike_notification(octets));

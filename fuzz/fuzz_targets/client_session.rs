//! libFuzzer's entry to the target `client_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::client_session(data));

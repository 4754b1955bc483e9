//! libFuzzer's entry to the target `session_token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::session_token(data));

//! libFuzzer's entry to the target `cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::cookie(data));

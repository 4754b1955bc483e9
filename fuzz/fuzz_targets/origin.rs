//! libFuzzer's entry to the target `origin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::origin(data));

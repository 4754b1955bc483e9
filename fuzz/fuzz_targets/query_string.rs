//! libFuzzer's entry to the target `query_string`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::query_string(data));

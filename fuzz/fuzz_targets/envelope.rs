//! libFuzzer's entry to the target `envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::envelope(data));

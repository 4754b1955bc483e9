//! libFuzzer's entry to the target `command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::command(data));

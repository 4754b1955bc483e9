//! libFuzzer's entry to the target `publish`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::publish(data));

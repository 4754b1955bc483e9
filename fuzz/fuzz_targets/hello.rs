//! libFuzzer's entry to the target `hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::hello(data));

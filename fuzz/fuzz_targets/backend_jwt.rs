//! libFuzzer's entry to the target `backend_jwt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::backend_jwt(data));

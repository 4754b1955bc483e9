//! libFuzzer's entry to the target `appwrite_jwt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realtime_fuzz::appwrite_jwt(data));

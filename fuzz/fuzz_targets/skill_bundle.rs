#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| creel_fuzz::skill_bundle(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| creel_fuzz::http1_answer(data));

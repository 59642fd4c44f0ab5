#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| creel_control::ledger::assert_journal_scans(data));

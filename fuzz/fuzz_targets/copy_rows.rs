#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgcask::fuzzing::copy_rows(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgcask::fuzzing::catalog_decode(data));

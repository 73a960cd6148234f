//! The target `snapshot` as a program of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| egret_fuzz::snapshot::run(data));

//! The target `dns_fragments` as a program of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| egret_fuzz::dns_fragments::run(data));

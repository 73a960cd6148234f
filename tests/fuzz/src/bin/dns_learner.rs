//! The target `dns_learner` as a program of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| egret_fuzz::dns_learner::run(data));

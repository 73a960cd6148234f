//! The target `policy_yaml` as a program of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| egret_fuzz::policy_yaml::run(data));

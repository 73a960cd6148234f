//! Fuzz targets: functions of bytes that panic where the product does what it must not.
//!
//! Each target is a module with one function `run`. A panic of the product is found by any fuzzer; what makes a target
//! worth its time is what it holds the product against: another parser (hickory, etherparse), or a plain reference
//! that is slow and obviously right. `cargo xtask fuzz` drives them with libFuzzer (`src/bin`), guided by coverage; the
//! tests of this crate run them over `seeds/`, where an input that once broke something stays.

pub mod api;
pub mod decide;
pub mod dns_answer;
pub mod dns_fragments;
pub mod dns_learner;
pub mod dns_question;
pub mod dns_stream;
pub mod policy_yaml;
pub mod refuse;
pub mod snapshot;
pub mod workloads_yaml;

mod plain;

/// A target: its name, which is that of its folder of seeds and of its program, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 11] = [
    ("api", api::run),
    ("decide", decide::run),
    ("dns_answer", dns_answer::run),
    ("dns_fragments", dns_fragments::run),
    ("dns_learner", dns_learner::run),
    ("dns_question", dns_question::run),
    ("dns_stream", dns_stream::run),
    ("policy_yaml", policy_yaml::run),
    ("refuse", refuse::run),
    ("snapshot", snapshot::run),
    ("workloads_yaml", workloads_yaml::run),
];

//! What holds on a quiet node holds in other surroundings: each file here is one, and each of its modules is run in it
//! as it stands. See `egret_tests::Surroundings`.
#![allow(clippy::duplicate_mod, reason = "the same tests in each of the surroundings is what this is")]

mod crowded;
mod filtered;
mod held;
mod redirected;

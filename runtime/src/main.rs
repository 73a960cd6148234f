//! The `egret` program: see [`egret::cli`].

fn main() {}

//! The workloads file: read whole, or refused with the place of every mistake.
//!
//! Input: the file.

use std::collections::HashSet;

use egret::workloads::file::{MAX_ADDRESSES, MAX_WORKLOADS};
use egret::workloads::parse;

/// Bounds and uniqueness of what is accepted; places and words of what is not.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = crate::policy_yaml::lines(text);
    match parse("workloads.yaml", text) {
        Ok(file) => {
            assert!(file.workloads.len() <= MAX_WORKLOADS);
            let ids: HashSet<_> = file.workloads.iter().map(|workload| &workload.id).collect();
            assert_eq!(ids.len(), file.workloads.len(), "each workload once");
            for workload in &file.workloads {
                let resolvers = workload.resolvers.as_ref().map_or(0, Vec::len);
                assert!(workload.addresses.len() <= MAX_ADDRESSES && resolvers <= MAX_ADDRESSES);
            }
        }
        Err(error) => {
            assert!((1..=32).contains(&error.problems.len()));
            for problem in &error.problems {
                assert!(problem.line <= lines + 1, "{problem:?} of {lines} lines");
                assert!(!problem.reason.is_empty() && !problem.fix.is_empty(), "{problem:?}");
                assert!(!problem.reason.contains('\n'), "{problem:?}");
            }
            crate::policy_yaml::render(&error);
        }
    }
}

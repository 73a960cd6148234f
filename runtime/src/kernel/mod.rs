//! The kernel's side of things: programs, maps, the gate device, network namespaces, the clock.
//!
//! In: what the agent wants loaded, attached, read. Out: typed handles that speak `egret_abi`. The only module that
//! knows aya and netlink. Who may write maps is settled by who holds a [`maps::Writer`]: `enforce` alone.

mod at_sockets;
mod bpf;
pub mod clock;
mod clsact;
pub mod control_groups;
mod delivery;
pub mod doctor;
pub mod door;
pub mod gate;
pub mod maps;
pub mod netns;
mod node_doors;
pub mod object;
pub mod order;
pub mod pins;
pub mod preflight;
pub mod probe;
pub mod rings;
pub mod sandboxes;
pub mod sockets;
pub mod tier;

mod plain;
mod pulse;
mod rooms;
mod runs;
mod tcx;
mod teacher;
mod tuple;

pub use control_groups::ControlGroup;
pub use delivery::Delivery;
pub use door::{Door, Doors};
pub use gate::Gate;
pub use node_doors::Noting;
pub use object::{Hook, Object};
pub use pins::Pins;
pub use pulse::Pulse;
pub use teacher::Teacher;
pub use tier::{Hooks, Tier};

/// What the kernel refused, worded for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A privilege or a feature is missing; nothing Egret can do will help.
    #[error("{what}\n  fix: {fix}")]
    Missing {
        /// What is not there.
        what: String,
        /// What to do.
        fix: String,
    },
    /// The kernel does not permit it, to a process that has every privilege: it is locked down, or something guards it.
    #[error("{doing}: {error}")]
    NotPermitted {
        /// What was being done.
        doing: String,
        /// What the kernel said.
        error: String,
    },
    /// An operation failed.
    #[error("{doing}: {error}")]
    Failed {
        /// What was being done.
        doing: String,
        /// What the kernel or the loader said.
        error: String,
    },
}

impl KernelError {
    /// An operation that failed, with the whole chain of causes.
    pub fn failed(doing: impl Into<String>, error: impl Into<anyhow::Error>) -> Self {
        let (doing, error) = (doing.into(), error.into());
        let is_eperm = |cause: &(dyn std::error::Error + 'static)| {
            let code = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
            code == Some(rustix::io::Errno::PERM.raw_os_error())
        };
        let (not_permitted, error) = (error.chain().any(is_eperm), format!("{error:#}"));
        if not_permitted { Self::NotPermitted { doing, error } } else { Self::Failed { doing, error } }
    }

    /// Whether a privilege or kernel feature is missing.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Adds what was being done to an error.
pub(crate) trait Doing<T> {
    /// Names the operation.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, KernelError>;
}

impl<T, E: Into<anyhow::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, KernelError> {
        self.map_err(|error| KernelError::failed(doing(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_permit_is_told_from_what_failed() {
        for (code, expected) in [(1, true), (13, false), (28, false)] {
            let cause = std::io::Error::from_raw_os_error(code);
            let error =
                KernelError::failed("load a program", anyhow::Error::new(cause).context("bpf_prog_load"));
            assert_eq!(matches!(error, KernelError::NotPermitted { .. }), expected, "{error}");
            assert!(error.to_string().starts_with("load a program: bpf_prog_load: "), "{error}");
        }
    }
}

//! From desired state to kernel maps; the only writer of maps in user space.
//!
//! [`Enforcer`]: rulesets, workloads, addresses, resolvers; owned by the agent's one reconciling task. [`Binder`]: names
//! to bindings; shared by the thread that learns DNS answers and the task that changes policies. [`Numbers`]: which
//! number stands for which class, rule and workload, kept across restarts. [`Prober`]: probes of coverage; owned by the
//! thread that sends them. [`encode`]: the pure step between.

mod binder;
mod change;
mod encode;
mod enforcer;
mod numbers;
mod placement;
mod prober;
mod rulings;
mod teach;

pub use binder::{Binder, Learning};
pub use encode::{Encoded, encode};
pub use enforcer::Enforcer;
pub use numbers::{Numbers, RuleNames};
pub use placement::Placement;
pub use prober::{Prober, Sight, Target, Unsent};
pub use rulings::Rulings;

#[cfg(test)]
mod agreement_tests;

//! What the end-to-end tests and the demo stand on: a small node and a small internet of network namespaces, the
//! agent under test started in that node, and applications that dial out of its pods.
//!
//! `netns` (one namespace) → `others` (the programs of others: `neighbour` on the same interface, `delivery` of a CNI) →
//! `world` (node, pods, internet; made and removed) → `servers` (who answers there) → `dial` (what an application
//! sees), `cgroup` (one in the node's own network), `raw` and `wire` (what none should send), `policy` (what it may), `hooks` (which
//! programs are on a pod's pair) → `agent` (the program under test, by its command line
//! and HTTP only) → `demo` (the story told with all of it). Each uses those before it. Nothing here links the agent's
//! code: what these tests know of Egret is what a user can know.

pub mod agent;
pub mod cgroup;
pub mod delivery;
pub mod demo;
pub mod dial;
pub mod hooks;
pub mod modules;
pub mod neighbour;
pub mod netns;
pub mod others;
pub mod policy;
pub mod raw;
pub mod servers;
pub mod wire;
pub mod world;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use agent::{Agent, Setup};
pub use dial::{Attempt, Outcome, Seen};
pub use policy::{enforced, held, of_cluster, policy};
pub use world::{Pod, Surroundings, Topology, World};

/// Asks `found` every 20 ms until it is `Some`; fails after `limit` with `what` in the message, and at once when
/// `found` itself fails.
///
/// # Errors
/// The limit has passed, or the first error of `found`.
pub fn eventually<T>(what: &str, limit: Duration, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = found()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("still waiting after {} ms: {what}", limit.as_millis());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

//! Two pods with a node between them, and what stands there.

use std::net::IpAddr;

use anyhow::{Context, Result};
use egret_tests::modules::folder;
use egret_tests::{Agent, Setup, World, policy};

use super::MODULE;
use super::queue::Queue;
use crate::machine::move_to_second;

/// Who is measured.
pub const CLIENT: &str = "bench/client";
const SERVER: &str = "bench/server";
/// What a manifest says where an instance may decide more than once.
pub const REUSED: &str = "reuse: 1000\n";
/// And where it may not.
pub const FRESH: &str = "";

/// What stands between the two pods.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// No program.
    Nothing,
    /// Egret, with the module under this manifest, which allows some ports; what it says counts for so many seconds, and
    /// where these are 0 for one flow.
    Module { manifest: &'static str, seconds: u32 },
    /// iptables and a reader of its queue, which accepts everything.
    Queue,
}

/// One of those that take turns.
pub struct Rival {
    pub world: World,
    pub agent: Option<Agent>,
    queue: Option<Queue>,
}

impl Rival {
    /// With what stands between, where `ports` are those that may be reached.
    pub fn meet(between: Between, ports: &[u16]) -> Result<Self> {
        let world = World::with_pods(&[CLIENT, SERVER])?;
        let (agent, queue) = match between {
            Between::Nothing => (None, None),
            Between::Queue => (None, Some(Queue::start(&world, world.pod(CLIENT).host_interface())?)),
            Between::Module { manifest, seconds } => {
                (Some(with_module(&world, manifest, seconds, ports)?), None)
            }
        };
        Ok(Self { world, agent, queue })
    }

    /// Lets the agent have a processor of its own, beside that of all others.
    pub fn apart(self) -> Result<Self> {
        self.agent.iter().try_for_each(|agent| move_to_second(agent.process()))?;
        Ok(self)
    }

    /// The server's address.
    pub fn server(&self) -> IpAddr {
        self.world.pod(SERVER).addresses()[0]
    }

    /// Runs `work` where the server is.
    pub fn at_server<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.world.pod(SERVER).netns().run(work)
    }

    /// Runs `work` where the client is.
    pub fn at_client<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.world.pod(CLIENT).netns().run(work)
    }

    /// A counter of the agent; 0 where there is none.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let Some(agent) = &self.agent else { return Ok(0) };
        agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
    }

    /// Packets that waited for somebody in user space so far.
    pub fn held(&self) -> Result<u64> {
        match &self.queue {
            Some(_) => Queue::passed(&self.world),
            None => self.counter("packets_held"),
        }
    }
}

fn with_module(world: &World, manifest: &str, seconds: u32, ports: &[u16]) -> Result<Agent> {
    let modules = folder(&world.directory().join("modules"), &[("obedient", MODULE, manifest)])?;
    let rules = format!(
        "default: Deny\nmodules:\n- {{name: obedient, stage: unmatched, settings: {{allow: {ports:?}, seconds: {seconds}}}}}"
    );
    let setup = Setup::new(world)?.arg(&format!("--modules={}", modules.display()));
    let agent = setup.policy("client.yaml", &policy(CLIENT, "Enforce", "all", &rules))?.start()?;
    agent.wait_for_mode(world.pod(CLIENT), "Enforce")?;
    Ok(agent)
}

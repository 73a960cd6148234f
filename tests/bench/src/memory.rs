//! What an agent takes that has many workloads and knows many names: memory of its own, of the kernel's maps, and
//! time while nothing happens.
#![allow(unsafe_code, reason = "the clock of another process has no safe wrapper")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::{MapInfo, loaded_maps};
use egret_tests::world::RESOLVER;
use egret_tests::{Agent, Setup, World};

use crate::Effort;
use crate::dns::Client;
use crate::report::{Row, Target};

/// How long the agent may take to put programs on so many interface pairs.
const START: Duration = Duration::from_mins(2);
/// How long nothing happens: as long as it takes until each workload was probed again.
const REST: Duration = Duration::from_mins(1);
/// Names that each workload looks up.
const NAMES: u16 = 40;

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let others: BTreeSet<u32> = maps().map(|map| map.id()).collect();
    let names: Vec<_> = (0..effort.pick(250, 3)).map(|number| format!("bench/pod{number}")).collect();
    let world = World::with_pods(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for name in 0..NAMES {
        world.dns().set(
            &format!("n{name}.example.com"),
            &[&Ipv4Addr::new(198, 51, 100, name as u8 + 1).to_string()],
        );
    }
    let agent = Setup::new(&world)?.policy("all.yaml", POLICY)?.within(START).start()?;
    for pod in world.pods() {
        agent.wait_for_mode(pod, "Enforce")?;
        pod.netns().run(|| look_up_all(pod_resolver()))??;
    }
    let (own, shared) = (kilobytes(&agent, "Pss:")?, kilobytes(&agent, "Rss:")?);
    let rest = effort.pick(REST, Duration::from_millis(100));
    let before = running(&agent)?;
    thread::sleep(rest);
    let idle = (running(&agent)? - before).as_secs_f64() / rest.as_secs_f64() * 100.0;
    let kernel: u64 = maps().filter(|map| !others.contains(&map.id())).map(|map| locked(&map)).sum();
    let live = format!("{} workloads, {} names", names.len(), names.len() * usize::from(NAMES));
    Ok(vec![
        Row::alone(&format!("agent (RSS), {live}"), shared / 1024.0, "MB").wanted(Target::AtMost(60.0)),
        Row::alone("agent (PSS)", own / 1024.0, "MB"),
        Row::alone("maps of all workloads, in the kernel", kernel as f64 / 1e6, "MB"),
        Row::alone("an idle agent, of one processor", idle, "%").wanted(Target::AtMost(0.1)),
    ])
}

const POLICY: &str = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: all, namespace: bench}\nspec:\n  \
                      podSelector: {}\n  mode: Enforce\n  scope: internet\n  allow:\n  - to: [{fqdn: '*.example.com'}]\n";

fn pod_resolver() -> SocketAddr {
    SocketAddr::from((RESOLVER.0, 53))
}

fn look_up_all(resolver: SocketAddr) -> Result<()> {
    let client = Client::new(resolver)?;
    for name in 0..NAMES {
        client.ask(name)?;
        client.hear()?;
    }
    Ok(())
}

/// What the kernel says of the memory of an agent, by the name of a line of `smaps_rollup`.
pub fn kilobytes(agent: &Agent, what: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.process()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// How long the agent has run, its threads that have ended included.
fn running(agent: &Agent) -> Result<Duration> {
    let mut clock = 0;
    let process = i32::try_from(agent.process())?;
    // SAFETY: both write where they are told, which is there.
    let time = unsafe {
        let mut time = std::mem::zeroed::<libc::timespec>();
        ensure!(libc::clock_getcpuclockid(process, &raw mut clock) == 0, "the agent has no clock");
        ensure!(libc::clock_gettime(clock, &raw mut time) == 0, "the agent's clock cannot be read");
        time
    };
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

fn maps() -> impl Iterator<Item = MapInfo> {
    loaded_maps().filter_map(Result::ok)
}

/// Bytes of kernel memory that a map has, as the kernel tells those who hold it.
fn locked(map: &MapInfo) -> u64 {
    let Ok(held) = map.fd() else { return 0 };
    let fd = held.as_fd().as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

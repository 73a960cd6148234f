//! Whether the node keeps its word while the agent is away: killed, stopped, killed over and over, or replaced.
//!
//! Workloads look up names whose addresses change with every answer and connect to them, connect once more to what they
//! know, and try what is denied. Nothing of it may show that the agent is away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use egret_tests::world::RESOLVER;
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced};

use crate::Effort;
use crate::growth::Sizes;
use crate::report::{Group, Row, Target};

const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]\n  ports: [{protocol: TCP, port: 443}]";
const DENIED: &str = "203.0.113.77";
/// What one workload looks up and connects to without end.
const CROWD: &str = "crowd.example.com";
/// Look-ups of a workload in each turn, each with a connection; and connections to an address that is known.
const EACH: u32 = 50;
/// From one turn of a workload to its next, where the machine keeps up.
const TURN: Duration = Duration::from_secs(1);
/// Turns before anything is done, so that what is known is as much as it will be: the flow log and the shares that names
/// have of the bindings take 90 seconds to fill.
const BEFORE: Duration = Duration::from_secs(100);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// SIGKILL, and no other agent for the whole time
    Killed,
    /// SIGSTOP for the whole time
    Stopped,
    /// SIGKILL every three seconds, and the next agent at once
    Restarted,
    /// One agent takes over from another, over and over
    Replaced,
    /// An agent ends, and the next one has other layouts of maps, over and over
    Upgraded,
    /// SIGKILL, and one workload fills every map that it has a share of
    Crowded,
}

impl Case {
    fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Killed => ("killed", "The agent is killed"),
            Self::Stopped => ("stopped", "The agent is stopped"),
            Self::Restarted => ("restarted", "The agent is killed every three seconds"),
            Self::Replaced => ("replaced", "One agent takes over from another, over and over"),
            Self::Upgraded => ("upgraded", "An agent ends, the next one has other layouts, over and over"),
            Self::Crowded => {
                ("crowded", "The agent is killed, and one more workload looks up and connects without end")
            }
        }
    }

    /// Does it for `time`: the agent at the end. `crowd` is a workload that nobody looks at.
    fn act(self, agent: Agent, time: Duration, crowd: &Pod) -> Result<Agent> {
        let end = Instant::now() + time;
        let mut agent = agent;
        match self {
            Self::Killed => {
                let killed = agent.kill()?;
                sleep(time);
                return killed.start();
            }
            Self::Stopped => {
                agent.pause()?;
                sleep(time);
                agent.resume()?;
            }
            Self::Restarted => {
                while Instant::now() < end {
                    sleep(Duration::from_secs(3));
                    agent = agent.kill()?.start()?;
                }
            }
            Self::Replaced => {
                while Instant::now() < end {
                    agent = agent.replace()?;
                }
            }
            Self::Crowded => {
                let killed = agent.kill()?;
                while Instant::now() < end {
                    crowd.dial(&Attempt::tcp(CROWD, 443).ipv4().via(RESOLVER.0).times(10 * EACH))?;
                }
                return killed.start();
            }
            Self::Upgraded => {
                while Instant::now() < end {
                    let ended = agent.stop()?;
                    ended.age_pins("v")?;
                    agent = ended.start()?;
                }
            }
        }
        Ok(agent)
    }

    /// What came of it in `seconds`.
    pub fn measure(self, effort: Effort, seconds: u64) -> Result<Group> {
        let workloads = effort.pick(20, 2);
        let names: Vec<_> = (0..workloads).map(|number| format!("load/w{number}")).collect();
        let pods: Vec<_> = names.iter().map(String::as_str).chain(["load/crowd"]).collect();
        let world = World::with_pods(&pods)?;
        // What it is told counts longer than anything here lasts.
        world.dns().rotate(CROWD, 3600);
        let mut setup = Setup::new(&world)?.policy("crowd.yaml", &enforced("load/crowd", RULES))?;
        for (number, name) in names.iter().enumerate() {
            world.dns().rotate(&format!("n{number}.example.com"), 1);
            setup = setup.policy(&format!("w{number}.yaml"), &enforced(name, RULES))?;
        }
        // The second one has made what an agent makes once for all that follow.
        let agent = setup.start()?.kill()?.start()?;
        let (over, begun) = (AtomicBool::new(false), Instant::now());
        let (tally, before, agent) = std::thread::scope(|scope| {
            let working: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(number, name)| {
                    let (pod, over) = (world.pod(name), &over);
                    scope.spawn(move || work(pod, &format!("n{number}.example.com"), over))
                })
                .collect();
            sleep(effort.pick(BEFORE, Duration::from_secs(1)));
            let before = Sizes::of(&agent);
            let acted = self.act(agent, Duration::from_secs(seconds), world.pod("load/crowd"));
            over.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            for working in working {
                tally.add(&working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            anyhow::Ok((tally, before?, acted?))
        })?;
        let mut rows = tally.rows(begun.elapsed());
        ensure!(tally.connections > 0 && tally.denied > 0, "nothing was tried: {}", agent.log());
        rows.extend(Sizes::of(&agent)?.beside(&before));
        let (case, title) = self.title();
        Ok(Group { case, title, rows })
    }
}

/// What came of the work of one workload, or of all.
#[derive(Default)]
struct Tally {
    look_ups: u64,
    unanswered: u64,
    connections: u64,
    failed: u64,
    resent: u64,
    denied: u64,
    reached: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.look_ups += other.look_ups;
        self.unanswered += other.unanswered;
        self.connections += other.connections;
        self.failed += other.failed;
        self.resent += other.resent;
        self.denied += other.denied;
        self.reached += other.reached;
    }

    fn rows(&self, time: Duration) -> Vec<Row> {
        let rate = |count: u64| count as f64 / time.as_secs_f64();
        let none = |what, count: u64| Row::alone(what, count as f64, "").wanted(Target::AtMost(0.0));
        vec![
            Row::alone("look-ups", rate(self.look_ups), "/s"),
            Row::alone("connections", rate(self.connections), "/s"),
            Row::alone("attempts at what is denied", rate(self.denied), "/s"),
            none("look-ups without an answer", self.unanswered),
            none("allowed connections that failed", self.failed),
            none("segments sent twice", self.resent),
            none("denied destinations that were reached", self.reached),
        ]
    }
}

/// Works until it is `over`.
fn work(pod: &Pod, name: &str, over: &AtomicBool) -> Result<Tally> {
    let mut tally = Tally::default();
    let before = pod.netns().counter("Tcp", "RetransSegs")?;
    let fresh = Attempt::tcp(name, 443).ipv4().via(RESOLVER.0).times(EACH);
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let outcomes = pod.dial(&fresh)?;
        let known = outcomes.iter().find_map(|outcome| outcome.address);
        let mut seen = count(outcomes.iter().map(|outcome| outcome.seen));
        tally.look_ups += u64::from(EACH);
        tally.unanswered += seen.remove(&Seen::Unresolved).unwrap_or_default();
        if let Some(known) = known {
            let again = pod.dial(&Attempt::tcp(known, 443).times(EACH))?;
            for (seen_again, count) in count(again.iter().map(|outcome| outcome.seen)) {
                *seen.entry(seen_again).or_default() += count;
            }
        }
        tally.connections += seen.values().sum::<u64>();
        tally.failed +=
            seen.iter().filter(|(seen, _)| **seen != Seen::Connected).map(|(_, count)| count).sum::<u64>();
        let denied = pod.dial(&Attempt::tcp(DENIED, 443).times(EACH / 5))?;
        tally.denied += denied.len() as u64;
        tally.reached += denied.iter().filter(|outcome| outcome.seen != Seen::Refused).count() as u64;
        sleep(TURN.saturating_sub(begun.elapsed()));
    }
    let after = pod.netns().counter("Tcp", "RetransSegs")?;
    tally.resent = after.checked_sub(before).context("a counter went back")?;
    Ok(tally)
}

fn count(seen: impl Iterator<Item = Seen>) -> HashMap<Seen, u64> {
    let mut counts = HashMap::new();
    seen.for_each(|seen| *counts.entry(seen).or_default() += 1);
    counts
}

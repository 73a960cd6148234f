//! The story, played: every application tries its attempts, and what it saw is put beside what the agent says.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::story::{App, DATABASE, To, Try, VISITS, visited};
use crate::agent::{Agent, Flow, Verdict};
use crate::dial::{self, Attempt, Outcome, Seen, median_micros};
use crate::eventually;
use crate::world::{Pod, World};

/// How often each attempt is made, to tell its median time.
const TIMES: u32 = 9;
/// A refusal that takes longer would not be one at once.
const AT_ONCE_MICROS: u64 = 1000;

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The pod.
    pub who: String,
    /// Where it tried to go.
    pub to: String,
    /// The port.
    pub port: u16,
    /// When, where it matters.
    pub when: Option<&'static str>,
    /// What the application should see.
    pub expected: Seen,
    /// What it saw over IPv4.
    pub ipv4: Sight,
    /// What it saw over IPv6.
    pub ipv6: Sight,
    /// What the agent says happened.
    pub applied: Verdict,
    /// What it says would have happened with every policy in mode Enforce.
    pub observed: Verdict,
    /// What is not as it should be; empty if all is well.
    pub differs: Vec<String>,
}

/// What an application saw, several times over.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// The same each time, or the first that was not as expected.
    pub seen: Seen,
    /// Half of the attempts were faster.
    pub median_micros: u64,
}

/// Plays the attempts of `app` while its policy is in force or not.
pub(super) fn play(world: &World, agent: &Agent, app: &App, enforced: bool) -> Result<Vec<Row>> {
    app.attempts.iter().map(|attempt| play_one(world, agent, app, attempt, enforced)).collect()
}

/// Plays one attempt of `app`.
pub(super) fn play_one(world: &World, agent: &Agent, app: &App, tried: &Try, enforced: bool) -> Result<Row> {
    let pod = world.pod(app.pod);
    let expected = if tried.allowed || !enforced { Seen::Connected } else { Seen::Refused };
    let since = Timestamp::now();
    let [saw4, saw6] = dial_all(world, pod, tried)?;
    let flow4 = flow_of(agent, pod, &saw4, tried.port, since)?;
    let flow6 = flow_of(agent, pod, &saw6, tried.port, since)?;
    let mut row = Row {
        who: app.pod.to_owned(),
        to: name_of(tried),
        port: tried.port,
        when: None,
        expected,
        ipv4: sight(&saw4, expected),
        ipv6: sight(&saw6, expected),
        applied: flow4.applied.clone(),
        observed: flow4.observed.clone(),
        differs: Vec::new(),
    };
    row.differs = differences(&row, &flow6, tried, enforced);
    Ok(row)
}

/// What is seen over IPv4 and over IPv6.
fn dial_all(world: &World, pod: &Pod, tried: &Try) -> Result<[Vec<Outcome>; 2]> {
    let to = |target: &str| Attempt::tcp(target, tried.port).times(TIMES);
    let [ipv4, ipv6] = match tried.to {
        To::Name(name) => [to(name).ipv4(), to(name).ipv6()],
        To::Address(ipv4, ipv6) => [to(ipv4), to(ipv6)],
        To::Database => world.pod(DATABASE).addresses().map(|address| to(&address.to_string())),
        To::Visits => return visit(pod, tried.port),
    };
    Ok([pod.dial(&ipv4)?, pod.dial(&ipv6)?])
}

/// One connection to each of the addresses that are visited, from one thread: a process of its own for each would cost
/// more than what is to be seen.
fn visit(pod: &Pod, port: u16) -> Result<[Vec<Outcome>; 2]> {
    let try_both = move |addresses: [IpAddr; 2]| addresses.map(|to| dial::run(&Attempt::tcp(to, port)));
    let seen = pod.netns().run(move || (0..VISITS).map(visited).map(try_both).collect::<Vec<_>>())?;
    let over = |family: usize| seen.iter().map(|both| both[family].clone()).collect();
    Ok([over(0), over(1)])
}

fn name_of(tried: &Try) -> String {
    match tried.to {
        To::Name(name) => name.to_owned(),
        To::Address(ipv4, _) => format!("{ipv4} and IPv6"),
        To::Database => "its database".to_owned(),
        To::Visits => format!("{VISITS} new addresses"),
    }
}

fn sight(outcomes: &[Outcome], expected: Seen) -> Sight {
    let odd = outcomes.iter().find(|outcome| outcome.seen != expected);
    Sight { seen: odd.map_or(expected, |outcome| outcome.seen), median_micros: median_micros(outcomes) }
}

/// The agent's record of these attempts; it comes a moment after them.
fn flow_of(agent: &Agent, pod: &Pod, outcomes: &[Outcome], port: u16, since: Timestamp) -> Result<Flow> {
    let address: IpAddr =
        outcomes.iter().find_map(|outcome| outcome.address).context("no look-up gave an address")?;
    // The kernel's clock and ours need not agree to the millisecond; the act before was longer ago.
    let since = since - SignedDuration::from_millis(100);
    let wanted = |flow: &Flow| {
        let to = &flow.destination;
        flow.workload.is(pod)
            && (to.address, to.port) == (address, port)
            && to.protocol == "TCP"
            && flow.time >= since
    };
    eventually(&format!("the record of {} to {address}:{port}", pod.id()), Duration::from_secs(5), || {
        Ok(agent.flows()?.into_iter().filter(&wanted).max_by_key(|flow| flow.time))
    })
}

fn differences(row: &Row, flow6: &Flow, tried: &Try, enforced: bool) -> Vec<String> {
    let mut differs = Vec::new();
    for (family, sight) in [("IPv4", &row.ipv4), ("IPv6", &row.ipv6)] {
        if sight.seen != row.expected {
            differs.push(format!("over {family} it saw `{}` instead of `{}`", sight.seen, row.expected));
        }
        if row.expected == Seen::Refused && sight.median_micros >= AT_ONCE_MICROS {
            differs.push(format!("over {family} the refusal took {} us", sight.median_micros));
        }
    }
    let word = |allow| if allow { "allow" } else { "deny" };
    let happened = word(row.expected == Seen::Connected);
    // What is only observed, nobody decides.
    let by = tried.by.filter(|_| enforced);
    for (which, told, should, by) in [
        ("applied over IPv4", &row.applied, happened, by),
        ("applied over IPv6", &flow6.applied, happened, by),
        ("observed over IPv4", &row.observed, word(tried.allowed), tried.by),
        ("observed over IPv6", &flow6.observed, word(tried.allowed), tried.by),
    ] {
        if told.action != should {
            differs.push(format!("the verdict {which} is `{told}` instead of `{should}`"));
        }
        if told.module.as_deref() != by {
            differs.push(format!("the verdict {which} is of module {:?} instead of {by:?}", told.module));
        }
    }
    differs
}

//! Policies change without a pause while everybody talks: each verdict is that of the old policy or of the new one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::agent::{Flow, PATIENCE};
use egret_tests::{Agent, Pod, Setup, World, enforced, eventually};

const WORKLOADS: usize = 50;
/// Destinations of a workload: each in a range of its own, so that its rule is known by its address.
const RANGES: u8 = 20;

/// Rounds that a machine may take to put a policy in force.
const SLOWEST: u32 = 300;

/// Flows in all. EGRET_STORM=100000 is the long form.
fn flows() -> usize {
    std::env::var("EGRET_STORM").ok().and_then(|flows| flows.parse().ok()).unwrap_or(5_000)
}

/// The policies by turns. Under the first the even ranges are allowed, by rules of its name, and the last is denied by
/// one; under the second the odd ones are, and the first is denied.
fn rules(turn: u8) -> String {
    let mut text = "allow:\n".to_owned();
    for range in (0..RANGES).filter(|range| range % 2 == turn) {
        text += &format!(
            "- name: turn-{turn}-{range}\n  to: [{{cidr: 198.51.{range}.0/24}}, {{cidr: '2600:0:{range:x}::/48'}}]\n"
        );
    }
    let denied = if turn == 0 { RANGES - 1 } else { 0 };
    text + &format!(
        "deny:\n- name: never-{turn}\n  to: [{{cidr: 198.51.{denied}.0/24}}, {{cidr: '2600:0:{denied:x}::/48'}}]\n"
    )
}

fn range_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[2],
        IpAddr::V6(address) => address.segments()[2] as u8,
    }
}

/// Whether one of the two policies says so, whole: action, reason and rule of the same one.
fn is_explained(flow: &Flow) -> bool {
    let range = range_of(flow.destination.address);
    let verdict = &flow.applied;
    let said = (verdict.action.as_str(), verdict.reason.as_str(), verdict.rule.as_deref());
    (0..2).any(|turn| {
        let denied = if turn == 0 { RANGES - 1 } else { 0 };
        let (never, rule) = (format!("never-{turn}"), format!("turn-{turn}-{range}"));
        let expected = match range {
            _ if range == denied => ("deny", "rule", Some(never.as_str())),
            _ if range % 2 == turn => ("allow", "rule", Some(rule.as_str())),
            _ => ("deny", "default-deny", None),
        };
        said == expected
    })
}

/// Every flow from a port of its own; what comes of it is in the records.
fn talk(pod: &Pod, many: usize) -> Result<()> {
    pod.netns().run(|| -> Result<()> {
        for number in 0..many {
            let range = (number % usize::from(RANGES)) as u8;
            let to: IpAddr = if number / usize::from(RANGES) % 2 == 0 {
                Ipv4Addr::new(198, 51, range, 1).into()
            } else {
                Ipv6Addr::new(0x2600, 0, range.into(), 0, 0, 0, 0, 1).into()
            };
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0))?;
            for _ in 0..2 {
                // A refusal of the first is told with the second.
                let _ = socket.send_to(b"1", SocketAddr::new(to, 5000));
            }
        }
        Ok(())
    })?
}

/// Changes every workload's policy, one file after the other within 100 ms, until told to end: how often.
fn storm(agent: &Agent, pods: &[Pod], over: &AtomicBool) -> Result<u32> {
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        changes += 1;
        for pod in pods {
            let turn = (changes % 2) as u8;
            agent.write_policy(&format!("{}.yaml", pod.name()), &enforced(&pod.id(), &rules(turn)))?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(changes)
}

/// Whether rules of either policy allowed something.
fn both_spoke(flows: &[Flow]) -> bool {
    let spoke = |turn: &str| {
        let said = flows.iter().filter_map(|flow| flow.applied.rule.as_deref());
        said.into_iter().any(|rule| rule.starts_with(turn))
    };
    spoke("turn-0") && spoke("turn-1")
}

#[test]
fn every_verdict_in_a_storm_of_policies_is_that_of_the_old_one_or_the_new() -> Result<()> {
    let names: Vec<_> = (0..WORKLOADS).map(|number| format!("storm/w{number}")).collect();
    let world = World::with_pods(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut setup = Setup::new(&world)?;
    for pod in world.pods() {
        setup = setup.policy(&format!("{}.yaml", pod.name()), &enforced(&pod.id(), &rules(0)))?;
    }
    let agent = setup.start()?;
    let over = AtomicBool::new(false);
    let each = flows() / WORKLOADS;
    let changes = std::thread::scope(|scope| -> Result<u32> {
        let storming = scope.spawn(|| storm(&agent, world.pods(), &over));
        let mut talked = Ok(());
        // In rounds, so that what a workload tells stays within its budget of events, and every turn sees some of it.
        let round = (each / 5).clamp(1, 100);
        for _ in 0..each.div_ceil(round) {
            talked = talked.and_then(|()| world.pods().iter().try_for_each(|pod| talk(pod, round)));
            std::thread::sleep(Duration::from_millis(200));
        }
        // A slow machine may have put no second policy in force by then.
        for _ in 0..SLOWEST {
            if talked.is_err() || both_spoke(&agent.flows()?) {
                break;
            }
            talked = world.pods().iter().try_for_each(|pod| talk(pod, usize::from(RANGES)));
            std::thread::sleep(Duration::from_millis(200));
        }
        over.store(true, Ordering::Relaxed);
        talked?;
        storming.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    ensure!(changes >= 4, "only {changes} changes of policy");

    let told = eventually("every flow is told", PATIENCE, || {
        let flows = agent.flows()?;
        let told: u64 = flows.iter().map(|flow| flow.count).sum();
        Ok((told as usize >= each * WORKLOADS * 9 / 10).then_some(flows))
    });
    let told = told.with_context(|| format!("{}", agent.status().unwrap_or_default()["counters"]))?;
    let wrong: Vec<_> = told.iter().filter(|flow| !is_explained(flow)).collect();
    assert!(wrong.is_empty(), "{} of {} verdicts, as {:?}", wrong.len(), told.len(), wrong[0]);
    let mut by_verdict: BTreeMap<String, u64> = BTreeMap::new();
    for flow in &told {
        *by_verdict.entry(flow.applied.to_string()).or_default() += flow.count;
    }
    assert!(both_spoke(&told), "both policies were in force: {by_verdict:?}");
    assert!(agent.problems().as_array().is_some_and(Vec::is_empty), "{}", agent.problems());
    Ok(())
}

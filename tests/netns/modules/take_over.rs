//! One agent takes over from another that runs: what is on hold waits for it.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use egret_tests::world::RESOLVER;

use super::*;

/// How often one agent follows another.
const TIMES: usize = 4;

/// Dials these over and over while agents follow each other; each attempt ends as it should. `between` is done after each
/// of them.
fn while_agents_follow(
    world: &World,
    agent: Agent,
    tried: &[(Attempt, Seen)],
    mut between: impl FnMut() -> Result<()>,
) -> Result<Agent> {
    let over = AtomicBool::new(false);
    let pod = world.pod(POD);
    let keep_trying = |attempt: &Attempt, expected: Seen| -> Result<u32> {
        let mut tried = 0;
        while !over.load(Ordering::Relaxed) {
            let outcomes = pod.dial(attempt)?;
            let odd = outcomes.iter().find(|outcome| outcome.seen != expected);
            assert!(odd.is_none(), "{attempt:?}: {odd:?}");
            tried += attempt.times;
        }
        Ok(tried)
    };
    std::thread::scope(|scope| {
        let trying: Vec<_> =
            tried.iter().map(|(attempt, expected)| scope.spawn(|| keep_trying(attempt, *expected))).collect();
        let followed = (0..TIMES).try_fold(agent, |agent, _| {
            let next = agent.replace()?;
            between().map(|()| next)
        });
        over.store(true, Ordering::Relaxed);
        for trying in trying {
            let tried = trying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            assert!(tried > 0);
        }
        followed
    })
}

#[test]
fn no_packet_on_hold_is_lost_and_each_is_decided_where_one_agent_takes_over_within_a_second() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let rules = unmatched("allow: [80], deny: [81], seconds: 0");
    let agent = start(&world, "failurePolicy: deny\n", &rules)?;
    let pod = world.pod(POD);
    let before = (pod.netns().counter("Tcp", "RetransSegs")?, counter(&agent, "holds_failed")?);
    let tried = [
        (Attempt::tcp("192.0.2.10", 80).times(20), Seen::Connected),
        (Attempt::tcp("2001:db8::10", 80).times(20), Seen::Connected),
        (Attempt::tcp("192.0.2.10", 81).times(20), Seen::Refused),
    ];
    let agent = while_agents_follow(&world, agent, &tried, || Ok(()))?;
    let after = (pod.netns().counter("Tcp", "RetransSegs")?, counter(&agent, "holds_failed")?);
    assert_eq!(after, before, "no segment was sent twice, and none came where the hold was closed");
    Ok(())
}

#[test]
fn every_name_is_learned_and_rules_hold_while_one_agent_takes_over_from_another() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    world.dns().rotate("cdn.example.com", 1);
    let rules = "allow:\n- to: [{fqdn: cdn.example.com}]\n  ports: [{protocol: TCP, port: 443}]";
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced(POD, rules))?.start()?;
    // Each look-up is one question, and gives an address that nobody had before.
    let fresh = Attempt::tcp("cdn.example.com", 443).via(RESOLVER.0).within_ms(60_000).times(20);
    let tried = [
        (fresh.clone().ipv4(), Seen::Connected),
        (fresh.ipv6(), Seen::Connected),
        (Attempt::tcp("203.0.113.77", 443).times(20), Seen::Refused),
    ];
    let learned = world.pod(POD).dial_once(&Attempt::tcp("cdn.example.com", 443).ipv4())?;
    let mut open = world.pod(POD).open(&format!("{}:443", learned.address.context("an address")?))?;
    // Now and then, for thousands of other flows of the workload push out one that says nothing.
    while_agents_follow(&world, agent, &tried, || open.go_on()).map(drop)
}

#[test]
fn an_agent_takes_over_only_where_it_is_told_to_and_starts_alone_where_none_runs() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced(POD, "default: Deny"))?.arg("--take-over");
    let agent = setup.start()?;
    let alone = Setup::new(&world)?.run_through(&[])?;
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(1), "{told}");
    assert!(told.contains("--take-over"), "{told}");
    assert_eq!(dial(world.pod(POD), "192.0.2.10", 443)?.seen, Seen::Refused);
    agent.stop().map(drop)
}

#[test]
fn an_agent_that_could_not_start_leaves_the_one_that_runs_alone() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced(POD, "default: Deny"))?.start()?;
    let policies = agent.setup().policies();
    let away = policies.with_extension("away");
    let next = Setup::new(&world)?.arg("--take-over");
    std::fs::rename(&policies, &away)?;
    let ended = next.run_through(&[])?;
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("policies"), "{told}");
    std::fs::rename(&away, &policies)?;
    assert_eq!(dial(world.pod(POD), "192.0.2.10", 443)?.seen, Seen::Refused);
    let agent = agent.replace()?;
    agent.stop().map(drop)
}

#[test]
fn who_asks_to_take_over_and_is_no_agent_changes_nothing() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced(POD, "default: Deny"))?.start()?;
    let place = world.directory().join("state/take-over.sock");
    // One says nothing, one too little and goes.
    let silent = UnixStream::connect(&place)?;
    std::io::Write::write_all(&mut UnixStream::connect(&place)?, b"hey")?;
    let agent = agent.replace()?;
    drop(silent);
    assert_eq!(dial(world.pod(POD), "192.0.2.10", 443)?.seen, Seen::Refused);
    agent.stop().map(drop)
}

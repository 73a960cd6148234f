//! No first packet is ever lost: the binding is there before the answer is.

use anyhow::Result;
use egret_tests::world::RESOLVER;
use egret_tests::{Attempt, Seen, Setup, World, enforced, held};

/// 500 by default; `EGRET_LONG=1` asks for 10,000.
fn connections() -> u32 {
    if std::env::var_os("EGRET_LONG").is_some_and(|value| value == "1") { 10_000 } else { 500 }
}

const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]\n  ports: [{protocol: TCP, port: 443}]";

#[test]
fn no_connection_right_after_a_fresh_answer_is_refused_or_retransmitted() -> Result<()> {
    none_is_refused_or_retransmitted(RULES, "dns_answers_learned")
}

#[test]
fn none_is_where_answers_go_on_hold_either() -> Result<()> {
    none_is_refused_or_retransmitted(&held(RULES), "dns_answers_held")
}

/// `way`: the counter of the way that answers go.
fn none_is_refused_or_retransmitted(rules: &str, way: &str) -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().rotate("cdn.example.com", 1);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    let web = world.pod("shop/web");
    let before = web.netns().counter("Tcp", "RetransSegs")?;
    for attempt in [Attempt::tcp("cdn.example.com", 443).ipv4(), Attempt::tcp("cdn.example.com", 443).ipv6()]
    {
        let outcomes = web.dial(&attempt.clone().via(RESOLVER.0).times(connections() / 2))?;
        assert_eq!(outcomes.len() as u32, connections() / 2);
        let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.seen != Seen::Connected).collect();
        assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), outcomes.len(), failed[0]);
    }
    assert_eq!(web.netns().counter("Tcp", "RetransSegs")?, before, "no segment was sent twice");
    let went = agent.status()?["counters"][way].as_u64();
    // The programs bind so many addresses of a workload, and leave what comes then to the agent.
    let least = u64::from(connections().min(4096));
    assert!(went.is_some_and(|went| went >= least), "{way}: {went:?}");
    let outside = web.connect("198.18.255.254", 443)?;
    assert_eq!(outside.seen, Seen::Refused, "an address that no answer gave: {outside:?}");
    Ok(())
}

#[test]
fn glibc_gets_its_answers_too() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().rotate("cdn.example.com", 1);
    let rules = "allow:\n- to: [{fqdn: cdn.example.com}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    let outcomes = world.pod("shop/web").dial(&Attempt::tcp("cdn.example.com", 443).times(100))?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.seen != Seen::Connected).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), outcomes.len(), failed[0]);
    Ok(())
}

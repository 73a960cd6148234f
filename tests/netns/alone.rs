//! The node without its agent: names are looked up and learned all the same, and nothing is allowed that was not.

use anyhow::Result;
use egret_tests::agent::{PATIENCE, described};
use egret_tests::world::RESOLVER;
use egret_tests::{Attempt, Seen, Setup, World, enforced, eventually, held};

const RULES: &str = "
allow:
- to: [{fqdn: '*.example.com'}, {fqdn: github.com}]
  ports: [{protocol: TCP, port: 443}]";

#[test]
fn names_are_learned_without_an_agent_and_nothing_else_is_allowed() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().rotate("cdn.example.com", 1);
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    world.dns().set("other.example", &["192.0.2.30", "2001:db8::30"]);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let web = world.pod("shop/web");
    let killed = agent.kill()?;
    let before = web.netns().counter("Tcp", "RetransSegs")?;
    let fresh = Attempt::tcp("cdn.example.com", 443).via(RESOLVER.0).times(100);
    for attempt in [fresh.clone().ipv4(), fresh.ipv6(), Attempt::tcp("github.com", 443).times(4)] {
        let outcomes = web.dial(&attempt)?;
        let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.seen != Seen::Connected).collect();
        assert!(failed.is_empty(), "{attempt:?}: {} of {}: {:?}", failed.len(), outcomes.len(), failed[0]);
    }
    assert_eq!(web.netns().counter("Tcp", "RetransSegs")?, before, "no segment was sent twice");
    for denied in ["other.example", "198.18.255.254"] {
        assert_eq!(web.connect(denied, 443)?.seen, Seen::Refused, "{denied}");
    }
    let agent = killed.start()?;
    let learned = agent.status()?["counters"]["dns_answers_learned"].as_u64();
    assert!(learned.is_some_and(|learned| learned >= 200), "{learned:?}");
    Ok(())
}

#[test]
fn what_a_workload_learned_without_an_agent_is_not_the_next_one_s_in_its_place() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/next"])?;
    let (web, next) = (world.pod("shop/web"), world.pod("shop/next"));
    world.dns().set("cdn.example.com", &["192.0.2.10"]);
    let setup = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .policy("next.yaml", &enforced("shop/next", RULES))?;
    let killed = setup.describing(vec![described(web)]).start()?.kill()?;
    assert_eq!(web.connect("cdn.example.com", 443)?.seen, Seen::Connected);
    // The number of the one that is gone is free, and the first that is given out.
    let agent = killed.describing(vec![described(next)]).start()?;
    assert_eq!(next.connect("192.0.2.10", 443)?.seen, Seen::Refused, "{}", agent.log());
    assert_eq!(next.connect("cdn.example.com", 443)?.seen, Seen::Connected);
    Ok(())
}

#[test]
fn an_agent_that_hangs_keeps_no_look_up_waiting_and_learns_again_when_it_goes_on() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().rotate("cdn.example.com", 1);
    world.dns().set("held-1.test", &["192.0.2.10"]);
    world.dns().set("held-2.test", &["192.0.2.30"]);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &held(RULES)))?.start()?;
    let web = world.pod("shop/web");
    let held = Attempt::tcp("held-1.test", 443).ipv4().via(RESOLVER.0);
    assert_eq!(web.dial_once(&held)?.seen, Seen::Connected, "on hold, and learned");
    agent.pause()?;
    // What comes before the programs notice waits for the agent.
    let other = Attempt::tcp("held-2.test", 443).ipv4().via(RESOLVER.0);
    eventually(
        "answers pass",
        PATIENCE,
        || Ok((web.dial_once(&other)?.seen == Seen::Refused).then_some(())),
    )?;
    let before = web.netns().counter("Tcp", "RetransSegs")?;
    let fresh = Attempt::tcp("cdn.example.com", 443).via(RESOLVER.0).times(100);
    for attempt in [fresh.clone().ipv4(), fresh.ipv6(), held] {
        let outcomes = web.dial(&attempt)?;
        let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.seen != Seen::Connected).collect();
        assert!(failed.is_empty(), "{attempt:?}: {} of {}: {:?}", failed.len(), outcomes.len(), failed[0]);
    }
    assert_eq!(web.netns().counter("Tcp", "RetransSegs")?, before, "no segment was sent twice");
    assert_eq!(web.dial_once(&other)?.seen, Seen::Refused, "what it would have to learn is denied");
    agent.resume()?;
    eventually("it learns again", PATIENCE, || {
        Ok((web.dial_once(&other)?.seen == Seen::Connected).then_some(()))
    })?;
    assert!(agent.log().contains("this agent was stopped"), "{}", agent.log());
    Ok(())
}

//! Names expire and policies change; connections under way outlive the first and not always the second.

use std::io::{Error, ErrorKind};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::dial::Conversation;
use egret_tests::servers::Records;
use egret_tests::{Agent, Pod, Seen, Setup, World, enforced, eventually};

const NAME: &str = "short.example.com";
const ADDRESSES: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
/// A name's time to live, the least time that an address is bound, and the tick that both are rounded up to.
const EXPIRED: Duration = Duration::from_millis(2500);

/// The addresses of NAME live for a second.
fn start(world: &World, rules: &str) -> Result<Agent> {
    let addresses = ADDRESSES.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    world.dns().set_records(NAME, 1, Records::Addresses(addresses));
    let setup = Setup::new(world)?.policy("web.yaml", &enforced("shop/web", rules))?;
    setup.arg("--min-ttl=1").start()
}

/// A connection to each address of NAME, right after it was looked up.
fn open_by_name(web: &Pod) -> Result<Vec<Conversation>> {
    assert_eq!(web.connect(NAME, 443)?.seen, Seen::Connected);
    ADDRESSES.iter().map(|address| web.open(&socket(address))).collect()
}

fn socket(address: &str) -> String {
    if address.contains(':') { format!("[{address}]:443") } else { format!("{address}:443") }
}

/// Writes `rules`, and waits until they are in force: `allowed` can be reached.
fn switch(agent: &Agent, web: &Pod, rules: &str, allowed: &str) -> Result<()> {
    agent.write_policy("web.yaml", &enforced("shop/web", rules))?;
    eventually(&format!("{allowed} is allowed"), PATIENCE, || {
        Ok((web.connect(allowed, 443)?.seen == Seen::Connected).then_some(()))
    })
}

#[test]
fn an_expired_name_opens_nothing_new_and_closes_nothing_that_is_open() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, "allow:\n- to: [{fqdn: short.example.com}]")?;
    let mut open = open_by_name(web)?;
    sleep(EXPIRED);
    for address in ADDRESSES {
        assert_eq!(web.connect(address, 443)?.seen, Seen::Refused, "{address}");
        let flow = agent.flow(web, |flow| {
            flow.destination.address.to_string() == address && flow.applied.action == "deny"
        })?;
        assert_eq!(flow.applied.reason, "expired-name");
        assert_eq!(flow.destination.name.as_deref(), Some(NAME), "{flow:?}");
    }
    open.iter_mut().try_for_each(Conversation::go_on)?;
    assert_eq!(web.connect(NAME, 443)?.seen, Seen::Connected, "looked up again");
    Ok(())
}

#[test]
fn a_change_of_policy_cuts_the_connections_whose_rule_is_gone_and_no_others() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let rules = |more: &str| format!("allow:\n- to: [{{cidr: 198.51.100.0/24}}{more}]");
    let agent = start(&world, &rules(", {fqdn: short.example.com}"))?;
    let mut by_name = open_by_name(web)?;
    let mut by_range = web.open("198.51.100.1:443")?;
    sleep(EXPIRED);

    let kept = rules(", {cidr: 203.0.113.7/32}, {fqdn: short.example.com}");
    switch(&agent, web, &kept, "203.0.113.7")?;
    by_name.iter_mut().try_for_each(Conversation::go_on).context("its rule still stands")?;
    by_range.go_on()?;

    switch(&agent, web, &rules(", {cidr: 203.0.113.8/32}"), "203.0.113.8")?;
    by_range.go_on()?;
    for conversation in &mut by_name {
        let start = Instant::now();
        let error = conversation.go_on().expect_err("its rule is gone");
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        // By its next packet, or by the agent, whichever was first.
        assert!(matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)), "{error:#}");
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
    Ok(())
}

#[test]
fn a_connection_begun_on_trial_is_judged_when_enforcement_begins() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let rules = "allow:\n- to: [{fqdn: short.example.com}]";
    let agent = start(&world, rules)?;
    agent.switch(web, "web.yaml", &enforced("shop/web", rules).replace("Enforce", "Observe"), "Observe")?;
    let mut allowed = open_by_name(web)?;
    let mut denied = web.open("198.51.100.1:443")?;
    sleep(EXPIRED);
    agent.switch(web, "web.yaml", &enforced("shop/web", rules), "Enforce")?;
    allowed.iter_mut().try_for_each(Conversation::go_on)?;
    assert!(denied.go_on().is_err(), "no rule allows it");
    Ok(())
}

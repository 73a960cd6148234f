//! Workloads in the node's own network: what their sockets may, by the control group that they are in.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::cgroup::Cgroup;
use egret_tests::dial::dial_from;
use egret_tests::world::NODE;
use egret_tests::{Agent, Attempt, Seen, Setup, World, eventually, policy};
use serde_json::{Value, json};

/// Allowed and denied addresses of the internet, of each family.
const ALLOWED: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
const DENIED: [&str; 2] = ["192.0.2.20", "2001:db8::20"];
const RULES: &str = "
allow:
- name: web
  to: [{cidr: 192.0.2.10/32}, {cidr: '2001:db8::10/128'}]
- name: dns
  to: [{cidr: 192.0.2.11/32}]";
const POD: &str = "shop/node-agent";

fn described(group: &Cgroup) -> Value {
    json!({"namespace": "shop", "name": "node-agent", "labels": {"app": "node-agent"}, "cgroup": group.path()})
}

fn start(world: &World, group: &Cgroup, mode: &str, rules: &str) -> Result<Agent> {
    let agent = Setup::new(world)?
        .policy("node.yaml", &policy(POD, mode, "internet", rules))?
        .describing(vec![described(group)])
        .start_with_gaps()?;
    wait_for(&agent, "sockets")?;
    Ok(agent)
}

fn wait_for(agent: &Agent, state: &str) -> Result<String> {
    let mut last = String::new();
    let found = eventually("its coverage", PATIENCE, || {
        let output = agent.cli(&["workloads", "-o", "json"])?;
        let rows: Value = serde_json::from_slice(&output.stdout)?;
        last = rows[0]["coverage"].to_string();
        Ok((rows[0]["coverage"]["state"] == state).then(|| last.clone()))
    });
    found.with_context(|| format!("{last}\n{}", agent.log()))
}

fn wait_for_mode(agent: &Agent, mode: &str) -> Result<()> {
    eventually("its mode", PATIENCE, || {
        let rows: Value = serde_json::from_slice(&agent.cli(&["workloads", "-o", "json"])?.stdout)?;
        Ok((rows[0]["mode"] == mode).then_some(()))
    })
}

fn dial(world: &World, group: &Cgroup, attempt: &Attempt) -> Result<Seen> {
    Ok(group.dial(world.node(), attempt)?.seen)
}

fn pins(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = entries.flat_map(|entry| {
        let mut names = pins(&entry.path());
        names.push(entry.path().display().to_string());
        names
    });
    entries.collect()
}

/// The links at sockets.
fn hooks(world: &World) -> Vec<String> {
    let names = ["socket_", "connect", "sendmsg"];
    let pins = pins(&world.bpffs()).into_iter();
    pins.filter(|pin| pin.contains("/links/") && names.iter().any(|name| pin.contains(name))).collect()
}

#[test]
fn a_workload_in_the_node_s_network_may_go_where_its_policy_says() -> Result<()> {
    let (world, group, other) = (World::with_pods(&[])?, Cgroup::new()?, Cgroup::new()?);
    for address in ALLOWED.iter().chain(&DENIED) {
        world.serve_udp(world.internet(), SocketAddr::new(address.parse()?, 5300))?;
    }
    let agent = start(&world, &group, "Enforce", RULES)?;
    for (to, expected) in
        ALLOWED.iter().map(|to| (to, Seen::Connected)).chain(DENIED.iter().map(|to| (to, Seen::Refused)))
    {
        for attempt in [Attempt::tcp(to, 443), Attempt::udp(to, 5300)] {
            let outcome = group.dial(world.node(), &attempt)?;
            assert_eq!(outcome.seen, expected, "{attempt:?} {outcome:?} {}", agent.log());
            assert!(expected != Seen::Refused || outcome.micros < 50_000, "at once: {outcome:?}");
            assert_eq!(dial(&world, &other, &attempt)?, Seen::Connected, "the node's own business");
        }
        let to = SocketAddr::new(to.parse()?, 5300).to_string();
        let said = if expected == Seen::Connected { "done" } else { "connection refused" };
        assert_eq!(group.start(world.node(), &["send", &to])?.again()?, said, "sendto {to}");
        let said = if expected == Seen::Connected { "done" } else { "permission denied" };
        assert_eq!(group.start(world.node(), &["raw", &to])?.again()?, said, "a raw socket to {to}");
    }
    let mapped = dial(&world, &group, &Attempt::tcp("::ffff:192.0.2.20", 443))?;
    assert_eq!(mapped, Seen::Refused, "IPv4 in the clothes of IPv6");

    let flows = agent.flows()?;
    let of = |address: &str, action: &str| {
        let is_it = |told: &str| told == address;
        flows.iter().any(|flow| {
            is_it(&flow.destination.address.to_string())
                && flow.workload.name == "node-agent"
                && flow.applied.action == action
        })
    };
    for address in ALLOWED {
        assert!(of(address, "allow"), "{address} {flows:?}");
    }
    for address in DENIED {
        assert!(of(address, "deny"), "{address} {flows:?}");
    }
    let told = String::from_utf8(agent.cli(&["status"])?.stdout)?;
    assert!(told.contains("judged at their sockets") && told.contains("1 at sockets"), "{told}");
    let told = String::from_utf8(agent.cli(&["workloads"])?.stdout)?;
    assert!(told.contains(" sockets "), "{told}");
    Ok(())
}

#[test]
fn a_policy_on_trial_only_tells() -> Result<()> {
    let (world, group) = (World::with_pods(&[])?, Cgroup::new()?);
    let agent = start(&world, &group, "Observe", RULES)?;
    for address in DENIED {
        assert_eq!(dial(&world, &group, &Attempt::tcp(address, 443))?, Seen::Connected);
    }
    eventually("what would be denied is told", PATIENCE, || {
        let flows = agent.flows()?;
        Ok(flows.iter().any(|flow| flow.observed.action == "deny").then_some(()))
    })?;
    let would = agent.flows()?.iter().all(|flow| flow.applied.action == "allow");
    assert!(would, "{:?}", agent.flows()?);
    Ok(())
}

#[test]
fn a_server_in_the_node_s_network_answers_whoever_calls() -> Result<()> {
    let (world, group) = (World::with_pods(&[])?, Cgroup::new()?);
    let servers =
        ["0.0.0.0:5300", "[::]:5301"].map(|address| group.start(world.node(), &["answer", address]));
    let _agent = start(&world, &group, "Enforce", "default: Deny")?;
    let (ipv4, ipv6) = (NODE.0.to_string(), NODE.1.to_string());
    for (to, port) in [(&ipv4, 5300), (&ipv6, 5301), (&ipv4, 5301)] {
        let outcome = dial_from(world.internet(), &Attempt::udp(to, port))?.remove(0);
        assert_eq!(outcome.seen, Seen::Connected, "{to} {port} {outcome:?}");
    }
    for server in servers {
        drop(server?);
    }
    for address in DENIED {
        assert_eq!(
            dial(&world, &group, &Attempt::tcp(address, 443))?,
            Seen::Refused,
            "and goes nowhere itself"
        );
    }
    Ok(())
}

#[test]
fn it_outlives_the_agent_follows_the_policy_and_leaves_nothing() -> Result<()> {
    let (world, group) = (World::with_pods(&[])?, Cgroup::new()?);
    let to = format!("{}:443", ALLOWED[0]);
    let mut before = group.start(world.node(), &["keep", &to])?;
    let agent = start(&world, &group, "Enforce", RULES)?;
    let mut kept = group.start(world.node(), &["keep", &to])?;
    assert_eq!((before.again()?, kept.again()?), ("done".to_owned(), "done".to_owned()));

    let killed = agent.kill()?;
    let [allowed, denied] = [ALLOWED[0], DENIED[0]].map(|to| Attempt::tcp(to, 443));
    let seen = |attempt| dial(&world, &group, attempt);
    assert_eq!((seen(&allowed)?, seen(&denied)?), (Seen::Connected, Seen::Refused), "without an agent");
    let agent = killed.start_with_gaps()?;
    wait_for(&agent, "sockets")?;
    assert_eq!((seen(&allowed)?, seen(&denied)?), (Seen::Connected, Seen::Refused), "with the next one");
    assert_eq!(kept.again()?, "done");
    assert_eq!(hooks(&world).len(), 6, "{:?}", hooks(&world));

    // What a change denies ends, and what was there before anybody judged goes on.
    agent.write_policy("node.yaml", &policy(POD, "Enforce", "internet", "default: Deny"))?;
    eventually("the connection ends", PATIENCE, || Ok((kept.again()? != "done").then_some(())))?;
    assert_eq!(before.again()?, "done");
    assert_eq!(seen(&allowed)?, Seen::Refused);

    // No policy selects it any more: nothing is left at its sockets.
    agent.write_policy("node.yaml", &policy("shop/other", "Enforce", "internet", "default: Deny"))?;
    wait_for(&agent, "not-covered")?;
    assert_eq!((seen(&allowed)?, seen(&denied)?), (Seen::Connected, Seen::Connected));
    assert_eq!(hooks(&world), Vec::<String>::new());

    agent.write_policy("node.yaml", &policy(POD, "Enforce", "internet", RULES))?;
    wait_for(&agent, "sockets")?;
    wait_for_mode(&agent, "Enforce")?;
    assert_eq!(seen(&denied)?, Seen::Refused, "it is put back");
    let setup = agent.stop()?;
    assert_eq!(seen(&denied)?, Seen::Refused, "an agent that ends leaves it in force");
    setup.arg("--detach-on-exit").start_with_gaps()?.stop()?;
    assert_eq!(seen(&denied)?, Seen::Connected, "one that is told to leave nothing leaves nothing");
    assert_eq!(pins(&world.bpffs()), Vec::<String>::new());
    Ok(())
}

//! Policy files as they change under a running agent, and what a person is told of them.

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::{Agent, Seen, Setup, World, enforced, eventually};
use serde_json::Value;

fn problems(agent: &Agent, wanted: bool) -> Result<Value> {
    eventually("the agent tells of the file", PATIENCE, || {
        let problems = agent.problems();
        Ok(problems.as_array().is_some_and(|list| list.is_empty() != wanted).then_some(problems))
    })
}

#[test]
fn a_bad_file_is_told_of_and_the_last_good_one_stays_in_force() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let good = enforced("shop/web", "allow:\n- to: [{cidr: 192.0.2.0/24}]");
    let agent = Setup::new(&world)?.policy("web.yaml", &good)?.start()?;
    for bad in [
        "spec: [".to_owned(),
        good.replace("Enforce", "enforce"),
        good.replace("192.0.2.0/24", "192.0.2.0/33"),
        good.replace("allow", "allows"),
        good.replace("scope: internet", ""),
    ] {
        agent.write_policy("web.yaml", &bad)?;
        agent.reload()?;
        let told = problems(&agent, true)?;
        let first = &told[0];
        assert!(first["file"].as_str().is_some_and(|file| file.ends_with("web.yaml")), "{bad}\n{told}");
        assert!(first["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{bad}\n{told}");
        assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Connected, "{bad}");
        assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Refused, "{bad}");
        agent.write_policy("web.yaml", &good)?;
        agent.reload()?;
        problems(&agent, false)?;
    }
    Ok(())
}

#[test]
fn a_changed_file_is_noticed_without_a_signal() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.start()?;
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Connected, "unmanaged");
    agent.switch(web, "web.yaml", &enforced("shop/web", "default: Deny"), "Enforce")?;
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Refused);
    agent.write_policy("web.yaml", &enforced("shop/web", "allow:\n- to: [{cidr: 192.0.2.0/24}]"))?;
    eventually("the new rule is in force", PATIENCE, || {
        Ok((web.connect("192.0.2.1", 443)?.seen == Seen::Connected).then_some(()))
    })
}

#[test]
fn explain_says_what_then_happens() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let rules = "allow:\n- name: docs\n  to: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/32'}]\n  \
                 ports: [{protocol: TCP, port: 443}]\ndeny:\n- name: no-nine\n  to: [{cidr: 192.0.2.9/32}]";
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (address, port, action, reason, rule) in [
        ("192.0.2.1", 443, "allow", "rule", Some("docs")),
        ("192.0.2.1", 80, "deny", "default-deny", None),
        ("192.0.2.9", 443, "deny", "rule", Some("no-nine")),
        ("198.51.100.1", 443, "deny", "default-deny", None),
        ("[2001:db8::1]", 443, "allow", "rule", Some("docs")),
    ] {
        let told = agent.explain(web, &format!("{address}:{port}/TCP"))?;
        for verdict in [&told.applied, &told.observed] {
            assert_eq!(
                (verdict.action.as_str(), verdict.reason.as_str()),
                (action, reason),
                "{address}:{port}"
            );
            assert_eq!(verdict.rule.as_deref(), rule, "{address}:{port}");
        }
        let expected = if action == "allow" { Seen::Connected } else { Seen::Refused };
        let outcome = web.connect(address.trim_matches(['[', ']']), port)?;
        assert_eq!(outcome.seen, expected, "{address}:{port}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn explain_knows_that_a_trusted_resolver_may_be_asked() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", "default: Deny"))?.start()?;
    let resolver = egret_tests::world::RESOLVER.0;
    for (destination, expected) in [
        (format!("{resolver}:53/UDP"), ("allow", Some("dns"))),
        (format!("{resolver}:53/TCP"), ("allow", Some("dns"))),
        (format!("{resolver}:443/TCP"), ("deny", None)),
        ("203.0.113.53:53/UDP".to_owned(), ("deny", None)),
    ] {
        let told = agent.explain(web, &destination)?.applied;
        assert_eq!((told.action.as_str(), told.rule.as_deref()), expected, "{destination}");
    }
    Ok(())
}

#[test]
fn the_command_line_ends_as_it_promises() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", "default: Deny"))?.start()?;
    for (args, code) in [
        (vec!["status"], 0),
        (vec!["status", "-o", "json"], 0),
        (vec!["flows"], 0),
        (vec!["flows", "--denied", "-o", "json"], 0),
        (vec!["explain", "shop/web", "192.0.2.1:443"], 0),
        (vec!["explain", "shop/web", "192.0.2.1:443", "-o", "json"], 0),
        (vec!["explain", "shop/web", "https://192.0.2.1"], 2),
        (vec!["nonsense"], 2),
    ] {
        let output = agent.cli(&args)?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "egret {args:?}: {said}");
        if args.ends_with(&["json"]) {
            for line in String::from_utf8(output.stdout)?.lines().take(1) {
                let whole = serde_json::from_str::<Value>(&said).or_else(|_| serde_json::from_str(line));
                whole.with_context(|| format!("egret {args:?} is not JSON: {said}"))?;
            }
        }
    }
    let program = agent.kill()?;
    let output = std::process::Command::new(program.program())
        .args(["status", "--socket"])
        .arg(program.socket())
        .output()?;
    assert_eq!(output.status.code(), Some(3), "nobody answers");
    Ok(())
}

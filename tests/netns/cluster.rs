//! Policies of the cluster: whom they are of, what they deny whatever namespaces allow, and the ceilings they set.

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced, eventually, of_cluster, policy};

/// Addresses of their own for each name.
fn internet_of(world: &World) {
    for (at, name) in
        (10..).zip(["api.example.com", "deep.api.example.com", "github.com", "inside.test", "outside.test"])
    {
        world.dns().set(name, &[&format!("192.0.2.{at}"), &format!("2001:db8::{at}")]);
    }
    world.dns().set("far.test", &["198.51.100.10", "2600::10"]);
}

/// Dials over both families.
fn sees(pod: &Pod, to: &str, port: u16, expected: Seen) -> Result<()> {
    for attempt in [Attempt::tcp(to, port).ipv4(), Attempt::tcp(to, port).ipv6()] {
        let outcome = pod.dial_once(&attempt)?;
        assert_eq!(outcome.seen, expected, "{attempt:?}: {outcome:?}");
    }
    Ok(())
}

/// Waits until the policies that select `pod`, by what the agent says, are these.
fn wait_for_policies(agent: &Agent, pod: &Pod, expected: &[&str]) -> Result<()> {
    eventually(&format!("{} has the policies {expected:?}", pod.id()), PATIENCE, || {
        let output = agent.cli(&["workloads", "-o", "json"])?;
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let mut rows = rows.as_array().context("rows")?.iter();
        let row = rows.find(|row| row["namespace"] == pod.namespace() && row["name"] == pod.name());
        Ok(row.is_some_and(|row| row["policies"] == serde_json::json!(expected)).then_some(()))
    })
    .with_context(|| agent.log())
}

#[test]
fn the_deny_of_a_policy_of_the_cluster_beats_the_allow_of_a_namespace() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    internet_of(&world);
    let web = world.pod("shop/web");
    let allow = "allow:\n- to: [{fqdn: github.com}, {fqdn: api.example.com}, {cidr: 192.0.2.0/24}]";
    let deny = "deny:\n- name: not-there\n  to: [{cidr: 192.0.2.12/32}, {cidr: '2001:db8::12/128'}]";
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", allow))?
        .policy("company.yaml", &of_cluster("company", "Enforce", "{}", deny))?
        .start()?;
    sees(web, "api.example.com", 443, Seen::Connected)?;
    sees(web, "github.com", 443, Seen::Refused)?;
    let flow = agent.flow(web, |flow| flow.destination.name.as_deref() == Some("github.com"))?;
    for verdict in [&flow.applied, &flow.observed] {
        assert_eq!(verdict.to_string(), "deny (rule not-there)");
        assert_eq!(verdict.policy.as_deref(), Some("company"), "without a namespace: it is of the cluster");
    }
    // A policy with only denies makes nobody default-deny.
    agent.write_policy(
        "web.yaml",
        &policy("shop/web", "Enforce", "internet", "deny:\n- to: [{cidr: 203.0.113.0/24}]"),
    )?;
    eventually("the allows are gone", PATIENCE, || {
        Ok((web.connect("198.51.100.1", 443)?.seen == Seen::Connected).then_some(()))
    })?;
    sees(web, "github.com", 443, Seen::Refused)
}

#[test]
fn a_policy_of_the_cluster_is_of_the_namespaces_whose_labels_it_asks_for() -> Result<()> {
    let world = World::with_pods(&["shop/web", "lab/web", "system/web"])?;
    let pods = ["shop/web", "lab/web", "system/web"].map(|id| world.pod(id));
    let by_name = "{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [system]}, \
                   {key: tier, operator: DoesNotExist}]}";
    let mut agent = Setup::new(&world)?
        .tier("shop", "prod")
        .policy("prod.yaml", &of_cluster("prod", "Enforce", "{matchLabels: {tier: prod}}", "default: Deny"))?
        .policy("others.yaml", &of_cluster("others", "Observe", by_name, "default: Deny"))?
        .start()?;
    let hold = |agent: &Agent, expected: [&[&str]; 3]| -> Result<()> {
        for (pod, policies) in pods.into_iter().zip(expected) {
            wait_for_policies(agent, pod, policies)?;
            let seen = if policies.contains(&"prod") { Seen::Refused } else { Seen::Connected };
            assert_eq!(pod.connect("192.0.2.1", 443)?.seen, seen, "{} {policies:?}", pod.id());
        }
        Ok(())
    };
    hold(&agent, [&["prod"], &["others"], &[]])?;
    // Labels change in the workloads file, which is watched.
    agent.tier("lab", "prod")?;
    hold(&agent, [&["prod"], &["prod"], &[]])?;
    agent.tier("shop", "test")?;
    hold(&agent, [&[], &["prod"], &[]])?;
    agent.tier("system", "prod")?;
    hold(&agent, [&[], &["prod"], &["prod"]])
}

#[test]
fn a_ceiling_lets_what_it_and_a_namespace_allow_pass_and_cuts_the_rest() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    internet_of(&world);
    let web = world.pod("shop/web");
    let allow = "allow:\n- name: names\n  to: [{fqdn: '**.example.com'}, {fqdn: github.com}, {fqdn: '*.test'}]\n\
                 - name: ranges\n  to: [{cidr: 203.0.112.0/23}, {cidr: '2a00::/16'}]";
    let ceiling = "ceiling:\n- to: [{fqdn: '*.example.com'}]\n  ports: [{protocol: TCP, port: 443, endPort: 444}]\n\
                   - to: [{fqdn: inside.test}]\n\
                   - name: near\n  to: [{cidr: 198.51.100.0/24}, {cidr: '2600::/64'}]\n\
                   - to: [{cidr: 203.0.113.0/24}, {cidr: '2a00:1::/32'}]";
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", allow))?
        .policy("company.yaml", &of_cluster("company", "Enforce", "{}", ceiling))?
        .start()?;
    for (to, port, expected) in [
        // A wildcard under a wildcard, and ports under ports.
        ("api.example.com", 443, Seen::Connected),
        ("api.example.com", 80, Seen::Refused),
        ("deep.api.example.com", 443, Seen::Refused),
        // A name that the ceiling does not have, and one that it has within the namespace's wildcard.
        ("github.com", 443, Seen::Refused),
        ("inside.test", 80, Seen::Connected),
        ("outside.test", 80, Seen::Refused),
        // A name under a range: its addresses count.
        ("far.test", 443, Seen::Connected),
    ] {
        sees(web, to, port, expected)?;
    }
    for (address, expected) in [
        // A range under a range, and a range of which the ceiling has names only.
        ("203.0.113.7", Seen::Connected),
        ("203.0.112.7", Seen::Refused),
        ("2a00:1::7", Seen::Connected),
        ("2a00:2::7", Seen::Refused),
        // The ceiling alone allows nothing.
        ("198.51.100.99", Seen::Refused),
    ] {
        assert_eq!(web.connect(address, 443)?.seen, expected, "{address}");
    }
    let told = agent.explain(web, "github.com:443")?;
    assert_eq!(told.applied.to_string(), "deny (default-deny)");
    let step = told.steps.iter().find(|step| step.stage == "ceiling").context("a step of the ceiling")?;
    assert!(step.text.contains("the ceiling of cluster policy company does not allow it"), "{}", step.text);
    let origin = step.origin.as_ref().context("a place")?;
    assert!(origin.file.ends_with("/company.yaml") && origin.line == 9, "{origin:?}");
    let rule = told.steps.iter().find(|step| step.stage == "allow").context("a step of the rule")?;
    assert!(rule.text.contains("rule shop/web names allows"), "{}", rule.text);
    assert!(
        rule.text.ends_with("but the ceiling of cluster policy company does not allow it"),
        "{}",
        rule.text
    );

    // What the classes of names mean outlives the agent: bound addresses stay allowed, without a new look-up.
    let agent = agent.kill()?.start()?;
    for (address, expected) in
        [("198.51.100.10", Seen::Connected), ("192.0.2.13", Seen::Connected), ("192.0.2.12", Seen::Refused)]
    {
        assert_eq!(web.connect(address, 443)?.seen, expected, "{address} after a restart");
    }
    // Without the ceiling all of the namespace's rules count again.
    std::fs::remove_file(agent.setup().policies().join("company.yaml"))?;
    wait_for_policies(&agent, web, &["shop/web"])?;
    sees(web, "github.com", 443, Seen::Connected)?;
    sees(web, "deep.api.example.com", 80, Seen::Connected)
}

#[test]
fn a_ceiling_of_an_otherwise_unmanaged_workload_denies_what_no_rule_allows() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    internet_of(&world);
    let web = world.pod("shop/web");
    let ceiling = "allow:\n- to: [{fqdn: inside.test}]\nceiling:\n- to: [{fqdn: github.com}]";
    let _agent = Setup::new(&world)?
        .policy("company.yaml", &of_cluster("company", "Enforce", "{}", ceiling))?
        .start()?;
    sees(web, "github.com", 443, Seen::Refused)?;
    // The policy's own allow is not under its ceiling.
    sees(web, "inside.test", 443, Seen::Connected)
}

#[test]
fn a_ceiling_on_trial_only_reports() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    internet_of(&world);
    let web = world.pod("shop/web");
    let ceiling = of_cluster("company", "Observe", "{}", "ceiling:\n- to: [{fqdn: '**.example.com'}]");
    let agent = Setup::new(&world)?
        .policy(
            "web.yaml",
            &enforced("shop/web", "allow:\n- name: a\n  to: [{fqdn: github.com}, {fqdn: api.example.com}]"),
        )?
        .policy("company.yaml", &ceiling)?
        .start()?;
    for (name, observed) in [("github.com", "deny (default-deny)"), ("api.example.com", "allow (rule a)")] {
        sees(web, name, 443, Seen::Connected)?;
        let flow = agent.flow(web, |flow| flow.destination.name.as_deref() == Some(name))?;
        assert_eq!(
            (flow.applied.to_string().as_str(), flow.observed.to_string().as_str()),
            ("allow (rule a)", observed)
        );
    }
    let listed = |args: &[&str]| Ok::<_, anyhow::Error>(String::from_utf8(agent.cli(args)?.stdout)?);
    assert!(listed(&["flows", "--would-deny"])?.contains("github.com"));
    assert_eq!(listed(&["flows", "--denied"])?, "No flow was denied.\n");
    let mut open = web.open("192.0.2.12:443")?;
    agent.write_policy("company.yaml", &ceiling.replace("Observe", "Enforce"))?;
    eventually("the ceiling is in force", PATIENCE, || {
        Ok((web.connect("github.com", 443)?.seen == Seen::Refused).then_some(()))
    })?;
    assert!(open.go_on().is_err(), "a connection that is not within it ends");
    sees(web, "api.example.com", 443, Seen::Connected)
}

#[test]
fn two_files_of_one_policy_of_the_cluster_are_told_apart_from_one_of_a_namespace() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?
        .policy("a.yaml", &of_cluster("web", "Enforce", "{}", "deny:\n- to: [{cidr: 192.0.2.1/32}]"))?
        .policy("b.yaml", &enforced("shop/web", "deny:\n- to: [{cidr: 192.0.2.2/32}]"))?
        .policy("c.yaml", &of_cluster("web", "Enforce", "{}", "default: Deny"))?
        .start()?;
    let problems = agent.problems();
    assert_eq!(problems.as_array().map(Vec::len), Some(1), "{problems}");
    let problem = &problems[0];
    assert!(problem["file"].as_str().is_some_and(|file| file.ends_with("/c.yaml")), "{problem}");
    assert!(
        problem["reason"].as_str().is_some_and(|reason| reason.starts_with("the policy web is also in ")),
        "{problem}"
    );
    for (address, expected) in
        [("192.0.2.1", Seen::Refused), ("192.0.2.2", Seen::Refused), ("192.0.2.3", Seen::Connected)]
    {
        assert_eq!(web.connect(address, 443)?.seen, expected, "{address}");
    }
    let told = String::from_utf8(agent.cli(&["policies"])?.stdout)?;
    assert!(told.contains("\nweb  ") && told.contains("\nshop/web  "), "{told}");
    Ok(())
}

#[test]
fn policies_of_a_namespace_that_are_too_large_keep_none_of_the_cluster_out_of_force() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let small = enforced("shop/web", "allow:\n- to: [{cidr: 192.0.2.0/24}]");
    let ports: Vec<_> = (1..2_000).map(|n| format!("{{protocol: TCP, port: {}}}", n * 2)).collect();
    let ranges: Vec<_> = (0..200)
        .map(|n| format!("- to: [{{cidr: 10.0.0.{n}/32}}]\n  ports: [{{protocol: UDP}}]\n"))
        .collect();
    let rules =
        format!("allow:\n- to: [{{cidr: 10.0.0.0/8}}]\n  ports: [{}]\n{}", ports.join(", "), ranges.concat());
    let large = enforced("shop/web", &rules).replace("name: web,", "name: large,");
    let agent = Setup::new(&world)?.policy("web.yaml", &small)?.start()?;
    let told = |words: &str| {
        eventually(words, PATIENCE, || Ok(agent.problems().to_string().contains(words).then_some(())))
            .with_context(|| format!("{}\n{}", agent.problems(), agent.log()))
    };
    let sees = |address: &str, expected: Seen| -> Result<()> {
        let outcome = web.connect(address, 443)?;
        assert_eq!(outcome.seen, expected, "{address}: {outcome:?}");
        Ok(())
    };
    agent.write_policy("large.yaml", &large)?;
    told(
        "shop/web: its policies stay as they were: the policies shop/large, shop/web together need more than",
    )?;
    sees("192.0.2.1", Seen::Connected)?;
    sees("198.51.100.1", Seen::Refused)?;

    let deny = "deny:\n- to: [{cidr: 192.0.2.1/32}]\nallow:\n- to: [{cidr: 203.0.113.0/24}]";
    agent.write_policy("company.yaml", &of_cluster("company", "Enforce", "{}", deny))?;
    told("shop/web: nothing that its namespace allows is in force")?;
    let bounds_hold = || -> Result<()> {
        sees("192.0.2.1", Seen::Refused)?;
        sees("192.0.2.2", Seen::Refused)?;
        sees("203.0.113.77", Seen::Connected)
    };
    bounds_hold()?;
    // A new agent has nothing in force of its own, and none that it could not compile.
    let agent = agent.kill()?.start()?;
    bounds_hold()?;
    std::fs::remove_file(agent.setup().policies().join("large.yaml"))?;
    eventually("the namespace's allow is in force", PATIENCE, || {
        Ok((web.connect("192.0.2.2", 443)?.seen == Seen::Connected).then_some(()))
    })
}

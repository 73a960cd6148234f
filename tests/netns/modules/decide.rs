//! What modules say happens, is told, and is remembered for as long as they say.

use super::*;

#[test]
fn what_no_rule_decides_a_module_does_and_its_second_connection_never_reaches_user_space() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let rules = format!(
        "allow:\n- to: [{{cidr: 192.0.2.10/32}}, {{cidr: \"2001:db8::10/128\"}}]\n  \
         ports: [{{protocol: TCP, port: 22}}]\n{}",
        asking("unmatched", "allow: [80, 443], deny: [81], seconds: 600")
    );
    let agent = start(&world, "", &rules)?;
    let pod = world.pod(POD);
    expect(pod, &[(80, Seen::Connected), (81, Seen::Refused), (82, Seen::Refused), (22, Seen::Connected)])?;
    let flow = agent.flow(pod, |flow| flow.destination.port == 81)?;
    assert_eq!(
        (flow.applied.reason.as_str(), flow.applied.module.as_deref(), flow.applied.message.as_deref()),
        ("module", Some("obedient"), Some("81 is closed"))
    );
    let flow = agent.flow(pod, |flow| flow.destination.port == 82)?;
    assert_eq!(flow.applied.reason, "default-deny");
    let (held, used) = (counter(&agent, "packets_held")?, counter(&agent, "module_verdicts_used")?);
    expect(pod, &[(80, Seen::Connected), (81, Seen::Refused), (82, Seen::Refused), (22, Seen::Connected)])?;
    assert_eq!(counter(&agent, "packets_held")?, held, "asked again for what was said");
    assert!(counter(&agent, "module_verdicts_used")? >= used + 6);
    assert_eq!(counter(&agent, "packets_released")?, held);
    Ok(())
}

#[test]
fn a_module_of_stage_always_vetoes_what_rules_allow_and_allows_nothing() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let rules = format!(
        "allow:\n- to: [{{cidr: 192.0.2.0/24}}, {{cidr: \"2001:db8::/32\"}}]\n  \
         ports: [{{protocol: TCP, port: 80}}, {{protocol: TCP, port: 81}}]\n{}",
        asking("always", "allow: [80, 82], deny: [81], seconds: 60")
    );
    let agent = start(&world, "", &rules)?;
    expect(world.pod(POD), &[(80, Seen::Connected), (81, Seen::Refused), (82, Seen::Refused)])?;
    let flow = agent.flow(world.pod(POD), |flow| flow.destination.port == 80)?;
    assert_eq!((flow.applied.reason.as_str(), flow.applied.rule.as_deref()), ("rule", Some("allow[0]")));
    Ok(())
}

#[test]
fn a_policy_on_trial_asks_and_tells_and_denies_nothing() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let rules = unmatched("allow: [80], deny: [81], seconds: 60");
    let agent = setup(&world, "")?.policy("web.yaml", &observed(&rules))?.start()?;
    expect(world.pod(POD), &[(80, Seen::Connected), (81, Seen::Connected)])?;
    let flow = agent.flow(world.pod(POD), |flow| flow.destination.port == 81)?;
    assert_eq!((flow.applied.reason.as_str(), flow.observed.reason.as_str()), ("not-enforced", "module"));
    assert_eq!(flow.observed.action, "deny");
    Ok(())
}

#[test]
fn a_verdict_ends_when_it_says_and_with_a_change_of_policy() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = start(&world, "", &unmatched("allow: [80], seconds: 1"))?;
    let pod = world.pod(POD);
    let decided = || counter(&agent, "module_decisions");
    dial(pod, "192.0.2.10", 80)?;
    let first = decided()?;
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    assert_eq!(decided()?, first + 1);
    agent.write_policy("web.yaml", &enforced(POD, &unmatched("deny: [80], seconds: 600")))?;
    let refused = || Ok((dial(pod, "192.0.2.10", 80)?.seen == Seen::Refused).then_some(()));
    egret_tests::eventually("the new settings", std::time::Duration::from_secs(5), refused)
}

#[test]
fn what_is_said_of_one_flow_is_asked_for_each() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = start(&world, "", &unmatched("allow: [80], seconds: 0"))?;
    let (pod, before) = (world.pod(POD), counter(&agent, "module_decisions")?);
    for _ in 0..3 {
        assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    }
    assert_eq!(counter(&agent, "module_decisions")?, before + 3);
    Ok(())
}

#[test]
fn a_name_is_decided_once_for_all_its_addresses() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    world.dns().set("many.example.com", &["192.0.2.10", "192.0.2.20", "192.0.2.30"]);
    let agent = start(&world, "", &unmatched("allow: [80], seconds: 600, byName: true"))?;
    let pod = world.pod(POD);
    assert_eq!(dial(pod, "many.example.com", 80)?.seen, Seen::Connected);
    let decided = counter(&agent, "module_decisions")?;
    for address in ["192.0.2.10", "192.0.2.20", "192.0.2.30"] {
        assert_eq!(dial(pod, address, 80)?.seen, Seen::Connected);
    }
    assert_eq!(counter(&agent, "module_decisions")?, decided);
    Ok(())
}

#[test]
fn a_workload_with_other_labels_is_asked_about_again() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = start(&world, "", &unmatched("label: trusted, seconds: 600"))?;
    let pod = world.pod(POD);
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Refused);
    let mut described = egret_tests::agent::described(pod);
    described["labels"]["trusted"] = "yes".into();
    agent.describe(&[described])?;
    let connected = || Ok((dial(pod, "192.0.2.10", 80)?.seen == Seen::Connected).then_some(()));
    egret_tests::eventually("the new label", std::time::Duration::from_secs(5), connected)
}

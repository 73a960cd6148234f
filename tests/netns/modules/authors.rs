//! What authors of modules and policies get from a running agent: cases, and what modules would say.

use std::process::{Command, Output};

use egret_tests::modules::component;

use super::*;

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn a_denied_flow_becomes_a_case_that_passes() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = start(&world, "", &unmatched("deny: [81], seconds: 60"))?;
    let pod = world.pod(POD);
    for port in [81, 82] {
        assert_eq!(dial(pod, "192.0.2.10", port)?.seen, Seen::Refused);
        agent.flow(pod, |flow| flow.destination.port == port)?;
    }
    let cases = text(&agent.cli(&["flows", "--denied", "--workload", POD, "--as-case"])?);
    let file = world.directory().join("cases.yaml");
    let (wasm, file_name) = (world.directory().join("modules/obedient.wasm"), file.display().to_string());
    let test = |settings: &str, cases: &str| -> Result<Output> {
        std::fs::write(&file, format!("settings: {{{settings}}}\n{cases}"))?;
        let mut command = Command::new(agent.setup().program());
        Ok(command.args(["module", "test"]).arg(&wasm).args(["--cases", &file_name]).output()?)
    };
    let as_it_was = test("deny: [81], seconds: 60", &cases)?;
    assert!(as_it_was.status.success(), "{}\n{cases}", text(&as_it_was));
    assert!(text(&as_it_was).contains("2 cases passed, 0 failed"), "{}", text(&as_it_was));
    assert!(cases.contains("reason: 81 is closed") && cases.contains("app: "), "{cases}");
    // The author wants the other one allowed, and makes the module do so.
    let wanted = cases.replace("expect: next", "expect: allow");
    let not_yet = test("deny: [81], seconds: 60", &wanted)?;
    assert_eq!(not_yet.status.code(), Some(1), "{}", text(&not_yet));
    let done = test("deny: [81], allow: [82], seconds: 60", &wanted)?;
    assert!(done.status.success(), "{}", text(&done));
    Ok(())
}

#[test]
fn an_explanation_tells_what_modules_would_say_and_what_it_comes_to() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    world.dns().set("shop.example.com", &["192.0.2.10"]);
    let agent = start(&world, "", &unmatched("allow: [80], deny: [81], panic: [90], seconds: 60"))?;
    let (pod, before) = (world.pod(POD), counter(&agent, "module_decisions")?);
    for (port, action, reason, answer, words) in [
        (80, "allow", "module", "allow", ""),
        (81, "deny", "module", "deny", "81 is closed"),
        (82, "deny", "default-deny", "next", ""),
        (90, "deny", "module", "deny", "the module trapped"),
    ] {
        let told = agent.explain(pod, &format!("192.0.2.10:{port}"))?;
        assert_eq!(
            (told.applied.action.as_str(), told.applied.reason.as_str()),
            (action, reason),
            "{told:?}"
        );
        let [asked] = &told.asked_now[..] else { panic!("one module is asked: {told:?}") };
        assert_eq!((asked.module.as_str(), asked.answer.as_str()), ("obedient", answer));
        let said = asked.reason.iter().chain(&asked.fault).cloned().collect::<String>();
        assert!(said.contains(words), "{said}");
        let step = told.steps.iter().find(|step| step.stage == "unmatched").context("a step")?;
        assert!(step.text.contains("asked now, it ") && step.text.contains(words), "{}", step.text);
    }
    let table = text(&agent.cli(&["explain", POD, "192.0.2.10:81"])?);
    assert!(
        table.contains("deny   module shop/web module/obedient") && table.contains("asked now"),
        "{table}"
    );
    // A module is asked about an address: one that the workload looked up.
    let told = agent.explain(pod, "shop.example.com:80")?;
    assert!(
        told.asked_now.is_empty()
            && told.not_asked.is_some_and(|why| why.contains("not looked this name up"))
    );
    assert_eq!(dial(pod, "shop.example.com", 80)?.seen, Seen::Connected);
    assert_eq!(agent.explain(pod, "shop.example.com:80")?.applied.reason, "module");
    // Nothing of it was a decision, or is remembered for packets: the one above was asked for.
    assert_eq!(counter(&agent, "module_decisions")?, before + 1);
    assert_eq!(counter(&agent, "module_faults")?, 0);
    Ok(())
}

#[test]
fn an_explanation_counts_nothing() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    for port in [81, 82, 83] {
        world.listen_everywhere(port)?;
    }
    let modules = world.directory().join("modules");
    std::fs::create_dir_all(&modules)?;
    let brake = component("policies-wasm/port-scan-brake")?;
    egret_tests::modules::put(&modules, "brake", &brake, &format!("grants: {{counters: true}}\n{PATIENT}"))?;
    let rules = "allow:\n- to: [{cidr: 192.0.2.0/24}]\nmodules:\n- {name: brake, stage: always, settings: \
                 {ports: 2, addresses: 100, seconds: 3600}}";
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced(POD, rules))?
        .arg(&format!("--modules={}", modules.display()))
        .start()?;
    let pod = world.pod(POD);
    for port in [80, 81] {
        assert_eq!(dial(pod, "192.0.2.10", port)?.seen, Seen::Connected);
    }
    for port in [82, 83, 82] {
        let told = agent.explain(pod, &format!("192.0.2.10:{port}"))?;
        assert_eq!(
            (told.applied.action.as_str(), told.applied.reason.as_str()),
            ("deny", "module"),
            "{told:?}"
        );
    }
    // With any of these counted it would be one port too many.
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    assert_eq!(agent.explain(pod, "192.0.2.10:81")?.applied.action, "allow");
    assert_eq!(dial(pod, "192.0.2.10", 82)?.seen, Seen::Refused);
    Ok(())
}

//! Modules that fail, and modules that are no good: each is told by its cause, and the last good one stays.

use std::time::Duration;

use egret_tests::eventually;
use egret_tests::modules::{component, folder, put};

use super::*;

/// A module is compiled meanwhile.
const WAIT: Duration = Duration::from_secs(60);

#[test]
fn a_module_that_fails_is_told_by_its_cause_and_its_failure_policy_counts() -> Result<()> {
    let settings = "allow: [80], panic: [90], hang: [91], grow: [92], recurse: [93], talk: [94]";
    for (failure, seen) in [("deny", Seen::Refused), ("allow", Seen::Connected)] {
        let world = World::with_pods(&[POD])?;
        let agent = start(&world, &format!("failurePolicy: {failure}\n"), &unmatched(settings))?;
        let pod = world.pod(POD);
        for (port, words) in [
            (90, "trapped: it gave up: told to give up at 90, at tests/modules/obedient/src/lib.rs:"),
            (91, "took longer than its limit of 700 ms"),
            (92, "wanted more memory than its limit"),
            (93, "obedient::deeper"),
            (94, "output is wrong"),
        ] {
            assert_eq!(dial(pod, "192.0.2.10", port)?.seen, seen, "{port}");
            let flow = agent.flow(pod, |flow| flow.destination.port == port)?;
            let message = flow.applied.message.clone().unwrap_or_default();
            assert!(message.contains(words), "{port}: {message}");
            assert_eq!(
                (flow.applied.reason.as_str(), flow.applied.module.as_deref()),
                ("module", Some("obedient"))
            );
        }
        // What it does well it still does.
        assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
        // On a slow machine a SYN is sent again meanwhile, and asked about again.
        assert!(counter(&agent, "module_faults")? >= 5);
    }
    Ok(())
}

#[test]
fn a_better_module_takes_over_and_a_bad_file_changes_nothing() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let modules = world.directory().join("modules");
    std::fs::create_dir_all(&modules)?;
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced(POD, &unmatched("allow: [80]")))?
        .arg(&format!("--modules={}", modules.display()))
        .start()?;
    let pod = world.pod(POD);
    let problem = |words: &str| -> Result<()> {
        eventually(words, WAIT, || Ok(agent.problems().to_string().contains(words).then_some(())))
    };
    let sees = |port, seen| {
        eventually("the module", WAIT, || Ok((dial(pod, "192.0.2.10", port)?.seen == seen).then_some(())))
    };

    problem("policies ask the module `obedient`, which is not loaded")?;
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Refused);
    let good = component(OBEDIENT)?;
    put(&modules, "obedient", &good, PATIENT)?;
    sees(80, Seen::Connected)?;
    eventually("no problem", WAIT, || {
        Ok(agent.problems().as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    for (bytes, words) in [(&good[..good.len() / 2], "obedient"), (b"no wasm", "this is not Wasm")] {
        put(&modules, "obedient", bytes, PATIENT)?;
        problem(words)?;
        assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    }
    // Larger than any module may be; not read, only measured.
    std::fs::File::create(modules.join("large.wasm"))?.set_len(200 << 20)?;
    problem("large.wasm")?;
    std::fs::remove_file(modules.join("large.wasm"))?;
    put(&modules, "obedient", &good, &format!("{PATIENT}digest: \"0000\"\n"))?;
    problem("the manifest says")?;
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    put(&modules, "obedient", &good, PATIENT)?;
    eventually("no problem", WAIT, || {
        Ok(agent.problems().as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    agent.write_policy("web.yaml", &enforced(POD, &unmatched("allow: ninety")))?;
    problem("refuses the settings")
}

#[test]
fn a_module_that_calls_the_agent_without_end_is_stopped_and_its_lines_are_counted() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let manifest = format!("grants: {{log: true}}\n{PATIENT}");
    let modules = folder(
        &world.directory().join("modules"),
        &[("contrary", "tests/modules/contrary", manifest.as_str())],
    )?;
    let rules =
        "default: Deny\nmodules:\n- {name: contrary, stage: unmatched, settings: {storm: [90], deny: [80]}}";
    let agent = Setup::new(&world)?
        .arg(&format!("--modules={}", modules.display()))
        .policy("web.yaml", &enforced(POD, rules))?
        .start()?;
    let pod = world.pod(POD);
    assert_eq!(dial(pod, "192.0.2.10", 90)?.seen, Seen::Refused);
    let told = agent.flow(pod, |flow| flow.destination.port == 90)?;
    let message = told.applied.message.unwrap_or_default();
    assert!(message.contains("took longer than its limit"), "{message}");
    // Twenty lines a second, and the time that it had was less than one.
    let lines = agent.log().matches("a storm at 90").count();
    assert!((1..=40).contains(&lines), "{lines} lines");
    assert_eq!(dial(pod, "192.0.2.10", 80)?.seen, Seen::Connected);
    Ok(())
}

#[test]
fn a_slow_module_does_not_keep_another_workload_waiting() -> Result<()> {
    let world = World::with_pods(&[POD, "shop/other"])?;
    let other = "default: Deny\nmodules:\n- {name: obedient, stage: unmatched, settings: {allow: [80]}}";
    let agent = setup(&world, "")?
        .policy("web.yaml", &enforced(POD, &unmatched("hang: [91]")))?
        .policy("other.yaml", &enforced("shop/other", other))?
        .start()?;
    // The first packet shows that it is slow; what comes after is answered aside.
    dial(world.pod(POD), "192.0.2.10", 91)?;
    let stuck: Vec<_> = (1..=8).map(|host| format!("192.0.2.{host}")).collect();
    std::thread::scope(|scope| -> Result<()> {
        let pod = world.pod(POD);
        let dials: Vec<_> = stuck.iter().map(|to| scope.spawn(move || dial(pod, to, 91))).collect();
        std::thread::sleep(Duration::from_millis(20));
        let outcome = dial(world.pod("shop/other"), "192.0.2.10", 80)?;
        assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
        assert!(dials.iter().any(|dial| !dial.is_finished()), "it came after those that are stuck");
        for dial in dials {
            assert_eq!(dial.join().expect("no panic")?.seen, Seen::Refused);
        }
        Ok(())
    })?;
    assert!(counter(&agent, "module_faults")? >= 2);
    Ok(())
}

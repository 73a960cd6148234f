//! What authors of modules get from a running agent: cases.

use std::process::{Command, Output};

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

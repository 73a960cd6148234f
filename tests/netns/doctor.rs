//! The diagnosis of this machine, and of one that lacks something.

use std::process::Command;

use anyhow::{Context, Result};
use egret_tests::hooks::Tier;
use egret_tests::{Setup, World};
use serde_json::Value;

/// The checks of a diagnosis that are in `state`.
fn checks(json: &[u8], state: &str) -> Result<Vec<String>> {
    let findings: Vec<Value> =
        serde_json::from_slice(json).with_context(|| String::from_utf8_lossy(json).into_owned())?;
    let wanted = findings.iter().filter(|finding| finding["state"] == state);
    wanted.map(|finding| Ok(finding["check"].as_str().context("a check")?.to_owned())).collect()
}

#[test]
fn where_an_agent_runs_nothing_that_it_needs_is_missing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = Setup::new(&world)?.start()?;
    let output = agent.cli(&["doctor", "-o", "json"])?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let fine = checks(&output.stdout, "ok")?;
    for check in ["root", "kernel", "BTF", "TUN", "ring buffer", "maps", "programs", "agent"] {
        assert!(fine.iter().any(|fine| fine == check), "{check}: {told}");
    }
    let hooks = checks(&output.stdout, if Tier::of_this_test() == Tier::Tcx { "ok" } else { "note" })?;
    assert!(hooks.iter().any(|hooks| hooks == "hooks"), "{told}");
    Ok(())
}

/// What the diagnosis runs under, its arguments, what is missing there, and what therefore cannot be told.
type Lack = (&'static [&'static str], &'static [&'static str], &'static str, &'static [&'static str]);

#[test]
fn what_is_missing_is_told_and_nothing_is_tried_without_the_privilege() -> Result<()> {
    let world = World::with_pods(&[])?;
    let setup = Setup::new(&world)?;
    let untried = &["ring buffer", "maps", "programs", "hooks"];
    let cases: [Lack; 5] = [
        // Root of a user namespace holds every capability, and none that counts.
        (&["unshare", "--user", "--map-root-user"], &[], "user namespace", untried),
        (&["setpriv", "--bounding-set", "-bpf"], &[], "CAP_BPF", untried),
        (&["setpriv", "--bounding-set", "-net_admin"], &[], "CAP_NET_ADMIN", untried),
        (&["setpriv", "--bounding-set", "-sys_admin"], &[], "CAP_SYS_ADMIN", untried),
        (&["env"], &["--bpffs", "/proc"], "bpffs", &[]),
    ];
    for (wrapper, arguments, missing, unknown) in cases {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(setup.program()).args(["doctor", "-o", "json"]).args(arguments);
        let output = command.arg("--socket").arg(setup.socket()).output()?;
        assert_eq!(output.status.code(), Some(4), "{wrapper:?}: {output:?}");
        assert_eq!(checks(&output.stdout, "missing")?, [missing], "{wrapper:?}");
        assert_eq!(checks(&output.stdout, "unknown")?, unknown, "{wrapper:?}");
        assert!(checks(&output.stdout, "note")?.contains(&"agent".to_owned()), "{wrapper:?}");
    }
    Ok(())
}

//! Policy modules decide what rules do not; the kernel remembers.

mod answers;
mod authors;
mod away;
mod bad;
mod decide;
mod languages;
mod load;
mod loading;
mod order;
mod take_over;

use anyhow::{Context, Result};
use egret_tests::modules::folder;
use egret_tests::{Agent, Attempt, Outcome, Pod, Seen, Setup, World, enforced, policy};

/// The crate of a module that does what its settings say.
const OBEDIENT: &str = "tests/modules/obedient";
const POD: &str = "shop/web";
/// What a slow machine needs, and still less than the deadline of a packet.
const PATIENT: &str = "limits: {time: 700ms}\n";

/// What a policy says that asks the module `obedient` with these settings, at this stage.
fn asking(stage: &str, settings: &str) -> String {
    format!("modules:\n- {{name: obedient, stage: {stage}, settings: {{{settings}}}}}")
}

/// A default deny, and the module where no rule speaks.
fn unmatched(settings: &str) -> String {
    format!("default: Deny\n{}", asking("unmatched", settings))
}

/// The world of one pod, and an agent with the module under this manifest, patient.
fn start(world: &World, manifest: &str, rules: &str) -> Result<Agent> {
    setup(world, manifest)?.policy("web.yaml", &enforced(POD, rules))?.start()
}

fn setup(world: &World, manifest: &str) -> Result<Setup> {
    for port in [81, 82, 83, 90, 91, 92, 93, 94] {
        world.listen_everywhere(port)?;
    }
    let manifest = format!("{manifest}{PATIENT}");
    let modules = folder(&world.directory().join("modules"), &[("obedient", OBEDIENT, &manifest)])?;
    Ok(Setup::new(world)?.arg(&format!("--modules={}", modules.display())))
}

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

fn dial(pod: &Pod, to: &str, port: u16) -> Result<Outcome> {
    pod.dial_once(&Attempt::tcp(to, port))
}

/// What an application sees at each port, over both families.
fn expect(pod: &Pod, expected: &[(u16, Seen)]) -> Result<()> {
    for address in ["192.0.2.10", "2001:db8::10"] {
        for (port, seen) in expected {
            let outcome = dial(pod, address, *port)?;
            assert_eq!(outcome.seen, *seen, "{address} {port}: {outcome:?}");
        }
    }
    Ok(())
}

/// The same policy on trial.
fn observed(rules: &str) -> String {
    policy(POD, "Observe", "internet", rules)
}

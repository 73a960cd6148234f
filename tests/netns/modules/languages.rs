//! Modules of Python and JavaScript decide real connections, under the limits of all modules. To compile one takes seconds,
//! so each language has one test, and the virtual machine of `cargo xtask test --vm` leaves both out.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::*;

const OPEN: &str = "open.example.com";
const CLOSED: &str = "closed.example.com";
/// No regular expression with a loop in a loop gets to the end of the ways to cut this.
const ENDLESS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com";
/// One that must try them all.
const LOOP_IN_LOOP: &str = r"(a+)+\.example\.org";
const OTHER: &str = "other.example.com";

#[test]
fn a_module_of_python_decides_connections_and_keeps_its_limits() -> Result<()> {
    // Where midnight is hours away: no answer counts beyond it.
    let offset = if Zoned::now().with_time_zone(TimeZone::UTC).hour() < 12 { "+06:00" } else { "-06:00" };
    let settings = format!(
        r"{{offset: '{offset}', rules: [
          {{names: 'open\.example\.com', days: [mon, tue, wed, thu, fri, sat, sun]}},
          {{names: 'closed\.example\.com', days: []}},
          {{names: '{LOOP_IN_LOOP}', days: []}}]}}"
    );
    let denied = [(CLOSED, "module", "closed.example.com is closed today"), (OTHER, "default-deny", "")];
    decides("business-days", &settings, &denied)
}

#[test]
fn a_module_of_javascript_decides_connections_and_keeps_its_limits() -> Result<()> {
    let settings = format!(
        r"{{label: app, teams: {{web: [{{names: 'open\.example\.com', ports: [80, 81]}}, {{names: '{LOOP_IN_LOOP}'}}]}}}}"
    );
    let denied = [
        (CLOSED, "module", "closed.example.com, port 80, is not in the table of web"),
        (OTHER, "module", ""),
    ];
    decides("team-table", &settings, &denied)
}

/// The module allows OPEN at the ports 80 and 81, and denies each of `denied` for a reason and with some words.
fn decides(module: &str, settings: &str, denied: &[(&str, &str, &str)]) -> Result<()> {
    let world = World::with_pods(&[POD])?;
    world.listen_everywhere(81)?;
    for (name, host) in [(OPEN, 10), (CLOSED, 20), (OTHER, 30), (ENDLESS, 40)] {
        world.dns().set(name, &[&format!("192.0.2.{host}"), &format!("2001:db8::{host}")]);
    }
    let agent = agent(&world, module, settings)?;
    let pod = world.pod(POD);
    let dial_both = |name: &str, seen: Seen| -> Result<()> {
        for attempt in [Attempt::tcp(name, 80).ipv4(), Attempt::tcp(name, 80).ipv6()] {
            let outcome = pod.dial_once(&attempt)?;
            assert_eq!(outcome.seen, seen, "{name}: {outcome:?}\n{}", agent.log());
        }
        Ok(())
    };
    let dial_all = || -> Result<()> {
        dial_both(OPEN, Seen::Connected)?;
        denied.iter().try_for_each(|(name, ..)| dial_both(name, Seen::Refused))
    };
    let said = |name: &str| -> Result<_> {
        let of_name = |flow: &egret_tests::agent::Flow| flow.destination.name.as_deref() == Some(name);
        Ok(agent.flow(pod, of_name)?.applied)
    };

    dial_all()?;
    let allowed = said(OPEN)?;
    assert_eq!((allowed.reason.as_str(), allowed.module.as_deref()), ("module", Some(module)));
    for (name, reason, words) in denied {
        let verdict = said(name)?;
        assert_eq!(verdict.reason, *reason, "{name}");
        assert!(verdict.message.unwrap_or_default().contains(words), "{name}");
    }
    let (held, used) = (counter(&agent, "packets_held")?, counter(&agent, "module_verdicts_used")?);
    dial_all()?;
    assert_eq!(counter(&agent, "packets_held")?, held, "a second connection reached user space");
    assert!(counter(&agent, "module_verdicts_used")? >= used + 2 * (1 + denied.len() as u64));

    let outcome = pod.dial_once(&Attempt::tcp(ENDLESS, 80).ipv4())?;
    assert_eq!(outcome.seen, Seen::Refused, "{outcome:?}");
    let stopped = said(ENDLESS)?;
    let message = stopped.message.unwrap_or_default();
    assert!(message.contains("took longer than its limit of 50 ms (decide)"), "{message}");
    assert_eq!((stopped.reason.as_str(), stopped.module.as_deref()), ("module", Some(module)));
    assert_eq!(counter(&agent, "module_faults")?, 1);
    // The next flow is judged by another instance.
    assert_eq!(dial(pod, OPEN, 81)?.seen, Seen::Connected);
    Ok(())
}

/// An agent with a module of `policies-wasm`, under the limits of all modules.
fn agent(world: &World, module: &str, settings: &str) -> Result<Agent> {
    let source = format!("policies-wasm/{module}");
    let modules = folder(&world.directory().join("modules"), &[(module, &source, "")])?;
    let settings = settings.replace('\n', " ");
    let rules =
        format!("default: Deny\nmodules:\n- {{name: {module}, stage: unmatched, settings: {settings}}}");
    Setup::new(world)?
        .arg(&format!("--modules={}", modules.display()))
        .policy("web.yaml", &enforced(POD, &rules))?
        .start()
}

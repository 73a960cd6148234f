//! Without an agent, what modules said still counts, and for the rest their failure policy.

use super::*;

#[test]
fn a_killed_agent_leaves_what_was_said_in_force_and_the_failure_policy_for_the_rest() -> Result<()> {
    for (manifest, unknown) in [
        ("failurePolicy: deny\n", Seen::Refused),
        ("failurePolicy: allow\n", Seen::Connected),
        ("failurePolicy: next\n", Seen::Refused),
    ] {
        let world = World::with_pods(&[POD])?;
        let agent = start(&world, manifest, &unmatched("allow: [80, 82], deny: [81, 83], seconds: 600"))?;
        let pod = world.pod(POD);
        expect(pod, &[(80, Seen::Connected), (81, Seen::Refused)])?;
        let setup = agent.kill()?;
        expect(pod, &[(80, Seen::Connected), (81, Seen::Refused), (82, unknown), (83, unknown)])?;
        let agent = setup.start()?;
        // The next one adopts what was said, and is asked for the rest.
        let held = counter(&agent, "packets_held")?;
        expect(pod, &[(80, Seen::Connected), (81, Seen::Refused)])?;
        assert_eq!(counter(&agent, "packets_held")?, held);
        expect(pod, &[(82, Seen::Connected), (83, Seen::Refused)])?;
    }
    Ok(())
}

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

#[test]
fn an_agent_that_hangs_leaves_the_failure_policy_until_it_goes_on() -> Result<()> {
    for (manifest, unknown) in
        [("failurePolicy: deny\n", Seen::Refused), ("failurePolicy: allow\n", Seen::Connected)]
    {
        let world = World::with_pods(&[POD])?;
        let agent = start(&world, manifest, &unmatched("allow: [80, 82], deny: [81, 83], seconds: 600"))?;
        let pod = world.pod(POD);
        expect(pod, &[(80, Seen::Connected)])?;
        agent.pause()?;
        let (asked, expected) =
            if unknown == Seen::Refused { (82, Seen::Connected) } else { (83, Seen::Refused) };
        let see = |wanted: Seen| {
            egret_tests::eventually("another verdict", egret_tests::agent::PATIENCE, || {
                Ok((dial(pod, "192.0.2.10", asked)?.seen == wanted).then_some(()))
            })
        };
        see(unknown)?;
        expect(pod, &[(80, Seen::Connected), (asked, unknown)])?;
        agent.resume()?;
        see(expected)?;
    }
    Ok(())
}

//! What applications see under their policies, and what the agent tells of it.

use anyhow::Result;
use egret_tests::dial::median_micros;
use egret_tests::{Attempt, Seen, Setup, World, enforced, policy};

const ALLOW_GITHUB: &str = "
allow:
- name: git-over-ssh
  to: [{fqdn: github.com}]
  ports: [{protocol: TCP, port: 22}]";

fn internet_of(world: &World) {
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    world.dns().set("pagerduty.com", &["192.0.2.20", "2001:db8::20"]);
    world.dns().set("example.com", &["192.0.2.30", "2001:db8::30"]);
}

#[test]
fn each_application_reaches_what_its_policy_names_and_is_refused_the_rest() -> Result<()> {
    let world = World::with_pods(&["payment/payment", "payment/database", "updates/update", "alerts/alert"])?;
    internet_of(&world);
    let alerts = "allow:\n- to: [{fqdn: pagerduty.com}]\n  ports: [{protocol: TCP, port: 443}]";
    let _agent = Setup::new(&world)?
        .policy("payment.yaml", &enforced("payment/payment", "default: Deny"))?
        .policy("updates.yaml", &enforced("updates/update", ALLOW_GITHUB))?
        .policy("alerts.yaml", &enforced("alerts/alert", alerts))?
        .start()?;
    for (from, to, port, expected) in [
        ("payment/payment", "github.com", 22, Seen::Refused),
        ("payment/payment", "github.com", 443, Seen::Refused),
        ("payment/payment", "pagerduty.com", 443, Seen::Refused),
        ("updates/update", "github.com", 22, Seen::Connected),
        ("updates/update", "github.com", 443, Seen::Refused),
        ("updates/update", "example.com", 22, Seen::Refused),
        ("alerts/alert", "pagerduty.com", 443, Seen::Connected),
        ("alerts/alert", "pagerduty.com", 80, Seen::Refused),
        ("alerts/alert", "github.com", 22, Seen::Refused),
        ("payment/database", "example.com", 80, Seen::Connected),
    ] {
        for attempt in [Attempt::tcp(to, port).ipv4(), Attempt::tcp(to, port).ipv6()] {
            let outcome = world.pod(from).dial_once(&attempt)?;
            assert_eq!(outcome.seen, expected, "{from} {attempt:?}: {outcome:?}");
        }
    }
    Ok(())
}

#[test]
fn an_application_cut_from_the_internet_keeps_its_own_database() -> Result<()> {
    let world = World::with_pods(&["payment/payment", "payment/database"])?;
    let database = world.pod("payment/database");
    let text = enforced("payment/payment", "default: Deny");
    let _agent = Setup::new(&world)?.policy("payment.yaml", &text)?.start()?;
    for address in database.addresses() {
        world.serve_tcp(database.netns(), (address, 5432).into())?;
        let outcome = world.pod("payment/payment").connect(&address.to_string(), 5432)?;
        assert_eq!(outcome.seen, Seen::Connected, "{address}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_refusal_comes_at_once_over_tcp_and_udp() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    for address in ["192.0.2.10", "2001:db8::10"] {
        world.serve_udp(world.internet(), (address.parse::<std::net::IpAddr>()?, 5000).into())?;
    }
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", "default: Deny"))?.start()?;
    for address in ["192.0.2.10", "2001:db8::10"] {
        let tcp = world.pod("shop/web").dial(&Attempt::tcp(address, 443).times(101))?;
        assert!(tcp.iter().all(|outcome| outcome.seen == Seen::Refused), "{:?}", tcp[0]);
        assert!(median_micros(&tcp) < 1000, "{address}: {} us", median_micros(&tcp));
        let udp = world.pod("shop/web").dial_once(&Attempt::udp(address, 5000))?;
        assert_eq!(udp.seen, Seen::Refused, "{address}: {udp:?}");
    }
    Ok(())
}

#[test]
fn a_policy_that_drops_is_silent() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let text = enforced("shop/web", "default: Deny\nonDeny: Drop");
    let _agent = Setup::new(&world)?.policy("web.yaml", &text)?.start()?;
    for address in ["192.0.2.10", "2001:db8::10"] {
        let outcome = world.pod("shop/web").dial_once(&Attempt::tcp(address, 443).within_ms(300))?;
        assert_eq!(outcome.seen, Seen::TimedOut, "{address}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_policy_that_observes_cuts_nothing_and_reports_what_it_would_cut() -> Result<()> {
    let world = World::with_pods(&["updates/update"])?;
    internet_of(&world);
    let update = world.pod("updates/update");
    let observe = policy("updates/update", "Observe", "internet", ALLOW_GITHUB);
    let agent = Setup::new(&world)?.policy("updates.yaml", &observe)?.start()?;

    let outcome = update.dial_once(&Attempt::tcp("github.com", 443).ipv4())?;
    assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    let flow = agent.flow(update, |flow| flow.destination.port == 443)?;
    assert_eq!((flow.applied.action.as_str(), flow.applied.reason.as_str()), ("allow", "not-enforced"));
    assert_eq!((flow.observed.action.as_str(), flow.observed.reason.as_str()), ("deny", "default-deny"));
    assert_eq!(flow.destination.name.as_deref(), Some("github.com"));
    assert_eq!(Some(flow.destination.address), outcome.address);
    assert!(flow.packets > 0 && flow.bytes > 0 && flow.count > 0, "{flow:?}");

    assert_eq!(update.dial_once(&Attempt::tcp("github.com", 22).ipv4())?.seen, Seen::Connected);
    let flow = agent.flow(update, |flow| flow.destination.port == 22)?;
    assert_eq!((flow.observed.action.as_str(), flow.observed.reason.as_str()), ("allow", "rule"));
    assert_eq!(flow.observed.rule.as_deref(), Some("git-over-ssh"));
    assert_eq!(flow.observed.policy.as_deref(), Some("updates/update"));
    Ok(())
}

#[test]
fn a_policy_is_enforced_and_observed_again_as_its_file_says() -> Result<()> {
    let world = World::with_pods(&["updates/update"])?;
    internet_of(&world);
    let update = world.pod("updates/update");
    let mut agent = Setup::new(&world)?.start()?;
    for (mode, expected) in
        [("Observe", Seen::Connected), ("Enforce", Seen::Refused), ("Observe", Seen::Connected)]
    {
        agent.switch(
            update,
            "updates.yaml",
            &policy("updates/update", mode, "internet", ALLOW_GITHUB),
            mode,
        )?;
        for attempt in [Attempt::tcp("github.com", 443).ipv4(), Attempt::tcp("github.com", 443).ipv6()] {
            assert_eq!(update.dial_once(&attempt)?.seen, expected, "{mode} {attempt:?}");
        }
        assert_eq!(update.connect("github.com", 22)?.seen, Seen::Connected, "{mode}");
    }
    agent = agent.kill()?.start()?;
    agent.wait_for_mode(update, "Observe")
}

//! Names: which ones a rule means, who may teach them, and whom they are taught to.

use anyhow::Result;
use egret_tests::world::{RESOLVER, STRANGER};
use egret_tests::{Attempt, Seen, Setup, World, enforced};

#[test]
fn a_wildcard_admits_the_names_it_means_and_no_look_alike() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let rules =
        "allow:\n- to: [{fqdn: '*.one.example'}, {fqdn: '**.any.example'}, {fqdn: 'blob*.in.example'}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (at, (name, expected)) in (1..).zip([
        ("a.one.example", Seen::Connected),
        ("A.One.EXAMPLE", Seen::Connected),
        ("one.example", Seen::Refused),
        ("a.b.one.example", Seen::Refused),
        ("evilone.example", Seen::Refused),
        ("a.evilone.example", Seen::Refused),
        ("a.one.example.evil", Seen::Refused),
        ("a.any.example", Seen::Connected),
        ("a.b.c.any.example", Seen::Connected),
        ("any.example", Seen::Refused),
        ("evilany.example", Seen::Refused),
        ("blob7.in.example", Seen::Connected),
        ("ablob.in.example", Seen::Refused),
    ]) {
        // Each name has addresses of its own: an address that one name opens is open for all that share it.
        world.dns().set(name, &[&format!("192.0.2.{at}"), &format!("2001:db8::a:{at}")]);
        for attempt in [Attempt::tcp(name, 443).ipv4(), Attempt::tcp(name, 443).ipv6()] {
            let outcome = world.pod("shop/web").dial_once(&attempt)?;
            assert_eq!(outcome.seen, expected, "{attempt:?}: {outcome:?}");
        }
    }
    Ok(())
}

#[test]
fn the_addresses_at_the_end_of_a_chain_of_aliases_are_the_name_s() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().alias("www.example.com", "www.example.com.edge.example.net");
    world.dns().alias("www.example.com.edge.example.net", "e7.example.net");
    world.dns().set("e7.example.net", &["192.0.2.7", "2001:db8::7"]);
    world.dns().set("other.example.net", &["192.0.2.8", "2001:db8::8"]);
    let rules = "allow:\n- to: [{fqdn: www.example.com}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (name, expected) in [
        // Before anyone asked for the alias, the name at its end is just another name.
        ("e7.example.net", Seen::Refused),
        ("www.example.com", Seen::Connected),
        ("other.example.net", Seen::Refused),
    ] {
        for attempt in [Attempt::tcp(name, 443).ipv4(), Attempt::tcp(name, 443).ipv6()] {
            let outcome = world.pod("shop/web").dial_once(&attempt)?;
            assert_eq!(outcome.seen, expected, "{attempt:?}: {outcome:?}");
        }
    }
    Ok(())
}

#[test]
fn a_workload_never_profits_from_the_look_ups_of_another() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/other"])?;
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    let rules = "allow:\n- to: [{fqdn: github.com}]";
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", rules))?
        .policy("other.yaml", &enforced("shop/other", rules))?
        .start()?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    for (attempt, address) in [
        (Attempt::tcp("github.com", 443).ipv4(), "192.0.2.10"),
        (Attempt::tcp("github.com", 443).ipv6(), "2001:db8::10"),
    ] {
        assert_eq!(web.dial_once(&attempt.clone().via(RESOLVER.0))?.seen, Seen::Connected);
        assert_eq!(other.connect(address, 443)?.seen, Seen::Refused, "{address}: it did not ask");
        assert_eq!(other.dial_once(&attempt.via(RESOLVER.0))?.seen, Seen::Connected, "now it did");
        assert_eq!(other.connect(address, 443)?.seen, Seen::Connected, "{address}: and goes on");
    }
    Ok(())
}

#[test]
fn two_workloads_with_different_answers_for_one_name_reach_their_own_and_not_the_other_s() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/other"])?;
    let own = [["192.0.2.10", "2001:db8::10"], ["192.0.2.20", "2001:db8::20"]];
    let rules = "allow:\n- to: [{fqdn: github.com}]";
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", rules))?
        .policy("other.yaml", &enforced("shop/other", rules))?
        .start()?;
    let pods = [world.pod("shop/web"), world.pod("shop/other")];
    for (pod, addresses) in pods.iter().zip(own) {
        world.dns().set("github.com", &addresses);
        for attempt in [Attempt::tcp("github.com", 443).ipv4(), Attempt::tcp("github.com", 443).ipv6()] {
            assert_eq!(pod.dial_once(&attempt.via(RESOLVER.0))?.seen, Seen::Connected, "{}", pod.id());
        }
    }
    for (at, pod) in pods.iter().enumerate() {
        for (whose, addresses) in own.iter().enumerate() {
            for address in addresses {
                let expected = if at == whose { Seen::Connected } else { Seen::Refused };
                assert_eq!(pod.connect(address, 443)?.seen, expected, "{} {address}", pod.id());
            }
        }
    }
    Ok(())
}

#[test]
fn a_name_under_a_search_domain_is_another_name() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("github.com.shop.svc.cluster.local", &["192.0.2.66"]);
    world.dns().alias("www.github.com.shop.svc.cluster.local", "github.com");
    world.dns().set("github.com", &["192.0.2.10"]);
    let rules = "allow:\n- to: [{fqdn: github.com}, {fqdn: www.github.com}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (name, expected) in [
        ("github.com.shop.svc.cluster.local", Seen::Refused),
        ("www.github.com.shop.svc.cluster.local", Seen::Refused),
        ("github.com", Seen::Connected),
    ] {
        let attempt = Attempt::tcp(name, 443).ipv4().via(RESOLVER.0);
        assert_eq!(world.pod("shop/web").dial_once(&attempt)?.seen, expected, "{name}");
    }
    Ok(())
}

#[test]
fn a_search_domain_that_the_operator_names_is_taken_off_where_an_alias_says_so() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("github.com", &["192.0.2.10"]);
    world.dns().alias("github.com.shop.svc.cluster.local", "github.com");
    world.dns().set("example.com.shop.svc.cluster.local", &["192.0.2.66"]);
    world.dns().set("example.org", &["192.0.2.67"]);
    world.dns().alias("example.org.zone.example", "example.org");
    let rules = "allow:\n- to: [{fqdn: github.com}, {fqdn: example.com}, {fqdn: example.org}]";
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", rules))?
        .without("--search-domains")
        .arg("--search-domains=*.svc.cluster.local,svc.cluster.local")
        .start()?;
    for (name, expected) in [
        ("github.com.shop.svc.cluster.local", Seen::Connected),
        // No alias: whoever owns the zone says what it likes.
        ("example.com.shop.svc.cluster.local", Seen::Refused),
        // Not a domain that the operator names.
        ("example.org.zone.example", Seen::Refused),
    ] {
        let attempt = Attempt::tcp(name, 443).ipv4().via(RESOLVER.0);
        assert_eq!(world.pod("shop/web").dial_once(&attempt)?.seen, expected, "{name}");
    }
    Ok(())
}

#[test]
fn a_resolver_that_nobody_trusts_teaches_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let addresses = ["192.0.2.66", "2001:db8::66"];
    world.strange_dns().set("github.com", &addresses);
    world.dns().set("github.com", &addresses);
    let rules = format!(
        "allow:\n- to: [{{fqdn: github.com}}]\n- to: [{{cidr: {}/32}}, {{cidr: '{}/128'}}]\n  \
         ports: [{{protocol: UDP, port: 53}}]",
        STRANGER.0, STRANGER.1
    );
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules))?.start()?;
    let web = world.pod("shop/web");
    let attempts = || [Attempt::tcp("github.com", 443).ipv4(), Attempt::tcp("github.com", 443).ipv6()];
    for attempt in attempts() {
        for stranger in [STRANGER.0.into(), std::net::IpAddr::from(STRANGER.1)] {
            let outcome = web.dial_once(&attempt.clone().via(stranger))?;
            assert_eq!(outcome.seen, Seen::Refused, "{stranger} {attempt:?}: {outcome:?}");
        }
    }
    for attempt in attempts() {
        let outcome = web.dial_once(&attempt.via(RESOLVER.0))?;
        assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn a_resolver_named_in_the_workloads_file_is_trusted_instead_of_the_others() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.strange_dns().set("github.com", &["192.0.2.10"]);
    world.dns().set("github.com", &["192.0.2.11"]);
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", "allow:\n- to: [{fqdn: github.com}]"))?
        .trusting(&[STRANGER.0.into()])
        .start()?;
    let attempt = Attempt::tcp("github.com", 443).ipv4();
    let outcome = world.pod("shop/web").dial_once(&attempt.clone().via(STRANGER.0))?;
    assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    let outcome = world.pod("shop/web").dial_once(&attempt.via(RESOLVER.0).within_ms(500))?;
    assert_ne!(outcome.seen, Seen::Connected, "the others are not even implied: {outcome:?}");
    Ok(())
}

#[test]
fn the_answers_of_a_resolver_in_wide_use_are_learned() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let resolver = "192.0.2.54".parse()?;
    let _unbound = world.run_unbound(
        resolver,
        &[
            "many.example.com. 60 IN A 192.0.2.1",
            "many.example.com. 60 IN A 192.0.2.2",
            "many.example.com. 60 IN A 192.0.2.3",
            "many.example.com. 60 IN AAAA 2001:db8::1",
            "many.example.com. 60 IN TXT not-an-address",
            "other.example.com. 60 IN A 192.0.2.9",
        ],
    )?;
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", "allow:\n- to: [{fqdn: many.example.com}]"))?
        .trusting(&[resolver])
        .start()?;
    let web = world.pod("shop/web");
    let attempt = Attempt::tcp("many.example.com", 443).via(resolver);
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Refused, "nobody asked yet");
    assert_eq!(web.dial_once(&attempt.clone().ipv4())?.seen, Seen::Connected);
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(web.connect(address, 443)?.seen, Seen::Connected, "{address}");
    }
    assert_eq!(web.connect("2001:db8::1", 443)?.seen, Seen::Refused, "nobody asked for AAAA yet");
    assert_eq!(web.dial_once(&attempt.ipv6())?.seen, Seen::Connected);
    let other = web.dial_once(&Attempt::tcp("other.example.com", 443).ipv4().via(resolver))?;
    assert_eq!(other.seen, Seen::Refused, "{other:?}");
    Ok(())
}

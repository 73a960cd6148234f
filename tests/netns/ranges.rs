//! Rules by address and by port: deny beats allow, however the ranges lie in each other.

use anyhow::Result;
use egret_tests::{Seen, Setup, World, enforced};

fn check(rules: &str, cases: &[(&str, u16, Seen)]) -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.listen_everywhere(8080)?;
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (address, port, expected) in cases {
        let outcome = world.pod("shop/web").connect(address, *port)?;
        assert_eq!(outcome.seen, *expected, "{address} {port}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_denied_range_stays_denied_where_a_smaller_one_is_allowed() -> Result<()> {
    check(
        "allow:\n- to: [{cidr: 10.1.0.0/16}, {cidr: '2001:db8:1::/48'}, {cidr: 192.0.2.0/24}]\n\
         deny:\n- to: [{cidr: 10.0.0.0/8}, {cidr: '2001:db8::/32'}]",
        &[
            ("10.1.2.3", 443, Seen::Refused),
            ("10.2.2.3", 443, Seen::Refused),
            ("2001:db8:1::1", 443, Seen::Refused),
            ("192.0.2.1", 443, Seen::Connected),
            ("198.51.100.1", 443, Seen::Refused),
        ],
    )
}

#[test]
fn a_denied_part_of_an_allowed_range_is_denied() -> Result<()> {
    check(
        "allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]\ndeny:\n- to: [{cidr: 169.254.169.254/32}]",
        &[
            ("169.254.169.254", 80, Seen::Refused),
            ("169.254.169.253", 80, Seen::Connected),
            ("2001:db8::1", 80, Seen::Connected),
        ],
    )
}

#[test]
fn a_policy_of_only_deny_rules_denies_nothing_else() -> Result<()> {
    check(
        "deny:\n- to: [{cidr: 169.254.169.254/32}]",
        &[("169.254.169.254", 80, Seen::Refused), ("192.0.2.1", 80, Seen::Connected)],
    )
}

#[test]
fn a_port_inside_a_denied_range_of_ports_stays_denied_where_it_is_allowed_by_itself() -> Result<()> {
    check(
        "allow:\n\
         - to: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/32'}]\n  \
           ports: [{protocol: TCP, port: 22}, {protocol: TCP, port: 8080}]\n\
         deny:\n\
         - to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]\n  \
           ports: [{protocol: TCP, port: 1, endPort: 1024}]",
        &[
            ("192.0.2.1", 22, Seen::Refused),
            ("2001:db8::1", 22, Seen::Refused),
            ("192.0.2.1", 8080, Seen::Connected),
            ("2001:db8::1", 8080, Seen::Connected),
            ("192.0.2.1", 443, Seen::Refused),
            ("198.51.100.1", 8080, Seen::Refused),
        ],
    )
}

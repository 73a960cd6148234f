//! What cannot be read is denied where a default in force denies, and nowhere else.

use egret_abi::{Counter::*, action_reason as why};

use super::frame::{Frame, SYN, with_extensions, with_options};
use super::world::{ALLOWED, NAME, RULESET, World, both};
use crate::Egress::{Drop, Pass, Reset};
use crate::parse::{ICMP, ICMP6, LINK, SCTP, TCP, UDP};

const GRE: u8 = 47;

/// Frames that have addresses and no transport that can be read.
fn with_addresses() -> Vec<(&'static str, Frame)> {
    let [v4, v6] = both(443);
    let (syn4, syn6) = (v4.tcp(SYN), v6.tcp(SYN));
    let fragment = |bits: u16| syn4.clone().with(LINK + 6, &bits.to_be_bytes());
    let later6 = with_extensions(&syn6, 44, 1, 1).with(LINK + 42, &[0, 8]);
    vec![
        ("a later fragment, the last", fragment(0x0001)),
        ("a later fragment, more follow", fragment(0x2001)),
        ("a later fragment, the furthest", fragment(0x1fff)),
        ("the reserved bit", fragment(0x8000)),
        ("version 5", syn4.clone().with(LINK, &[0x55])),
        ("version 6 in IPv4", syn4.clone().with(LINK, &[0x65])),
        ("4 words of header", syn4.clone().with(LINK, &[0x44])),
        ("no words of header", syn4.clone().with(LINK, &[0x40])),
        ("15 words of header, 5 there", syn4.clone().with(LINK, &[0x4f])),
        ("IPv4, no transport", syn4.clone().cut(LINK + 20)),
        ("IPv4, TCP without its flags", syn4.clone().cut(LINK + 20 + 13)),
        ("IPv4, UDP without its ports", v4.ip(UDP, &[0; 3])),
        ("IPv4, SCTP without its ports", v4.ip(SCTP, &[0; 3])),
        ("IPv4, echo without its identifier", v4.ip(ICMP, &[8, 0, 0, 0, 0])),
        ("IPv4, ICMP that is no echo", v4.ip(ICMP, &[3, 3, 0, 0, 0, 0, 0, 0])),
        ("IPv4, an IPv6 fragment header", v4.ip(44, &[0; 40])),
        ("version 4 in IPv6", syn6.clone().with(LINK, &[0x40])),
        ("IPv6, no transport", syn6.clone().cut(LINK + 40)),
        ("IPv6, TCP without its flags", syn6.clone().cut(LINK + 40 + 13)),
        ("IPv6, UDP without its ports", v6.ip(UDP, &[0; 3])),
        ("IPv6, ICMP that is no echo", v6.ip(ICMP6, &[1, 4, 0, 0, 0, 0, 0, 0])),
        ("IPv6, a later fragment", later6.clone()),
        ("IPv6, a later fragment behind options", with_extensions(&later6, 60, 1, 1)),
        ("IPv6, mobility", with_extensions(&syn6, 135, 1, 1)),
        ("IPv6, HIP", with_extensions(&syn6, 139, 1, 1)),
        ("IPv6, shim", with_extensions(&syn6, 140, 1, 1)),
        ("IPv6, an old routing header", with_routing(&syn6, 0, 0)),
        ("IPv6, a packet that goes on elsewhere", with_routing(&syn6, 4, 1)),
        (
            "IPv6, options and a packet that goes on elsewhere",
            with_extensions(&with_routing(&syn6, 4, 1), 60, 1, 1),
        ),
        ("IPv6, 7 extension headers", with_extensions(&syn6, 60, 7, 1)),
        ("IPv6, 100 extension headers", with_extensions(&syn6, 0, 100, 1)),
        ("IPv6, cut within its extension headers", with_extensions(&syn6, 60, 2, 1).cut(LINK + 40 + 9)),
        ("IPv6, an extension header beyond the end", v6.ip(0, &[6, 255, 0, 0, 0, 0, 0, 0])),
        ("IPv6, the same before a protocol without ports", v6.ip(0, &[GRE, 255, 0, 0, 0, 0, 0, 0])),
        ("IPv4, GRE, 15 words of header, 6 there", v4.ip(GRE, &[0; 4]).with(LINK, &[0x4f])),
        ("IPv4, no header", syn4.cut(LINK + 19)),
        ("IPv6, no header", syn6.cut(LINK + 39)),
    ]
}

/// A routing header of `kind` that names `left` more places to go to.
fn with_routing(frame: &Frame, kind: u8, left: u8) -> Frame {
    with_extensions(frame, 43, 1, 3).with(LINK + 40 + 2, &[kind, left])
}

#[test]
fn what_cannot_be_read_is_denied_where_a_policy_is_in_force_even_one_of_only_deny_rules() {
    let denied = why::DENY | why::UNPARSED;
    for (what, frame) in with_addresses() {
        for default in [[0; 3], [1, 0, 0], [1; 3]] {
            let mut world = World::new();
            world.ruleset().applied_default = default;
            assert_eq!(world.send(&frame), (Drop, vec![Unparsed]), "{what}");
            assert_eq!(world.reasons(), [(denied, denied)], "{what}");
            assert_eq!(world.flows(), 0, "{what}");
        }
    }
}

#[test]
fn what_cannot_be_read_passes_where_a_policy_is_on_trial_and_is_told() {
    for (what, frame) in with_addresses() {
        let mut world = World::new();
        world.ruleset().enforced = 0;
        assert_eq!(world.send(&frame), (Pass, vec![]), "{what}");
        assert_eq!(world.reasons(), [(why::NOT_ENFORCED, why::DENY | why::UNPARSED)], "{what}");
    }
}

#[test]
fn what_cannot_be_read_passes_untold_where_no_policy_is() {
    for (what, frame) in with_addresses() {
        let mut world = World::new();
        world.rulesets.insert(RULESET, egret_abi::Ruleset { unmanaged: 1, ..Default::default() });
        assert_eq!(world.send(&frame), (Pass, vec![]), "{what}");
        assert!(world.events().is_empty(), "{what}");
    }
}

#[test]
fn a_ruleset_that_is_not_there_denies() {
    for ends in both(443) {
        let mut world = World::new();
        world.rulesets.clear();
        assert_eq!(world.send(&ends.tcp(SYN)).1, vec![Denied]);
    }
}

#[test]
fn an_event_tells_what_could_be_read_of_the_addresses() {
    let [v4, v6] = both(443);
    for (ends, frame) in [(v4, v4.ip(135, &[0; 8])), (v6, v6.ip(135, &[0; 8]))] {
        let world = World::new();
        assert_eq!(world.send(&frame).0, Drop);
        let [event] = world.events()[..] else { panic!("one event") };
        assert_eq!(event.local, super::world::address(ends.from.ip()));
        assert_eq!(event.remote, super::world::address(ends.to.ip()));
        assert_eq!((event.protocol, event.local_port, event.remote_port), (135, [0; 2], [0; 2]));
    }
}

#[test]
fn frames_of_an_unknown_ethertype_are_unreadable_whatever_is_in_them() {
    // A tag within a tag and its outer kind, MPLS, PPPoE, LLDP, RARP, and a length instead of a type.
    for ethertype in [0x8100u16, 0x88a8, 0x9100, 0x8847, 0x8863, 0x8864, 0x88cc, 0x8035, 0x0040] {
        for inner in both(443).map(|ends| ends.tcp(SYN)) {
            let frame = inner.with(12, &ethertype.to_be_bytes());
            let mut world = World::new();
            for ends in both(443) {
                world.bind(ends.to, NAME, egret_abi::Tick::NEVER);
            }
            world.any(NAME, ALLOWED);
            let denied = why::DENY | why::UNPARSED;
            assert_eq!(world.send(&frame), (Drop, vec![Unparsed]), "{ethertype:#x}");
            assert_eq!(world.reasons(), [(denied, denied)]);
            world.ruleset().enforced = 0;
            assert_eq!(world.send(&frame), (Pass, vec![]), "{ethertype:#x}");
            assert_eq!(world.reasons(), [(why::NOT_ENFORCED, denied)]);
            world.ruleset().unmanaged = 1;
            assert_eq!(world.send(&frame), (Pass, vec![]), "{ethertype:#x}");
            assert!(world.events().is_empty());
        }
    }
}

/// Frames whose transport can be read, and where it starts.
fn odd_and_readable() -> Vec<(Frame, usize)> {
    let [v4, v6] = both(443);
    let (syn4, syn6) = (v4.tcp(SYN), v6.tcp(SYN));
    let options = [1, 10].map(|words| with_options(&syn4, words));
    // What a sender with large segments writes: no length, and the true one in a hop-by-hop option.
    let jumbo =
        with_extensions(&syn6, 0, 1, 1).with(LINK + 4, &[0, 0]).with(LINK + 42, &[0xc2, 4, 0, 1, 0, 0]);
    let atomic = with_extensions(&syn6, 44, 1, 1);
    let mut frames = vec![
        syn4.clone().with(LINK + 6, &[0x40, 0]),
        with_extensions(&syn6, 0, 1, 1),
        with_routing(&syn6, 4, 0),
        with_extensions(&with_routing(&syn6, 2, 0), 60, 1, 1),
        with_extensions(&syn6, 60, 1, 32),
        jumbo,
        with_extensions(&atomic, 60, 1, 1),
        with_extensions(&with_extensions(&syn6, 60, 1, 1), 44, 1, 1),
        atomic,
    ];
    frames.extend(options);
    frames.extend((1..=6).map(|count| with_extensions(&syn6, 60, count, 1)));
    let end = |frame: Frame| (frame.len() - 20, frame);
    frames.into_iter().map(end).map(|(transport, frame)| (frame, transport)).collect()
}

#[test]
fn odd_headers_that_can_be_read_are_judged() {
    for (frame, transport) in odd_and_readable() {
        let mut world = World::new();
        assert_eq!(world.send(&frame), (Reset { transport }, vec![Denied]), "{frame:?}");
        for ends in both(443) {
            world.bind(ends.to, NAME, egret_abi::Tick::NEVER);
        }
        world.any(NAME, ALLOWED);
        assert_eq!(world.send(&frame), (Pass, vec![Allowed]), "{frame:?}");
    }
}

#[test]
fn a_protocol_without_ports_passes_by_a_rule_for_every_protocol_and_by_no_other() {
    // GRE, IPv6 in IPv4 and IPv4 in IPv4, ESP, AH, OSPF, and a chain of headers that ends in nothing.
    for protocol in [47, 41, 4, 50, 51, 89, 59] {
        for ends in both(443) {
            let frame = ends.ip(protocol, &[0; 40]);
            let mut world = World::new();
            world.bind(ends.to, NAME, egret_abi::Tick::NEVER);
            for transport in [TCP, UDP, SCTP, ICMP] {
                world.ports(NAME, transport, 0, 0, ALLOWED);
            }
            assert_eq!(world.send(&frame), (Drop, vec![Denied]), "{protocol}");
            world.any(NAME, ALLOWED);
            assert_eq!(world.send(&frame), (Pass, vec![Allowed]), "{protocol}");
            assert_eq!(world.send(&frame), (Pass, vec![]), "{protocol}, as a flow");
        }
    }
}

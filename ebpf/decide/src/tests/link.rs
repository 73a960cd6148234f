//! What keeps the link alive is judged by no policy; it must speak for its sender alone.

use egret_abi::{
    Counter::{Denied, Icmp, Spoofed, Unparsed},
    Ruleset, action_reason as why,
};

use super::frame::{Ends, Frame, with_extensions};
use super::world::{World, own};
use crate::Egress::{Drop, Pass};
use crate::parse::{ICMP6, IGMP, LINK};

const HOPS6: usize = LINK + 7;
const HOPS4: usize = LINK + 8;
const OWN: &str = "fe80::7";

/// A message of `kind` about `target`.
fn icmp6(from: &str, to: &str, kind: u8, hops: u8, target: &str) -> Frame {
    let target: std::net::Ipv6Addr = target.parse().unwrap();
    let message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..]].concat();
    Ends::new(&format!("[{from}]:0"), &format!("[{to}]:0")).ip(ICMP6, &message).with(HOPS6, &[hops])
}

/// Every policy there can be: one in force, one on trial, none.
fn worlds() -> [World; 3] {
    let rulesets = [
        World::new().rulesets[&super::world::RULESET],
        Ruleset::default(),
        Ruleset { unmanaged: 1, ..Ruleset::default() },
    ];
    rulesets.map(|ruleset| {
        let mut world = World::new();
        *world.ruleset() = ruleset;
        world.own.insert(own(format!("[{OWN}]:0").parse().unwrap()));
        world
    })
}

/// It goes on and is not told, or it ends as what speaks for another, which is told; whatever the policy.
fn expect(frame: &Frame, passes: bool, what: &str) {
    for world in worlds() {
        let expected = if passes { (Pass, vec![]) } else { (Drop, vec![Spoofed]) };
        assert_eq!(world.send(frame), expected, "{what}");
        let reason = why::DENY | why::SPOOFED_SOURCE;
        assert_eq!(world.reasons(), vec![(reason, reason); usize::from(!passes)], "{what}");
        assert_eq!(world.flows(), 0, "{what}");
    }
}

#[test]
fn neighbour_discovery_passes_where_it_speaks_for_its_sender_alone() {
    let all = "ff02::1";
    for (from, to, kind, target, passes) in [
        (OWN, all, 133, "::", true),
        ("::", all, 133, "::", true),
        (OWN, "ff02::1:ff00:1", 135, "fe80::1", true),
        ("fd00::7", "2001:db8::1", 135, "2001:db8::1", true),
        ("::", all, 135, "fe80::77", true),
        (OWN, "fe80::1", 136, OWN, true),
        (OWN, all, 136, "fd00::7", true),
        ("fe80::8", all, 133, "::", false),
        ("fe80::8", all, 135, "fe80::1", false),
        ("fe80::8", all, 136, OWN, false),
        (OWN, all, 136, "fe80::1", false),
        (OWN, all, 136, "fd00::8", false),
        ("::", all, 136, "fe80::1", false),
        (OWN, all, 134, "::", false),
        (OWN, "fe80::1", 137, "2001:db8::1", false),
    ] {
        expect(
            &icmp6(from, to, kind, 255, target),
            passes,
            &format!("{kind} from {from} to {to} about {target}"),
        );
    }
}

#[test]
fn neighbour_discovery_that_is_not_all_there_or_odd_speaks_for_nobody() {
    for kind in 133..=137 {
        expect(
            &icmp6(OWN, "ff02::1", kind, 255, OWN).with(LINK + 41, &[1]),
            false,
            &format!("{kind}, code 1"),
        );
    }
    for kind in [135, 136] {
        expect(&icmp6(OWN, "ff02::1", kind, 255, OWN).cut(LINK + 40 + 23), false, &format!("{kind}, cut"));
    }
}

#[test]
fn what_a_router_would_forward_is_no_neighbour_discovery() {
    for kind in 133..=137 {
        assert_eq!(
            worlds()[0].send(&icmp6(OWN, "2001:db8::1", kind, 254, OWN)),
            (Drop, vec![Unparsed]),
            "{kind}"
        );
    }
    assert_eq!(worlds()[0].send(&icmp6(OWN, "ff02::1", 138, 255, OWN)), (Drop, vec![Unparsed]));
}

#[test]
fn neighbour_discovery_in_pieces_is_none() {
    // RFC 6980: even in one piece.
    for kind in 133..=137 {
        let frame = with_extensions(&icmp6(OWN, "ff02::1", kind, 255, OWN), 44, 1, 1);
        assert_eq!(worlds()[0].send(&frame), (Drop, vec![Unparsed]), "{kind}");
        assert_eq!(worlds()[0].send(&frame.with(LINK + 40 + 3, &[1])), (Drop, vec![Unparsed]), "{kind}");
    }
}

#[test]
fn reports_of_who_listens_pass_to_groups_of_the_link_and_one_hop() {
    for kind in [131, 132, 143] {
        for (from, to, passes) in [
            (OWN, "ff02::16", true),
            ("::", "ff02::16", true),
            (OWN, "ff01::1", true),
            ("fe80::8", "ff02::16", false),
        ] {
            let report = icmp6(from, to, kind, 1, "ff02::1");
            expect(&report, passes, &format!("type {kind} from {from} to {to}"));
            // With the router alert in a hop-by-hop header, as every host sends it.
            expect(&with_extensions(&report, 0, 1, 1), passes, &format!("type {kind} from {from}"));
        }
        for (to, hops) in
            [("ff02::16", 2), ("ff02::16", 255), ("ff05::16", 1), ("ff0e::16", 1), ("2001:db8::1", 1)]
        {
            let seen = worlds()[0].send(&icmp6(OWN, to, kind, hops, "::"));
            assert_eq!(seen, (Drop, vec![Unparsed]), "type {kind} to {to}, {hops}");
        }
    }
    let asks = icmp6(OWN, "ff02::1", 130, 1, "::");
    assert_eq!(worlds()[0].send(&asks), (Drop, vec![Unparsed]), "a querier's question");
}

/// An IGMP message, with the router alert as every host sends it.
fn igmp(from: &str, to: &str, kind: u8, hops: u8) -> Frame {
    let ends = Ends::new(&format!("{from}:0"), &format!("{to}:0"));
    super::frame::with_options(&ends.ip(IGMP, &[kind, 0, 0, 0, 0, 0, 0, 0]), 1).with(HOPS4, &[hops])
}

#[test]
fn reports_of_igmp_pass_as_those_of_ipv6_do() {
    for kind in [0x12, 0x16, 0x17, 0x22] {
        for (from, passes) in [("10.0.0.7", true), ("0.0.0.0", true), ("10.0.0.8", false)] {
            expect(&igmp(from, "224.0.0.22", kind, 1), passes, &format!("{kind:#x} from {from}"));
        }
        for (to, hops) in [("224.0.0.22", 2), ("239.1.2.3", 1), ("192.0.2.1", 1)] {
            let seen = worlds()[0].send(&igmp("10.0.0.7", to, kind, hops));
            assert_eq!(seen, (Drop, vec![Denied]), "{kind:#x} to {to}, {hops}");
        }
    }
    let asks = igmp("10.0.0.7", "224.0.0.1", 0x11, 1);
    assert_eq!(worlds()[0].send(&asks), (Drop, vec![Denied]), "a querier's question");
}

/// What `from` says of itself to `target`, with the frame's own link address.
fn arp(operation: u8, from: [u8; 4], target: [u8; 4]) -> Frame {
    let link = [0x02, 0x02, 0, 0, 0, 1];
    let mut bytes = [&[0xff; 6], &link[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation], &link, &from].concat();
    bytes.extend([&[0; 6], &target[..]].concat());
    Frame::new(bytes)
}

#[test]
fn address_resolution_passes_where_it_is_about_its_sender_alone() {
    const POD: [u8; 4] = [10, 0, 0, 7];
    const GATEWAY: [u8; 4] = [10, 0, 0, 1];
    for operation in [1, 2] {
        let sound = arp(operation, POD, GATEWAY);
        expect(&sound, true, "a question or an answer");
        expect(&arp(operation, POD, POD), true, "an announcement");
        expect(&arp(operation, [0; 4], POD), true, "a probe");
        expect(&sound.clone().and(&[0; 18]), true, "padded");
        expect(&arp(operation, GATEWAY, POD), false, "in the name of another");
        expect(&arp(operation, GATEWAY, GATEWAY), false, "an announcement in the name of another");
        expect(&sound.clone().with(LINK + 8, &[4]), false, "another's link address");
        expect(&sound.clone().with(6, &[4]), false, "from another's link address");
        expect(&sound.clone().with(LINK, &[0, 6]), false, "another kind of link");
        expect(&sound.clone().with(LINK + 2, &[0x86, 0xdd]), false, "another family");
        expect(&sound.clone().with(LINK + 4, &[8]), false, "longer link addresses");
        expect(&sound.clone().with(LINK + 5, &[16]), false, "longer addresses");
        expect(&sound.cut(LINK + 27), false, "cut");
    }
    for operation in [0, 3, 4, 8] {
        expect(&arp(operation, POD, GATEWAY), false, "another operation");
    }
    let world = &worlds()[0];
    assert_eq!(world.send(&arp(1, GATEWAY, POD)), (Drop, vec![Spoofed]));
    let [event] = world.events()[..] else { panic!("one event") };
    assert_eq!(event.local, egret_abi::Address::v4(GATEWAY));
    assert_eq!(event.remote, egret_abi::Address::v4(POD));
}

#[test]
fn asking_all_for_an_address_passes_and_asking_one_is_judged() {
    let [mut world, ..] = worlds();
    world.config.refusals = 10;
    for (from, to, expected) in [
        ("0.0.0.0:68", "255.255.255.255:67", (Pass, vec![])),
        ("10.0.0.7:68", "255.255.255.255:67", (Pass, vec![])),
        ("[fe80::7]:546", "[ff02::1:2]:547", (Pass, vec![])),
        ("[::]:546", "[ff02::1:2]:547", (Pass, vec![])),
        ("10.0.0.8:68", "255.255.255.255:67", (Drop, vec![Spoofed])),
        ("[fe80::8]:546", "[ff02::1:2]:547", (Drop, vec![Spoofed])),
        ("0.0.0.0:68", "192.0.2.1:67", (Drop, vec![Spoofed])),
        ("0.0.0.0:68", "255.255.255.255:69", (Drop, vec![Spoofed])),
        ("0.0.0.0:67", "255.255.255.255:67", (Drop, vec![Spoofed])),
        ("[fe80::8]:546", "[2001:db8::1]:547", (Drop, vec![Spoofed])),
        ("[fe80::8]:546", "[ff05::1:3]:547", (Drop, vec![Spoofed])),
    ] {
        assert_eq!(world.send(&Ends::new(from, to).udp(b"")), expected, "{from} to {to}");
    }
    for (from, to) in [
        ("10.0.0.7:68", "192.0.2.1:67"),
        ("[fd00::7]:546", "[2001:db8::1]:547"),
        ("10.0.0.7:67", "10.0.0.9:68"),
        ("[fe80::7]:547", "[fe80::9]:546"),
    ] {
        assert_eq!(world.send(&Ends::new(from, to).udp(b"")).1, [Denied, Icmp], "{from} to {to}");
    }
    assert_eq!(world.flows(), 0);
}

#[test]
fn what_the_link_says_to_the_workload_opens_nothing() {
    let world = World::new();
    for frame in [
        icmp6("fe80::1", "fd00::7", 135, 255, "fd00::7"),
        Ends::new("192.0.2.1:68", "255.255.255.255:67").udp(b""),
    ] {
        assert_eq!(world.receive(&frame).1, []);
        assert!(world.asked().is_empty());
    }
    assert_eq!(world.flows(), 0);
}

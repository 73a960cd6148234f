//! What sockets of a workload in the node's own network may send.

use std::net::SocketAddr;

use egret_abi::{Asks, Flow4Key, Flow6Key, Ports, Ruleset, Said, Tick, action_reason as why, failure};

use super::frame::{ACK, Ends, Frame, RST, SYN};
use super::world::{ALLOWED, IDLE, NAME, POD, RANGE, RULE, World, both, own, says};
use crate::egress::socket::Outcome::{self, Drop, Pass, Refuse};
use crate::egress::socket::{Left, arrive, connect, leave, send};
use crate::inbound::InboundKey;
use crate::parse::{self, TCP, UDP};

/// With what a socket of either family is asked, by its ends.
macro_rules! at_socket {
    ($ends:ident, $protocol:expr, |$key:ident| $ask:expr) => {
        match ($ends.from.ip(), $ends.to.ip()) {
            (std::net::IpAddr::V4(local), std::net::IpAddr::V4(remote)) => {
                let $key = Flow4Key {
                    local: local.octets(),
                    remote: remote.octets(),
                    ports: ports($ends),
                    protocol: $protocol.into(),
                };
                $ask
            }
            (std::net::IpAddr::V6(local), std::net::IpAddr::V6(remote)) => {
                let $key = Flow6Key {
                    local: local.octets(),
                    remote: remote.octets(),
                    ports: ports($ends),
                    protocol: $protocol.into(),
                };
                $ask
            }
            _ => panic!("two families in one flow"),
        }
    };
}

fn ports(ends: Ends) -> Ports {
    Ports::new(ends.from.port().to_be_bytes(), ends.to.port().to_be_bytes())
}

fn dials(world: &World, ends: Ends, protocol: u8) -> Outcome {
    at_socket!(ends, protocol, |key| connect(world, POD, &key))
}

fn sends(world: &World, ends: Ends) -> Outcome {
    at_socket!(ends, UDP, |key| send(world, POD, &key))
}

fn segment(world: &World, ends: Ends, flags: u8) -> Outcome {
    let frame = ends.tcp(flags);
    at_socket!(ends, TCP, |key| leave(world, &frame, POD, Left::segment(&key, flags == SYN)))
}

/// A packet that a raw socket sends.
fn raw(world: &World, frame: &Frame) -> Outcome {
    fn of<K: InboundKey>(world: &World, frame: &Frame, parsed: &parse::Parsed<K>) -> Outcome {
        Left::packet(parsed).map_or(Pass, |left| leave(world, frame, POD, left))
    }
    if frame.ethertype() == parse::IPV4 {
        of(world, frame, &parse::ipv4(frame))
    } else {
        of(world, frame, &parse::ipv6(frame))
    }
}

fn comes(world: &World, frame: &Frame) {
    if frame.ethertype() == parse::IPV4 {
        arrive(world, POD, &parse::ipv4(frame));
    } else {
        arrive(world, POD, &parse::ipv6(frame));
    }
}

/// Allowed is 192.0.2.0/24 and 2001:db8::/32, where the ends of [`both`] lead.
fn allowing() -> World {
    let mut world = World::new();
    world.range("192.0.2.0/24", RANGE, 0);
    world.range("2001:db8::/32", RANGE, 0);
    world.any(RANGE, ALLOWED);
    world
}

#[test]
fn what_is_denied_is_refused_when_it_is_asked_for_and_told_once() {
    for ends in both(443) {
        for protocol in [TCP, UDP] {
            let world = World::new();
            assert_eq!(dials(&world, ends, protocol), Refuse);
            assert_eq!(world.reasons(), [(why::DENY | why::DEFAULT_DENY, why::DENY | why::DEFAULT_DENY)]);
        }
        let mut world = World::new();
        assert_eq!(sends(&world, ends), Refuse);
        assert_eq!(segment(&world, ends, SYN), Refuse, "also where nobody was asked");
        assert_eq!(raw(&world, &ends.udp(b"x")), Refuse, "nor is a raw socket a way out");
        assert_eq!(world.events().len(), 3);
        world.ruleset().silent = 1;
        assert_eq!(dials(&world, ends, TCP), Drop, "in silence");
    }
}

#[test]
fn what_is_allowed_is_told_by_its_first_packet_and_counted() {
    for ends in both(443) {
        let world = allowing();
        assert_eq!(dials(&world, ends, TCP), Pass);
        assert_eq!(world.events().len(), 0, "nothing was sent yet");
        assert_eq!(segment(&world, ends, SYN), Pass);
        assert_eq!(world.reasons(), [(why::RULE, why::RULE)]);
        assert_eq!(segment(&world, ends, ACK), Pass);
        assert_eq!(world.events().len(), 0);
        assert_eq!(world.flow(ends, TCP).map(|flow| flow.packets), Some(2));
        for _ in 0..2 {
            assert_eq!(sends(&world, ends), Pass);
        }
        assert_eq!(world.events().len(), 1, "a datagram more is nothing new");
    }
}

#[test]
fn a_policy_on_trial_denies_nothing_and_tells_what_it_would() {
    for ends in both(443) {
        let mut world = World::new();
        *world.ruleset() = Ruleset { observed_default: [1; 3], ..Ruleset::default() };
        assert_eq!(
            (dials(&world, ends, TCP), segment(&world, ends, SYN), sends(&world, ends)),
            (Pass, Pass, Pass)
        );
        assert_eq!(world.reasons(), [(why::NOT_ENFORCED, why::DENY | why::DEFAULT_DENY); 2]);
    }
}

#[test]
fn the_answers_of_a_server_pass_and_nothing_else_that_it_sends() {
    for ends in both(5300) {
        let mut world = World::new();
        // Somebody calls: `ends` is how the workload answers.
        comes(&world, &ends.back().udp(b"question"));
        assert_eq!(sends(&world, ends), Pass);
        assert_eq!(dials(&world, ends, UDP), Pass, "a server may connect to who called");
        assert_eq!(world.events().len(), 0);
        let other = Ends { to: SocketAddr::new(ends.to.ip(), 9), ..ends };
        assert_eq!(sends(&world, other), Refuse, "nobody called from there");
        world.now = Tick(world.now.0 + IDLE.0 + 1);
        assert_eq!(sends(&world, ends), Refuse, "that was long ago");
        // Of TCP only what the socket itself begins is judged.
        assert_eq!(segment(&world, ends, ACK), Pass);
    }
}

#[test]
fn what_answers_the_workload_does_not_keep_alive_what_is_denied_now() {
    for ends in both(443) {
        let mut world = allowing();
        assert_eq!(sends(&world, ends), Pass);
        comes(&world, &ends.back().udp(b"answer"));
        world.forget_rules();
        world.enter(2);
        assert_eq!(sends(&world, ends), Refuse);
    }
}

#[test]
fn a_connection_that_a_change_denies_ends_and_its_peer_is_told() {
    for ends in both(443) {
        for keep in [0, 1] {
            let mut world = allowing();
            world.config.keep = keep;
            assert_eq!(segment(&world, ends, SYN), Pass);
            world.forget_rules();
            world.enter(2);
            let expected = if keep == 1 { Pass } else { Refuse };
            assert_eq!(segment(&world, ends, ACK), expected);
            assert_eq!(segment(&world, ends, RST), Pass);
        }
    }
}

#[test]
fn the_node_s_loopback_and_trusted_resolvers_are_no_policy_s_business() {
    let mut world = World::new();
    for to in ["127.0.0.1:10248", "127.8.0.1:1", "[::1]:10248"] {
        let to: SocketAddr = to.parse().unwrap();
        let ends = Ends { from: SocketAddr::new(to.ip(), 40_000), to };
        assert_eq!(
            (dials(&world, ends, TCP), sends(&world, ends), segment(&world, ends, SYN)),
            (Pass, Pass, Pass)
        );
    }
    for ends in both(53) {
        assert_eq!((dials(&world, ends, UDP), sends(&world, ends)), (Refuse, Refuse));
        world.resolvers.insert(own(ends.to));
        assert_eq!(
            (dials(&world, ends, UDP), sends(&world, ends), segment(&world, ends, SYN)),
            (Pass, Pass, Pass)
        );
    }
}

#[test]
fn no_name_counts() {
    for ends in both(443) {
        let mut world = World::new();
        world.bind(ends.to, NAME, Tick::NEVER);
        world.any(NAME, says(Said::allow(RULE), Said::allow(RULE)));
        assert_eq!(dials(&world, ends, TCP), Refuse, "nobody knows that the look-up was its own");
    }
}

#[test]
fn where_modules_would_be_asked_the_failure_policy_counts_at_once() {
    for ends in both(443) {
        for (wanted, expected) in [(failure::DENY, Refuse), (failure::ALLOW, Pass)] {
            let mut world = World::new();
            world.ruleset().asks = Asks::default().and(0, Asks::UNMATCHED);
            (world.ruleset().applied_failure, world.ruleset().observed_failure) = (wanted, wanted);
            assert_eq!((dials(&world, ends, TCP), sends(&world, ends)), (expected, expected));
            assert!(world.events().iter().all(|event| event.applied_why & !why::DENY == why::HELD_TIMEOUT));
        }
    }
}

#[test]
fn what_cannot_be_read_is_denied_where_a_policy_is_in_force() {
    let mut world = World::new();
    let frame = both(443)[0].udp(b"x").with(parse::LINK, &[0x65]);
    assert_eq!(raw(&world, &frame), Drop);
    assert_eq!(world.reasons(), [(why::DENY | why::UNPARSED, why::DENY | why::UNPARSED)]);
    *world.ruleset() = Ruleset { unmanaged: 1, ..Ruleset::default() };
    assert_eq!(raw(&world, &frame), Pass);
}

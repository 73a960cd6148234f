//! ICMP errors that a workload sends: they follow the flow of the packet that they quote.

use egret_abi::Counter::{Spoofed, Unparsed};

use super::frame::{Ends, Frame, SYN};
use super::world::{World, both};
use crate::Egress::{Drop, Pass};
use crate::parse::{ICMP, ICMP6, LINK};

/// The error of `kind` that the workload at `ends.from` sends about `quoted`.
fn error(ends: Ends, kind: u8, quoted: &Frame) -> Frame {
    let protocol = if ends.from.is_ipv4() { ICMP } else { ICMP6 };
    let mut bytes = vec![kind, 3, 0, 0, 0, 0, 0, 0];
    bytes.extend(&quoted[LINK..]);
    ends.ip(protocol, &bytes)
}

fn kinds(ends: Ends) -> &'static [u8] {
    if ends.from.is_ipv4() { &[3, 11, 12] } else { &[1, 2, 3, 4] }
}

#[test]
fn an_error_about_what_came_from_outside_passes() {
    for ends in both(50_000) {
        let world = World::new();
        for came in [ends.back().udp(b"is anybody there?"), ends.back().tcp(SYN)] {
            for kind in kinds(ends) {
                assert_eq!(
                    world.send(&error(ends, *kind, &came)),
                    (Drop, vec![Unparsed]),
                    "nothing came yet"
                );
            }
            let _ = world.receive(&came);
            for kind in kinds(ends) {
                assert_eq!(world.send(&error(ends, *kind, &came)), (Pass, vec![]), "{kind}");
            }
        }
    }
}

#[test]
fn an_error_that_is_none_or_about_nothing_known_or_to_somebody_else_is_denied() {
    for ends in both(50_000) {
        let world = World::new();
        let came = ends.back().udp(b"is anybody there?");
        let _ = world.receive(&came);
        let kind = kinds(ends)[0];
        let mut other = ends;
        other.to.set_port(4242);
        let somebody = match ends.to.ip() {
            std::net::IpAddr::V4(_) => "192.0.2.250:50000",
            std::net::IpAddr::V6(_) => "[2001:db8::250]:50000",
        };
        let to_somebody = Ends { to: somebody.parse().unwrap(), ..ends };
        let header = LINK + if ends.from.is_ipv4() { 20 } else { 40 };
        for frame in [
            error(ends, 200, &came),
            error(ends, kind, &other.back().udp(b"another port")),
            error(to_somebody, kind, &came),
            error(ends, kind, &came).cut(header + 8 + 12),
        ] {
            assert_eq!(world.send(&frame), (Drop, vec![Unparsed]));
        }
    }
}

#[test]
fn an_error_from_a_source_that_is_not_its_own_is_dropped_whatever_it_quotes() {
    for ends in both(50_000) {
        let world = World::new();
        let came = ends.back().udp(b"is anybody there?");
        let _ = world.receive(&came);
        let from = if ends.from.is_ipv4() { "192.0.2.251:1" } else { "[2001:db8::251]:1" };
        let forged = Ends { from: from.parse().unwrap(), ..ends };
        assert_eq!(world.send(&error(forged, kinds(ends)[0], &came)), (Drop, vec![Spoofed]));
    }
}

#[test]
fn an_error_that_quotes_a_later_fragment_is_denied_for_what_stands_there_are_no_ports() {
    let [ends, _] = both(50_000);
    let world = World::new();
    let came = ends.back().udp(b"is anybody there?");
    let _ = world.receive(&came);
    let fragment = came.with(LINK + 6, &[0x20, 1]);
    assert_eq!(world.send(&error(ends, 3, &fragment)), (Drop, vec![Unparsed]));
    let first = fragment.with(LINK + 6, &[0x20, 0]);
    assert_eq!(world.send(&error(ends, 3, &first)), (Pass, vec![]), "a first one has them");
}

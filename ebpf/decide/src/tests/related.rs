//! ICMP errors that a workload sends: they follow the flow of the packet that they quote.

use egret_abi::Counter::{Spoofed, Unparsed};

use super::frame::{Ends, Frame, SYN};
use super::world::{World, both};
use crate::Egress::{Drop, Pass};
use crate::parse::{ICMP, ICMP6, LINK, SCTP};

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
        let back = ends.back();
        let sctp = [[1, 0, 2, 0], [0; 4], [0; 4]].concat();
        for came in [
            back.udp(b"is anybody there?"),
            back.tcp(SYN),
            back.echo(9, true),
            back.ip(SCTP, &sctp),
            back.ip(47, &[0; 8]),
            back.ip(50, &[0; 8]),
        ] {
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
        let v4 = ends.from.is_ipv4();
        let header = LINK + if v4 { 20 } else { 40 };
        for frame in [
            error(ends, 200, &came),
            error(ends, kind, &other.back().udp(b"another port")),
            error(to_somebody, kind, &came),
            error(ends, kind, &came).cut(header + 8 + 12),
            error(ends, kind, &came).with(LINK, if v4 { &[0x55] } else { &[0x50] }),
            // A later fragment, and other options than none before what would be the error.
            error(ends, kind, &came).with(LINK + 6, if v4 { &[0, 1] } else { &[0] }),
        ] {
            assert_eq!(world.send(&frame), (Drop, vec![Unparsed]));
        }
    }
}

#[test]
fn an_error_about_what_is_no_flow_is_denied() {
    for ends in both(50_000) {
        let world = World::new();
        let back = ends.back();
        // An error, extension headers, a fragment's header.
        let error_kind = if ends.from.is_ipv4() { (ICMP, 3) } else { (ICMP6, 1) };
        for came in [(error_kind.0, error_kind.1), (0, 0), (60, 0), (43, 0), (44, 0), (135, 0)] {
            let came = back.ip(came.0, &[came.1, 0, 0, 0, 0, 0, 0, 0]);
            let _ = world.receive(&came);
            assert_eq!(world.send(&error(ends, kinds(ends)[0], &came)), (Drop, vec![Unparsed]));
        }
    }
}

#[test]
fn an_error_in_a_frame_that_is_not_ip_is_none() {
    let ends = both(50_000)[1];
    let mut world = World::new();
    // What would be read as its addresses where nothing is.
    let nowhere = Ends::new("[fd00::7]:40000", "[::]:50000");
    world.any(super::world::RANGE, super::world::ALLOWED);
    world.range("::/0", super::world::RANGE, 0);
    let _ = world.send(&nowhere.udp(b""));
    let hidden = error(Ends { from: ends.from, to: nowhere.to }, 1, &nowhere.back().udp(b""));
    assert_eq!(world.send(&hidden).0, Pass);
    assert_eq!(world.send(&hidden.with(12, &[0x88, 0x64])), (Drop, vec![Unparsed]));
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

//! Pieces of packets: the first is judged, the others follow it, and nobody follows what was denied.

use egret_abi::{Counter::*, OwnKey, REASSEMBLY, Tick, action_reason as why};

use super::frame::{Ends, Frame, SYN, with_extensions, with_options};
use super::world::{ALLOWED, NAME, POD, World, both, own, to_resolver};
use crate::Egress::{Drop, Pass, Reset, Unreachable};
use crate::parse::{ICMP, ICMP6, LINK, SCTP, TCP, UDP};

const ID: u16 = 4242;
const FOLLOWS: (crate::Egress, Vec<egret_abi::Counter>) = (Pass, vec![]);

fn unreadable() -> (crate::Egress, Vec<egret_abi::Counter>) {
    (Drop, vec![Unparsed])
}

/// The piece of `whole`'s content from `start` to `end`, with `more` to come.
fn piece(whole: &Frame, id: u16, start: usize, end: usize, more: bool) -> Frame {
    let (high, low) = ((start >> 8) as u8, start as u8);
    if whole.ethertype() == 0x0800 {
        let header = LINK + (whole[LINK] & 15) as usize * 4;
        let bytes = [&whole[..header], &whole[header + start..header + end]].concat();
        let total = (bytes.len() - LINK) as u16;
        let bits = (start / 8) as u16 | u16::from(more) << 13;
        let [id0, id1] = id.to_be_bytes();
        let frame = Frame::new(bytes).with(LINK + 2, &total.to_be_bytes()).with(LINK + 4, &[id0, id1]);
        return frame.with(LINK + 6, &bits.to_be_bytes());
    }
    let mut header = [whole[LINK + 6], 0, high, low | u8::from(more), 0, 0, 0, 0];
    header[6..].copy_from_slice(&id.to_be_bytes());
    let content = &whole[LINK + 40 + start..LINK + 40 + end];
    let bytes = [&whole[..LINK + 40], &header, content].concat();
    let length = (bytes.len() - LINK - 40) as u16;
    Frame::new(bytes).with(LINK + 4, &length.to_be_bytes()).with(LINK + 6, &[44])
}

fn protocol(whole: &Frame) -> u8 {
    whole[LINK + if whole.ethertype() == 0x0800 { 9 } else { 6 }]
}

/// A datagram in three pieces.
fn three(whole: &Frame, id: u16) -> [Frame; 3] {
    let length = whole.len() - LINK - if whole.ethertype() == 0x0800 { 20 } else { 40 };
    [(0, 48, true), (48, 96, true), (96, length, false)]
        .map(|(start, end, more)| piece(whole, id, start, end, more))
}

/// Where the name of both ends is allowed.
fn allowing() -> World {
    let mut world = World::new();
    for ends in both(443) {
        world.bind(ends.to, NAME, Tick::NEVER);
    }
    world.any(NAME, ALLOWED);
    world
}

/// A datagram of each protocol, with 200 bytes of content.
fn datagrams(ends: Ends) -> [Frame; 5] {
    let echo = if ends.from.is_ipv4() { (ICMP, 8) } else { (ICMP6, 128) };
    let filled = |head: &[u8]| [head, &[7; 200]].concat();
    [
        ends.udp(&[7; 200]),
        ends.segment(SYN, 1, 0, &[7; 200]),
        ends.ip(SCTP, &filled(&[0, 1, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0])),
        ends.ip(echo.0, &filled(&[echo.1, 0, 0, 0, 0, 9, 0, 1])),
        ends.ip(47, &filled(&[])),
    ]
}

#[test]
fn pieces_follow_their_first_where_it_may_pass() {
    for ends in both(443) {
        for whole in datagrams(ends) {
            let world = allowing();
            let [first, second, third] = three(&whole, ID);
            assert_eq!(world.send(&second), unreadable(), "its first did not come yet");
            assert_eq!(world.send(&first), (Pass, vec![Allowed]));
            for piece in [&second, &third, &second] {
                assert_eq!(world.send(piece), FOLLOWS);
            }
            assert_eq!(world.flows(), 1);
            // The next packet of the flow, known by now.
            let [first, second, _] = three(&whole, ID + 1);
            assert_eq!(world.send(&second), unreadable());
            // What begins a connection is judged each time.
            let counted = if protocol(&whole) == TCP { vec![Allowed] } else { vec![] };
            assert_eq!(world.send(&first), (Pass, counted));
            assert_eq!(world.send(&second), FOLLOWS);
        }
    }
}

#[test]
fn a_denied_first_piece_is_refused_like_a_whole_packet_and_leaves_nothing_behind() {
    for ends in both(443) {
        let transport = LINK + if ends.from.is_ipv4() { 20 } else { 48 };
        for whole in datagrams(ends) {
            let world = World::new();
            let [first, second, third] = three(&whole, ID);
            let refused = match protocol(&whole) {
                TCP => (Reset { transport }, vec![Denied]),
                UDP => (Unreachable { transport }, vec![Denied, Icmp]),
                _ => (Drop, vec![Denied]),
            };
            assert_eq!(world.send(&first), refused);
            world.events();
            assert_eq!(world.send(&second), unreadable());
            assert_eq!(world.send(&third), unreadable());
            let reason = why::DENY | why::UNPARSED;
            assert_eq!(world.reasons(), [(reason, reason); 2]);
            assert!(world.fragments.borrow().is_empty());
        }
    }
}

#[test]
fn pieces_pass_where_nothing_is_in_force() {
    for ends in both(443) {
        for (unmanaged, told) in [(0, 1), (1, 0)] {
            let mut world = World::new();
            *world.ruleset() = egret_abi::Ruleset { unmanaged, ..Default::default() };
            let [first, second, third] = three(&ends.udp(&[7; 200]), ID);
            assert_eq!(world.send(&second), FOLLOWS);
            assert_eq!(world.events().len(), told, "on trial, it is told");
            assert_eq!(world.send(&first), (Pass, vec![Allowed]));
            world.events();
            assert_eq!(world.send(&third), FOLLOWS);
            assert!(world.events().is_empty());
        }
    }
}

#[test]
fn a_first_piece_without_its_whole_transport_header_is_denied() {
    for ends in both(443) {
        for (whole, enough) in datagrams(ends).iter().zip([8, 24, 16, 8, 8]) {
            let world = allowing();
            for end in (1..enough).chain([20]).filter(|end| *end < enough) {
                assert_eq!(world.send(&piece(whole, ID, 0, end, true)), unreadable(), "{end}");
            }
            assert_eq!(world.send(&piece(whole, ID, 0, 0, true)), unreadable(), "empty");
            // The bytes are there, and not of the packet: its receiver cuts them off.
            let short = piece(whole, ID, 0, enough, true);
            let (at, length) = if ends.from.is_ipv4() { (2, 20 + enough - 8) } else { (4, enough) };
            assert_eq!(world.send(&short.with(LINK + at, &(length as u16).to_be_bytes())), unreadable());
            assert!(world.fragments.borrow().is_empty());
            assert_eq!(world.send(&piece(whole, ID, 0, enough, true)), (Pass, vec![Allowed]));
        }
    }
}

#[test]
fn a_later_piece_that_reaches_into_the_transport_header_is_denied() {
    for ends in both(443) {
        for (whole, enough) in datagrams(ends).iter().zip([8, 24, 16, 8, 8]) {
            let world = allowing();
            assert_eq!(world.send(&piece(whole, ID, 0, 48, true)), (Pass, vec![Allowed]));
            for start in (8..48).step_by(8) {
                let expected = if start < enough { unreadable() } else { FOLLOWS };
                assert_eq!(world.send(&piece(whole, ID, start, 96, true)), expected, "{start}");
            }
        }
    }
}

#[test]
fn a_piece_of_ipv6_that_claims_another_protocol_may_not_reach_into_the_header_either() {
    let ends = both(443)[1];
    let world = allowing();
    let whole = ends.segment(SYN, 1, 0, &[7; 200]);
    assert_eq!(world.send(&piece(&whole, ID, 0, 48, true)), (Pass, vec![Allowed]));
    for claimed in [UDP, 60, 59, 0] {
        for (start, expected) in [(8, unreadable()), (16, unreadable()), (24, FOLLOWS)] {
            let later = piece(&whole, ID, start, 96, true).with(LINK + 40, &[claimed]);
            assert_eq!(world.send(&later), expected, "{claimed}, {start}");
        }
    }
}

#[test]
fn headers_between_the_fragment_s_and_the_transport_s_are_denied() {
    // Nobody needs them, and where the transport's header lies would be the sender's to choose.
    let ends = both(443)[1];
    let whole = with_extensions(&ends.udp(&[7; 200]), 60, 1, 1);
    let world = allowing();
    assert_eq!(world.send(&piece(&whole, ID, 0, 48, true)), unreadable());
    assert_eq!(
        world.send(&piece(&piece(&ends.udp(&[7; 200]), 1, 0, 200, true), ID, 0, 48, true)),
        unreadable()
    );
    // Before the fragment's header, every piece has them.
    let [first, second, _] = three(&ends.udp(&[7; 200]), ID).map(|frame| with_extensions(&frame, 60, 1, 1));
    assert_eq!(world.send(&first), (Pass, vec![Allowed]));
    assert_eq!(world.send(&second), FOLLOWS);
}

#[test]
fn options_of_ipv4_come_in_pieces_too() {
    let world = allowing();
    let whole = with_options(&both(443)[0].udp(&[7; 200]), 3);
    assert_eq!(world.send(&piece(&whole, ID, 0, 48, true)), (Pass, vec![Allowed]));
    assert_eq!(world.send(&piece(&whole, ID, 48, 96, false)), FOLLOWS);
}

#[test]
fn a_piece_beyond_the_longest_packet_is_denied() {
    for ends in both(443) {
        let world = allowing();
        let whole = ends.udp(&[7; 200]);
        assert_eq!(world.send(&piece(&whole, ID, 0, 48, true)), (Pass, vec![Allowed]));
        let at = |last: u16| {
            let later = piece(&whole, ID, 48, 96, false);
            if ends.from.is_ipv4() {
                later.with(LINK + 6, &(last / 8).to_be_bytes())
            } else {
                later.with(LINK + 42, &last.to_be_bytes())
            }
        };
        assert_eq!(world.send(&at(65480)), FOLLOWS);
        assert_eq!(world.send(&at(65488)), unreadable());
        assert_eq!(world.send(&at(65528)), unreadable());
    }
}

#[test]
fn only_pieces_of_the_same_packet_follow() {
    for ends in both(443) {
        let mut world = allowing();
        let whole = ends.udp(&[7; 200]);
        let other = match ends.from.ip() {
            std::net::IpAddr::V4(_) => Ends { to: "192.0.2.2:443".parse().unwrap(), ..ends },
            std::net::IpAddr::V6(_) => Ends { to: "[2001:db8::2]:443".parse().unwrap(), ..ends },
        };
        let second = |ends: Ends| if ends.from.is_ipv4() { "10.0.0.8:40000" } else { "[fd00::8]:40000" };
        let from_second = Ends { from: second(ends).parse().unwrap(), ..ends };
        world.own.insert(own(from_second.from));
        assert_eq!(world.send(&three(&whole, ID)[0]), (Pass, vec![Allowed]));
        let later = |ends: Ends, id| three(&ends.udp(&[7; 200]), id)[1].clone();
        assert_eq!(world.send(&later(ends, ID)), FOLLOWS);
        assert_eq!(world.send(&later(other, ID)), unreadable());
        assert_eq!(world.send(&later(from_second, ID)), unreadable());
        assert_eq!(world.send(&later(ends, ID + 1)), unreadable());
        let segment = three(&ends.segment(SYN, 1, 0, &[7; 200]), ID)[1].clone();
        let expected = if ends.from.is_ipv4() { unreadable() } else { FOLLOWS };
        assert_eq!(world.send(&segment), expected, "IPv6 is put together whatever the protocol");
        let neighbour = egret_abi::WorkloadIndex(8);
        world.workloads.insert(neighbour, world.workloads[&POD]);
        world.own.insert(OwnKey { workload: neighbour, ..own(ends.from) });
        assert_eq!(world.send_as(neighbour, &later(ends, ID)), unreadable());
    }
}

#[test]
fn pieces_follow_for_as_long_as_a_receiver_waits() {
    for ends in both(443) {
        let mut world = allowing();
        let [first, second, _] = three(&ends.udp(&[7; 200]), ID);
        assert_eq!(world.send(&first), (Pass, vec![Allowed]));
        world.now = world.now.plus(REASSEMBLY).minus(Tick(1));
        assert_eq!(world.send(&second), FOLLOWS);
        world.now = world.now.plus(Tick(1));
        assert_eq!(world.send(&second), unreadable());
    }
}

#[test]
fn a_source_that_is_not_its_own_is_dropped_in_pieces_too() {
    for ends in both(443) {
        for unmanaged in [0, 1] {
            let mut world = allowing();
            world.ruleset().unmanaged = unmanaged;
            let [first, second, _] = three(&ends.udp(&[7; 200]), ID);
            assert_eq!(world.send(&first).0, Pass);
            world.own.clear();
            assert_eq!(world.send(&second), (Drop, vec![Spoofed]), "it is another's by now");
            world.fragments.borrow_mut().clear();
            assert_eq!(world.send(&second), (Drop, vec![Spoofed]));
            let from = Ends { from: ends.to, ..ends };
            for piece in three(&from.udp(&[7; 200]), ID) {
                assert_eq!(world.send(&piece), (Drop, vec![Spoofed]));
            }
        }
    }
}

#[test]
fn after_a_change_of_policy_only_answers_go_on_following() {
    for ends in both(443) {
        let mut world = allowing();
        let [first, second, _] = three(&ends.udp(&[7; 200]), ID);
        assert_eq!(world.send(&first), (Pass, vec![Allowed]));
        world.enter(2);
        assert_eq!(world.send(&second), unreadable());
        assert_eq!(world.send(&first), FOLLOWS, "its rule still allows it");
        assert_eq!(world.send(&second), FOLLOWS);
        world.forget_rules();
        world.enter(3);
        assert_eq!(world.send(&first).1[0], Denied);
        assert_eq!(world.send(&second), unreadable());
    }
}

#[test]
fn a_server_answers_in_pieces_whatever_its_policy() {
    for ends in both(50_000) {
        let mut world = World::new();
        // What was asked may have come in pieces as well.
        let [asked, rest, _] = three(&ends.back().udp(&[7; 200]), ID);
        assert_eq!(world.receive(&asked).1, []);
        assert_eq!(world.receive(&rest).1, []);
        let [first, second, third] = three(&ends.udp(&[7; 200]), ID);
        assert_eq!(world.send(&first), FOLLOWS);
        assert_eq!(world.send(&second), FOLLOWS);
        world.enter(2);
        assert_eq!(world.send(&third), FOLLOWS);
    }
}

#[test]
fn a_question_in_pieces_passes_and_is_not_remembered() {
    for ends in to_resolver() {
        let world = World::new();
        let [first, second, _] = three(&ends.udp(&[7; 200]), ID);
        assert_eq!(world.send(&first), (Pass, vec![Allowed]));
        assert_eq!(world.send(&second), FOLLOWS);
        assert!(world.queries.borrow().is_empty());
    }
}

#[test]
fn where_nothing_more_can_be_remembered_the_first_passes_and_the_others_do_not() {
    for ends in both(443) {
        let mut world = allowing();
        world.full = true;
        let [first, second, _] = three(&ends.udp(&[7; 200]), ID);
        assert_eq!(world.send(&first), (Pass, vec![FlowsFull, Allowed, FragmentsFull]));
        assert_eq!(world.send(&second), unreadable());
    }
}

//! What may pass, decided by looking at addresses and ports as a person would.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

use egret_decide::testing::frame::Frame;
use ipnet::IpNet;

use crate::plain::{ICMP, ICMP6, LINK, Packet, SCTP, TCP, Tuple, UDP};

/// Of both families: a range of which one TCP port is allowed, and one within it that is denied.
pub const RANGES: [[&str; 2]; 2] =
    [["192.0.2.0/24", "192.0.2.128/25"], ["2001:db8::/32", "2001:db8:8000::/33"]];
/// The port that is allowed in a range.
pub const PORT: u16 = 443;
/// Addresses of an allowed name; the first of each family is in a forbidden range, the second nowhere.
pub const NAMED: [&str; 4] = ["192.0.2.200", "198.51.100.1", "2001:db8:8000::1", "2001:db9::1"];

const OWN: [&str; 2] = ["10.0.0.7", "fd00::7"];
const RESOLVERS: [&str; 2] = ["10.96.0.10", "fd00:96::10"];

/// What the tables say.
pub struct Scene {
    /// There are rules; else everything is denied.
    pub rules: bool,
    /// The policy is in force, and not on trial.
    pub enforced: bool,
    /// Nothing more can be remembered.
    pub full: bool,
}

/// The scene, and the flows that may go on because they began.
pub struct Reference {
    scene: Scene,
    begun: HashSet<Tuple>,
    /// Packets of which the first piece went on: ends, protocol in IPv4, and number.
    trains: HashSet<(IpAddr, IpAddr, u8, u32)>,
}

impl Reference {
    pub fn new(scene: Scene) -> Self {
        Self { scene, begun: HashSet::new(), trains: HashSet::new() }
    }

    /// Somebody sent this to the workload: it may answer, and refuse it.
    pub fn arrives(&mut self, frame: &Frame) {
        let Some(tuple) = Packet::read(frame).and_then(|packet| packet.tuple()) else { return };
        if is_one_of(tuple.to, &OWN)
            && !(tuple.protocol == UDP && is_resolver(tuple.from) && tuple.ports.0 == 53)
        {
            self.begun.insert(tuple.reversed());
        }
    }

    /// It went on.
    pub fn passed(&mut self, frame: &Frame) {
        let Some(packet) = Packet::read(frame) else { return };
        if let Some(tuple) = packet.tuple() {
            self.begun.insert(tuple);
            self.trains.extend(train(&packet));
        }
    }

    /// The most that may pass.
    pub fn may_pass(&self, frame: &Frame) -> bool {
        if frame.get(12..14) == Some(&[0x08, 0x06]) {
            return true;
        }
        let Some(packet) = Packet::read(frame) else { return !self.scene.enforced };
        if keeps_link(&packet) || packet.tuple().is_some_and(|tuple| self.begun.contains(&tuple)) {
            return true;
        }
        if packet.later_fragment && train(&packet).is_some_and(|train| self.trains.contains(&train)) {
            return true;
        }
        if !is_one_of(packet.from, &OWN) && !packet.from.is_unspecified() {
            return false;
        }
        if !self.scene.enforced || self.follows(&packet) {
            return true;
        }
        packet.tuple().is_some_and(|tuple| is_question(&tuple) || self.allows(&tuple))
    }

    /// The least: whole packets of a protocol that rules name, by the workload itself, to where it may go.
    pub fn must_pass(&self, frame: &Frame) -> bool {
        let Some(packet) = Packet::read(frame) else { return false };
        let Some(tuple) = packet.tuple() else { return false };
        let header = match packet.protocol {
            TCP => 20,
            UDP | SCTP | ICMP => 8,
            _ => return false,
        };
        // The reserved bit of IPv4, and the first piece of a packet, which must be long enough for its place.
        let odd = packet.from.is_ipv4() && frame[LINK + 6] & 0xa0 != 0;
        let whole = packet.plain && packet.payload.len() >= header && !odd;
        whole && is_one_of(packet.from, &OWN) && (is_question(&tuple) || self.allows(&tuple))
    }

    fn allows(&self, tuple: &Tuple) -> bool {
        if !self.scene.rules {
            return false;
        }
        let inside = |range: &str| range.parse::<IpNet>().expect("a range").contains(&tuple.to);
        let forbidden = RANGES.iter().any(|[_, forbidden]| inside(forbidden));
        let by_range = RANGES.iter().any(|[allowed, _]| inside(allowed))
            && (tuple.protocol, tuple.ports.1) == (TCP, PORT);
        !forbidden && (by_range || is_one_of(tuple.to, &NAMED))
    }

    /// An ICMP error about a flow that may go on: it quotes the packet that came in.
    fn follows(&self, packet: &Packet<'_>) -> bool {
        if !matches!(packet.protocol, ICMP | ICMP6) || packet.later_fragment {
            return false;
        }
        let Some(quoted) = packet.payload.get(8..) else { return false };
        let link = if packet.from.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        let frame = Frame::new([&[0; 12], &link[..], quoted].concat());
        let tuple = Packet::read(&frame).and_then(|quoted| quoted.tuple());
        tuple.is_some_and(|quoted| quoted.from == packet.to && self.begun.contains(&quoted.reversed()))
    }
}

/// What the pieces of a packet have in common, where this is one.
fn train(packet: &Packet<'_>) -> Option<(IpAddr, IpAddr, u8, u32)> {
    let protocol = if packet.from.is_ipv4() { packet.protocol } else { 0 };
    packet.piece.map(|id| (packet.from, packet.to, protocol, id))
}

/// Neighbour discovery, multicast listening, and DHCP from where a client has no address yet.
fn keeps_link(packet: &Packet<'_>) -> bool {
    let kind = packet.payload.first().copied().unwrap_or_default();
    let ports = packet.payload.get(..4);
    match (packet.protocol, packet.to) {
        (ICMP6, _) if matches!(kind, 133..=137) => packet.hop_limit == 255,
        (ICMP6, IpAddr::V6(to)) if matches!(kind, 130..=132 | 143) => {
            packet.hop_limit == 1 && to.octets()[0] == 0xff && to.octets()[1] & 15 <= 2
        }
        (UDP, IpAddr::V4(to)) => {
            !packet.later_fragment && to.is_broadcast() && ports == Some(&[0, 68, 0, 67])
        }
        (UDP, IpAddr::V6(to)) => {
            to == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2) && ports == Some(&[2, 34, 2, 35])
        }
        _ => false,
    }
}

fn is_question(tuple: &Tuple) -> bool {
    matches!(tuple.protocol, TCP | UDP) && tuple.ports.1 == 53 && is_resolver(tuple.to)
}

fn is_resolver(address: IpAddr) -> bool {
    is_one_of(address, &RESOLVERS)
}

fn is_one_of(address: IpAddr, all: &[&str]) -> bool {
    all.iter().any(|one| one.parse::<IpAddr>() == Ok(address))
}

//! The packet logic as a workload meets it: frames out and in, one after the other, against a plain reference.
//!
//! Input: a byte for the scene, then frames, each behind a byte that says its direction and how much time goes by, and
//! two of its length. Nothing passes that the reference denies, and what it allows passes.

use egret_abi::{Class, Counter, Tick};
use egret_decide::Egress;
use egret_decide::parse::{self, Parsed};
use egret_decide::testing::frame::Frame;
use egret_decide::testing::world::{ALLOWED, DENIED, NAME, RANGE, World};

use crate::plain::{self, Packet};
use reference::{Reference, Scene};

mod reference;

/// The class of addresses that no rule may allow.
const FORBIDDEN: Class = Class(10);
/// Frames of one input.
const MOST_FRAMES: usize = 16;

/// Plays the frames.
pub fn run(data: &[u8]) {
    let Some((scene, frames)) = data.split_first() else { return };
    let scene = Scene { rules: scene & 1 != 0, enforced: scene & 2 == 0, full: scene & 4 != 0 };
    let mut world = world(&scene);
    let mut reference = Reference::new(scene);
    let mut epoch = 1;
    for (step, frame) in split(frames) {
        if frame.len() < plain::LINK {
            continue;
        }
        world.now = world.now.plus(Tick(u32::from(step >> 2 & 7) * 20));
        if step & 2 != 0 {
            epoch += 1;
            world.enter(epoch);
        }
        check_parse(&frame);
        if step & 1 == 0 {
            send(&world, &mut reference, &frame);
        } else {
            let (_, counted) = world.receive(&frame);
            assert!(
                !counted.iter().any(|counter| is_denial(*counter)),
                "nothing toward a workload is denied"
            );
            reference.arrives(&frame);
        }
    }
}

fn send(world: &World, reference: &mut Reference, frame: &Frame) {
    let (egress, counted) = world.send(frame);
    let passed = egress == Egress::Pass;
    let denials = counted.iter().filter(|counter| is_denial(**counter)).count();
    assert_eq!(denials, usize::from(!passed), "{egress:?} {counted:?}");
    assert!(world.events().len() <= 1, "a packet is told once");
    let may = reference.may_pass(frame);
    assert!(may || !passed, "it passes, and nothing allows it: {:?}", Packet::read(frame));
    if !passed {
        assert!(!reference.must_pass(frame), "it is allowed, and {egress:?}: {:?}", Packet::read(frame));
    }
    if passed {
        reference.passed(frame);
    } else if let Egress::Reset { transport }
    | Egress::Cut { transport }
    | Egress::Unreachable { transport } = egress
    {
        assert!(transport >= plain::LINK + 20 && transport < frame.len());
    }
}

/// One denied packet moves one of these.
fn is_denial(counter: Counter) -> bool {
    matches!(counter, Counter::Denied | Counter::Spoofed | Counter::Unparsed)
}

/// Where etherparse reads the whole frame, and it is read at all, both read the same.
fn check_parse(frame: &Frame) {
    let Some(theirs) = plain::by_etherparse(frame) else { return };
    let ports = (theirs.ports.0.to_be_bytes(), theirs.ports.1.to_be_bytes());
    match frame.ethertype() {
        parse::IPV4 => {
            if let Parsed::Flow(headers) = parse::ipv4(frame) {
                let key = headers.key;
                assert_eq!((key.local.into(), key.remote.into()), (theirs.from, theirs.to));
                assert_eq!((key.ports.local(), key.ports.remote()), ports);
                assert_eq!(key.protocol, u32::from(theirs.protocol));
            }
        }
        parse::IPV6 => {
            if let Parsed::Flow(headers) = parse::ipv6(frame) {
                let key = headers.key;
                assert_eq!((key.local.into(), key.remote.into()), (theirs.from, theirs.to));
                assert_eq!((key.ports.local(), key.ports.remote()), ports);
                assert_eq!(key.protocol, u32::from(theirs.protocol));
            }
        }
        _ => {}
    }
}

fn split(mut data: &[u8]) -> Vec<(u8, Frame)> {
    let mut frames = Vec::new();
    while let Some(([step, high, low], rest)) = data.split_first_chunk() {
        if frames.len() == MOST_FRAMES {
            break;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        frames.push((*step, Frame::new(frame.to_vec())));
        data = rest;
    }
    frames
}

/// The tables that say what [`Scene`] means.
fn world(scene: &Scene) -> World {
    let mut world = World::new();
    world.full = scene.full;
    if !scene.enforced {
        world.ruleset().enforced = 0;
        world.ruleset().applied_default = [0; 3];
    }
    if scene.rules {
        for [allowed, forbidden] in reference::RANGES {
            world.range(allowed, RANGE, 0);
            world.range(forbidden, FORBIDDEN, 0);
        }
        for named in reference::NAMED {
            world.bind(std::net::SocketAddr::new(named.parse().expect("an address"), 0), NAME, Tick::NEVER);
        }
        world.ports(RANGE, plain::TCP, reference::PORT, 16, ALLOWED);
        world.any(FORBIDDEN, DENIED);
        world.any(NAME, ALLOWED);
    }
    world
}

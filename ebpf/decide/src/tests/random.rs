//! Whatever a workload or its peers send: no panic, and nothing said twice.

use proptest::prelude::*;

use super::frame::{Frame, dns, with_extensions, with_options};
use super::world::{ALLOWED, NAME, World, both, to_resolver};
use crate::parse::{self, IPV4, IPV6, LINK, Parsed};
use crate::refuse::{
    RESET4, RESET6, UNREACHABLE4, UNREACHABLE6, cut4, cut6, reset4, reset6, unreachable4, unreachable6,
};
use crate::{Egress, question};

/// Valid frames to spoil.
fn frames() -> Vec<Frame> {
    let asked = to_resolver().map(|ends| ends.udp(&dns(1, false, "www.example.com", 1)));
    let answers = to_resolver().map(|ends| ends.back().udp(&dns(1, true, "www.example.com", 1)));
    let mut frames = [&asked[..], &answers].concat();
    for ends in both(443) {
        frames.extend([ends.tcp(2), ends.udp(b"data"), ends.echo(1, true), ends.back().tcp(2)]);
    }
    frames.push(with_options(&frames[4], 10));
    frames.push(with_extensions(&frames[8], 60, 6, 2));
    frames.push(frames[5].clone().with(LINK + 6, &[0x20, 1]));
    frames.push(with_extensions(&frames[9], 44, 1, 1).with(LINK + 42, &[0, 9]));
    frames
}

/// Sends and receives `frame`, and refuses it both ways.
fn all_of_it(frame: &Frame, ethertype: u16) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for ends in both(443) {
        world.bind(ends.to, NAME, egret_abi::Tick::NEVER);
    }
    world.any(NAME, ALLOWED);
    for _ in 0..2 {
        let egress = crate::from_pod(&world, frame, super::world::POD, ethertype);
        let _ = world.receive_as(frame, ethertype);
        if let Egress::Reset { transport } | Egress::Unreachable { transport } = egress {
            prop_assert!(transport >= LINK + 20 && transport < frame.len());
        }
    }
    prop_assert!(world.events().len() <= 2);
    for at in [0, 14, 34, 54, frame.len(), usize::MAX] {
        let _ = question::hash(frame, at.min(1 << 40));
        let _ = reset4(frame, at.min(1 << 40), &mut [0; RESET4]);
        let _ = reset6(frame, at.min(1 << 40), &mut [0; RESET6]);
        let _ = cut4(frame, at.min(1 << 40), &mut [0; RESET4]);
        let _ = cut6(frame, at.min(1 << 40), &mut [0; RESET6]);
        let _ = unreachable6(frame, at, &mut [0; UNREACHABLE6]);
    }
    let _ = unreachable4(frame, &mut [0; UNREACHABLE4]);
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), ethertype: u16) {
        let frame = Frame::new(bytes);
        for ethertype in [ethertype, IPV4, IPV6] {
            all_of_it(&frame, ethertype)?;
        }
    }

    #[test]
    fn the_short_cut_reads_what_the_long_way_reads(
        spoils in prop::collection::vec((LINK..LINK + 40, any::<u8>()), 0..4),
        length in 0..80usize,
        ack in any::<bool>(),
    ) {
        let mut frame = both(443)[0].tcp(if ack { 0x10 } else { 2 });
        for (at, byte) in spoils {
            frame = frame.with(at, &[byte]);
        }
        let cut = frame.len().min(length);
        let frame = frame.cut(cut);
        if let Some(key) = parse::established4(&frame) {
            let Parsed::Flow(headers) = parse::ipv4(&frame) else { panic!("the long way reads no flow") };
            prop_assert_eq!(headers.key, key);
            prop_assert!(!headers.begins_connection());
        }
    }

    #[test]
    fn no_spoiled_frame_makes_it_panic(
        which in 0..16usize,
        spoils in prop::collection::vec((0..120usize, any::<u8>()), 0..6),
        length in 0..200usize,
    ) {
        let frame = frames().swap_remove(which);
        let mut spoiled = frame.clone().cut(length);
        for (at, byte) in spoils {
            if at < spoiled.len() {
                spoiled = spoiled.with(at, &[byte]);
            }
        }
        all_of_it(&spoiled, frame.ethertype())?;
    }
}

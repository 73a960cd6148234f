//! Probes: the one that is awaited ends at the hook that sees it, and no other frame has its rights.

use egret_abi::Counter::Unparsed;
use egret_abi::{PROBE, PROBE_LENGTH, PROBE_NUMBER_AT, Probe, WorkloadIndex};

use super::frame::Frame;
use super::world::{POD, World};
use crate::Egress::{Drop, Pass};
use crate::probe::{Way, is_awaited};

fn probe(number: u64) -> Frame {
    Frame::new(vec![0; PROBE_LENGTH])
        .with(12, &PROBE.to_be_bytes())
        .with(PROBE_NUMBER_AT, &number.to_ne_bytes())
}

fn awaiting(out: u64, into: u64) -> World {
    let world = World::new();
    world.probes.borrow_mut().insert(POD, Probe { out, into });
    world
}

#[test]
fn the_probe_that_is_awaited_ends_here_and_counts_once() {
    let world = awaiting(7, 8);
    assert_eq!(world.send(&probe(7)), (Drop, vec![]));
    assert_eq!(world.probes.borrow()[&POD], Probe { out: 0, into: 8 });
    assert_eq!(world.send(&probe(7)), (Drop, vec![Unparsed]), "it is a frame like any other now");
    assert!(is_awaited(&world, &probe(8), POD, Way::Into));
    assert!(!is_awaited(&world, &probe(8), POD, Way::Into), "it was seen");
}

#[test]
fn no_other_frame_is_a_probe() {
    let world = awaiting(7, 8);
    let short = Frame::new(vec![0; 20]).with(12, &PROBE.to_be_bytes());
    for (frame, why) in [
        (probe(6), "another number"),
        (probe(0), "the number of none"),
        (probe(8), "the one that goes the other way"),
        (short, "too short for a number"),
        (probe(7).with(12, &[0x88, 0xb6]), "another ethertype"),
    ] {
        assert_eq!(world.send(&frame), (Drop, vec![Unparsed]), "{why}");
    }
    assert!(!is_awaited(&world, &probe(7), WorkloadIndex(8), Way::Out), "another workload's");
    assert_eq!(world.probes.borrow()[&POD], Probe { out: 7, into: 8 });
}

#[test]
fn without_a_policy_what_is_no_probe_passes_and_a_probe_does_not() {
    let mut world = awaiting(7, 8);
    *world.ruleset() = egret_abi::Ruleset { unmanaged: 1, ..Default::default() };
    assert_eq!(world.send(&probe(6)), (Pass, vec![]));
    assert_eq!(world.send(&probe(7)), (Drop, vec![]));
}

//! Nanoseconds per packet, by the kernel's own test runs.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret::kernel::rings::{Ring, Stop};

use crate::node::{LOCAL, NAMED, Node, RANGED, STRANGE, destination};
use crate::report::{Row, Target, median};
use crate::yardsticks::Yardsticks;
use crate::{Effort, answers};

/// `TCX_NEXT` and `TCX_DROP`. A refusal would change the packet that the next run gets, so denial is by silence here.
pub const NEXT: i32 = -1;
const DROP: i32 = 2;
/// A TCP segment that begins a connection.
pub const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A TCP segment of the workload to port 443 of `to`.
pub fn frame(to: Ipv4Addr, flags: u8) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 20];
    frame[12..14].copy_from_slice(&0x0800u16.to_be_bytes());
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&40u16.to_be_bytes());
    frame[22] = 64;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&LOCAL.octets());
    frame[30..34].copy_from_slice(&to.octets());
    frame[34..36].copy_from_slice(&40_000u16.to_be_bytes());
    frame[36..38].copy_from_slice(&443u16.to_be_bytes());
    frame[46] = 5 << 4;
    frame[47] = flags;
    frame
}

/// Of one thing that was measured, the nanoseconds of each round.
struct Measured {
    name: &'static str,
    nanoseconds: Vec<f64>,
}

/// What runs: whose program, and whether each run is another flow.
#[derive(Clone, Copy)]
enum Runs {
    /// A yardstick, on one packet.
    Yardstick(&'static str),
    /// A yardstick, sprayed.
    Sprayed(&'static str),
    /// `from_pod` without events, on one packet.
    Quiet,
    /// The same, sprayed.
    QuietSprayed,
    /// `from_pod` with events that somebody reads, sprayed.
    ToldSprayed,
}

const CASES: [(&str, Runs, u8, u8, i32); 12] = [
    ("empty", Runs::Yardstick("empty"), NAMED, ACK, NEXT),
    ("flow cache", Runs::Yardstick("flow_cache"), NAMED, ACK, NEXT),
    ("established", Runs::Quiet, NAMED, ACK, NEXT),
    ("empty sprayed", Runs::Sprayed("empty"), RANGED, SYN, NEXT),
    ("insert", Runs::Sprayed("insert"), RANGED, SYN, NEXT),
    ("match and insert", Runs::Sprayed("new_flow"), RANGED, SYN, NEXT),
    ("by range", Runs::QuietSprayed, RANGED, SYN, NEXT),
    ("by name", Runs::QuietSprayed, NAMED, SYN, NEXT),
    ("denied", Runs::QuietSprayed, STRANGE, SYN, DROP),
    ("by range told", Runs::ToldSprayed, RANGED, SYN, NEXT),
    ("by name told", Runs::ToldSprayed, NAMED, SYN, NEXT),
    ("denied told", Runs::ToldSprayed, STRANGE, SYN, DROP),
];

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let repeat = effort.pick(100_000, 1000);
    let mut yardsticks = Yardsticks::load()?;
    let mut quiet = Node::load(0)?;
    let mut telling = Node::load(u32::MAX)?;
    let mut measured = CASES.map(|(name, ..)| Measured { name, nanoseconds: Vec::new() });

    let stop = Stop::new()?;
    let mut ring = Ring::open(&telling.pins, "EVENTS")?;
    let reader = std::thread::spawn({
        let stop = stop.clone();
        move || ring.read_until(&stop, Duration::from_millis(10), |_| {})
    });
    // The established flow must be there before it is measured, on both sides.
    for _ in 0..effort.rounds() {
        let begins = frame(destination(NAMED, 7), SYN);
        quiet.object.test_run("from_pod", &begins, 1)?;
        yardsticks.run("flow_cache", &begins, 1)?;
        for ((name, runs, first, flags, expected), measured) in CASES.into_iter().zip(&mut measured) {
            let frame = frame(destination(first, 7), flags);
            let (returned, nanoseconds) = match runs {
                Runs::Yardstick(name) => yardsticks.run(name, &frame, repeat)?,
                Runs::Sprayed(name) => yardsticks.spray(name, &frame, repeat)?,
                Runs::Quiet => quiet.object.test_run("from_pod", &frame, repeat)?,
                Runs::QuietSprayed => {
                    yardsticks.spray_into(quiet.object.program("from_pod")?, &frame, repeat)?
                }
                Runs::ToldSprayed => {
                    yardsticks.spray_into(telling.object.program("from_pod")?, &frame, repeat)?
                }
            };
            ensure!(returned == expected, "{name} returned {returned}, not {expected}");
            measured.nanoseconds.push(nanoseconds);
        }
    }
    stop.call();
    let _ = reader.join();
    let mut rows = rows(&measured);
    rows.extend(answers::measure(effort, &mut quiet)?);
    Ok(rows)
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    let of = |name: &str| {
        measured
            .iter()
            .find(|measured| measured.name == name)
            .map_or(f64::NAN, |measured| median(&measured.nanoseconds))
    };
    let row = |what: &str, name: &str, against: &str, bound: &str, empty: &str| Row {
        ratio: Some((of(name) - of(empty)) / (of(bound) - of(empty))),
        ..Row::ratio(what, of(name), "ns", against, of(bound))
    };
    let (one, sprayed) = ("empty", "empty sprayed");
    let new = |what, name| row(what, name, "longest match and insert", "match and insert", sprayed);
    let told = |what, name, bound| row(what, name, "the same not told", bound, sprayed);
    vec![
        row("established packet", "established", "a minimal flow cache", "flow cache", one)
            .wanted(Target::AtMost(1.4)),
        new("first packet, by range", "by range").wanted(Target::AtMost(1.25)),
        new("first packet, by name", "by name").wanted(Target::AtMost(0.6)),
        new("an insert alone, nothing judged", "insert"),
        new("denied packet", "denied"),
        told("first packet by range, told", "by range told", "by range").wanted(Target::AtMost(1.25)),
        told("first packet by name, told", "by name told", "by name").wanted(Target::AtMost(1.25)),
        told("denied packet, told", "denied told", "denied").wanted(Target::AtMost(1.5)),
    ]
}

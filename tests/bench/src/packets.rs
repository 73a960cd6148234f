//! Nanoseconds per packet, by the kernel's own test runs.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret::kernel::rings::{Ring, Stop};

use crate::node::{LOCAL, NAMED, Node, RANGED, STRANGE, destination};
use crate::report::{Row, median};
use crate::yardsticks::Yardsticks;

/// Runs of one program in one round.
const REPEAT: u32 = 100_000;
/// `TCX_NEXT` and `TCX_DROP`. A refusal would change the packet that the next run gets, so denial is by silence here.
const NEXT: i32 = -1;
const DROP: i32 = 2;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn frame(to: Ipv4Addr, flags: u8) -> Vec<u8> {
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
pub fn measure(rounds: usize) -> Result<Vec<Row>> {
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
    for _ in 0..rounds {
        let begins = frame(destination(NAMED, 7), SYN);
        quiet.object.test_run("from_pod", &begins, 1)?;
        yardsticks.run("flow_cache", &begins, 1)?;
        for ((name, runs, first, flags, expected), measured) in CASES.into_iter().zip(&mut measured) {
            let frame = frame(destination(first, 7), flags);
            let (returned, nanoseconds) = match runs {
                Runs::Yardstick(name) => yardsticks.run(name, &frame, REPEAT)?,
                Runs::Sprayed(name) => yardsticks.spray(name, &frame, REPEAT)?,
                Runs::Quiet => quiet.object.test_run("from_pod", &frame, REPEAT)?,
                Runs::QuietSprayed => {
                    yardsticks.spray_into(quiet.object.program("from_pod")?, &frame, REPEAT)?
                }
                Runs::ToldSprayed => {
                    yardsticks.spray_into(telling.object.program("from_pod")?, &frame, REPEAT)?
                }
            };
            ensure!(returned == expected, "{name} returned {returned}, not {expected}");
            measured.nanoseconds.push(nanoseconds);
        }
    }
    stop.call();
    let _ = reader.join();
    if std::env::var_os("RAW").is_some() {
        for m in &measured {
            eprintln!("{:<18}{:>8.1}", m.name, median(&m.nanoseconds));
        }
    }
    Ok(rows(&measured))
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    let of = |name: &str| {
        measured
            .iter()
            .find(|measured| measured.name == name)
            .map_or(f64::NAN, |measured| median(&measured.nanoseconds))
    };
    let row = |what: &str, name: &str, against: &str, bound: &str, empty: &str, target: f64| Row {
        what: what.to_owned(),
        nanoseconds: of(name),
        against: against.to_owned(),
        bound: of(bound),
        ratio: (of(name) - of(empty)) / (of(bound) - of(empty)),
        target,
    };
    let (one, sprayed) = ("empty", "empty sprayed");
    vec![
        row("established packet", "established", "a minimal flow cache", "flow cache", one, 1.4),
        row(
            "first packet, by range",
            "by range",
            "longest match and insert",
            "match and insert",
            sprayed,
            1.25,
        ),
        row("first packet, by name", "by name", "longest match and insert", "match and insert", sprayed, 0.6),
        row("first packet told", "by range told", "the same not told", "by range", sprayed, 1.25),
        row("denied packet told", "denied told", "the same not told", "denied", sprayed, 1.5),
    ]
}

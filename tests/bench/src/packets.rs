//! Nanoseconds per packet, by the kernel's own test runs.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret::kernel::rings::{Ring, Stop};

use crate::node::{LOCAL, NAMED, Node};
use crate::report::{Row, median};
use crate::yardsticks::Yardsticks;

/// Runs of one program in one round.
const REPEAT: u32 = 100_000;
/// `TCX_NEXT` and `TCX_DROP`. A refusal would change the packet that the next run gets, so denial is by silence here.
const NEXT: i32 = -1;
const DROP: i32 = 2;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// An address that no rule names.
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn ranges() -> Vec<[u8; 4]> {
    (0..10_000u16).map(|n| [20, (n >> 8) as u8, n as u8, 0]).collect()
}

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

struct Measured {
    name: &'static str,
    frame: Vec<u8>,
    expected: i32,
    nanoseconds: Vec<f64>,
}

/// Every row of the table.
pub fn measure(rounds: usize) -> Result<Vec<Row>> {
    let ranges = ranges();
    let yardsticks = Yardsticks::load(&ranges)?;
    let mut quiet = Node::load(&ranges, 0)?;
    let mut telling = Node::load(&ranges, u32::MAX)?;
    let in_range = Ipv4Addr::new(20, 19, 136, 1);
    let case = |name, to, flags, expected| Measured {
        name,
        frame: frame(to, flags),
        expected,
        nanoseconds: Vec::new(),
    };
    let mut bounds = [
        case("empty", NAMED, ACK, NEXT),
        case("flow_cache", NAMED, ACK, NEXT),
        case("new_flow", in_range, SYN, NEXT),
    ];
    let cases = || {
        [
            case("established", NAMED, ACK, NEXT),
            case("by name", NAMED, SYN, NEXT),
            case("by range", in_range, SYN, NEXT),
            case("denied", STRANGER, SYN, DROP),
        ]
    };
    let (mut silent, mut told) = (cases(), cases());

    let stop = Stop::new()?;
    let mut ring = Ring::open(&telling.pins, "EVENTS")?;
    let reader = std::thread::spawn({
        let stop = stop.clone();
        move || ring.read_until(&stop, Duration::from_millis(10), |_| {})
    });
    for _ in 0..rounds {
        for bound in &mut bounds {
            let (returned, nanoseconds) = yardsticks.run(bound.name, &bound.frame, REPEAT)?;
            note(bound, returned, nanoseconds)?;
        }
        for (node, cases) in [(&mut quiet, &mut silent), (&mut telling, &mut told)] {
            // The established flow must be there before it is measured.
            node.object.test_run("from_pod", &frame(NAMED, SYN), 1)?;
            for case in cases {
                let (returned, nanoseconds) = node.object.test_run("from_pod", &case.frame, REPEAT)?;
                note(case, returned, nanoseconds)?;
            }
        }
    }
    stop.call();
    let _ = reader.join();
    Ok(rows(&bounds, &silent, &told))
}

fn note(measured: &mut Measured, returned: i32, nanoseconds: f64) -> Result<()> {
    ensure!(
        returned == measured.expected,
        "{} returned {returned}, not {}",
        measured.name,
        measured.expected
    );
    measured.nanoseconds.push(nanoseconds);
    Ok(())
}

fn rows(bounds: &[Measured], silent: &[Measured], told: &[Measured]) -> Vec<Row> {
    let of = |list: &[Measured], name: &str| {
        list.iter()
            .find(|measured| measured.name == name)
            .map_or(f64::NAN, |measured| median(&measured.nanoseconds))
    };
    let empty = of(bounds, "empty");
    let row = |what: &str, nanoseconds: f64, against: &str, bound: f64, target: f64| Row {
        what: what.to_owned(),
        nanoseconds,
        against: against.to_owned(),
        bound,
        ratio: (nanoseconds - empty) / (bound - empty),
        target,
    };
    let new_flow = of(bounds, "new_flow");
    vec![
        row(
            "established packet",
            of(silent, "established"),
            "a minimal flow cache",
            of(bounds, "flow_cache"),
            1.4,
        ),
        row("first packet, by range", of(silent, "by range"), "longest match and insert", new_flow, 1.25),
        row("first packet, by name", of(silent, "by name"), "longest match and insert", new_flow, 0.6),
        row("first packet told", of(told, "by range"), "the same not told", of(silent, "by range"), 1.25),
        row("denied packet told", of(told, "denied"), "the same not told", of(silent, "denied"), 1.5),
    ]
}

//! Nanoseconds per DNS answer that the programs learn themselves, by the kernel's own test runs.
//!
//! Each question is good for one answer, so the door cannot be run twice on one. It is run once, and then the step behind
//! it that learns, over and over, by what the door has handed to it.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::Effort;
use crate::dns::query;
use crate::machine::on_one_processor;
use crate::node::{LOCAL, Node, RESOLVER, name};
use crate::packets::NEXT;
use crate::report::{Row, Target, median};

const ID: u16 = 7;
const PORT: u16 = 40_001;
/// The name of an alias's target: as long as those of content networks are.
const TARGET: &str = "d111111abcdef8.edge.example.net";

/// An answer.
struct Case {
    what: &'static str,
    alias: Option<&'static str>,
    addresses: u8,
    target: Option<Target>,
}

const CASES: [Case; 3] = [
    case("answer learned, 1 address", None, 1, Some(Target::AtMost(400.0))),
    case("answer learned, an alias and 4 addresses", Some(TARGET), 4, Some(Target::AtMost(2000.0))),
    case("answer learned, 16 addresses", None, 16, None),
];

const fn case(
    what: &'static str,
    alias: Option<&'static str>,
    addresses: u8,
    target: Option<Target>,
) -> Case {
    Case { what, alias, addresses, target }
}

/// The rows of answers.
pub fn measure(effort: Effort, node: &mut Node) -> Result<Vec<Row>> {
    let repeat = effort.pick(100_000, 1000);
    on_one_processor(|| {
        let mut rows = Vec::new();
        for Case { what, alias, addresses, target } in CASES {
            let question = name(0);
            let asks = datagram((LOCAL, PORT), (RESOLVER, 53), &query(ID, &question));
            let answers = datagram((RESOLVER, 53), (LOCAL, PORT), &answer(&question, alias, addresses));
            let mut nanoseconds = Vec::new();
            for _ in 0..effort.rounds() {
                // Twice: of what is new the agent gets a copy, and what was handed on is handed on no more.
                for _ in 0..2 {
                    node.object.test_run("from_pod", &asks, 1)?;
                    node.object.test_run("host_door", &answers, 1)?;
                }
                let before = node.learned()?;
                let (returned, each) = node.object.test_run("learn", &answers, repeat)?;
                ensure!(returned == NEXT, "the answer went elsewhere: {returned}");
                let learned = node.learned()? - before;
                ensure!(learned == u64::from(repeat), "{what}: {learned} of {repeat} were learned");
                nanoseconds.push(each);
            }
            rows.push(Row { target, ..Row::alone(what, median(&nanoseconds), "ns") });
        }
        Ok(rows)
    })
}

/// A UDP datagram in its frame; nothing that is measured asks for its sums.
fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = |head: usize| ((head + payload.len()) as u16).to_be_bytes();
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(length(28));
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(from.0.octets());
    frame.extend(to.0.octets());
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(length(8));
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// As a resolver writes it, with the record of EDNS behind.
fn answer(question: &str, alias: Option<&str>, addresses: u8) -> Vec<u8> {
    let mut message = query(ID, question);
    let count = addresses + u8::from(alias.is_some());
    message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 1]);
    let mut owner = 12u16;
    let mut record = |owner: u16, kind: u8, data: &[u8]| {
        message.extend((0xc000 | owner).to_be_bytes());
        message.extend([0, kind, 0, 1, 0, 0, 1, 44, 0, data.len() as u8]);
        message.extend(data);
        (message.len() - data.len()) as u16
    };
    if let Some(alias) = alias {
        let labels = alias.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        owner = record(owner, 5, &labels.chain([0]).collect::<Vec<_>>());
    }
    for last in 0..addresses {
        record(owner, 1, &[31, 0, 0, last + 1]);
    }
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}

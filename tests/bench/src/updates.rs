//! Changes of policy: from the moment the new one is known until a packet is judged by it, beside the same in nftables.

use std::time::Instant;

use anyhow::{Result, ensure};
use egret_tests::World;

use crate::Effort;
use crate::node::{DESTINATIONS, Node, RANGED, destination, ruleset};
use crate::packets::{self, NEXT};
use crate::pods::nft;
use crate::report::{Row, Target, median};

/// First byte of the ranges that stand in for others after a change.
const CHANGED: u8 = 21;

/// A change: how many of 10,000 ranges, what nftables does about it, and what the ratio should be.
const CHANGES: [(u16, &str, &str, Option<f64>); 3] = [
    (1, "1 of 10,000 ranges", "nft add element", None),
    (1000, "1,000 of 10,000 ranges", "nft flush, add 10,000 elements", None),
    (DESTINATIONS, "10,000 of 10,000 ranges", "nft flush, add 10,000 elements", Some(0.25)),
];

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut node = Node::load(0)?;
    let world = World::with_pods(&[])?;
    let mut compiled = Vec::new();
    let mut rows = Vec::new();
    for (count, what, against, target) in CHANGES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds().min(7) {
            compiled.push(milliseconds(|| ruleset(|number| first(number, count)).map(drop))?);
            ours.push(change(&mut node, count)?);
            theirs.push(change_nft(&world, count)?);
        }
        let row = Row::ratio(what, median(&ours), "ms", against, median(&theirs));
        rows.push(target.map_or(row.clone(), |target| row.wanted(Target::AtMost(target))));
        if count == 1 {
            let writes = (0..1000).map(|_| milliseconds(|| node.write_one_range()));
            let writes = writes.collect::<Result<Vec<_>>>()?;
            let row =
                Row::ratio("of that, the kernel's part", median(&writes), "ms", against, median(&theirs));
            rows.push(row.wanted(Target::AtMost(0.001)));
        }
    }
    rows.push(Row::alone("reading and compiling 10,000 ranges", median(&compiled), "ms"));
    Ok(rows)
}

/// The first byte of the range of this number, where `count` of them are changed.
fn first(number: u16, count: u16) -> Option<u8> {
    Some(if number < count { CHANGED } else { RANGED })
}

/// The same before the change: one is not there yet, many are others.
fn first_before(number: u16, count: u16) -> Option<u8> {
    (count > 1 || number > 0).then_some(RANGED)
}

fn change(node: &mut Node, count: u16) -> Result<f64> {
    let (before, after) =
        (ruleset(|number| first_before(number, count))?, ruleset(|number| first(number, count))?);
    node.put_in_force(&before)?;
    node.sweep()?;
    let frame = packets::frame(destination(CHANGED, count - 1), packets::SYN);
    let (denied, _) = node.object.test_run("from_pod", &frame, 1)?;
    ensure!(denied != NEXT, "what is to be changed is so already");
    let time = milliseconds(|| {
        node.put_in_force(&after)?;
        let (allowed, _) = node.object.test_run("from_pod", &frame, 1)?;
        ensure!(allowed == NEXT, "the change is not in force");
        Ok(())
    })?;
    node.sweep()?;
    Ok(time)
}

fn change_nft(world: &World, count: u16) -> Result<f64> {
    let element = |first: u8, number: u16| {
        let [a, b, c, _] = destination(first, number).octets();
        format!("{a}.{b}.{c}.0/24")
    };
    let elements = |first: &dyn Fn(u16) -> Option<u8>| {
        let all = (0..DESTINATIONS).filter_map(|number| Some(element(first(number)?, number)));
        all.collect::<Vec<_>>().join(", ")
    };
    let set = "inet bench allowed";
    let all = elements(&|number| first_before(number, count));
    nft(
        world,
        &format!(
            "table inet bench\ndelete table inet bench\ntable inet bench {{\n set allowed {{ type ipv4_addr; flags interval; \
             elements = {{ {all} }} }}\n chain forward {{\n  type filter hook forward priority 0; policy drop;\n  \
             ip daddr @allowed tcp dport 443 accept\n }}\n}}\n"
        ),
    )?;
    let text = match count {
        1 => format!("add element {set} {{ {} }}\n", element(CHANGED, 0)),
        _ => {
            format!("flush set {set}\nadd element {set} {{ {} }}\n", elements(&|number| first(number, count)))
        }
    };
    milliseconds(|| nft(world, &text))
}

fn milliseconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_nanos() as f64 / 1e6)
}

//! The last act: a module is asked about an address once, and of what comes after no packet leaves the kernel; then its
//! hours end.
//!
//! That the second visit met nobody in user space is read from the agent's counters, not from its time.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::play::{Row, play_one};
use super::progress;
use super::report::Act;
use super::story::{AFTER_HOURS, REPORTS, VISIT, VISITS, WORKING_HOURS, after_hours};
use crate::agent::Agent;
use crate::dial::{Attempt, Seen};
use crate::eventually;
use crate::world::{Pod, World};

/// Visits over both families.
const ALL: u64 = VISITS as u64 * 2;
/// What the agent may take to notice a file.
const NOTICED: Duration = Duration::from_secs(10);

/// What became of first packets that modules have a say in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Packets that went to the agent.
    held: u64,
    /// Packets that a module was run for.
    decided: u64,
    /// Packets that the kernel judged by what a module had said before.
    used: u64,
}

impl Asked {
    fn so_far(agent: &Agent) -> Result<Self> {
        let status = agent.status()?;
        let of = |name: &str| status["counters"][name].as_u64().with_context(|| format!("no counter {name}"));
        Ok(Self {
            held: of("packets_held")?,
            decided: of("module_decisions")?,
            used: of("module_verdicts_used")?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            held: self.held - before.held,
            decided: self.decided - before.decided,
            used: self.used - before.used,
        }
    }
}

/// Plays the act.
pub(super) fn ask(world: &World, agent: &Agent) -> Result<Act> {
    progress(&format!("{} visits {VISITS} new addresses, and again", REPORTS.pod));
    let (mut first, new) = visit(world, agent, "first time")?;
    if (new.held, new.decided) != (ALL, ALL) {
        first.differs.push(format!("{} packets were held and {} decided, not {ALL}", new.held, new.decided));
    }
    let (mut again, known) = visit(world, agent, "again")?;
    if (known.held, known.decided) != (0, 0) || known.used < ALL {
        again.differs.push(format!("not by the kernel alone: {known:?}"));
    }
    let notes = vec![
        format!("First time: {} packets held, {WORKING_HOURS} asked {} times.", new.held, new.decided),
        format!(
            "Again: {} packets held, asked {} times; {} were judged in the kernel by what it had said.",
            known.held, known.decided, known.used
        ),
    ];
    let rows = vec![first, again, close(world, agent)?];
    let title = "3. Modules: asked once, remembered by the kernel, until their hours end".to_owned();
    Ok(Act { title, rows, notes })
}

fn visit(world: &World, agent: &Agent, when: &'static str) -> Result<(Row, Asked)> {
    let before = Asked::so_far(agent)?;
    let row = play_one(world, agent, &REPORTS, &VISIT, true)?;
    Ok((Row { when: Some(when), ..row }, Asked::so_far(agent)?.since(before)))
}

/// Ends the hours, and tries once more what was allowed within them.
fn close(world: &World, agent: &Agent) -> Result<Row> {
    progress(&format!("ending the working hours in {}", REPORTS.file));
    let today = Timestamp::now().to_zoned(TimeZone::UTC).weekday();
    agent.write_policy(REPORTS.file, &after_hours(today))?;
    let pod = world.pod(REPORTS.pod);
    eventually("the hours are over", NOTICED, || Ok(is_refused(pod)?.then_some(())))?;
    let row = play_one(world, agent, &REPORTS, &AFTER_HOURS, true)?;
    Ok(Row { when: Some("hours over"), ..row })
}

/// Another address than those in the report.
fn is_refused(pod: &Pod) -> Result<bool> {
    Ok(pod.dial_once(&Attempt::tcp("198.51.100.99", 443))?.seen == Seen::Refused)
}

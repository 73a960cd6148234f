//! What policy modules cost: connections whose first packet waits for one, decisions a second, and one decision alone.
//!
//! Each rival has a node and pods of its own, and all take turns on one processor, as in [`crate::pods`].

mod connect;
mod decide;
mod neighbour;
mod queue;
mod rate;
mod rival;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::Effort;
use crate::report::{Group, Row};

/// The crate of the module that is asked: it does what its settings say.
const MODULE: &str = "tests/modules/obedient";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Connections between two pods
    Connect,
    /// Packets on hold that are decided in a second
    Rate,
    /// One decision, without packets
    Decide,
    /// Connections of a workload beside one whose module never ends
    Neighbour,
}

impl Case {
    pub fn measure(self, effort: Effort) -> Result<Group> {
        let (case, title, rows) = match self {
            Self::Connect => {
                ("connect", "Connections that a module decides, one processor", connect::measure(effort))
            }
            Self::Rate => ("rate", "Packets on hold, one processor", rate::measure(effort)),
            Self::Decide => {
                ("decide", "One decision, without packets, one processor", decide::measure(effort))
            }
            Self::Neighbour => {
                ("neighbour", "Connections beside a module that never ends", neighbour::measure(effort))
            }
        };
        let rows: Vec<Row> = rows.with_context(|| format!("the case {case}"))?;
        Ok(Group { case, title, rows })
    }
}

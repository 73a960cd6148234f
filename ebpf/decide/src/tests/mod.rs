//! The packet logic on plain tables: frames in, and out come what to do, every counter that moved, and the events.
//!
//! The tables are [`world`]'s and the packets [`frame`]'s; each other file is one topic.

mod budgets;
mod dns;
mod established;
mod fragments;
mod judged_again;
mod link;
mod modules;
mod names;
mod probe;
mod question;
mod random;
mod refusals;
mod related;
mod replies;
mod socket;
mod spoofed;
mod tables;
mod tiers;
mod unreadable;
mod verdicts;

use crate::testing::{frame, world};

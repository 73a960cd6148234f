//! Attacks on the hooks themselves: frames made by hand, inside a workload and beside it, by who may make them. Each is
//! shown to do what it says (what it puts on a device arrives) and to get its maker nothing; what an honest one does in
//! the same place goes on.

mod by_hand;
mod doors;
mod inside;
mod kit;
mod on_the_gate;
mod on_the_node;
mod rebuilt;
mod tagged;

use kit::{Asked, EVIL, REAL, RULES, SLOW, counter, tc, udp};

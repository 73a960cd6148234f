//! Those of the attacks that the door inside withstands. What a workload with NET_ADMIN puts into its own device it takes
//! for the world's, and what a process of the node sends in the gate's name too (docs/decisions/0014-which-door-looks.md). A
//! CNI that knows a device by its link address does not
//! follow one that is rebuilt.

#[path = "../attacks/by_hand.rs"]
mod by_hand;
#[path = "../attacks/kit.rs"]
#[allow(dead_code, reason = "not all of the attacks are here")]
mod kit;
#[path = "../attacks/on_the_gate.rs"]
mod on_the_gate;
#[path = "../attacks/tagged.rs"]
mod tagged;

use kit::{Asked, EVIL, RULES, SLOW, counter, udp};

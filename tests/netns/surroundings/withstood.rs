//! The attacks, but for those on a device that is rebuilt: a CNI that knows it by its link address does not follow.

#[path = "../attacks/by_hand.rs"]
mod by_hand;
#[path = "../attacks/inside.rs"]
mod inside;
#[path = "../attacks/kit.rs"]
#[allow(dead_code, reason = "not all of the attacks are here")]
mod kit;
#[path = "../attacks/on_the_gate.rs"]
mod on_the_gate;
#[path = "../attacks/on_the_node.rs"]
mod on_the_node;
#[path = "../attacks/tagged.rs"]
mod tagged;

use kit::{Asked, EVIL, REAL, RULES, SLOW, counter, tc, udp};

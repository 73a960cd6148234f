//! A process in the node's namespace with NET_RAW alone: what it puts on the agent's gate reaches nobody.

use anyhow::Result;
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Setup, World, enforced};

use super::by_hand::own_mark;
use super::{Asked, EVIL, RULES, SLOW, kit, udp};

const GATE: &str = "egret0";
/// More than wait in the device's queue.
const MANY: u32 = 2000;

#[test]
fn what_is_put_on_the_gate_reaches_nobody() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[SLOW.ip()])
        .start()?;
    let (resolver, mark) = (udp(&world, SLOW)?, own_mark(&world)?);
    let device = web.netns().link_address("eth0")?;
    for bypass in [false, true] {
        let asked = Asked::new(web, &resolver)?;
        let forged = datagram(SLOW, asked.from, &asked.answer(EVIL)?);
        let frame = Frame { bypass, mark, ..kit::ticketed(Frame::to(GATE, device, &forged)) };
        frame.clone().send(world.node())?;
        frame.times(MANY).send(world.node())?;
        // Nothing but the resolver's own arrives.
        asked.taught_nothing(web, &resolver, &format!("on the gate, {bypass}"))?;
    }
    Ok(())
}

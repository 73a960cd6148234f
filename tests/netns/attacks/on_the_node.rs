//! A process in the node's namespace with NET_RAW alone: what it puts on the agent's gate reaches nobody, and what it
//! sends to a workload as if the gate had let it go teaches nothing.

use anyhow::Result;
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Seen, Setup, World, enforced};

use super::by_hand::own_mark;
use super::{Asked, EVIL, REAL, RULES, SLOW, udp};

const GATE: &str = "egret0";
/// More than wait in the device's queue.
const MANY: u32 = 2000;

#[test]
fn what_is_put_on_the_gate_reaches_nobody_and_what_comes_in_its_name_teaches_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[SLOW.ip()])
        .start()?;
    let (resolver, mark) = (udp(&world, SLOW)?, own_mark(&world)?);
    let device = web.netns().link_address("eth0")?;
    let learns_nothing = |asked: &Asked, what: &str| -> Result<()> {
        assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused, "{what}");
        resolver.send_to(&asked.answer(REAL)?, asked.from)?;
        assert_eq!(asked.got()?, asked.answer(REAL)?, "{what}: the resolver's own answer comes");
        assert_eq!(web.connect(&REAL.to_string(), 443)?.seen, Seen::Connected, "{what}");
        Ok(())
    };
    let ticket = |mut frame: Frame| {
        frame.bytes[6..12].copy_from_slice(&[2, 2, 0, 0, 0, 1]);
        frame
    };
    for bypass in [false, true] {
        let asked = Asked::new(web, &resolver)?;
        let forged = datagram(SLOW, asked.from, &asked.answer(EVIL)?);
        let frame = Frame { bypass, mark, ..ticket(Frame::to(GATE, device, &forged)) };
        frame.clone().send(world.node())?;
        frame.times(MANY).send(world.node())?;
        // Nothing but the resolver's own arrives.
        learns_nothing(&asked, &format!("on the gate, {bypass}"))?;
    }
    let host = web.host_interface();
    type Make = fn(Frame, u32) -> Frame;
    let cases: [(&str, Make); 3] = [
        ("under its mark", Frame::marked),
        ("under its mark, past the host side's queue", |frame, mark| frame.marked(mark).bypassing()),
        ("past the host side's queue", |frame, _| frame.bypassing()),
    ];
    for (what, make) in cases {
        let asked = Asked::new(web, &resolver)?;
        let forged = asked.answer(EVIL)?;
        let frame = Frame::to(host, device, &datagram(SLOW, asked.from, &forged));
        make(ticket(frame), mark).send(world.node())?;
        assert_eq!(asked.got()?, forged, "{what}: it arrives");
        learns_nothing(&asked, what)?;
    }
    Ok(())
}

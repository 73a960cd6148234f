//! A process in the node's namespace with NET_RAW alone sends to a workload as if the gate had let it go: that teaches
//! nothing.

use anyhow::Result;
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Setup, World, enforced};

use super::by_hand::own_mark;
use super::{Asked, EVIL, RULES, SLOW, kit, udp};

#[test]
fn what_comes_in_the_gate_s_name_teaches_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[SLOW.ip()])
        .start()?;
    let (resolver, mark) = (udp(&world, SLOW)?, own_mark(&world)?);
    let device = web.netns().link_address("eth0")?;
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
        make(kit::ticketed(frame), mark).send(world.node())?;
        assert_eq!(asked.got()?, forged, "{what}: it arrives");
        asked.taught_nothing(web, &resolver, what)?;
    }
    Ok(())
}

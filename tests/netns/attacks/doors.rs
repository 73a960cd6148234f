//! Which door looks, and what the one inside believes where it is told to look alone.

use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::hooks::{Tier, kernel_has_tcx};
use egret_tests::neighbour::{Manner, Neighbour, Seat};
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Seen, Setup, World, enforced, eventually};

use super::by_hand::own_mark;
use super::inside::Way;
use super::{Asked, EVIL, REAL, RULES, SLOW, tc, udp};

/// The agent looks every 5 seconds.
const TWO_LOOKS: Duration = Duration::from_secs(11);

#[test]
fn an_answer_under_the_gate_s_own_mark_teaches_nothing_where_the_door_inside_looks() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[SLOW.ip()])
        .arg("--door=pod")
        .start()?;
    // In tier 2 there is no other than the one on the host side.
    assert_eq!(agent.status()?["door"], if Tier::of_this_test() == Tier::Tcx { "pod" } else { "host" });
    let (resolver, mark) = (udp(&world, SLOW)?, own_mark(&world)?);
    let (device, to) = Way::Redirect.open(web)?;
    let asked = Asked::new(web, &resolver)?;
    let forged = asked.answer(EVIL)?;
    Frame::to(device, to, &datagram(SLOW, asked.from, &forged)).marked(mark).send(web.netns())?;
    assert_eq!(asked.got()?, forged);
    assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused);
    resolver.send_to(&asked.answer(REAL)?, asked.from)?;
    assert_eq!(asked.got()?, asked.answer(REAL)?);
    assert_eq!(web.connect(&REAL.to_string(), 443)?.seen, Seen::Connected);
    Ok(())
}

#[test]
fn the_door_inside_looks_while_a_program_on_the_node_may_deliver_past_the_other() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    world.dns().set("a.example.com", &[&REAL.to_string()]);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let looks = |door: &str| {
        let is_so = || Ok((agent.status()?["door"] == door).then_some(()));
        eventually(&format!("the door {door} looks"), PATIENCE, is_so).with_context(|| agent.log())
    };
    looks("host")?;
    let (both, uplink) = ([Seat::Tcx, Seat::Clsact], "internet");
    let there_are = || both.into_iter().filter(|seat| kernel_has_tcx() || *seat == Seat::Clsact);
    // Those that only look on, and those inside a workload, deliver nothing.
    let mut others = vec![Neighbour::attach(web.netns(), "eth0", Seat::Clsact)?];
    for seat in there_are() {
        others.push(Neighbour::attach(world.node(), uplink, seat)?);
    }
    std::thread::sleep(TWO_LOOKS);
    looks("host")?;
    drop(others);
    tc(world.node(), &format!("qdisc del dev {uplink} clsact"))?;
    for seat in there_are() {
        let other = Neighbour::with_manner(world.node(), uplink, seat, Manner::Deliverer)?;
        if Tier::of_this_test() == Tier::Clsact {
            std::thread::sleep(TWO_LOOKS);
            looks("host")?;
            continue;
        }
        looks("node")?;
        assert!(agent.log().contains("`deliver` (id "), "{}", agent.log());
        assert_eq!(web.connect("a.example.com", 443)?.seen, Seen::Connected);
        agent.wait_for_gap(web, None)?;
        drop(other);
        if seat == Seat::Clsact {
            tc(world.node(), &format!("qdisc del dev {uplink} clsact"))?;
        }
        looks("host")?;
        assert_eq!(web.connect("a.example.com", 443)?.seen, Seen::Connected);
        agent.wait_for_gap(web, None)?;
    }
    Ok(())
}

//! Programs of others on a workload's interface: they see what Egret lets pass, as if it were not there.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};

use anyhow::Result;
use egret_tests::hooks::{Tier, programs};
use egret_tests::neighbour::{NAME, Neighbour, Seat};
use egret_tests::{Agent, Pod, Setup, World, enforced};

/// How many datagrams are sent at once. What the link itself needs (ARP, neighbour discovery) is far below.
const MANY: u64 = 200;
const RULES: &str = "allow:\n- to: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/32'}]";

fn send(from: &Pod, to: &str) -> Result<()> {
    let to: SocketAddr = to.parse()?;
    from.netns().run(|| -> Result<()> {
        let any: std::net::IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        (0..MANY).try_for_each(|_| socket.send_to(b"hello", to).map(drop))?;
        Ok(())
    })?
}

/// The neighbour sees every packet that is allowed and none that is denied.
fn sees_what_is_allowed(neighbour: &Neighbour, pod: &Pod, when: &str) -> Result<()> {
    for (to, expected) in [
        ("192.0.2.1:5000", MANY),
        ("198.51.100.1:5000", 0),
        ("[2001:db8::1]:5000", MANY),
        ("[2600::1]:5000", 0),
    ] {
        let before = neighbour.packets()?;
        send(pod, to)?;
        let seen = neighbour.packets()? - before;
        assert!((expected..expected + MANY / 10).contains(&seen), "{when}, {to}: {seen}, not {expected}");
    }
    Ok(())
}

fn start(world: &World) -> Result<Agent> {
    Setup::new(world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()
}

#[test]
fn a_program_that_comes_later_sees_what_is_allowed_and_nothing_that_is_denied() -> Result<()> {
    let tier = Tier::of_this_test();
    // tcx runs before clsact, so in tier 2 who sits there is no neighbour from behind.
    for seat in BTreeSet::from([tier.seat_behind(), Seat::Clsact]) {
        let world = World::with_pods(&["shop/web"])?;
        let web = world.pod("shop/web");
        let _agent = start(&world)?;
        let neighbour = Neighbour::attach(world.node(), web.host_interface(), seat)?;
        let expected: &[&str] = if seat == tier.seat_behind() { &["from_pod", NAME] } else { &["from_pod"] };
        assert_eq!(programs(&world, web)?[0], expected, "{seat:?}");
        sees_what_is_allowed(&neighbour, web, &format!("{seat:?}"))?;
    }
    Ok(())
}

#[test]
fn a_program_that_was_there_first_runs_behind_ours() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let neighbour =
        Neighbour::attach(world.node(), web.host_interface(), Tier::of_this_test().seat_behind())?;
    let order = || anyhow::Ok(programs(&world, web)?.into_iter().next());
    let expected = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(order()?, expected(&[NAME]));
    let agent = start(&world)?;
    assert_eq!(order()?, expected(&["from_pod", NAME]));
    sees_what_is_allowed(&neighbour, web, "with the first agent")?;
    let _agent = agent.kill()?.start()?;
    assert_eq!(order()?, expected(&["from_pod", NAME]), "after the agent was replaced");
    sees_what_is_allowed(&neighbour, web, "with the second agent")
}

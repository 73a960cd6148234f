//! Tier 2: the program under test puts its hooks on interfaces by filters of clsact, both on the host side.

use anyhow::Result;
use egret_tests::hooks::{programs, take_away};
use egret_tests::neighbour::{Manner, NAME, Neighbour, Seat};
use egret_tests::{Seen, Setup, World, enforced, eventually};

#[path = "../arming.rs"]
mod arming;
#[path = "../coverage.rs"]
mod coverage;
#[path = "../datagrams.rs"]
mod datagrams;
#[path = "../escapes.rs"]
mod escapes;
#[path = "../lifecycle.rs"]
mod lifecycle;
#[path = "../names.rs"]
mod names;
#[path = "../neighbours.rs"]
mod neighbours;
#[path = "../outcomes.rs"]
mod outcomes;
#[path = "../servers.rs"]
mod servers;
#[path = "../spoofing.rs"]
mod spoofing;
#[path = "../start_and_end.rs"]
mod start_and_end;
#[path = "../tightening.rs"]
mod tightening;
#[path = "../workloads.rs"]
mod workloads;

const NOTHING: &str = "default: Deny";

#[test]
fn a_filter_that_comes_before_ours_is_got_ahead_of_and_nothing_goes_unjudged_meanwhile() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", NOTHING))?.start()?;
    for round in 0..3 {
        let _other =
            Neighbour::with_manner(world.node(), web.host_interface(), Seat::FirstFilter, Manner::Neighbour)?;
        eventually("ours is first again", egret_tests::agent::PATIENCE, || {
            assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Refused, "round {round}");
            let [from, _] = programs(&world, web)?;
            Ok((from[..2] == ["from_pod", NAME]).then_some(()))
        })?;
    }
    assert_eq!(programs(&world, web)?[0].iter().filter(|name| *name == "from_pod").count(), 1);
    drop(agent);
    Ok(())
}

#[test]
fn the_next_agent_takes_over_in_either_tier_and_leaves_nothing_of_the_other() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    world.dns().set("github.com", &["192.0.2.10"]);
    let rules = "allow:\n- to: [{fqdn: github.com}]";
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?;
    let mut agent = setup.start()?;
    let tcx = egret_tests::hooks::kernel_has_tcx();
    for kind in ["clsact", if tcx { "tcx" } else { "auto" }, "clsact"] {
        agent = agent.kill()?.without("--hooks").arg(&format!("--hooks={kind}")).start()?;
        assert_eq!(agent.status()?["tier"], if kind == "tcx" { 1 } else { 2 }, "{kind}");
        assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Refused, "{kind}");
        assert_eq!(web.connect("github.com", 443)?.seen, Seen::Connected, "{kind}");
        let expected = if kind == "tcx" { [vec![], vec![]] } else { [vec!["from_pod"], vec!["host_door"]] };
        assert_eq!(programs(&world, web)?, expected, "{kind}");
    }
    take_away(&world, web)
}

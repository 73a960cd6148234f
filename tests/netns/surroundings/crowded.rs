//! Programs of others on both sides of every pod's pair: some came first, some came last. Each world ends with a look at
//! whether all of them saw the same.

use anyhow::Result;
use egret_tests::neighbour::{NAME, order};
use egret_tests::{Setup, Surroundings, World};

#[path = "../attacks/main.rs"]
mod attacks;
#[path = "../datagrams.rs"]
mod datagrams;
#[path = "../escapes.rs"]
mod escapes;
#[path = "../flows.rs"]
mod flows;
#[path = "../fragments.rs"]
mod fragments;
#[path = "../fresh_answers.rs"]
mod fresh_answers;
#[path = "../names.rs"]
mod names;
#[path = "../names_attacked.rs"]
mod names_attacked;
#[path = "../outcomes.rs"]
mod outcomes;
#[path = "../policies.rs"]
mod policies;
#[path = "../servers.rs"]
mod servers;
#[path = "../spoofing.rs"]
mod spoofing;

#[test]
fn the_hooks_are_first_on_both_sides_and_stay_so_under_the_next_agent() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    assert_eq!(world.surroundings(), Surroundings::Crowded);
    let web = world.pod("shop/web");
    let orders = || anyhow::Ok([order(world.node(), web.host_interface())?, order(web.netns(), "eth0")?]);
    let expected = [["from_pod", NAME, NAME], ["door", NAME, NAME]];
    let agent = Setup::new(&world)?.start()?;
    assert_eq!(orders()?, expected);
    let _agent = agent.kill()?.start()?;
    assert_eq!(orders()?, expected, "after the agent was replaced");
    Ok(())
}

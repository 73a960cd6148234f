//! Every answer goes on hold until the agent has learned it, as it does where rules are too many for the programs or the
//! operator names search domains.

use anyhow::Result;
use egret_tests::{Seen, Setup, World, enforced};

#[path = "../names.rs"]
mod names;
#[path = "../names_attacked.rs"]
mod names_attacked;
#[path = "../outcomes.rs"]
mod outcomes;

#[test]
fn no_program_learns_an_answer() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("github.com", &["192.0.2.10"]);
    let rules = "allow:\n- to: [{fqdn: github.com}]";
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    assert_eq!(world.pod("shop/web").connect("github.com", 443)?.seen, Seen::Connected);
    let counters = agent.status()?["counters"].take();
    assert!(counters["dns_answers_held"].as_u64().is_some_and(|held| held > 0), "{counters}");
    assert!(counters["dns_answers_learned"].as_u64().unwrap_or_default() == 0, "{counters}");
    Ok(())
}

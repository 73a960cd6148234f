//! A CNI that delivers by `bpf_redirect_peer`: the host side of a pod's pair sees nothing of what comes to the pod.

use anyhow::Result;
use egret_tests::neighbour::order;
use egret_tests::{Attempt, Seen, Setup, Surroundings, World, enforced};

#[path = "withstood.rs"]
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

/// Frames that the node sent to the pod by way of the host side.
fn sent_by_the_host_side(world: &World, interface: &str) -> Result<u64> {
    let path = format!("/sys/class/net/{interface}/statistics/tx_packets");
    let output = world.node().application("cat").arg(path).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

#[test]
fn nothing_of_an_exchange_passes_the_host_side_on_its_way_to_the_pod() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    assert_eq!(world.surroundings(), Surroundings::Redirected);
    let web = world.pod("shop/web");
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    let rules = "allow:\n- to: [{fqdn: github.com}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    assert_eq!(order(world.node(), web.host_interface())?, ["from_pod", "node_door", "deliver"]);
    let before = sent_by_the_host_side(&world, web.host_interface())?;
    for attempt in [Attempt::tcp("github.com", 443).ipv4(), Attempt::tcp("github.com", 443).ipv6()] {
        let outcomes = web.dial(&attempt.times(20))?;
        assert!(outcomes.iter().all(|outcome| outcome.seen == Seen::Connected), "{outcomes:?}");
    }
    // Some may be of neighbour discovery; 40 exchanges are 200 at least.
    let sent = sent_by_the_host_side(&world, web.host_interface())? - before;
    assert!(sent < 20, "{sent}");
    Ok(())
}

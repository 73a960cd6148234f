//! A server in an enforced workload answers: egress policy is about what a workload begins.

use anyhow::Result;
use egret_tests::dial::dial_from;
use egret_tests::{Attempt, Seen, Setup, Topology, World, policy};

fn check(topology: Topology) -> Result<()> {
    let world = World::with_topology(topology, &["shop/web", "shop/client"])?;
    let (web, client) = (world.pod("shop/web"), world.pod("shop/client"));
    for address in web.addresses() {
        world.serve_tcp(web.netns(), (address, 8080).into())?;
        world.serve_udp(web.netns(), (address, 8080).into())?;
    }
    let text = policy("shop/web", "Enforce", "all", "default: Deny");
    let _agent = Setup::new(&world)?.policy("web.yaml", &text)?.start()?;
    for (who, from) in
        [("another pod", client.netns()), ("the node", world.node()), ("the internet", world.internet())]
    {
        for address in web.addresses() {
            for attempt in [Attempt::tcp(address, 8080), Attempt::udp(address, 8080)] {
                let outcome = dial_from(from, &attempt)?.remove(0);
                assert_eq!(outcome.seen, Seen::Connected, "{topology:?} {who} {attempt:?}: {outcome:?}");
            }
        }
    }
    // The pod's own kernel says so by ICMP, which follows the datagram that it is about.
    for address in web.addresses() {
        let outcome = dial_from(client.netns(), &Attempt::udp(address, 8081))?.remove(0);
        assert_eq!(outcome.seen, Seen::Refused, "{topology:?}: nobody listens there: {outcome:?}");
    }
    for address in client.addresses() {
        world.serve_tcp(client.netns(), (address, 8080).into())?;
        let outcome = web.connect(&address.to_string(), 8080)?;
        assert_eq!(outcome.seen, Seen::Refused, "{topology:?}: what it begins is refused: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_may_go_nowhere_answers_its_clients_and_its_probes() -> Result<()> {
    check(Topology::Routed)
}

#[test]
fn a_server_behind_a_bridge_does_too() -> Result<()> {
    check(Topology::Bridge)
}

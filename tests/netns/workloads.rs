//! Workloads come, go, move and change, and the agent follows: by what the operator says of them, and by what it sees.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use egret_tests::agent::described;
use egret_tests::hooks::{Tier, programs};
use egret_tests::netns::ip_batch;
use egret_tests::raw::send_udp_as;
use egret_tests::{Attempt, Pod, Seen, Setup, World, enforced, eventually};
use serde_json::{Value, json};

/// Sends one datagram from `pod` with `source`, and tells whether the internet got it.
fn arrives(world: &World, pod: &Pod, source: IpAddr) -> Result<bool> {
    let to: IpAddr = if source.is_ipv4() { "192.0.2.99" } else { "2001:db8::99" }.parse()?;
    // Any port: a process that is just being started elsewhere may hold the last one for a moment.
    let receiver = world.internet().run(|| UdpSocket::bind((to, 0)))??;
    receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
    send_udp_as(pod.netns(), SocketAddr::new(source, 5000), receiver.local_addr()?, b"whose?")?;
    let mut buffer = [0; 64];
    Ok(receiver.recv_from(&mut buffer).is_ok_and(|(_, from)| from.ip() == source))
}

fn eventually_arrives(world: &World, pod: &Pod, source: IpAddr, expected: bool) -> Result<()> {
    eventually(&format!("{source} arrives: {expected}"), Duration::from_secs(2), || {
        Ok((arrives(world, pod, source)? == expected).then_some(()))
    })
}

const RULES: &str = "allow:\n- to: [{fqdn: github.com}, {cidr: 192.0.2.99/32}, {cidr: '2001:db8::99/128'}]";

fn world_of(pods: &[&str]) -> Result<World> {
    let world = World::with_pods(pods)?;
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    Ok(world)
}

fn rules_hold(pod: &Pod) -> Result<()> {
    for (to, expected) in
        [("github.com", Seen::Connected), ("198.51.100.1", Seen::Refused), ("2600::1", Seen::Refused)]
    {
        let outcome = pod.connect(to, 443)?;
        assert_eq!(outcome.seen, expected, "{to}: {outcome:?}");
    }
    Ok(())
}

/// `pod` by its interface on the node, in place of its namespace.
fn by_interface(pod: &Pod) -> Value {
    let mut entry = described(pod);
    entry["interface"] = json!(pod.host_interface());
    entry.as_object_mut().expect("an object").remove("netns");
    entry
}

#[test]
fn an_interface_leads_to_the_workload_behind_it_and_not_to_one_with_the_same_numbers() -> Result<()> {
    // Interfaces of both nodes have the same names and indexes, and so have those of their pods.
    let worlds = [world_of(&["shop/web"])?, world_of(&["shop/web"])?];
    for world in &worlds {
        let web = world.pod("shop/web");
        let setup = Setup::new(world)?.policy("web.yaml", &enforced("shop/web", RULES))?;
        let agent = setup.describing(vec![by_interface(web)]).start()?;
        rules_hold(web)?;
        assert_eq!(programs(world, web)?, Tier::of_this_test().hooks().map(|name| [name]));
        assert!(!arrives(world, web, "10.244.0.99".parse()?)?, "as another");
        agent.kill()?;
    }
    Ok(())
}

#[test]
fn a_workload_known_by_its_interface_is_let_go_when_its_namespace_is() -> Result<()> {
    let mut world = world_of(&["shop/web"])?;
    let entry = by_interface(world.pod("shop/web"));
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?;
    let agent = setup.describing(vec![entry]).start()?;
    world.take_away("shop/web")?;
    agent.wait_for_gap(world.pod("shop/web"), Some("no interface"))?;
    world.bring_back("shop/web")?;
    agent.wait_for_gap(world.pod("shop/web"), None)?;
    rules_hold(world.pod("shop/web"))
}

#[test]
fn a_workload_that_is_not_there_yet_is_told_of_and_covered_once_it_comes() -> Result<()> {
    let mut world = world_of(&["shop/web"])?;
    world.take_away("shop/web")?;
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?;
    let agent = setup.start_with_gaps()?;
    agent.wait_for_gap(world.pod("shop/web"), Some("cannot be opened"))?;
    world.bring_back("shop/web")?;
    agent.wait_for_gap(world.pod("shop/web"), None)?;
    rules_hold(world.pod("shop/web"))
}

#[test]
fn a_namespace_made_again_under_its_name_is_covered_and_inherits_nothing() -> Result<()> {
    let mut world = world_of(&["shop/web"])?;
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let web = world.pod("shop/web").clone();
    rules_hold(&web)?;
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Connected, "it was looked up");

    world.take_away("shop/web")?;
    agent.wait_for_gap(&web, Some("namespace"))?;
    world.bring_back("shop/web")?;
    let again = world.pod("shop/web");
    agent.wait_for_gap(again, None)?;
    for (address, before) in again.addresses().into_iter().zip(web.addresses()) {
        assert_ne!(address, before);
        assert!(arrives(&world, again, address)?, "as itself, {address}");
        assert!(!arrives(&world, again, before)?, "as its predecessor, {before}");
    }
    assert_eq!(again.connect("192.0.2.10", 443)?.seen, Seen::Refused, "its predecessor looked it up");
    rules_hold(again)
}

#[test]
fn a_second_way_out_is_told_of_until_it_is_gone() -> Result<()> {
    let world = world_of(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    ip_batch(
        Some(web.netns()),
        &["link add net1 type veth peer name net1-end".into(), "link set net1 up".into()],
    )?;
    agent.wait_for_gap(web, Some("`net1`"))?;
    rules_hold(web)?;
    ip_batch(Some(web.netns()), &["link del net1".into()])?;
    agent.wait_for_gap(web, None)?;

    ip_batch(
        Some(web.netns()),
        &["link add net2 type veth peer name net2-end".into(), "link set net2 up".into()],
    )?;
    let agent = agent.kill()?.start_with_gaps()?;
    agent.wait_for_gap(web, Some("`net2`"))?;
    rules_hold(web)
}

#[test]
fn a_workload_added_to_the_file_is_covered_and_one_taken_out_is_left_alone() -> Result<()> {
    let world = world_of(&["shop/web", "shop/other"])?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .policy("other.yaml", &enforced("shop/other", RULES))?
        .describing(vec![described(web)])
        .start()?;
    let programs = |pod: &Pod| programs(&world, pod);
    rules_hold(web)?;
    assert_eq!(programs(other)?, [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!(other.connect("198.51.100.1", 443)?.seen, Seen::Connected, "nobody named it");

    agent.describe(&[described(web), described(other)])?;
    agent.wait_for_mode(other, "Enforce")?;
    rules_hold(other)?;
    assert_eq!(programs(other)?, Tier::of_this_test().hooks().map(|name| [name]));

    agent.describe(&[described(other)])?;
    eventually("no program is left", Duration::from_secs(2), || {
        Ok((programs(web)? == [vec![], vec![]] as [Vec<String>; 2]).then_some(()))
    })?;
    assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Connected, "nobody names it any more");
    rules_hold(other)
}

#[test]
fn policies_follow_the_labels_that_the_file_gives() -> Result<()> {
    let world = world_of(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web)?;
    let mut entry = described(web);
    entry["labels"] = json!({"app": "something-else"});
    agent.describe(&[entry])?;
    agent.wait_for_mode(web, "unmanaged")?;
    assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Connected);
    agent.describe(&[described(web)])?;
    agent.wait_for_mode(web, "Enforce")?;
    rules_hold(web)
}

#[test]
fn a_bad_workloads_file_changes_nothing() -> Result<()> {
    let world = world_of(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    agent.describe(&[json!({"namespace": "shop", "name": "web"})])?;
    eventually("the agent tells of the file", Duration::from_secs(5), || {
        Ok(agent.log().contains("neither `netns` nor `interface`").then_some(()))
    })?;
    rules_hold(web)
}

#[test]
fn a_workload_may_use_the_addresses_that_the_file_gives_and_no_other_of_its_device() -> Result<()> {
    let world = world_of(&["shop/web"])?;
    let web = world.pod("shop/web");
    let mut entry = described(web);
    entry["addresses"] = json!(web.addresses());
    ip_batch(
        Some(web.netns()),
        &["addr add 10.244.0.77/32 dev eth0".into(), "addr add fd00:244::77/128 dev eth0 nodad".into()],
    )?;
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .describing(vec![entry])
        .start()?;
    for address in web.addresses() {
        assert!(arrives(&world, web, address)?, "{address}");
    }
    for address in ["10.244.0.77", "fd00:244::77"] {
        assert!(!arrives(&world, web, address.parse()?)?, "{address}");
    }
    let outcome = web.dial_once(&Attempt::tcp("github.com", 443).ipv4())?;
    assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    Ok(())
}

#[test]
fn an_address_that_a_workload_gains_or_loses_is_followed() -> Result<()> {
    let world = world_of(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    for (address, length) in [("10.244.0.77", 32), ("fd00:244::77", 128)] {
        let source: IpAddr = address.parse()?;
        let nodad = if source.is_ipv6() { " nodad" } else { "" };
        assert!(!arrives(&world, web, source)?, "{address}: nobody has it");
        ip_batch(Some(web.netns()), &[format!("addr add {address}/{length} dev eth0{nodad}")])?;
        eventually_arrives(&world, web, source, true)?;
        ip_batch(Some(web.netns()), &[format!("addr del {address}/{length} dev eth0")])?;
        eventually_arrives(&world, web, source, false)?;
    }
    Ok(())
}

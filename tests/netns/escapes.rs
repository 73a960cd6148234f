//! Ways out that a workload, a neighbour or an accident could open, and that stay shut.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use egret_tests::agent::{PATIENCE, described};
use egret_tests::hooks::take_away;
use egret_tests::netns::ip_batch;
use egret_tests::raw::send_udp_as;
use egret_tests::{Agent, Pod, Seen, Setup, World, enforced, eventually};

const NOTHING: &str = "default: Deny";
const EVERYTHING: &str = "allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]";

/// Why the agent says that `pod` is not covered, as soon as it does.
fn wait_for_gap(agent: &Agent, pod: &Pod) -> Result<String> {
    eventually(&format!("{} is listed as not covered", pod.id()), PATIENCE, || agent.gap(pod))
}

/// The entry of `pod` in the workloads file, with the namespace at `path` instead of its own.
fn at(pod: &Pod, path: &Path) -> serde_json::Value {
    let mut entry = described(pod);
    entry["netns"] = serde_json::json!(path);
    entry
}

/// Whether the internet gets a datagram that `pod` sends with `source`.
fn arrives(world: &World, pod: &Pod, source: IpAddr) -> Result<bool> {
    let to: SocketAddr = if source.is_ipv4() { "192.0.2.99:9999" } else { "[2001:db8::99]:9999" }.parse()?;
    let receiver = world.internet().run(|| UdpSocket::bind(to))??;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    send_udp_as(pod.netns(), SocketAddr::new(source, 5000), to, b"whose?")?;
    Ok(receiver.recv_from(&mut [0; 64]).is_ok())
}

#[test]
fn an_address_that_a_workload_gives_itself_is_its_own_only_if_it_is_nobody_else_s() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/thief"])?;
    let (web, thief) = (world.pod("shop/web"), world.pod("shop/thief"));
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", EVERYTHING))?
        .policy("thief.yaml", &enforced("shop/thief", EVERYTHING))?
        .start()?;
    let free: IpAddr = "10.244.7.7".parse()?;
    ip_batch(Some(thief.netns()), &[format!("addr add {free}/32 dev eth0")])?;
    eventually("a new address is followed", PATIENCE, || Ok(arrives(&world, thief, free)?.then_some(())))?;

    let node: IpAddr = "169.254.1.1".parse()?;
    let stolen = [web.addresses()[0], web.addresses()[1], node, egret_tests::world::RESOLVER.0.into()];
    for address in stolen {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let nodad = if address.is_ipv4() { "" } else { " nodad" };
        let address_of_thief = format!("{address}/{bits} dev eth0{nodad}");
        ip_batch(Some(thief.netns()), &[format!("addr add {address_of_thief}")])?;
        let told = wait_for_gap(&agent, thief)?;
        assert!(told.contains(&format!("{address} is not taken for its own")), "{told}");
        assert!(!arrives(&world, thief, address)?, "{address}");
        assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Connected);
        assert_eq!(web.connect("2001:db8::10", 443)?.seen, Seen::Connected);
        ip_batch(Some(thief.netns()), &[format!("addr del {address}/{bits} dev eth0")])?;
        eventually("nothing is told any more", PATIENCE, || {
            Ok((agent.status()?["workloads"]["notCovered"] == serde_json::json!([])).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_workload_that_is_somewhere_else_when_the_agent_is_back_is_judged_there() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/next"])?;
    let (web, next) = (world.pod("shop/web"), world.pod("shop/next"));
    let setup = Setup::new(&world)?
        .describing(vec![described(web)])
        .policy("web.yaml", &enforced("shop/web", NOTHING))?;
    let agent = setup.start()?;
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Refused);
    assert_eq!(next.connect("192.0.2.10", 443)?.seen, Seen::Connected);
    let _agent = agent.kill()?.describing(vec![at(web, &next.netns().path())]).start()?;
    assert_eq!(next.connect("192.0.2.10", 443)?.seen, Seen::Refused);
    Ok(())
}

#[test]
fn a_namespace_with_two_names_is_one_workload_s_and_the_other_is_told() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/zwin"])?;
    let (web, twin) = (world.pod("shop/web"), world.pod("shop/zwin"));
    let setup = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", NOTHING))?
        .policy("twin.yaml", &enforced("shop/zwin", EVERYTHING))?;
    let agent = setup.start()?;
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Refused);
    let second_name = world.directory().join("second-name");
    std::os::unix::fs::symlink(web.netns().path(), &second_name)?;
    agent.describe(&[described(web), at(twin, &second_name)])?;
    agent.reload()?;
    let told = wait_for_gap(&agent, twin)?;
    assert!(told.contains("shop/web is in the same place"), "{told}");
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Refused);
    Ok(())
}

#[test]
fn a_second_agent_with_a_state_of_its_own_does_not_disarm_the_first() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", NOTHING))?;
    let second = setup.clone();
    let _agent = setup.start()?;
    let output = second.with_state("state-2").with_socket("egret-2.sock").run_through(&[])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("another agent runs"), "{told}");
    for to in ["192.0.2.10", "2001:db8::10"] {
        assert_eq!(web.connect(to, 443)?.seen, Seen::Refused, "{to}");
    }
    Ok(())
}

#[test]
fn a_workload_that_is_out_of_sight_is_still_judged_and_by_new_policies_too() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", EVERYTHING))?.start()?;
    // Its socket keeps the namespace alive.
    let mut open = web.open("192.0.2.10:443")?;
    ip_batch(None, &[format!("netns del {}", web.netns().name())])?;
    wait_for_gap(&agent, web)?;
    open.go_on()?;
    agent.write_policy("web.yaml", &enforced("shop/web", NOTHING))?;
    eventually("a connection that is denied now is cut", PATIENCE, || Ok(open.go_on().is_err().then_some(())))
}

/// Gives `pod` a new pair in the place of its own, whose end in the pod has the number `index`.
fn rewire(world: &World, pod: &Pod, host_index: u32, index: u32) -> Result<()> {
    let (host, [ipv4, _]) = (pod.host_interface(), pod.addresses());
    let peer = format!("name eth0 index {index} netns {}", pod.netns().name());
    ip_batch(
        Some(world.node()),
        &[
            format!("link del {host}"),
            format!("link add name {host} index {host_index} type veth peer {peer}"),
            format!("addr add 169.254.1.1/32 dev {host}"),
            format!("link set {host} up"),
            format!("route add {ipv4}/32 dev {host}"),
        ],
    )?;
    ip_batch(
        Some(pod.netns()),
        &[
            format!("addr add {ipv4}/32 dev eth0"),
            "link set eth0 up".to_owned(),
            "route add default via 169.254.1.1 dev eth0 onlink".to_owned(),
        ],
    )?;
    world.rewired(pod)?;
    eventually("the new pair carries packets", PATIENCE, || {
        Ok((pod.connect("192.0.2.10", 443)?.seen == Seen::Connected).then_some(()))
    })
}

#[test]
fn a_pair_that_a_workload_makes_in_the_likeness_of_another_s_hides_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/thief", "shop/other"])?;
    let (thief, other) = (world.pod("shop/thief"), world.pod("shop/other"));
    rewire(&world, thief, 300, 20)?;
    rewire(&world, other, 301, 7)?;
    // Its numbers are those of the other's pair, and it is listed before the thief's own.
    ip_batch(Some(thief.netns()), &["link add name x index 7 type veth peer name y index 301".to_owned()])?;
    let setup = Setup::new(&world)?
        .describing(vec![described(thief)])
        .policy("thief.yaml", &enforced("shop/thief", NOTHING))?;
    let _agent = setup.start()?;
    assert_eq!(thief.connect("192.0.2.10", 443)?.seen, Seen::Refused);
    assert_eq!(other.connect("192.0.2.10", 443)?.seen, Seen::Connected);
    Ok(())
}

#[test]
fn a_hook_that_was_taken_away_is_put_back() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", NOTHING))?.start()?;
    take_away(&world, web)?;
    eventually("the agent notices", PATIENCE, || Ok(agent.log().contains("its hook is gone").then_some(())))?;
    eventually("the hook is back", PATIENCE, || {
        Ok((web.connect("192.0.2.10", 443)?.seen == Seen::Refused).then_some(()))
    })
}

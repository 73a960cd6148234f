//! A change of policy that denies what is under way ends it for both ends, or spares it where the operator says so.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use egret_tests::netns::{Netns, ip_batch};
use egret_tests::servers::Records;
use egret_tests::{Agent, Pod, Seen, Setup, World, enforced, eventually};

const PORT: u16 = 7000;
const ADDRESSES: [&str; 2] = ["198.51.100.1", "2600::1"];
const ALLOWING: &str = "allow:\n- to: [{cidr: 198.51.100.0/24}, {cidr: '2600::/32'}]";
const SOMETHING_ELSE: &str = "allow:\n- to: [{cidr: 203.0.113.0/24}]";

/// Both ends of a connection from `from` to `to`, where the test listens in the world's internet.
fn connect(world: &World, from: &Pod, to: SocketAddr) -> Result<[TcpStream; 2]> {
    connect_from(world, from.netns(), to)
}

fn connect_from(world: &World, from: &Netns, to: SocketAddr) -> Result<[TcpStream; 2]> {
    let listener = world.internet().run(|| TcpListener::bind(to))??;
    let ours = from.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)))??;
    let (theirs, _) = listener.accept()?;
    let ends = [ours, theirs];
    for end in &ends {
        end.set_read_timeout(Some(Duration::from_secs(2)))?;
    }
    Ok(ends)
}

fn connect_both(world: &World, from: &Pod) -> Result<Vec<[TcpStream; 2]>> {
    ADDRESSES.iter().map(|address| connect(world, from, SocketAddr::new(address.parse()?, PORT))).collect()
}

/// Data goes both ways.
fn speak([ours, theirs]: &mut [TcpStream; 2]) -> Result<()> {
    let mut heard = [0; 4];
    ours.write_all(b"ping")?;
    theirs.read_exact(&mut heard).context("toward the peer")?;
    theirs.write_all(b"pong")?;
    ours.read_exact(&mut heard).context("toward the workload")
}

/// That both ends are told, by `deadline`, that the connection is no more.
fn is_cut(ends: &mut [TcpStream; 2], deadline: Instant) -> Result<()> {
    for (end, who) in ends.iter_mut().zip(["the workload", "its peer"]) {
        end.set_read_timeout(Some(
            deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
        ))?;
        let error = end.read(&mut [0; 16]).expect_err("a reset");
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted];
        ensure!(kinds.contains(&error.kind()), "{who} sees {error:?}");
    }
    Ok(())
}

/// A namespace behind a pod, which lends it its IPv4 address: its sockets are in no namespace of a workload.
struct Behind {
    netns: Netns,
}

impl Behind {
    fn open(pod: &Pod) -> Result<Self> {
        let netns = Netns::named(format!("{}-behind", pod.netns().name()));
        ip_batch(None, &[format!("netns add {}", netns.name())])?;
        let behind = Self { netns };
        let netns = behind.netns.name();
        ip_batch(
            Some(pod.netns()),
            &[
                format!("link add inner type veth peer name outer netns {netns}"),
                "address add 10.9.9.1/30 dev inner".to_owned(),
                "link set inner up".to_owned(),
            ],
        )?;
        ip_batch(
            Some(&behind.netns),
            &[
                "address add 10.9.9.2/30 dev outer".to_owned(),
                "link set outer up".to_owned(),
                "route add default via 10.9.9.1".to_owned(),
            ],
        )?;
        pod.netns().set(&[("ipv4/ip_forward", "1")])?;
        let rule = [
            "add table ip behind",
            "add chain ip behind out { type nat hook postrouting priority 100; }",
            "add rule ip behind out oifname eth0 masquerade",
        ];
        for rule in rule {
            let status = pod.netns().command("nft").args(rule.split(' ')).status()?;
            ensure!(status.success(), "nft {rule}");
        }
        Ok(behind)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = ip_batch(None, &[format!("netns del {}", self.netns.name())]);
    }
}

fn start(world: &World, arguments: &[&str]) -> Result<Agent> {
    let setup = Setup::new(world)?.policy("web.yaml", &enforced("shop/web", ALLOWING))?;
    arguments.iter().fold(setup, |setup, argument| setup.arg(argument)).start()
}

fn tighten(agent: &Agent, web: &Pod) -> Result<()> {
    agent.write_policy("web.yaml", &enforced("shop/web", SOMETHING_ELSE))?;
    eventually("the new policy is in force", Duration::from_secs(5), || {
        Ok((agent.explain(web, "198.51.100.1:7000")?.applied.action == "deny").then_some(()))
    })
}

#[test]
fn a_connection_that_is_no_longer_allowed_ends_for_both_within_a_second_though_nobody_speaks() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &[])?;
    let mut open = connect_both(&world, web)?;
    open.iter_mut().try_for_each(speak)?;
    let written = Instant::now();
    agent.write_policy("web.yaml", &enforced("shop/web", SOMETHING_ELSE))?;
    for ends in &mut open {
        is_cut(ends, written + Duration::from_secs(1))?;
    }
    eventually("both are counted", Duration::from_secs(5), || {
        Ok((agent.status()?["counters"]["sockets_ended"] == 2).then_some(()))
    })
}

#[test]
fn a_connection_that_the_agent_does_not_find_ends_for_both_with_its_next_packet() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &[])?;
    let behind = Behind::open(web)?;
    let mut open = [connect_from(&world, &behind.netns, SocketAddr::new(ADDRESSES[0].parse()?, PORT))?];
    open.iter_mut().try_for_each(speak)?;
    tighten(&agent, web)?;
    std::thread::sleep(Duration::from_millis(300));
    for ends in &mut open {
        ends[0].write_all(b"ping")?;
        is_cut(ends, Instant::now() + Duration::from_secs(1))?;
    }
    assert!(agent.status()?["counters"]["connections_cut"].as_u64() > Some(0));
    Ok(())
}

#[test]
fn what_a_policy_still_allows_and_what_others_began_is_not_touched() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &[])?;
    let mut open = connect_both(&world, web)?;
    let mut called = Vec::new();
    for address in web.addresses() {
        let at = SocketAddr::new(address, 8080);
        let listener = web.netns().run(|| TcpListener::bind(at))??;
        let theirs = world.internet().run(|| TcpStream::connect_timeout(&at, Duration::from_secs(2)))??;
        called.push([listener.accept()?.0, theirs]);
    }
    called.iter_mut().try_for_each(speak)?;
    let more = format!("{ALLOWING}\n- to: [{{cidr: 203.0.113.0/24}}]");
    agent.write_policy("web.yaml", &enforced("shop/web", &more))?;
    eventually("the new policy is in force", Duration::from_secs(5), || {
        Ok((agent.explain(web, "203.0.113.1:7000")?.applied.action == "allow").then_some(()))
    })?;
    open.iter_mut().try_for_each(speak)?;
    tighten(&agent, web)?;
    for ends in &mut open {
        is_cut(ends, Instant::now() + Duration::from_secs(1))?;
    }
    called.iter_mut().try_for_each(speak)
}

#[test]
fn where_the_operator_spares_what_is_under_way_it_goes_on_and_nothing_new_begins() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &["--on-tighten=keep"])?;
    let mut open = connect_both(&world, web)?;
    open.iter_mut().try_for_each(speak)?;
    tighten(&agent, web)?;
    for _ in 0..2 {
        open.iter_mut().try_for_each(speak)?;
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(web.connect(ADDRESSES[0], 443)?.seen, Seen::Refused);
    Ok(())
}

/// How long a connection lives here. EGRET_LONG=600 is the ten-minute form.
fn life() -> Duration {
    Duration::from_secs(
        std::env::var("EGRET_LONG").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6),
    )
}

#[test]
fn a_connection_outlives_its_name_and_two_changes_of_policy_and_not_that_of_its_rule() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let addresses = ADDRESSES.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    world.dns().set_records("short.example.com", 1, Records::Addresses(addresses));
    let rules = |more: &str| format!("allow:\n- to: [{{fqdn: short.example.com}}{more}]");
    let setup = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules("")))?;
    let agent = setup.arg("--min-ttl=1").start()?;
    assert_eq!(web.connect("short.example.com", 443)?.seen, Seen::Connected);
    let mut open = connect_both(&world, web)?;
    open.iter_mut().try_for_each(speak)?;
    for (address, more) in
        [("203.0.113.7", ", {cidr: 203.0.113.7/32}"), ("203.0.113.8", ", {cidr: 203.0.113.8/32}")]
    {
        // It says nothing meanwhile, and nobody looks the name up again.
        std::thread::sleep(life() / 2);
        assert_eq!(web.connect(ADDRESSES[0], 443)?.seen, Seen::Refused, "the name has expired");
        agent.write_policy("web.yaml", &enforced("shop/web", &rules(more)))?;
        eventually("the new policy is in force", Duration::from_secs(5), || {
            Ok((web.connect(address, 443)?.seen == Seen::Connected).then_some(()))
        })?;
        open.iter_mut().try_for_each(speak)?;
    }
    let written = Instant::now();
    agent.write_policy("web.yaml", &enforced("shop/web", SOMETHING_ELSE))?;
    for ends in &mut open {
        is_cut(ends, written + Duration::from_secs(1))?;
    }
    Ok(())
}

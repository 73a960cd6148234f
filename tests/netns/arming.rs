//! What a workload had before the agent came goes on, whoever began it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::agent::PATIENCE;
use egret_tests::dial::Conversation;
use egret_tests::{Agent, Pod, Seen, Setup, World, enforced, eventually, policy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SERVERS: [&str; 2] = ["198.51.100.1", "2600::1"];

/// Connections of a pod, and a datagram socket that is connected.
struct Before {
    outbound: Vec<Conversation>,
    inbound: Vec<Conversation>,
    datagrams: UdpSocket,
}

impl Before {
    fn open(world: &World, pod: &Pod) -> Result<Self> {
        let mut outbound = Vec::new();
        for server in SERVERS {
            outbound.push(Conversation::open(pod.netns(), SocketAddr::new(server.parse()?, 443))?);
        }
        // An IPv6 socket that speaks IPv4, as those of many languages do.
        outbound.push(Conversation::open(pod.netns(), "[::ffff:198.51.100.2]:443".parse()?)?);
        let mut inbound = Vec::new();
        for address in pod.addresses() {
            world.serve_tcp(pod.netns(), (address, 8080).into())?;
            inbound.push(Conversation::open(world.internet(), (address, 8080).into())?);
        }
        world.serve_udp(world.internet(), "198.51.100.1:5000".parse()?)?;
        let datagrams = pod.netns().run(|| UdpSocket::bind((pod.addresses()[0], 0)))??;
        pod.netns().run(|| datagrams.connect("198.51.100.1:5000"))??;
        datagrams.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut before = Self { outbound, inbound, datagrams };
        before.go_on()?;
        Ok(before)
    }

    fn go_on(&mut self) -> Result<()> {
        for conversation in &mut self.outbound {
            conversation.go_on().context("outbound")?;
        }
        for conversation in &mut self.inbound {
            conversation.go_on().context("inbound")?;
        }
        self.datagrams.send(b"ping").context("a datagram")?;
        let length = self.datagrams.recv(&mut [0; 256]).context("its answer")?;
        ensure!(length > 0, "an empty answer");
        Ok(())
    }
}

fn deny_all(setup: Setup) -> Result<Setup> {
    setup.policy("web.yaml", &policy("shop/web", "Enforce", "all", "default: Deny"))
}

/// As many armed flows as were opened, and what is new is refused.
fn is_armed_and_enforced(agent: &Agent, web: &Pod) -> Result<()> {
    assert_eq!(web.connect(SERVERS[0], 443)?.seen, Seen::Refused);
    let counters = agent.status()?["counters"].take();
    assert_eq!((&counters["flows_armed"], &counters["flows_not_armed"]), (&6.into(), &0.into()));
    let armed = |flow: &egret_tests::agent::Flow| flow.applied.reason == "established";
    let flows: Vec<_> = agent.flows()?.into_iter().filter(armed).collect();
    assert_eq!(flows.len(), 4, "those that the workload began are told: {flows:?}");
    assert!(flows.iter().all(|flow| flow.applied.action == "allow" && flow.observed.reason == "established"));
    Ok(())
}

#[test]
fn connections_of_before_live_on_when_the_agent_comes_and_what_is_new_is_judged() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let mut before = Before::open(&world, web)?;
    let agent = deny_all(Setup::new(&world)?)?.start()?;
    before.go_on()?;
    is_armed_and_enforced(&agent, web)?;
    before.go_on()?;
    let counted = |flow: &egret_tests::agent::Flow| flow.destination.port == 5000 && flow.packets >= 2;
    agent.flow(web, counted).context("what they send is added up")?;

    // The next agent changes nothing; neither does one that has lost its memory.
    let agent = agent.stop()?.start()?;
    before.go_on()?;
    std::fs::remove_file(world.directory().join("state/snapshot"))?;
    let agent = agent.kill()?.start()?;
    before.go_on()?;
    is_armed_and_enforced(&agent, web)
}

#[test]
fn a_change_of_policy_judges_what_was_there_before_like_anything_else() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let mut before = Before::open(&world, web)?;
    let agent = deny_all(Setup::new(&world)?)?.start()?;
    let allowing = "allow:\n- to: [{cidr: 198.51.100.1/32}]";
    agent.write_policy("web.yaml", &enforced("shop/web", allowing))?;
    eventually("the new policy is in force", PATIENCE, || {
        Ok((web.connect(SERVERS[0], 443)?.seen == Seen::Connected).then_some(()))
    })?;
    let mut outbound = before.outbound.drain(..);
    outbound.next().context("the first")?.go_on().context("its address is allowed")?;
    for mut denied in outbound {
        assert!(denied.go_on().is_err(), "its address is not");
    }
    before.go_on().context("what others began, and datagrams to an address that is allowed")
}

#[test]
fn a_workload_that_is_named_later_is_armed_when_it_is() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/other"])?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    let described = egret_tests::agent::described;
    let agent = deny_all(Setup::new(&world)?.describing(vec![described(other)]))?.start()?;
    let mut before = Before::open(&world, web)?;
    agent.describe(&[described(other), described(web)])?;
    agent.wait_for_mode(web, "Enforce")?;
    before.go_on()?;
    is_armed_and_enforced(&agent, web)
}

#[test]
fn more_sockets_than_there_is_room_for_are_counted_and_judged_as_new_ones() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    const MANY: usize = 3000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    // Or the internet would refuse some itself.
    world.serve_udp(world.internet(), "0.0.0.0:5000".parse()?)?;
    let sockets = web.netns().run(|| -> Result<Vec<UdpSocket>> {
        let open = |number: usize| {
            let socket = UdpSocket::bind((web.addresses()[0], 0))?;
            let to = IpAddr::from([198, 18, (number >> 8) as u8, number as u8]);
            socket.connect((to, 5000))?;
            Ok(socket)
        };
        (0..MANY).map(open).collect()
    })??;
    let agent = deny_all(Setup::new(&world)?)?.start()?;
    let counters = agent.status()?["counters"].take();
    let count = |name: &str| counters[name].as_u64().unwrap_or_default() as usize;
    assert_eq!(count("flows_armed") + count("flows_not_armed"), MANY);
    assert!(count("flows_armed") >= 1000 && count("flows_not_armed") > 0, "{counters}");
    for socket in &sockets {
        let _ = socket.send(b"1");
    }
    let is_refused = |socket: &&UdpSocket| matches!(socket.take_error(), Ok(Some(_)));
    let mut refused = 0;
    eventually("all others are refused, and none that was armed", PATIENCE, || {
        refused += sockets.iter().filter(is_refused).count();
        Ok((refused == count("flows_not_armed")).then_some(()))
    })
}

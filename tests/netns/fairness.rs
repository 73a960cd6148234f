//! What one workload does to the tables, or others to it, costs itself, and not its neighbours; and nobody's calls cost
//! a connection that is established.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use egret_tests::agent::PATIENCE;
use egret_tests::dial::Conversation;
use egret_tests::raw::Raw;
use egret_tests::{Agent, Pod, Seen, Setup, World, enforced, eventually, policy};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const EVERYWHERE: &str = "allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]";

/// Many times what a workload's own table holds. EGRET_FLOWS=1000000 is the long form.
fn many() -> u32 {
    std::env::var("EGRET_FLOWS").ok().and_then(|many| many.parse().ok()).unwrap_or(100_000)
}

/// A place that no other number stands for, of both families by turns.
fn place(number: u32) -> SocketAddr {
    let scattered = number.wrapping_mul(0x9e37_79b1);
    let port = 1024 + (scattered >> 18) as u16;
    let ip: IpAddr = if number.is_multiple_of(2) {
        Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(198, 18, 0, 0)) | scattered >> 16).into()
    } else {
        Ipv6Addr::new(
            0x2001,
            0xdb8,
            0x18,
            0,
            0,
            (number >> 16) as u16,
            (scattered >> 16) as u16,
            number as u16,
        )
        .into()
    };
    SocketAddr::new(ip, port)
}

/// One datagram each to so many destinations.
fn open_random_flows(pod: &Pod, many: u32) -> Result<()> {
    pod.netns().run(|| -> Result<()> {
        let ipv4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        for number in 0..many {
            let to = place(number);
            if to.is_ipv4() { &ipv4 } else { &ipv6 }.send_to(b"1", to)?;
        }
        Ok(())
    })?
}

/// Toward the server at both of `to`, from so many sources, none of which ever hears of it: SYNs; then blind
/// acknowledgements, and datagrams' worth of other segments that no handshake was before.
fn call_from_everywhere(world: &World, to: &[IpAddr], many: u32) -> Result<()> {
    let raw = Raw::open(world.internet())?;
    for number in 0..many {
        let from = place(number);
        for to in to.iter().filter(|to| to.is_ipv4() == from.is_ipv4()) {
            let to = SocketAddr::new(*to, 8080);
            raw.send_tcp(from, to, SYN, [number, 0])?;
            raw.send_tcp(from, to, ACK, [number.wrapping_add(70_000), number])?;
        }
    }
    Ok(())
}

/// Connections that pass for nothing but their entry in a table: to a server in the workload, and begun by it before
/// its policy denied what they lead to.
struct Idle {
    inbound: Vec<Conversation>,
    outbound: Vec<Conversation>,
}

impl Idle {
    fn open(world: &World, agent: &Agent, pod: &Pod) -> Result<Self> {
        let mut idle = Self { inbound: Vec::new(), outbound: Vec::new() };
        for address in pod.addresses() {
            world.serve_tcp(pod.netns(), (address, 8080).into())?;
            idle.inbound.push(Conversation::open(world.internet(), (address, 8080).into())?);
        }
        for address in ["198.51.100.1:443", "[2600::1]:443"] {
            idle.outbound.push(pod.open(address)?);
        }
        let file = format!("{}.yaml", pod.name());
        agent.write_policy(&file, &policy(&pod.id(), "Enforce", "all", "default: Deny"))?;
        eventually("nothing is allowed", PATIENCE, || {
            Ok((pod.connect("203.0.113.77", 443)?.seen == Seen::Refused).then_some(()))
        })?;
        idle.go_on()?;
        Ok(idle)
    }

    fn go_on(&mut self) -> Result<()> {
        self.inbound.iter_mut().chain(&mut self.outbound).try_for_each(Conversation::go_on)
    }
}

fn start(world: &World, pods: &[&Pod]) -> Result<Agent> {
    let mut setup = Setup::new(world)?.arg("--on-tighten=keep");
    for pod in pods {
        setup = setup.policy(&format!("{}.yaml", pod.name()), &enforced(&pod.id(), EVERYWHERE))?;
    }
    setup.start()
}

#[test]
fn a_workload_with_ever_new_flows_costs_no_other_its_own() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/busy"])?;
    let (web, busy) = (world.pod("shop/web"), world.pod("shop/busy"));
    let agent = start(&world, &[web, busy])?;
    let mut idle = Idle::open(&world, &agent, web)?;
    let allowed = || -> Result<u64> {
        Ok(agent.status()?["counters"]["first_packets_allowed"].as_u64().unwrap_or_default())
    };
    let before = allowed()?;
    open_random_flows(busy, many())?;
    assert!(allowed()? - before > u64::from(many()) * 9 / 10, "each was a flow of its own");
    world.serve_tcp(busy.netns(), (busy.addresses()[0], 8080).into())?;
    call_from_everywhere(&world, &busy.addresses(), many())?;
    idle.go_on()?;
    assert_eq!(web.connect("203.0.113.78", 443)?.seen, Seen::Refused);
    let told = agent.flow(web, |flow| flow.destination.address == IpAddr::from([203, 0, 113, 78]))?;
    assert_eq!(told.applied.action, "deny", "its records are not lost in the other's");
    Ok(())
}

#[test]
fn a_server_that_is_called_from_everywhere_loses_nothing_that_is_established() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &[web])?;
    let mut idle = Idle::open(&world, &agent, web)?;
    call_from_everywhere(&world, &web.addresses(), many())?;
    idle.go_on()?;
    // The flood is over, and who called in earnest is served.
    sleep(Duration::from_millis(100));
    for address in web.addresses() {
        Conversation::open(world.internet(), (address, 8080).into())?.go_on()?;
    }
    Ok(())
}

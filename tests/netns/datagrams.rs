//! UDP: allowed by name and port like TCP, refused by ICMP at once, and never a flood of refusals.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result};
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced};

#[test]
fn an_exchange_is_allowed_by_name_and_port_and_refused_at_once_otherwise() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("ntp.example.com", &["192.0.2.10", "2001:db8::10"]);
    world.dns().set("other.example.com", &["192.0.2.20", "2001:db8::20"]);
    for address in ["192.0.2.10", "2001:db8::10", "192.0.2.20", "2001:db8::20"] {
        for port in [123, 124] {
            world.serve_udp(world.internet(), SocketAddr::new(address.parse()?, port))?;
        }
    }
    let rules = "allow:\n- to: [{fqdn: ntp.example.com}]\n  ports: [{protocol: UDP, port: 123}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for (attempt, expected) in [
        (Attempt::udp("ntp.example.com", 123), Seen::Connected),
        (Attempt::udp("ntp.example.com", 124), Seen::Refused),
        (Attempt::udp("other.example.com", 123), Seen::Refused),
        (Attempt::tcp("ntp.example.com", 443), Seen::Refused),
    ] {
        for attempt in [attempt.clone().ipv4(), attempt.ipv6()] {
            let outcome = world.pod("shop/web").dial_once(&attempt)?;
            assert_eq!(outcome.seen, expected, "{attempt:?}: {outcome:?}");
        }
    }
    Ok(())
}

fn flood(pod: &Pod, to: SocketAddr, many: u64) -> Result<()> {
    pod.netns().run(|| -> Result<()> {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        (0..many).try_for_each(|_| socket.send_to(b"let me out", to).map(drop))?;
        Ok(())
    })?
}

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

#[test]
fn refusals_have_a_budget_and_each_workload_its_own() -> Result<()> {
    const MANY: u64 = 5000;
    let world = World::with_pods(&["shop/four", "shop/six", "shop/other"])?;
    let other = world.pod("shop/other");
    let mut setup = Setup::new(&world)?;
    for pod in world.pods() {
        setup = setup.policy(&format!("{}.yaml", pod.name()), &enforced(&pod.id(), "default: Deny"))?;
    }
    let agent = setup.start()?;
    for (pod, to) in [("shop/four", "192.0.2.10:5000"), ("shop/six", "[2001:db8::10]:5000")] {
        let (pod, to) = (world.pod(pod), to.parse::<SocketAddr>()?);
        let read = || -> Result<[u64; 3]> {
            let [denied, sent, over] =
                ["packets_denied", "refused_icmp", "refusals_over_budget"].map(|name| counter(&agent, name));
            Ok([denied?, sent?, over?])
        };
        let (before, start) = (read()?, Instant::now());
        flood(pod, to, MANY)?;
        let seconds = start.elapsed().as_secs() + 1;
        let outcome = other.dial_once(&Attempt::udp(to.ip(), 5000))?;
        assert_eq!(outcome.seen, Seen::Refused, "the other one's refusals are its own: {outcome:?}");
        let after = read()?;
        let [denied, sent, over] = [0, 1, 2].map(|at| after[at] - before[at]);
        assert_eq!((denied, sent + over), (MANY + 1, MANY + 1), "{to}");
        // A thousand a second and workload, and a bucket full at the start.
        assert!((100..=1000 * (seconds + 1) + 100).contains(&sent), "{to}: {sent} in {seconds} s");
        assert!(over > 0, "{to}");
        assert_eq!(
            pod.connect(&to.ip().to_string(), 443)?.seen,
            Seen::Refused,
            "resets have no budget to use up"
        );
    }
    Ok(())
}

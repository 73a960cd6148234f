//! A change of policy that denies what is under way ends it for both ends, or spares it where the operator says so.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use egret_tests::{Agent, Pod, Setup, World, enforced, eventually};

const PORT: u16 = 7000;
const ADDRESSES: [&str; 2] = ["198.51.100.1", "2600::1"];
const ALLOWING: &str = "allow:\n- to: [{cidr: 198.51.100.0/24}, {cidr: '2600::/32'}]";
const SOMETHING_ELSE: &str = "allow:\n- to: [{cidr: 203.0.113.0/24}]";

/// Both ends of a connection from `from` to `to`, where the test listens in the world's internet.
fn connect(world: &World, from: &Pod, to: SocketAddr) -> Result<[TcpStream; 2]> {
    let listener = world.internet().run(|| TcpListener::bind(to))??;
    let ours = from.netns().run(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)))??;
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
fn the_next_packet_of_a_connection_that_is_no_longer_allowed_ends_it_for_both() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = start(&world, &[])?;
    let mut open = connect_both(&world, web)?;
    open.iter_mut().try_for_each(speak)?;
    tighten(&agent, web)?;
    for ends in &mut open {
        // It may be cut already.
        let _ = ends[0].write_all(b"ping");
        is_cut(ends, Instant::now() + Duration::from_secs(1))?;
    }
    Ok(())
}

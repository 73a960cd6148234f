//! A module that is told of DNS answers has those of a domain refused, to one workload alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use egret_tests::eventually;
use egret_tests::modules::folder;
use egret_tests::world::RESOLVER;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::*;

const GUARD: &str = "policies-wasm/dns-tunnel-guard";
const OTHER: &str = "shop/other";
const WAIT: Duration = Duration::from_secs(60);
/// What a tunnel asks for.
const NAMES: [&str; 4] = [
    "4f2e9c81b7a06d53.t.evil.example",
    "8a1b3c5d7e9f0246.t.evil.example",
    "0f9e8d7c6b5a4321.t.evil.example",
    "13579bdf02468ace.t.evil.example",
];

fn guarded(names: u32) -> String {
    format!(
        "allow:\n- to: [{{fqdn: '**.example'}}]\nmodules:\n- {{name: dns-tunnel-guard, stage: answers, settings: {{names: {names}}}}}"
    )
}

fn start_guarded(world: &World, policy: &str) -> Result<Agent> {
    let manifest = format!("grants: {{counters: true}}\n{PATIENT}");
    let modules = folder(&world.directory().join("modules"), &[("dns-tunnel-guard", GUARD, &manifest)])?;
    world.dns().set("good.example", &["192.0.2.10", "2001:db8::10"]);
    Setup::new(world)?
        .arg(&format!("--modules={}", modules.display()))
        .policy("web.yaml", policy)?
        .policy("other.yaml", &enforced(OTHER, &guarded(1000)))?
        .start()
}

fn resolvers() -> [SocketAddr; 2] {
    [(RESOLVER.0, 53).into(), (RESOLVER.1, 53).into()]
}

fn query(name: &str) -> Result<Vec<u8>> {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    Ok(query.to_vec()?)
}

/// What the resolver answers over UDP, as the workload sees it.
fn ask(pod: &Pod, resolver: SocketAddr, name: &str) -> Result<ResponseCode> {
    let query = query(name)?;
    pod.netns().run(move || -> Result<ResponseCode> {
        let any: std::net::IpAddr = if resolver.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.send_to(&query, resolver)?;
        let mut answer = [0; 4096];
        let (length, _) = socket.recv_from(&mut answer).context("no answer")?;
        let answer = Message::from_vec(&answer[..length])?;
        assert_eq!(answer.queries.len(), 1);
        Ok(answer.metadata.response_code)
    })?
}

/// The same over TCP; an error where the connection ends first.
fn ask_over_tcp(pod: &Pod, resolver: SocketAddr, name: &str) -> Result<std::io::Result<ResponseCode>> {
    let query = query(name)?;
    pod.netns().run(move || -> Result<std::io::Result<ResponseCode>> {
        let mut stream = TcpStream::connect(resolver)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat())?;
        let mut length = [0; 2];
        if let Err(error) = stream.read_exact(&mut length) {
            return Ok(Err(error));
        }
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer)?;
        Ok(Ok(Message::from_vec(&answer)?.metadata.response_code))
    })?
}

/// Looks names up until the guard is against their domain.
fn tunnel(pod: &Pod, seen: ResponseCode) -> Result<()> {
    eventually("the guard", WAIT, || {
        for name in NAMES {
            if ask(pod, resolvers()[0], name)? == seen {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
}

#[test]
fn a_tunnel_through_dns_is_refused_and_other_look_ups_go_on() -> Result<()> {
    let world = World::with_pods(&[POD, OTHER])?;
    let agent = start_guarded(&world, &enforced(POD, &guarded(2)))?;
    let (pod, other) = (world.pod(POD), world.pod(OTHER));
    assert_eq!(ask(pod, resolvers()[0], NAMES[0])?, ResponseCode::NXDomain);
    tunnel(pod, ResponseCode::Refused)?;
    for resolver in resolvers() {
        // Also a name that was never asked for before; but nobody else's, and nothing else.
        assert_eq!(ask(pod, resolver, "plain.evil.example")?, ResponseCode::Refused);
        assert_eq!(ask(pod, resolver, "good.example")?, ResponseCode::NoError);
        assert_eq!(ask(other, resolver, "plain.evil.example")?, ResponseCode::NXDomain);
        let over_tcp = ask_over_tcp(pod, resolver, "plain.evil.example")?;
        let ended = over_tcp.expect_err("no answer");
        assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(ask_over_tcp(pod, resolver, "good.example")??, ResponseCode::NoError);
    }
    assert_eq!(dial(pod, "good.example", 80)?.seen, Seen::Connected);
    let told = agent.flow(pod, |flow| flow.destination.port == 53 && flow.applied.action == "deny")?;
    assert_eq!(told.destination.name.as_deref(), Some("evil.example"));
    assert_eq!(told.applied.module.as_deref(), Some("dns-tunnel-guard"));
    let message = told.applied.message.unwrap_or_default();
    assert!(message.contains("a tunnel through DNS?"), "{message}");
    assert!(counter(&agent, "dns_answers_refused")? >= 5);
    // What modules said by another policy counts no more.
    agent.write_policy("web.yaml", &enforced(POD, &guarded(1000)))?;
    eventually("the policy", WAIT, || {
        let seen = ask(pod, resolvers()[0], "plain.evil.example")?;
        Ok((seen == ResponseCode::NXDomain).then_some(()))
    })
}

#[test]
fn a_policy_on_trial_refuses_no_answer_and_tells_of_it() -> Result<()> {
    let world = World::with_pods(&[POD, OTHER])?;
    let agent = start_guarded(&world, &observed(&guarded(2)))?;
    let pod = world.pod(POD);
    let told = eventually("the guard", WAIT, || {
        for name in NAMES {
            assert_eq!(ask(pod, resolvers()[0], name)?, ResponseCode::NXDomain);
        }
        let flows = agent.flows()?.into_iter();
        Ok(flows.filter(|flow| flow.destination.port == 53).find(|flow| flow.observed.action == "deny"))
    })?;
    assert_eq!((told.applied.action.as_str(), told.observed.reason.as_str()), ("allow", "module"));
    assert_eq!(counter(&agent, "dns_answers_refused")?, 0);
    Ok(())
}

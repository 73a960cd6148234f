//! DNS over TCP: learned like over UDP, however the stream is cut, and before the application can read it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::world::{RESOLVER, STRANGER};
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced};
use hickory_proto::op::{Message, Metadata, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};

const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]";

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

#[test]
fn no_connection_right_after_a_fresh_answer_over_tcp_is_refused_or_retransmitted() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().rotate("cdn.example.com", 1);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let web = world.pod("shop/web");
    let before = web.netns().counter("Tcp", "RetransSegs")?;
    for resolver in [IpAddr::from(RESOLVER.0), RESOLVER.1.into()] {
        for attempt in
            [Attempt::tcp("cdn.example.com", 443).ipv4(), Attempt::tcp("cdn.example.com", 443).ipv6()]
        {
            let outcomes = web.dial(&attempt.via_tcp(resolver).times(50))?;
            let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.seen != Seen::Connected).collect();
            assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), outcomes.len(), failed[0]);
        }
    }
    assert_eq!(web.netns().counter("Tcp", "RetransSegs")?, before, "no segment was sent twice");
    for none in ["dns_answers_stray", "dns_answers_malformed", "dns_questions_unnoted"] {
        assert_eq!(counter(&agent, none)?, 0, "{none}");
    }
    Ok(())
}

#[test]
fn a_stranger_over_tcp_teaches_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.strange_dns().set("a.example.com", &["192.0.2.66"]);
    let rules =
        format!("{RULES}\n- to: [{{cidr: {}/32}}]\n  ports: [{{protocol: TCP, port: 53}}]", STRANGER.0);
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules))?.start()?;
    let attempt = Attempt::tcp("a.example.com", 443).ipv4().via_tcp(STRANGER.0);
    let outcome = world.pod("shop/web").dial_once(&attempt)?;
    assert_eq!((outcome.seen, outcome.address), (Seen::Refused, Some("192.0.2.66".parse()?)), "{outcome:?}");
    Ok(())
}

#[test]
fn without_an_agent_look_ups_over_tcp_go_on_and_teach_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("a.example.com", &["192.0.2.10"]);
    world.dns().set("b.example.com", &["192.0.2.11"]);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let web = world.pod("shop/web");
    let look = |name| web.dial_once(&Attempt::tcp(name, 443).ipv4().via_tcp(RESOLVER.0));
    assert_eq!(look("a.example.com")?.seen, Seen::Connected);
    let setup = agent.kill()?;
    let outcome = look("b.example.com")?;
    assert_eq!((outcome.seen, outcome.address), (Seen::Refused, Some("192.0.2.11".parse()?)), "{outcome:?}");
    let _agent = setup.start()?;
    assert_eq!(look("b.example.com")?.seen, Seen::Connected);
    Ok(())
}

/// A resolver that reads two queries before it answers, and answers the second one first, in the pieces that `cut` makes.
fn backward_resolver(
    world: &World,
    address: SocketAddr,
    cut: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> Result<()> {
    let listener = world.internet().run(|| TcpListener::bind(address))??;
    thread::spawn(move || -> Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut answers = Vec::new();
            for _ in 0..2 {
                let query = Message::from_vec(&read_message(&mut stream)?)?;
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                answer.metadata = Metadata::response_from_request(&query.metadata);
                let question = query.queries[0].clone();
                let number: u8 =
                    question.name().to_ascii()[1..].split('.').next().context("a label")?.parse()?;
                let address = std::net::Ipv4Addr::new(192, 0, 2, number);
                answer.add_answers([Record::from_rdata(
                    question.name().clone(),
                    60,
                    RData::A(address.into()),
                )]);
                answer.add_query(question);
                answers.push(with_length(&answer.to_vec()?));
            }
            answers.reverse();
            for piece in cut(&answers.concat()) {
                stream.write_all(&piece)?;
                // A segment of its own for each piece.
                thread::sleep(Duration::from_micros(300));
            }
        }
    });
    Ok(())
}

fn with_length(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn query(name: &str) -> Result<Vec<u8>> {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    Ok(with_length(&query.to_vec()?))
}

/// Asks for two names on one connection from inside the pod, and connects to what each answer says as soon as it is read.
fn ask_two(pod: &Pod, resolver: SocketAddr, first: u8, query_pieces: usize) -> Result<Vec<IpAddr>> {
    pod.netns().run(|| -> Result<Vec<IpAddr>> {
        let mut stream = TcpStream::connect(resolver)?;
        stream.set_nodelay(true)?;
        let names = [format!("n{first}.example.com."), format!("n{}.example.com.", first + 1)];
        let queries = [query(&names[0])?, query(&names[1])?].concat();
        for piece in queries.chunks(queries.len().div_ceil(query_pieces)) {
            stream.write_all(piece)?;
            thread::sleep(Duration::from_micros(300));
        }
        let mut reached = Vec::new();
        for _ in 0..2 {
            let answer = Message::from_vec(&read_message(&mut stream)?)?;
            let address = answer.answers[0].data.ip_addr().context("an address")?;
            TcpStream::connect((address, 443)).with_context(|| format!("{address}, just answered"))?;
            reached.push(address);
        }
        Ok(reached)
    })?
}

#[test]
fn messages_are_learned_however_they_are_cut_into_segments_and_pipelined() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    type Cut = fn(&[u8]) -> Vec<Vec<u8>>;
    let cuts: [(&str, Cut); 4] = [
        ("both answers in one segment", |bytes| vec![bytes.to_vec()]),
        ("one byte a segment, the length too", |bytes| bytes.iter().map(|byte| vec![*byte]).collect()),
        ("in the middle of the second length", |bytes| {
            let at = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) + 1;
            vec![bytes[..at].to_vec(), bytes[at..].to_vec()]
        }),
        ("in pieces of seven", |bytes| bytes.chunks(7).map(<[u8]>::to_vec).collect()),
    ];
    let resolver: IpAddr = "192.0.2.55".parse()?;
    let v6: IpAddr = "2001:db8::55".parse()?;
    let mut trusted = Vec::new();
    for (number, (_, cut)) in (0u8..).zip(cuts) {
        for base in [resolver, v6] {
            let address = match base {
                IpAddr::V4(base) => {
                    IpAddr::from(std::net::Ipv4Addr::from_bits(base.to_bits() + u32::from(number)))
                }
                IpAddr::V6(base) => std::net::Ipv6Addr::from_bits(base.to_bits() + u128::from(number)).into(),
            };
            backward_resolver(&world, (address, 53).into(), cut)?;
            trusted.push(address);
        }
    }
    let agent =
        Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.trusting(&trusted).start()?;
    let web = world.pod("shop/web");
    let mut number = 100;
    for (at, address) in trusted.iter().enumerate() {
        for query_pieces in [1, 5, 60] {
            let what = format!("{}, questions in {query_pieces} pieces, {address}", cuts[at / 2].0);
            let reached = ask_two(web, (*address, 53).into(), number, query_pieces).context(what.clone())?;
            let expected = [number + 1, number].map(|last| IpAddr::from([192, 0, 2, last]));
            assert_eq!(reached, expected, "{what}");
            number += 2;
        }
    }
    assert_eq!(counter(&agent, "dns_answers_stray")?, 0);
    assert_eq!(counter(&agent, "map_full_answers")?, 0);
    Ok(())
}

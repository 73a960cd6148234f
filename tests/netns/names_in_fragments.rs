//! Answers over UDP in fragments: learned when the last piece is there, and never by what somebody else put in between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::raw::{Raw, udp_packet};
use egret_tests::world::RESOLVER;
use egret_tests::{Agent, Attempt, Seen, Setup, World, enforced};
use hickory_proto::op::{Message, Metadata};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, Record};

const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]";

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

#[test]
fn an_answer_of_many_fragments_is_learned_whole_before_the_application_gets_it() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let addresses: Vec<String> =
        (1..=200).flat_map(|n| [format!("198.18.1.{n}"), format!("2001:db8:18::1:{n:x}")]).collect();
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let web = world.pod("shop/web");
    for (round, resolver) in [(0u32, IpAddr::from(RESOLVER.0)), (1, RESOLVER.1.into())] {
        for number in 0..10 {
            let name = format!("big{number}-{round}.example.com");
            // The last address in the answer is another one each time: it is in the last fragment.
            let last =
                [format!("203.0.113.{}", 100 + round * 20 + number), format!("2001:db8:3::{round}:{number}")];
            let all: Vec<&str> = addresses.iter().chain(&last).map(String::as_str).collect();
            world.dns().set(&name, &all);
            for attempt in [Attempt::tcp(&name, 443).ipv4(), Attempt::tcp(&name, 443).ipv6()] {
                let outcome = web.dial_once(&attempt.via(resolver))?;
                assert_eq!(outcome.seen, Seen::Connected, "{resolver} {name}: {outcome:?}");
            }
            for address in last {
                assert_eq!(web.connect(&address, 443)?.seen, Seen::Connected, "{resolver} {address}");
            }
        }
    }
    for none in ["dns_answers_unlearned", "dns_answers_stray", "dns_answers_contradictory"] {
        assert_eq!(counter(&agent, none)?, 0, "{none}");
    }
    Ok(())
}

/// The packet in fragments that start at `cuts`, IPv4.
fn fragments(packet: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let (header, body) = packet.split_at(20);
    let ends = cuts.iter().skip(1).copied().chain([body.len()]);
    cuts.iter().zip(ends).map(|(at, end)| fragment(header, &body[*at..end], *at, end < body.len())).collect()
}

fn fragment(header: &[u8], data: &[u8], at: usize, more: bool) -> Vec<u8> {
    let mut fragment = [header, data].concat();
    fragment[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
    // The kernel puts a number of its own in the place of zero.
    fragment[4] = 0x12;
    fragment[6..8].copy_from_slice(&((at / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
    fragment
}

/// An answer to `query`, long enough to be cut, at whose end stands `address`.
fn answer(query: &[u8], address: Ipv4Addr) -> Result<Vec<u8>> {
    let query = Message::from_vec(query)?;
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata = Metadata::response_from_request(&query.metadata);
    let question = query.queries[0].clone();
    let padding = RData::TXT(TXT::new(vec!["x".repeat(200)]));
    answer.add_answers(
        [padding, RData::A(address.into())].map(|data| Record::from_rdata(question.name().clone(), 60, data)),
    );
    answer.add_query(question);
    Ok(answer.to_vec()?)
}

#[test]
fn forged_and_overlapping_fragments_teach_nothing_and_honest_ones_in_any_order_do() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let resolver = SocketAddr::new("192.0.2.55".parse()?, 53);
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[resolver.ip()])
        .start()?;
    let web = world.pod("shop/web");
    let (real, evil) = (Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(203, 0, 113, 66));
    let socket = world.internet().run(|| UdpSocket::bind(resolver))??;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    type Send = fn(real: &[u8], evil: &[u8]) -> Vec<Vec<u8>>;
    let cases: [(&str, Send, bool); 5] = [
        (
            "a forged last one before the real one",
            |real, evil| {
                let (mut all, forged) = (fragments(real, &[0, 64, 128]), fragments(evil, &[0, 64, 128]));
                all.insert(0, forged[2].clone());
                all
            },
            false,
        ),
        (
            "a forged last one instead of the real one",
            |real, evil| {
                let (mut all, forged) = (fragments(real, &[0, 64, 128]), fragments(evil, &[0, 64, 128]));
                all[2] = forged[2].clone();
                all
            },
            false,
        ),
        (
            "one that overlaps the one before",
            |real, evil| {
                let mut all = fragments(real, &[0, 64, 128]);
                all.insert(2, fragments(evil, &[0, 120])[1].clone());
                all
            },
            false,
        ),
        ("in order", |real, _| fragments(real, &[0, 64, 128]), true),
        ("backward", |real, _| fragments(real, &[0, 64, 128]).into_iter().rev().collect(), true),
    ];
    for (number, (what, send, honest)) in (1u8..).zip(cases) {
        let before = counter(&agent, "dns_answers_contradictory")?;
        let (raw, node) = (Raw::open(world.internet())?, socket.try_clone()?);
        let resolver_thread = thread::spawn(move || -> Result<()> {
            let mut query = [0; 512];
            let (length, from) = node.recv_from(&mut query)?;
            let [real, evil] = [real, evil].map(|address| answer(&query[..length], address));
            let (real, evil) = (udp_packet(resolver, from, &real?), udp_packet(resolver, from, &evil?));
            for mut packet in send(&real, &evil) {
                // A number for each case: the workload's kernel remembers half a datagram for long.
                packet[5] = number;
                raw.send(from.ip(), &packet)?;
            }
            Ok(())
        });
        let attempt = Attempt::tcp("a.example.com", 443).ipv4().via(resolver.ip()).within_ms(500);
        let outcome = web.dial_once(&attempt)?;
        resolver_thread.join().map_err(|_| anyhow::anyhow!("the resolver panicked"))??;
        assert_eq!(web.connect(&evil.to_string(), 443)?.seen, Seen::Refused, "{what}");
        if honest {
            assert_eq!((outcome.seen, outcome.address), (Seen::Connected, Some(real.into())), "{what}");
        } else {
            assert_ne!(outcome.seen, Seen::Connected, "{what}: {outcome:?}");
            assert!(counter(&agent, "dns_answers_contradictory")? > before, "{what}: counted");
        }
    }
    Ok(())
}

//! Attacks on what names teach: forged answers, answers to nothing, bombs, floods.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use egret_tests::raw::{Raw, send_udp_as};
use egret_tests::world::RESOLVER;
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced, held};
use hickory_proto::op::{Message, Metadata, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};

const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]";
const REAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const EVIL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

fn query(name: &str) -> Result<Message> {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    Ok(query)
}

/// The answer to `query` by `address`, as `change` makes it.
fn answer(query: &Message, address: Ipv4Addr, change: impl Fn(&mut Message)) -> Result<Vec<u8>> {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata = Metadata::response_from_request(&query.metadata);
    answer.add_query(query.queries[0].clone());
    change(&mut answer);
    let owner = answer.queries.first().map_or_else(Name::root, |question| question.name().clone());
    answer.add_answers([Record::from_rdata(owner, 60, RData::A(address.into()))]);
    Ok(answer.to_vec()?)
}

#[test]
fn an_answer_with_another_id_port_or_question_or_to_nothing_or_twice_teaches_nothing() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let resolver = SocketAddr::new("192.0.2.55".parse()?, 53);
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[resolver.ip()])
        .start()?;
    let web = world.pod("shop/web");
    let bind = |port| world.internet().run(|| UdpSocket::bind((resolver.ip(), port)));
    let (socket, other_port) = (bind(53)??, bind(5353)??);
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    type Change = fn(&mut Message);
    let honest: Change = |_| {};
    type Answers<'a> = &'a [(bool, Ipv4Addr, Change)];
    let cases: [(&str, Answers, u64, bool); 5] = [
        ("another id before", &[(true, EVIL, |m| m.metadata.id ^= 1), (true, REAL, honest)], 1, true),
        ("another port before", &[(false, EVIL, honest), (true, REAL, honest)], 0, true),
        ("a second answer", &[(true, REAL, honest), (true, EVIL, honest)], 1, true),
        (
            "another question",
            &[(true, EVIL, |m| {
                m.queries[0] =
                    Query::query(Name::from_ascii("b.example.com.").expect("a name"), RecordType::A);
            })],
            1,
            false,
        ),
        ("no question", &[(true, EVIL, |m| m.queries.clear())], 1, false),
    ];
    for (what, answers, unasked, resolved) in cases {
        let before = counter(&agent, "dns_answers_unasked")?;
        let query = query("a.example.com.")?;
        let asking = web.netns().run(|| UdpSocket::bind("0.0.0.0:0"))??;
        asking.set_read_timeout(Some(Duration::from_secs(2)))?;
        asking.send_to(&query.to_vec()?, resolver)?;
        let (_, from) = socket.recv_from(&mut [0; 512])?;
        for (same_port, address, change) in answers {
            let bytes = answer(&query, *address, change)?;
            if *same_port { &socket } else { &other_port }.send_to(&bytes, from)?;
            asking.recv_from(&mut [0; 512]).with_context(|| format!("{what}: all answers go on"))?;
        }
        assert_eq!(counter(&agent, "dns_answers_unasked")? - before, unasked, "{what}");
        assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused, "{what}");
        if resolved {
            assert_eq!(web.connect(&REAL.to_string(), 443)?.seen, Seen::Connected, "{what}");
        }
    }
    // And to a port from which nobody asked.
    let unasked = answer(&query("a.example.com.")?, EVIL, honest)?;
    let before = counter(&agent, "dns_answers_unasked")?;
    socket.send_to(&unasked, (web.addresses()[0], 4444))?;
    egret_tests::eventually("it is counted", Duration::from_secs(2), || {
        Ok((counter(&agent, "dns_answers_unasked")? > before).then_some(()))
    })?;
    assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused);
    Ok(())
}

#[test]
fn a_workload_s_own_server_on_port_53_teaches_neither_itself_nor_others() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/thief"])?;
    let (web, thief) = (world.pod("shop/web"), world.pod("shop/thief"));
    let [server, _] = thief.addresses();
    let rules = format!("{RULES}\n- to: [{{cidr: {server}/32}}]");
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", &rules))?
        .policy("thief.yaml", &enforced("shop/thief", &rules))?
        .start()?;
    let socket = thief.netns().run(|| UdpSocket::bind((server, 53)))??;
    thread::spawn(move || -> Result<()> {
        loop {
            let mut bytes = [0; 512];
            let (length, from) = socket.recv_from(&mut bytes)?;
            let query = Message::from_vec(&bytes[..length])?;
            socket.send_to(&answer(&query, EVIL, |_| {})?, from)?;
        }
    });
    for pod in [web, thief] {
        let outcome = pod.dial_once(&Attempt::tcp("a.example.com", 443).ipv4().via(server))?;
        assert_eq!((outcome.seen, outcome.address), (Seen::Refused, Some(EVIL.into())), "{}", pod.id());
    }
    assert_eq!(counter(&agent, "dns_answers_held")?, 0);
    Ok(())
}

#[test]
fn a_neighbour_s_forged_answers_go_nowhere_and_those_from_elsewhere_are_to_no_question() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/thief"])?;
    let (web, thief) = (world.pod("shop/web"), world.pod("shop/thief"));
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let (resolver, victim) = (SocketAddr::new(RESOLVER.0.into(), 53), web.addresses()[0]);
    world.dns().set("a.example.com", &[&REAL.to_string()]);
    let forged = answer(&query("a.example.com.")?, EVIL, |_| {})?;
    let framed = [&(forged.len() as u16).to_be_bytes()[..], &forged].concat();
    // A connection to the resolver, on which the forger tries to speak.
    let mut stream = web.netns().run(|| TcpStream::connect(resolver))??;
    let ask = query("a.example.com.")?.to_vec()?;
    let mut talk = || -> Result<()> {
        stream.write_all(&[&(ask.len() as u16).to_be_bytes()[..], &ask].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        stream.read_exact(&mut vec![0; u16::from_be_bytes(length).into()])?;
        Ok(())
    };
    talk()?;
    let port = {
        let asking = web.netns().run(|| UdpSocket::bind("0.0.0.0:0"))??;
        asking.local_addr()?.port()
    };
    for (netns, word) in [(thief.netns(), "spoofed_source"), (world.internet(), "dns_answers_unasked")] {
        let before = counter(&agent, word)?;
        send_udp_as(netns, resolver, (victim, port).into(), &forged)?;
        egret_tests::eventually(word, Duration::from_secs(2), || {
            Ok((counter(&agent, word)? > before).then_some(()))
        })?;
    }
    let raw = [Raw::open(thief.netns())?, Raw::open(world.internet())?];
    for (raw, word) in raw.iter().zip(["spoofed_source", "dns_answers_stray"]) {
        let before = counter(&agent, word)?;
        for sequence in [1, 0x4000_0000, 0x8000_0000, 0xc000_0000] {
            for ends in [(victim, 40_000).into(), SocketAddr::new(victim, port)] {
                raw.send_segment(resolver, ends, 0x18, [sequence, 7], &framed)?;
            }
        }
        egret_tests::eventually(word, Duration::from_secs(2), || {
            Ok((counter(&agent, word)? >= before + 8).then_some(()))
        })?;
    }
    talk()?;
    assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused);
    assert_eq!(web.connect(&REAL.to_string(), 443)?.seen, Seen::Connected);
    Ok(())
}

/// Asks `resolver` for so many names from inside the pod, and waits for no answer.
fn flood(pod: &Pod, resolver: IpAddr, many: usize) -> Result<()> {
    pod.netns().run(|| -> Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let bytes = query("flood.example.com.")?.to_vec()?;
        for number in 0..many {
            let mut bytes = bytes.clone();
            bytes[..2].copy_from_slice(&(number as u16).to_be_bytes());
            socket.send_to(&bytes, (resolver, 53))?;
            if number % 100 == 99 {
                // The resolver is to keep up: questions without an answer are few.
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    })?
}

const FLOOD: usize = 5_000;

#[test]
fn a_workload_that_floods_the_hold_stops_no_look_up_of_another() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/busy"])?;
    let (web, busy) = (world.pod("shop/web"), world.pod("shop/busy"));
    // Long answers: their records of 1,520 bytes come faster than the bound lets in.
    let many: Vec<_> = (100..130).map(|last| format!("192.0.2.{last}")).collect();
    world.dns().set("flood.example.com", &many.iter().map(String::as_str).collect::<Vec<_>>());
    world.dns().set("a.example.com", &[&REAL.to_string()]);
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", &held(RULES)))?
        .policy("busy.yaml", &enforced("shop/busy", &held(RULES)))?
        .start()?;
    // As slow as an agent can be.
    agent.pause()?;
    let start = Instant::now();
    flood(busy, RESOLVER.0.into(), FLOOD)?;
    let outcome = thread::scope(|scope| {
        let dialing = scope.spawn(|| {
            web.dial_once(&Attempt::tcp("a.example.com", 443).ipv4().via(RESOLVER.0).within_ms(8000))
        });
        thread::sleep(Duration::from_millis(300));
        agent.resume()?;
        dialing.join().map_err(|_| anyhow::anyhow!("dialling panicked"))?
    })?;
    assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    // A quarter of the ring at once, then a MiB a second. A slow machine may not answer more.
    let [over, held] = [counter(&agent, "dns_answers_over_quota")?, counter(&agent, "dns_answers_held")?];
    let let_in = (4 << 20) + (start.elapsed().as_secs_f64() * f64::from(1 << 20)) as u64;
    assert!(over > 0 || held * 1_520 <= let_in, "{held} answers are more than {let_in} bytes");
    assert_eq!(counter(&agent, "map_full_answers")?, 0, "and the hold was never full");
    Ok(())
}

/// `name` in 64 KB: as many A records as fit, or records that point at themselves, or none of the many it tells of.
fn bomb(query: &[u8], kind: u8) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] = 0x81;
    message[6..12].fill(0);
    let (count, record): (u16, &[u8]) = match kind {
        0 => (4000, b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x42"),
        // An owner that is a pointer to itself.
        1 => (1000, b""),
        2 => (10_000, b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c"),
        _ => (u16::MAX, b""),
    };
    message[6..8].copy_from_slice(&count.to_be_bytes());
    if kind == 1 {
        for _ in 0..1000 {
            let here = message.len() as u16;
            message.extend((0xc000 | here & 0x3fff).to_be_bytes());
            message.extend(b"\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x42");
        }
    }
    while !record.is_empty() && message.len() + record.len() <= 65_535 {
        message.extend(record);
    }
    message
}

#[test]
fn answers_made_to_exhaust_are_passed_on_in_good_time_and_what_comes_after_is_learned() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let resolver = SocketAddr::new("192.0.2.55".parse()?, 53);
    world.dns().set("a.example.com", &[&REAL.to_string()]);
    let listener = world.internet().run(|| TcpListener::bind(resolver))??;
    thread::spawn(move || -> Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            while let Ok(query) = read_message(&mut stream) {
                let bomb = bomb(&query, query[1]);
                stream.write_all(&[&(bomb.len() as u16).to_be_bytes()[..], &bomb].concat())?;
            }
        }
    });
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[resolver.ip(), RESOLVER.0.into()])
        .start()?;
    let web = world.pod("shop/web");
    let start = Instant::now();
    web.netns().run(|| -> Result<()> {
        let mut stream = TcpStream::connect(resolver)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        for round in 0..20 {
            for kind in 0..4 {
                let mut query = query("bomb.example.com.")?;
                query.metadata.id = u16::from_be_bytes([round, kind]);
                let query = query.to_vec()?;
                stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat())?;
                let answer = read_message(&mut stream)?;
                assert_eq!(answer, bomb(&query, kind), "it is passed on as it is");
            }
        }
        Ok(())
    })??;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    let outcome = web.dial_once(&Attempt::tcp("a.example.com", 443).ipv4().via(RESOLVER.0))?;
    assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}");
    assert_eq!(web.connect("203.0.113.66", 443)?.seen, Seen::Connected, "what was readable is learned");
    assert!(counter(&agent, "dns_answers_malformed")? >= 20);
    Ok(())
}

fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[test]
fn an_answer_is_passed_on_byte_for_byte_whatever_is_in_it() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let resolver = SocketAddr::new("192.0.2.55".parse()?, 53);
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[resolver.ip()])
        .start()?;
    let web = world.pod("shop/web");
    let socket = world.internet().run(|| UdpSocket::bind(resolver))??;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let asking = web.netns().run(|| UdpSocket::bind("0.0.0.0:0"))??;
    asking.set_read_timeout(Some(Duration::from_secs(2)))?;
    type Change = fn(&mut Message);
    let cases: [(&str, Change, bool); 4] = [
        ("plain", |_| {}, true),
        ("truncated", |m| m.metadata.truncation = true, true),
        (
            "with an OPT record of its own",
            |m| {
                let mut edns = hickory_proto::op::Edns::new();
                edns.set_max_payload(4096).set_dnssec_ok(true);
                m.set_edns(edns);
            },
            true,
        ),
        (
            "a failure with an address in it",
            |m| m.metadata.response_code = hickory_proto::op::ResponseCode::ServFail,
            false,
        ),
    ];
    for (last, (what, change, learned)) in (50u8..).zip(cases) {
        let address = Ipv4Addr::new(192, 0, 2, last);
        let query = query("a.example.com.")?;
        asking.send_to(&query.to_vec()?, resolver)?;
        let (_, from) = socket.recv_from(&mut [0; 512])?;
        let sent = answer(&query, address, change)?;
        socket.send_to(&sent, from)?;
        let mut got = [0; 1024];
        let (length, _) = asking.recv_from(&mut got)?;
        assert_eq!(got[..length], sent, "{what}");
        let expected = if learned { Seen::Connected } else { Seen::Refused };
        assert_eq!(web.connect(&address.to_string(), 443)?.seen, expected, "{what}");
    }
    Ok(())
}

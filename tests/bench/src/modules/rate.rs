//! How many packets on hold are decided in a second: datagrams of one workload, each the first of its flow, some of them
//! on their way at any time.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::rival::{Between, FRESH, REUSED, Rival};
use crate::Effort;
use crate::machine::{Machine, on_one_processor, stay};
use crate::report::{Row, Target, median};

/// Where the server listens: with the ports of origin below more flows than are made while one is remembered.
const PORTS: [u16; 4] = [8081, 8082, 8083, 8084];
/// The first port of origin, and how many there are.
const ORIGINS: (u16, u32) = (20_000, 40_000);
/// Datagrams on their way at one time.
const WINDOW: usize = 64;

const RIVALS: [(&str, Between); 5] = [
    ("", Between::Nothing),
    ("fresh instance", Between::Module { manifest: FRESH, seconds: 0 }),
    ("reused instance", Between::Module { manifest: REUSED, seconds: 0 }),
    ("fresh instance, apart", Between::Module { manifest: FRESH, seconds: 0 }),
    ("reused instance, apart", Between::Module { manifest: REUSED, seconds: 0 }),
];
/// The first of those whose agent has a processor of its own, and what they are to reach.
const APART: usize = 3;
const WANTED: [f64; 2] = [15_000.0, 40_000.0];

struct Client {
    rival: Rival,
    /// Flows made so far.
    made: u32,
    per_second: Vec<f64>,
}

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let rivals = if Machine::here().processors < 2 { &RIVALS[..APART] } else { &RIVALS[..] };
    on_one_processor(|| {
        let meet = |(at, (_, between)): (usize, &(_, Between))| Client::meet(*between, at >= APART);
        let mut clients = rivals.iter().enumerate().map(meet).collect::<Result<Vec<_>>>()?;
        for round in 0..=effort.rounds() {
            for client in &mut clients {
                let per_second = client.send(effort.pick(10_000, 200))?;
                // The first round makes caches warm.
                if round > 0 {
                    client.per_second.push(per_second);
                }
            }
        }
        let of = |at: usize| median(&clients[at].per_second);
        let row = |at: usize| {
            let what = format!("decided, {}", RIVALS[at].0);
            match at.checked_sub(APART) {
                Some(apart) => Row::alone(&what, of(at), "/s").wanted(Target::AtLeast(WANTED[apart])),
                None => Row::ratio(&what, of(at), "/s", "no program, none decided", of(0)),
            }
        };
        Ok((1..rivals.len()).map(row).collect())
    })
}

impl Client {
    fn meet(between: Between, apart: bool) -> Result<Self> {
        let rival = Rival::meet(between, &PORTS)?;
        let rival = if apart { rival.apart()? } else { rival };
        let server = rival.server();
        for port in PORTS {
            let socket = rival.at_server(move || UdpSocket::bind((server, port)))??;
            thread::Builder::new().name("server".to_owned()).spawn(move || echo(&socket))?;
        }
        Ok(Self { rival, made: 0, per_second: Vec::new() })
    }

    /// Sends the first datagram of `flows` flows: how many were decided in a second, or where nobody decides, came back.
    fn send(&mut self, flows: u32) -> Result<f64> {
        let decided = || self.rival.counter("module_decisions");
        let (before, first, server) = (decided()?, self.made, self.rival.server());
        let (back, seconds) = self.rival.at_client(move || send(server, first, flows))??;
        let decided = decided()? - before;
        self.made += flows;
        ensure!(back * 100 >= flows * 99, "of {flows} datagrams {back} were answered");
        if self.rival.agent.is_none() {
            return Ok(f64::from(back) / seconds);
        }
        ensure!(decided * 100 >= u64::from(flows) * 99, "of {flows} datagrams {decided} were decided");
        Ok(decided as f64 / seconds)
    }
}

/// How many were answered, and the seconds of all.
fn send(server: IpAddr, first: u32, flows: u32) -> Result<(u32, f64)> {
    stay()?;
    let mut under_way = VecDeque::with_capacity(WINDOW);
    let (begun, mut back) = (Instant::now(), 0);
    let mut hear = |socket: UdpSocket| back += u32::from(socket.recv(&mut [0; 16]).is_ok());
    for flow in first..first + flows {
        if under_way.len() == WINDOW {
            under_way.pop_front().into_iter().for_each(&mut hear);
        }
        under_way.push_back(open(server, flow)?);
    }
    under_way.into_iter().for_each(&mut hear);
    Ok((back, begun.elapsed().as_secs_f64()))
}

/// A socket that sent its first datagram.
fn open(server: IpAddr, flow: u32) -> Result<UdpSocket> {
    let (origin, round) = (flow % ORIGINS.1, flow / ORIGINS.1);
    let origin = ORIGINS.0 + u16::try_from(origin)?;
    let socket =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, origin)).with_context(|| format!("port {origin}"))?;
    socket.connect(SocketAddr::new(server, PORTS[round as usize % PORTS.len()]))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(b"first")?;
    Ok(socket)
}

/// Sends everything back until the process ends.
fn echo(socket: &UdpSocket) {
    let mut buffer = [0; 16];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        // A client that is gone needs no answer.
        let _ = socket.send_to(&buffer[..length], from);
    }
}

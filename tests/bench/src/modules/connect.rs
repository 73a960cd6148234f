//! Connections between two pods of one node: without any program, with what a module said before, with a first packet on
//! hold until a module has decided, and with one that waits in a queue of netfilter.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::queue::Queue;
use super::rival::{Between, FRESH, REUSED, Rival};
use crate::Effort;
use crate::machine::{on_one_processor, stay};
use crate::report::{Row, Target, median};

const PORT: u16 = 8080;
/// The first port of origin, and how many there are, one after the other: a verdict about one flow is remembered for two
/// seconds, and the kernel's own choice comes back to a port sooner.
const ORIGINS: (u16, u16) = (20_000, 40_000);

const RIVALS: [(&str, Between); 8] = [
    ("", Between::Nothing),
    ("said before", Between::Module { manifest: FRESH, seconds: 600 }),
    ("held, fresh instance", Between::Module { manifest: FRESH, seconds: 0 }),
    ("held, reused instance", Between::Module { manifest: REUSED, seconds: 0 }),
    ("said before, apart", Between::Module { manifest: FRESH, seconds: 600 }),
    ("held, fresh instance, apart", Between::Module { manifest: FRESH, seconds: 0 }),
    ("held, reused instance, apart", Between::Module { manifest: REUSED, seconds: 0 }),
    ("NFQUEUE, C reader", Between::Queue),
];
const NONE: usize = 0;
const SAID: usize = 1;
const HELD: [usize; 2] = [2, 3];
/// Those whose agent has a processor of its own.
const SAID_APART: usize = 4;
const HELD_APART: [usize; 2] = [5, 6];
const QUEUE: usize = 7;
/// Microseconds that a held connection may take longer than one that is decided by what was said.
const WANTED: f64 = 30.0;

/// One that connects, and what came of each round.
struct Client {
    rival: Rival,
    server: SocketAddr,
    /// Connections made so far.
    made: usize,
    half: Vec<f64>,
    worst: Vec<f64>,
    per_second: Vec<f64>,
}

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let missing = Queue::missing();
    if let Some(missing) = &missing {
        anstream::eprintln!("· left out: NFQUEUE, for {missing}");
    }
    let rivals = if missing.is_some() { &RIVALS[..QUEUE] } else { &RIVALS[..] };
    let meet = |(at, (_, between)): (usize, &(_, Between))| {
        Client::meet(*between, (SAID_APART..QUEUE).contains(&at))
    };
    on_one_processor(|| {
        let mut clients = rivals.iter().enumerate().map(meet).collect::<Result<Vec<_>>>()?;
        for round in 0..=effort.rounds() {
            for (client, (_, between)) in clients.iter_mut().zip(rivals) {
                // The first round makes caches warm.
                client.round(effort.pick(2000, 20), *between, round > 0)?;
            }
        }
        Ok(rows(&clients))
    })
}

fn rows(clients: &[Client]) -> Vec<Row> {
    let half = |at: usize| median(&clients[at].half);
    let worst = |at: usize| median(&clients[at].worst);
    let rate = |at: usize| median(&clients[at].per_second);
    let others = 1..clients.len();
    let against_none = |what: &str, unit, of: &dyn Fn(usize) -> f64| -> Vec<Row> {
        let row = |at: usize| {
            Row::ratio(&format!("{what}, {}", RIVALS[at].0), of(at), unit, "no program", of(NONE))
        };
        others.clone().map(row).collect()
    };
    let mut p50 = against_none("p50", "us", &half);
    p50[SAID - 1].target = Some(Target::AtMost(1.05));
    let p99 = against_none("p99", "us", &worst);
    let mut rates = against_none("rate", "/s", &rate);
    rates[SAID - 1].target = Some(Target::AtLeast(0.95));
    for held in HELD {
        rates[held - 1].target = Some(Target::AtLeast(0.75));
    }
    let mut rows = [p50, p99, rates].concat();
    rows.extend([(SAID, HELD), (SAID_APART, HELD_APART)].into_iter().flat_map(|(said, held)| {
        held.map(|at| {
            let longer = half(at) - half(said);
            Row::alone(&format!("over said before, {}", RIVALS[at].0), longer, "us")
                .wanted(Target::AtMost(WANTED))
        })
    }));
    if clients.len() > QUEUE {
        let against_queue = |what: &str, at: usize, of: &dyn Fn(usize) -> f64, most: f64| {
            let name = RIVALS[at].0;
            Row::ratio(&format!("{what}, {name}"), of(at), "us", "the same, NFQUEUE", of(QUEUE))
                .wanted(Target::AtMost(most))
        };
        let added = |at: usize| half(at) - half(NONE);
        rows.extend(HELD.map(|at| against_queue("added p50", at, &added, 0.75)));
        rows.extend(HELD.map(|at| against_queue("p99", at, &worst, 1.0)));
    }
    rows
}

impl Client {
    fn meet(between: Between, apart: bool) -> Result<Self> {
        let rival = Rival::meet(between, &[PORT])?;
        let rival = if apart { rival.apart()? } else { rival };
        let server = SocketAddr::new(rival.server(), PORT);
        let listener = rival.at_server(move || TcpListener::bind(server))??;
        // Room for all of a round: where it is full a SYN is dropped, and comes again after a second.
        rustix::net::listen(&listener, 4096)?;
        thread::Builder::new().name("server".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                drop(stream);
            }
        })?;
        Ok(Self { rival, server, made: 0, half: Vec::new(), worst: Vec::new(), per_second: Vec::new() })
    }

    /// Connects `times` times, and sees that as many packets waited as should.
    fn round(&mut self, times: usize, between: Between, counts: bool) -> Result<()> {
        let before = self.rival.held()?;
        let (mut each, seconds) = self.connect(times)?;
        self.made += times;
        let held = self.rival.held()? - before;
        let right = match between {
            Between::Nothing => held == 0,
            Between::Module { seconds: 0, .. } | Between::Queue => held >= times as u64,
            // Once when nothing was said yet.
            Between::Module { .. } => held <= u64::from(!counts),
        };
        ensure!(right, "{held} packets of {times} connections waited");
        if counts {
            each.sort_by(f64::total_cmp);
            let at = |part: usize| each[(each.len() * part / 100).min(each.len() - 1)];
            self.half.push(at(50));
            self.worst.push(at(99));
            self.per_second.push(times as f64 / seconds);
        }
        Ok(())
    }

    /// The microseconds of each, and the seconds of all.
    fn connect(&self, times: usize) -> Result<(Vec<f64>, f64)> {
        let (server, first) = (self.server, self.made);
        self.rival.at_client(move || {
            stay()?;
            let mut each = Vec::with_capacity(times);
            let begun = Instant::now();
            for number in first..first + times {
                let origin = ORIGINS.0 + u16::try_from(number % usize::from(ORIGINS.1))?;
                let client = socket(AddressFamily::INET, SocketType::STREAM, None)?;
                bind(&client, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, origin)))?;
                let before = Instant::now();
                connect(&client, &server)?;
                each.push(before.elapsed().as_nanos() as f64 / 1000.0);
                // Ends with a reset: a port that waits two minutes for stray packets is soon missed.
                set_socket_linger(&client, Some(Duration::ZERO))?;
            }
            Ok((each, begun.elapsed().as_secs_f64()))
        })?
    }
}

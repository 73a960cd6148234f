//! Look-ups by way of unbound: with nobody in between, with answers that the programs learn, and with answers held until
//! the agent has learned them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use egret_tests::servers::Unbound;
use egret_tests::{Agent, Setup, World, policy};

use crate::Effort;
use crate::machine::{on_one_processor, stay};
use crate::report::{Row, Target, median};

const POD: &str = "bench/client";
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 54);
/// Names that are looked up in turn.
const NAMES: u16 = 200;
/// Look-ups under way at one time, where their rate is measured.
const WINDOW: usize = 16;

/// Patterns that the programs look up themselves, and such that they leave to the agent.
const BY_PROGRAMS: &str = "*.example.com";
const BY_AGENT: &str = "n*.example.com";

struct Rival {
    world: World,
    agent: Option<Agent>,
    _unbound: Unbound,
    microseconds: Vec<f64>,
    per_second: Vec<f64>,
}

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    on_one_processor(|| {
        let mut rivals = [Rival::meet(None)?, Rival::meet(Some(BY_PROGRAMS))?, Rival::meet(Some(BY_AGENT))?];
        for round in 0..=effort.rounds() {
            for rival in &mut rivals {
                let (microseconds, per_second) = rival.look_up(effort.pick(2000, 20))?;
                // The first round makes caches warm.
                if round > 0 {
                    rival.microseconds.push(microseconds);
                    rival.per_second.push(per_second);
                }
            }
        }
        let [none, learned, held] = &rivals;
        learned.went("dns_answers_learned", "dns_answers_held")?;
        held.went("dns_answers_held", "dns_answers_learned")?;
        let row = |what, ours: &[f64], unit, none: &[f64]| {
            Row::ratio(what, median(ours), unit, "nobody in between", median(none))
        };
        Ok(vec![
            row("a look-up, learned", &learned.microseconds, "us", &none.microseconds)
                .wanted(Target::AtMost(1.25)),
            row("rate of look-ups, learned", &learned.per_second, "/s", &none.per_second)
                .wanted(Target::AtLeast(0.75)),
            row("a look-up, held", &held.microseconds, "us", &none.microseconds).wanted(Target::AtMost(1.6)),
            row("rate of look-ups, held", &held.per_second, "/s", &none.per_second)
                .wanted(Target::AtLeast(0.65)),
        ])
    })
}

impl Rival {
    /// With a policy about names like `pattern`, if any.
    fn meet(pattern: Option<&str>) -> Result<Self> {
        let world = World::with_pods(&[POD])?;
        let records: Vec<_> = (0..NAMES)
            .map(|name| format!("n{name}.example.com. 300 IN A 198.51.100.{}", name % 250 + 1))
            .collect();
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let unbound = world.run_unbound(IpAddr::V4(RESOLVER), &records)?;
        let agent = match pattern {
            None => None,
            Some(pattern) => {
                let rules = format!("allow:\n- to: [{{fqdn: '{pattern}'}}]");
                let setup = Setup::new(&world)?.trusting(&[IpAddr::V4(RESOLVER)]);
                let agent =
                    setup.policy("client.yaml", &policy(POD, "Enforce", "internet", &rules))?.start()?;
                agent.wait_for_mode(world.pod(POD), "Enforce")?;
                Some(agent)
            }
        };
        Ok(Self { world, agent, _unbound: unbound, microseconds: Vec::new(), per_second: Vec::new() })
    }

    /// That answers went this way, and hardly any another, is what makes the figures mean something.
    fn went(&self, way: &str, other: &str) -> Result<()> {
        let agent = self.agent.as_ref().map(Agent::status).transpose()?.unwrap_or_default();
        let of = |name: &str| agent["counters"][name].as_u64().unwrap_or_default();
        let others = of(other) + of("dns_answers_unlearned") + of("map_full_answers");
        ensure!(of(way) > 0 && others * 100 < of(way), "{others} answers went another way: {agent}");
        Ok(())
    }

    /// The median of the microseconds of `times` look-ups one after the other, and the rate of as many at the same time.
    fn look_up(&self, times: u16) -> Result<(f64, f64)> {
        self.world.pod(POD).netns().run(move || {
            stay()?;
            let client = Client::new(SocketAddr::from((RESOLVER, 53)))?;
            let mut each = Vec::new();
            for id in 0..times {
                let before = Instant::now();
                client.ask(id)?;
                client.hear()?;
                each.push(before.elapsed().as_nanos() as f64 / 1000.0);
            }
            let begun = Instant::now();
            let mut asked = 0;
            while asked < times.min(WINDOW as u16) {
                client.ask(asked)?;
                asked += 1;
            }
            for _ in 0..times {
                client.hear()?;
                if asked < times {
                    client.ask(asked)?;
                    asked += 1;
                }
            }
            Ok((median(&each), f64::from(times) / begun.elapsed().as_secs_f64()))
        })?
    }
}

/// A stub resolver that does the least.
pub struct Client(UdpSocket);

impl Client {
    /// One that asks `resolver`, in the network namespace of the calling thread.
    pub fn new(resolver: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(resolver)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self(socket))
    }

    /// Asks for an address of a name by its number.
    pub fn ask(&self, number: u16) -> Result<()> {
        self.0.send(&query(number, &format!("n{}.example.com", number % NAMES)))?;
        Ok(())
    }

    /// Waits for an answer that says something.
    pub fn hear(&self) -> Result<()> {
        let mut answer = [0; 1500];
        let length = self.0.recv(&mut answer)?;
        ensure!(length > 12 && answer[3] & 15 == 0 && answer[7] > 0, "no address in an answer");
        Ok(())
    }
}

/// Of type A, class IN, recursion desired.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut query = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

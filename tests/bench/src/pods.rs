//! Connections between two pods of one node: without any program, with Egret, and with nftables.
//!
//! Each rival has a node and pods of its own, so that they can take turns within a second. All run on one processor.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use egret_tests::{Agent, Setup, World, policy};
use rustix::net::sockopt::set_socket_linger;

use crate::Effort;
use crate::machine::{on_one_processor, stay};
use crate::node::{DESTINATIONS, RANGED, destination};
use crate::report::{Row, Target, median};

const PORT: u16 = 8080;
const CLIENT: &str = "bench/client";
const SERVER: &str = "bench/server";
/// Where the pods of a world are.
const PODS: &str = "10.244.0.0/24";

/// What stands between the two pods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Egret,
    NftSet,
    NftLines,
}

const RIVALS: [Between; 4] = [Between::Nothing, Between::Egret, Between::NftSet, Between::NftLines];

struct Rival {
    world: World,
    _agent: Option<Agent>,
    server: SocketAddr,
    per_second: Vec<f64>,
    microseconds: Vec<f64>,
}

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    on_one_processor(|| {
        let mut rivals = RIVALS.map(Rival::meet).into_iter().collect::<Result<Vec<_>>>()?;
        for round in 0..=effort.rounds() {
            for rival in &mut rivals {
                let (per_second, microseconds) = rival.connect(effort.pick(2000, 20))?;
                // The first round makes caches warm.
                if round > 0 {
                    rival.per_second.push(per_second);
                    rival.microseconds.push(microseconds);
                }
            }
        }
        Ok(rows(&rivals))
    })
}

fn rows(rivals: &[Rival]) -> Vec<Row> {
    let rate = |at: usize| median(&rivals[at].per_second);
    let time = |at: usize| median(&rivals[at].microseconds);
    let names =
        ["", "with Egret, 10,000 ranges", "with nft, set of 10,000, conntrack", "with nft, 1,000 rules"];
    let none = "no program";
    let times =
        (1..4).map(|at| Row::ratio(&format!("connect, {}", names[at]), time(at), "us", none, time(0)));
    let rates = (1..4).map(|at| Row::ratio(&format!("rate, {}", names[at]), rate(at), "/s", none, rate(0)));
    let mut rows: Vec<_> = times.chain(rates).collect();
    rows[0].target = Some(Target::AtMost(1.05));
    rows[3].target = Some(Target::AtLeast(0.95));
    rows
}

impl Rival {
    fn meet(between: Between) -> Result<Self> {
        let world = World::with_pods(&[CLIENT, SERVER])?;
        let agent = match between {
            Between::Nothing => None,
            Between::Egret => {
                let setup = Setup::new(&world)?;
                let agent = setup.policy("client.yaml", &allowed())?.start()?;
                agent.wait_for_mode(world.pod(CLIENT), "Enforce")?;
                Some(agent)
            }
            Between::NftSet => nft(&world, &set(world.pod(CLIENT).host_interface())).map(|()| None)?,
            Between::NftLines => nft(&world, &lines(world.pod(CLIENT).host_interface())).map(|()| None)?,
        };
        let [address, _] = world.pod(SERVER).addresses();
        let server = serve(&world, address)?;
        Ok(Self { world, _agent: agent, server, per_second: Vec::new(), microseconds: Vec::new() })
    }

    /// Connects `times` times: connections per second, and the median of the microseconds that each takes.
    fn connect(&self, times: usize) -> Result<(f64, f64)> {
        let server = self.server;
        self.world.pod(CLIENT).netns().run(move || {
            stay()?;
            let mut each = Vec::with_capacity(times);
            let begun = Instant::now();
            for _ in 0..times {
                let before = Instant::now();
                let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
                each.push(before.elapsed().as_nanos() as f64 / 1000.0);
                // Ends with a reset: a port that waits two minutes for stray packets is soon missed.
                set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
            Ok((times as f64 / begun.elapsed().as_secs_f64(), median(&each)))
        })?
    }
}

/// Accepts and closes until the process ends.
fn serve(world: &World, address: IpAddr) -> Result<SocketAddr> {
    let server = SocketAddr::new(address, PORT);
    let listener = world.pod(SERVER).netns().run(move || TcpListener::bind(server))??;
    // Room for all of a round: where it is full a SYN is dropped, and comes again after a second.
    rustix::net::listen(&listener, 4096)?;
    thread::Builder::new().name("server".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
        }
    })?;
    Ok(server)
}

fn ranges(count: u16) -> impl Iterator<Item = String> {
    (0..count).map(|number| {
        let [a, b, c, _] = destination(RANGED, number).octets();
        format!("{a}.{b}.{c}.0/24")
    })
}

fn allowed() -> String {
    let to: Vec<_> =
        ranges(DESTINATIONS - 1).chain([PODS.to_owned()]).map(|range| format!("{{cidr: {range}}}")).collect();
    let rules = format!("allow:\n- to: [{}]\n  ports: [{{protocol: TCP, port: {PORT}}}]", to.join(", "));
    policy(CLIENT, "Enforce", "all", &rules)
}

fn set(client: &str) -> String {
    let elements: Vec<_> = ranges(DESTINATIONS - 1).chain([PODS.to_owned()]).collect();
    format!(
        "table inet bench {{\n set allowed {{ type ipv4_addr; flags interval; elements = {{ {} }} }}\n chain forward {{\n  \
         type filter hook forward priority 0; policy accept;\n  ct state established,related accept\n  \
         iifname \"{client}\" ip daddr @allowed tcp dport {PORT} accept\n  iifname \"{client}\" drop\n }}\n}}\n",
        elements.join(", ")
    )
}

fn lines(client: &str) -> String {
    let rules: String = ranges(999)
        .chain([PODS.to_owned()])
        .map(|range| format!("  ip daddr {range} tcp dport {PORT} accept\n"))
        .collect();
    format!(
        "table inet bench {{\n chain allowed {{\n{rules}  drop\n }}\n chain forward {{\n  \
         type filter hook forward priority 0; policy accept;\n  iifname \"{client}\" jump allowed\n }}\n}}\n"
    )
}

/// Has `nft` read `text` on the node of `world`.
pub fn nft(world: &World, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = world
        .node()
        .command("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .context("cannot run nft; install nftables, or cargo xtask setup")?;
    child.stdin.take().context("stdin of nft")?.write_all(text.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "nft refused its rules");
    Ok(())
}

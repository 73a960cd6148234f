//! Connections of a workload, while the module of another one is asked without a pause and never ends by itself. All
//! processors take part: what hangs takes as much of them as it can get.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use egret_tests::modules::folder;
use egret_tests::{Agent, Pod, Setup, World, policy};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::MODULE;
use crate::Effort;
use crate::report::{Row, median};

/// Who connects, what comes of its first packets, and for how many seconds what its module says counts.
const CLIENTS: [(&str, &str, u32); 2] =
    [("bench/held", "held, fresh instance", 0), ("bench/said", "said before", 600)];
const SERVER: &str = "bench/server";
const HOSTILE: &str = "bench/hostile";
const PORT: u16 = 8080;
/// Where the module of the hostile one hangs.
const HANGS: u16 = 9;
/// How long it waits between two packets.
const PAUSE: Duration = Duration::from_millis(2);
/// The first port of origin, and how many there are.
const ORIGINS: (u16, u16) = (20_000, 40_000);

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let world = World::with_pods(&[CLIENTS[0].0, CLIENTS[1].0, SERVER, HOSTILE])?;
    let agent = agent(&world)?;
    let server = world.pod(SERVER).addresses()[0];
    let listener = world.pod(SERVER).netns().run(|| TcpListener::bind((server, PORT)))??;
    rustix::net::listen(&listener, 4096)?;
    thread::Builder::new().name("server".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
        }
    })?;
    let (mut made, mut rows) = (0, Vec::new());
    for (pod, what, _) in CLIENTS {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for round in 0..=effort.rounds() {
            let times = effort.pick(1000, 20);
            let quiet = round_of(world.pod(pod), server, &mut made, times)?;
            let loud = while_hanging(&world, server, || round_of(world.pod(pod), server, &mut made, times))?;
            if round > 0 {
                alone.push(quiet);
                beside.push(loud);
            }
        }
        for (part, name) in [(50, "p50"), (99, "p99")] {
            let of = |rounds: &[Vec<f64>]| {
                median(
                    &rounds
                        .iter()
                        .map(|each| each[(each.len() * part / 100).min(each.len() - 1)])
                        .collect::<Vec<_>>(),
                )
            };
            rows.push(Row::ratio(&format!("{name}, {what}"), of(&beside), "us", "nobody beside", of(&alone)));
        }
    }
    let faults = agent.status()?["counters"]["module_faults"].as_u64().context("no counter")?;
    ensure!(faults > 0, "the module never hung");
    Ok(rows)
}

fn agent(world: &World) -> Result<Agent> {
    let modules = folder(&world.directory().join("modules"), &[("obedient", MODULE, "")])?;
    let mut setup = Setup::new(world)?.arg(&format!("--modules={}", modules.display()));
    let rivals = CLIENTS.map(|(pod, _, seconds)| (pod, format!("allow: [{PORT}], seconds: {seconds}")));
    let all = rivals.into_iter().chain([(HOSTILE, format!("hang: [{HANGS}]"))]);
    let all: Vec<_> = all.collect();
    for (at, (pod, settings)) in all.iter().enumerate() {
        let rules = format!(
            "default: Deny\nmodules:\n- {{name: obedient, stage: unmatched, settings: {{{settings}}}}}"
        );
        setup = setup.policy(&format!("{at}.yaml"), &policy(pod, "Enforce", "all", &rules))?;
    }
    let agent = setup.start()?;
    all.iter().try_for_each(|(pod, _)| agent.wait_for_mode(world.pod(pod), "Enforce"))?;
    Ok(agent)
}

/// The microseconds of each of some connections, in order.
fn round_of(pod: &Pod, server: IpAddr, made: &mut usize, times: usize) -> Result<Vec<f64>> {
    let first = *made;
    *made += times;
    pod.netns().run(move || -> Result<Vec<f64>> {
        let mut each = Vec::with_capacity(times);
        for number in first..first + times {
            let origin = ORIGINS.0 + u16::try_from(number % usize::from(ORIGINS.1))?;
            let client = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            bind(&client, &SocketAddr::from(([0, 0, 0, 0], origin)))?;
            let before = Instant::now();
            connect(&client, &SocketAddr::new(server, PORT))?;
            each.push(before.elapsed().as_nanos() as f64 / 1000.0);
            set_socket_linger(&client, Some(Duration::ZERO))?;
        }
        each.sort_by(f64::total_cmp);
        Ok(each)
    })?
}

/// What `measure` gives, while the hostile one sends first packets without end.
fn while_hanging<T>(world: &World, server: IpAddr, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            world.pod(HOSTILE).netns().run(|| -> Result<()> {
                while !over.load(Ordering::Relaxed) {
                    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
                    let _ = socket.send_to(b"1", (server, HANGS));
                    thread::sleep(PAUSE);
                }
                Ok(())
            })?
        });
        // Until what it asks for hangs.
        thread::sleep(Duration::from_millis(100));
        let measured = measure();
        over.store(true, Ordering::Relaxed);
        sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        measured
    })
}

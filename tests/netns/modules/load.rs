//! Under load: each flow is decided by what was in force when it began, and none is lost while an agent is away.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use egret_tests::eventually;
use egret_tests::modules::{component, put};

use super::*;

const CONTRARY: &str = "tests/modules/contrary";
const WAIT: Duration = Duration::from_secs(60);
/// Flows a second, on a machine that can.
const RATE: u32 = 10_000;
/// The most flows of one test.
const MOST: usize = 1 << 21;
/// So many flows after a change are looked at.
const LOOKED_AT: u32 = 5_000;

/// Flows of one datagram each, from a port of their own, to some ports by turns, over both families.
struct Load {
    ports: Vec<u16>,
    sent: AtomicU32,
    arrived: Vec<AtomicBool>,
    /// Packets that this machine was too slow for, before the first.
    dropped: u64,
}

/// Packets that no processor had time for, since the machine started.
fn dropped() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/softnet_stat")?;
    let of_one = |line: &str| -> Option<u64> { u64::from_str_radix(line.split(' ').nth(1)?, 16).ok() };
    table.lines().map(|line| of_one(line).context("a column of drops")).sum()
}

impl Load {
    /// Runs `during` while flows are begun without a pause.
    fn on(world: &World, ports: &[u16], during: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let arrived = (0..MOST).map(|_| AtomicBool::new(false)).collect();
        let load = Self { ports: ports.to_vec(), sent: AtomicU32::new(0), arrived, dropped: dropped()? };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for to in load.ports.iter().flat_map(|port| [load.to(*port, false), load.to(*port, true)]) {
                let socket = world.internet().run(|| UdpSocket::bind(to))??;
                rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20)?;
                socket.set_read_timeout(Some(Duration::from_millis(50)))?;
                let (load, over) = (&load, &over);
                scope.spawn(move || load.receive(&socket, over));
            }
            let sending = scope.spawn(|| world.pod(POD).netns().run(|| load.send(&over))?);
            let done = during(&load);
            over.store(true, Ordering::Relaxed);
            sending.join().expect("no panic")?;
            done
        })
    }

    fn to(&self, port: u16, v6: bool) -> SocketAddr {
        let ip: std::net::IpAddr =
            if v6 { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into() } else { [192, 0, 2, 10].into() };
        (ip, port).into()
    }

    fn port_of(&self, number: u32) -> u16 {
        self.ports[number as usize % self.ports.len()]
    }

    fn send(&self, over: &AtomicBool) -> Result<()> {
        let start = Instant::now();
        for number in 0..MOST as u32 {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let v6 = number as usize / self.ports.len() % 2 == 1;
            let any: std::net::IpAddr = if v6 { [0; 16].into() } else { [0; 4].into() };
            UdpSocket::bind((any, 0))?.send_to(&number.to_be_bytes(), self.to(self.port_of(number), v6))?;
            self.sent.store(number + 1, Ordering::Relaxed);
            let due = start + Duration::from_secs(1) * number / RATE;
            if number % 64 == 0 {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        println!("{:.0} flows a second", f64::from(self.sent()) / start.elapsed().as_secs_f64());
        Ok(())
    }

    fn receive(&self, socket: &UdpSocket, over: &AtomicBool) {
        let mut number = [0; 4];
        while !over.load(Ordering::Relaxed) {
            if socket.recv_from(&mut number).is_ok() {
                self.arrived[u32::from_be_bytes(number) as usize].store(true, Ordering::Relaxed);
            }
        }
    }

    fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    fn has_arrived(&self, number: u32) -> bool {
        self.arrived[number as usize].load(Ordering::Relaxed)
    }

    /// Waits until a flow that began from now on has reached `port`.
    fn wait_for(&self, port: u16) -> Result<()> {
        let from = self.sent();
        eventually("a flow", WAIT, || {
            let mut new = (from..self.sent()).filter(|number| self.port_of(*number) == port);
            Ok(new.any(|number| self.has_arrived(number)).then_some(()))
        })
    }

    /// Lets so many flows begin, and tells which they are.
    fn let_begin(&self, many: u32) -> Result<std::ops::Range<u32>> {
        let from = self.sent();
        eventually("flows", WAIT, || Ok((self.sent() >= from + many).then_some(())))?;
        Ok(from..from + many)
    }

    /// Each flow of `range` has reached its port if that is one of `open`, and none has else. A machine that is too slow for
    /// its packets loses some, and counts them.
    fn expect(&self, range: std::ops::Range<u32>, open: &[u16]) -> Result<()> {
        let is_open = |number: &u32| open.contains(&self.port_of(*number));
        let missing = || range.clone().filter(is_open).filter(|number| !self.has_arrived(*number)).count();
        eventually("all that may arrive", WAIT, || {
            Ok((missing() as u64 <= dropped()? - self.dropped).then_some(()))
        })
        .with_context(|| {
            let lost = range.clone().filter(is_open).filter(|number| !self.has_arrived(*number));
            let lost: Vec<_> = lost.map(|number| (number, self.port_of(number))).collect();
            format!(
                "{} of {range:?} are missing, {:?} dropped; the first are {:?}",
                lost.len(),
                dropped(),
                &lost[..lost.len().min(8)]
            )
        })?;
        let wrong = range.filter(|number| !is_open(number)).find(|number| self.has_arrived(*number));
        assert_eq!(wrong.map(|number| self.port_of(number)), None, "open are {open:?}");
        Ok(())
    }
}

#[test]
fn each_flow_is_decided_by_the_policy_and_the_module_of_its_time() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let manifest = "grants: {log: true}\n";
    let agent = start(&world, manifest, &unmatched("allow: [5000], deny: [5001], seconds: 600"))?;
    let modules = world.directory().join("modules");
    let kinds = [component(OBEDIENT)?, component(CONTRARY)?];
    let settings = ["allow: [5000], deny: [5001]", "allow: [5001], deny: [5000]"];
    Load::on(&world, &[5000, 5001], |load| {
        let (mut policy, mut module) = (0, 0);
        for change in 0..6 {
            let open = [5000, 5001][(policy + module) % 2];
            load.wait_for(open)?;
            let looked_at = load.let_begin(LOOKED_AT)?;
            load.expect(looked_at, &[open])?;
            if change % 2 == 0 {
                policy = 1 - policy;
                let rules = unmatched(&format!("{}, seconds: 600", settings[policy]));
                agent.write_policy("web.yaml", &enforced(POD, &rules))?;
            } else {
                module = 1 - module;
                put(&modules, "obedient", &kinds[module], &format!("{manifest}{PATIENT}"))?;
            }
        }
        Ok(())
    })
}

#[test]
fn an_agent_killed_under_load_leaves_what_is_known_open_and_the_next_one_adopts_it() -> Result<()> {
    const BY_RULE: u16 = 6000;
    const KNOWN: u16 = 5000;
    const UNKNOWN: u16 = 5001;
    for (failure, is_unknown_open) in [("deny", false), ("allow", true), ("next", false)] {
        let world = World::with_pods(&[POD])?;
        let rules = format!(
            "{}\nallow:\n- to: [{{cidr: 0.0.0.0/0}}, {{cidr: '::/0'}}]\n  ports: [{{protocol: UDP, port: {BY_RULE}}}]",
            unmatched("allow: [5000, 5001], seconds: 600")
        );
        let agent = start(&world, &format!("failurePolicy: {failure}\n"), &rules)?;
        Load::on(&world, &[BY_RULE, KNOWN], |load| {
            load.wait_for(KNOWN)?;
            let known = load.let_begin(200)?;
            load.expect(known, &[BY_RULE, KNOWN])?;
            // What is on hold is lost with the agent, and what comes later from the same port stands behind it.
            eventually("nothing on hold", WAIT, || {
                let is_over = counter(&agent, "packets_held")? == counter(&agent, "packets_released")?;
                Ok(is_over.then_some(()))
            })?;
            let before = load.sent();
            let setup = agent.kill()?;
            let unknown = world.pod(POD).netns();
            let away = load.let_begin(LOOKED_AT)?;
            let opened = reaches(&world, unknown, UNKNOWN)?;
            assert_eq!(opened, is_unknown_open, "{failure}");
            let agent = setup.start()?;
            let held = counter(&agent, "packets_held")?;
            let back = load.let_begin(LOOKED_AT)?;
            // From before its death to long after the next one's start, nothing that is known was lost.
            load.expect(before..away.end.max(back.end), &[BY_RULE, KNOWN])?;
            assert_eq!(counter(&agent, "packets_held")?, held);
            assert!(reaches(&world, unknown, UNKNOWN)?, "{failure}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Whether a datagram reaches a port of the internet.
fn reaches(world: &World, from: &egret_tests::netns::Netns, port: u16) -> Result<bool> {
    let to = SocketAddr::from(([192, 0, 2, 20], port));
    let server = world.internet().run(|| UdpSocket::bind(to))??;
    server.set_read_timeout(Some(Duration::from_millis(1500)))?;
    from.run(|| -> Result<()> {
        UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"1", to)?;
        Ok(())
    })??;
    Ok(server.recv_from(&mut [0; 8]).is_ok())
}

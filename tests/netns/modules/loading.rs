//! A module takes its time to be compiled; nothing else waits for it.

use std::fs;
use std::time::{Duration, Instant};

use egret_tests::eventually;
use egret_tests::modules::{component, put};
use rustix::process::{Pid, Signal, kill_process};

use super::*;

const WAIT: Duration = Duration::from_secs(60);

/// A compiler that is kept from going on.
struct Stopped(Pid);

impl Stopped {
    /// Waits for the compiler of this agent, and stops it. `None`: it was too quick.
    fn catch(agent: u32) -> Option<Self> {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if let Some(compiler) = compiler_of(agent) {
                let stopped = kill_process(compiler, Signal::STOP).is_ok();
                return stopped.then_some(Self(compiler));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        None
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn compiler_of(agent: u32) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_compiler = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Behind the name, which is in brackets: the state, then the parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2)?.parse::<u32>().ok());
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        parent == Some(agent) && String::from_utf8_lossy(&command).contains("compile-module")
    };
    Pid::from_raw(numbers.find(is_compiler)?)
}

#[test]
fn policies_change_while_a_module_is_compiled() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let modules = world.directory().join("modules");
    fs::create_dir_all(&modules)?;
    let open = |port: u16| {
        let rules = "allow:\n- to: [{cidr: 192.0.2.0/24}]\n  ports: [{protocol: TCP, port: PORT}]";
        enforced(POD, &rules.replace("PORT", &port.to_string()))
    };
    let agent = Setup::new(&world)?
        .policy("web.yaml", &open(80))?
        .arg(&format!("--modules={}", modules.display()))
        .start()?;
    let pod = world.pod(POD);
    world.listen_everywhere(81)?;
    let sees = |port, seen| {
        eventually("the policy", WAIT, || Ok((dial(pod, "192.0.2.10", port)?.seen == seen).then_some(())))
    };
    let good = component(OBEDIENT)?;
    // Each name is another module; one that was compiled before its compiler was seen is followed by the next.
    let caught = (0..20).find_map(|number| {
        let name = format!("obedient-{number}");
        let mut other = good.clone();
        // A custom section without meaning: other bytes, so that nothing is found compiled.
        other.extend([0, 4, 1, b'n', b'0' + (number % 10), b'0' + (number / 10)]);
        put(&modules, &name, &other, PATIENT).ok()?;
        Some((name, Stopped::catch(agent.process())?))
    });
    let (name, stopped) = caught.context("no compiler was seen")?;
    agent.write_policy("web.yaml", &open(81))?;
    sees(81, Seen::Connected)?;
    sees(80, Seen::Refused)?;
    let is_loaded = || agent.log().contains(&format!("module {name} is loaded"));
    assert!(!is_loaded());
    drop(stopped);
    eventually("the module", WAIT, || Ok(is_loaded().then_some(())))
}

//! What a large cluster costs the agent of one node: what it asks of the API server, memory, and what changes cost, with the
//! objects of 5,000 nodes made up and told by HTTP as an API server does.

mod api;
mod cluster;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use egret_tests::netns::Netns;
use serde_json::json;

use crate::Effort;
use crate::report::{Group, Row};
use api::Api;
use cluster::Size;

const NETNS: &str = "egret-scale";
const BPFFS: &str = "/sys/fs/bpf/egret-scale";
/// How long an agent may take to be told everything.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Every policy names places outside: each agent follows the pods of its own node
    Outside,
    /// Some policies name pods and services: each agent follows those of the whole cluster
    Inside,
}

impl Case {
    pub fn measure(self, effort: Effort) -> Result<Group> {
        let size = Size {
            nodes: 5000,
            pods: effort.pick(150_000, 1500),
            policies: effort.pick(10_000, 100),
            namespaces: effort.pick(1000, 10),
            services: effort.pick(5000, 50),
            naming: if self == Self::Inside { 1 } else { 0 },
        };
        let (case, title) = match self {
            Self::Outside => ("outside", "A large cluster, policies that name places outside"),
            Self::Inside => ("inside", "A large cluster, one policy in a hundred names pods or services"),
        };
        Ok(Group { case, title, rows: rows(self, size, effort)? })
    }
}

fn rows(case: Case, size: Size, effort: Effort) -> Result<Vec<Row>> {
    let made = Made::new()?;
    let api = Api::serve(&made.netns, size)?;
    let start = Instant::now();
    let agent = Agent::start(&made, &api)?;
    agent.wait("ready")?;
    let ready = start.elapsed();
    if case == Case::Inside {
        // After ten seconds an agent goes on with what was in force, and is told the rest.
        let deadline = Instant::now() + PATIENCE;
        while api.watches() == 0 {
            if Instant::now() > deadline {
                bail!("it does not watch the pods of the cluster: {}", agent.log());
            }
            sleep(Duration::from_millis(50));
        }
    }
    let told = start.elapsed();
    sleep(effort.pick(Duration::from_secs(10), Duration::from_millis(500)));
    let (requests, bytes) =
        (api.asked.requests.load(Ordering::Relaxed), api.asked.bytes.load(Ordering::Relaxed));
    let (used, memory) = (agent.processor()?, agent.memory()?);
    let mut rows = vec![
        Row::alone("from start to ready", ready.as_secs_f64(), "s"),
        Row::alone("until all is told", told.as_secs_f64(), "s"),
        Row::alone("processor until then", used.as_secs_f64(), "s"),
        Row::alone("requests", requests as f64, ""),
        Row::alone("read from the API server", bytes as f64 / 1e6, "MB"),
        Row::alone("memory (RSS)", memory / 1024.0, "MB"),
    ];
    if case == Case::Inside {
        let (per_second, seconds) = effort.pick((100, 60), (20, 1));
        let begun = Instant::now();
        for number in 1..=per_second * seconds {
            api.change(number)?;
            let due = begun + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(per_second)?;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        let busy = (agent.processor()? - used).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
        rows.push(Row::alone(&format!("{per_second} changes of pods a second, of one processor"), busy, "%"));
        rows.push(Row::alone("memory after these (RSS)", agent.memory()? / 1024.0, "MB"));
    }
    Ok(rows)
}

/// A network for the agent alone, and a place for what it keeps.
struct Made {
    netns: Netns,
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Result<Self> {
        let _ = Command::new("ip").args(["netns", "delete", NETNS]).output();
        let made = Command::new("ip").args(["netns", "add", NETNS]).output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let netns = Netns::named(NETNS);
        egret_tests::netns::ip_batch(Some(&netns), &["link set lo up".to_owned()])?;
        fs::create_dir_all(BPFFS)?;
        Ok(Self { netns, folder: tempfile::tempdir()? })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", NETNS]).output();
        let _ = fs::remove_dir_all(BPFFS);
    }
}

struct Agent {
    process: Child,
    log: std::path::PathBuf,
}

impl Agent {
    fn start(made: &Made, api: &Api) -> Result<Self> {
        let at = |name: &str| made.folder.path().join(name);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", api.address)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        });
        fs::write(at("kubeconfig"), kubeconfig.to_string())?;
        let log = at("log");
        let file = File::create(&log)?;
        let program = std::env::var_os("EGRET_BIN").context("EGRET_BIN: run `cargo xtask bench`")?;
        let mut command = made.netns.command(program);
        command.args(["agent", "--kubernetes", "--node-name", "node-1", "--bpffs", BPFFS, "--kubeconfig"]);
        command.arg(at("kubeconfig")).arg("--state-dir").arg(at("state")).arg("--socket").arg(at("socket"));
        command.stdout(file.try_clone()?).stderr(file);
        Ok(Self { process: command.spawn()?, log })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait(&self, word: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(word) {
            if Instant::now() > deadline {
                bail!("it does not say {word:?}: {}", self.log());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn of(&self, file: &str) -> Result<String> {
        let path = Path::new("/proc").join(self.process.id().to_string()).join(file);
        fs::read_to_string(path).with_context(|| self.log())
    }

    /// Kilobytes.
    fn memory(&self) -> Result<f64> {
        let rollup = self.of("smaps_rollup")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).context("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// In ticks of ten milliseconds: the 14th and 15th fields, counted behind its name.
    fn processor(&self) -> Result<Duration> {
        let stat = self.of("stat")?;
        let fields = stat.rsplit_once(')').context("no name")?.1.split_ascii_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Processes of a cluster: started so that they outlive who started them, found again by a variable of their environment,
//! which what they start inherits (containers do not: their environment is their image's and their pod's).

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Pid;
use serde_json::Value;

use super::{
    component::{Component, Sign},
    place::Cluster,
};
use crate::log::end_of;

/// Its value is the cluster's folder. Who has it is killed in the end, so nobody should come upon the name.
const MARK: &str = "EGRET_XTASK_STARTED_FOR_CLUSTER";

/// For one component to serve, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(200);

/// Every process that the cluster's components are or started.
pub fn all(cluster: &Cluster) -> Vec<Pid> {
    let mark = [MARK.as_bytes(), b"=", cluster.folder().as_os_str().as_encoded_bytes()].concat();
    let marked = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).filter(marked).collect()
}

/// The components that run.
pub fn running(cluster: &Cluster) -> Vec<Component> {
    let programs: Vec<_> =
        all(cluster).iter().filter_map(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok()).collect();
    let runs = |component: &Component| {
        let program = component.program(cluster);
        program.canonicalize().is_ok_and(|program| programs.contains(&program))
    };
    Component::API.into_iter().chain(Component::NODE).filter(runs).collect()
}

/// Starts a component, without waiting for it to serve.
pub fn start(cluster: &Cluster, component: Component) -> Result<()> {
    let log = cluster.log(component.name());
    let file = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new("setsid");
    command.arg("nsenter").arg(entering(cluster)).arg(component.program(cluster));
    command.args(component.arguments(cluster)).current_dir(cluster.folder());
    // Nothing of ours: neither a proxy nor a kubeconfig of the person who tests.
    command.env_clear().env(MARK, cluster.folder()).env("PATH", cluster.programs.search_path());
    if component == Component::Containerd {
        command.env("LD_LIBRARY_PATH", cluster.programs.libraries());
    }
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    command.spawn().context("setsid did not start: install util-linux")?;
    Ok(())
}

/// Waits until a component serves, or has ended.
pub fn wait_for(cluster: &Cluster, component: Component) -> Result<()> {
    let start = Instant::now();
    // It takes a moment to become its program.
    let may_be_missing = Duration::from_secs(3);
    let name = component.name();
    loop {
        let told = component.signs(cluster).iter().try_for_each(|sign| shows(cluster, sign));
        let Err(last) = told else { return Ok(()) };
        let log = end_of(&cluster.log(name));
        if start.elapsed() > may_be_missing && !running(cluster).contains(&component) {
            bail!("{name} has ended. {log}");
        }
        ensure!(
            start.elapsed() < LIMIT,
            "{name} does not serve after {} s ({last:#}). {log}",
            LIMIT.as_secs()
        );
        thread::sleep(PAUSE);
    }
}

/// Tries until it succeeds.
pub fn retry<T>(what: &str, log: &Path, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if start.elapsed() > LIMIT => {
                let told = end_of(log);
                return Err(error.context(format!("{what} failed for {} s. {told}", LIMIT.as_secs())));
            }
            Err(_) => thread::sleep(2 * PAUSE),
            done => return done,
        }
    }
}

fn shows(cluster: &Cluster, sign: &Sign) -> Result<()> {
    match sign {
        Sign::Answers { server, path } => {
            let mut kubectl = command_of_kubectl(cluster);
            kubectl.args(["get", "--raw", path, "--server", server, "--request-timeout=10s"]);
            told(&mut kubectl, None).map(drop)
        }
        Sign::Says { arguments, words } => {
            let said = told(command_of_kubectl(cluster).args(arguments), None)?;
            ensure!(said.contains(words), "it says {said:?}");
            Ok(())
        }
        Sign::Containers => told(ctr(cluster).arg("version"), None).map(drop),
    }
}

/// `kubectl apply`, without a look at schemas, which the two servers have different ones of.
pub fn apply(cluster: &Cluster, object: &Value) -> Result<()> {
    let mut kubectl = command_of_kubectl(cluster);
    kubectl.args(["apply", "--validate=false", "--filename=-"]);
    told(&mut kubectl, Some(&object.to_string())).map(drop)
}

/// `kubectl ARGUMENTS`; what it says.
pub fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    told(command_of_kubectl(cluster).args(arguments), None)
}

/// kubectl as the administrator, within the cluster's network.
pub fn command_of_kubectl(cluster: &Cluster) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(entering(cluster)).arg(cluster.programs.kubectl());
    command.arg("--kubeconfig").arg(cluster.kubeconfig());
    command
}

/// containerd's own client, for the containers of Kubernetes.
pub fn ctr(cluster: &Cluster) -> Command {
    let mut command = Command::new(cluster.programs.ctr());
    command.arg("--address").arg(cluster.socket()).args(["--namespace", "k8s.io"]);
    command
}

/// Not `ip netns exec`, which mounts /sys anew and so hides cgroups.
pub fn entering(cluster: &Cluster) -> OsString {
    let mut option = OsString::from("--net=");
    option.push(cluster.netns());
    option
}

/// Runs it to its end; what it says.
pub fn told(command: &mut Command, input: Option<&str>) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("{program} did not start"))?;
    // Dropped when it is written, which tells the reader that it is all. Who ends early reads none of it.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.unwrap_or_default().as_bytes()));
    let output = child.wait_with_output()?;
    let (status, told) = (output.status, String::from_utf8_lossy(&output.stderr));
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    ensure!(status.success(), "`{program} {}` failed ({status}): {}", arguments.join(" "), told.trim());
    written.transpose().with_context(|| format!("{program} did not read what it was given"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! The CNI plugin: a runtime starts it for each pod, behind the plugins that make the pod's network.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use egret_cni::request::{self, Network};
use egret_cni::{Answer, LONGEST, Start};
use serde_json::json;

/// Bytes of a network's configuration and of what was made of it.
const NETWORK: u64 = 1 << 20;
/// How long an agent may take to come back: one that is replaced takes two seconds.
const AWAY: Duration = Duration::from_secs(10);
/// How long it may take to answer: it waits for the API server itself.
const ANSWERED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Codes of the specification.
const BAD_ENVIRONMENT: u32 = 4;
const BAD_NETWORK: u32 = 7;
const TRY_LATER: u32 = 11;

/// Why a pod does not start: a code, and words for whoever reads the pod's events.
type Refusal = (u32, String);

fn main() -> ExitCode {
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    match command.as_str() {
        "ADD" => added(add()),
        // What is gone the agent notices by itself.
        "DEL" | "CHECK" | "GC" | "STATUS" => ExitCode::SUCCESS,
        "VERSION" => {
            let versions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
            said(&json!({"cniVersion": "1.1.0", "supportedVersions": versions}))
        }
        _ => {
            eprintln!(
                "egret-cni is a CNI plugin: the container runtime of a node starts it, with CNI_COMMAND set. The agent puts it \
                 into the node's network; see `egret agent --help`."
            );
            ExitCode::from(2)
        }
    }
}

fn added(result: Result<serde_json::Value, Refusal>) -> ExitCode {
    match result {
        Ok(made) => said(&made),
        Err((code, words)) => {
            said(&json!({"cniVersion": "1.0.0", "code": code, "msg": words}));
            ExitCode::FAILURE
        }
    }
}

fn said(value: &serde_json::Value) -> ExitCode {
    match writeln!(io::stdout(), "{value}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Waits until the pod may start; what the plugins before made of its network.
fn add() -> Result<serde_json::Value, Refusal> {
    let mut text = String::new();
    let read = io::stdin().take(NETWORK).read_to_string(&mut text);
    read.map_err(|error| (BAD_NETWORK, format!("the network's configuration cannot be read: {error}")))?;
    let network: Network = serde_json::from_str(&text)
        .map_err(|error| (BAD_NETWORK, format!("the network's configuration is wrong: {error}")))?;
    let made = network.made.ok_or_else(|| {
        let words = "egret-cni makes no network: in the list of plugins it comes after one that does";
        (BAD_NETWORK, words.to_owned())
    })?;
    let pod =
        request::start(|key| std::env::var(key).ok(), &made).map_err(|words| (BAD_ENVIRONMENT, words))?;
    let Some(pod) = pod else { return Ok(made) };
    let settings = network.settings;
    match connect(&settings.socket) {
        Ok(stream) => ask(stream, &pod)?,
        Err(_) if settings.exempt_namespaces.contains(&pod.namespace) => {}
        Err(error) => {
            let (socket, seconds) = (settings.socket.display(), AWAY.as_secs());
            let words = format!(
                "Egret's agent does not answer at {socket} for {seconds} s ({error}), and no pod starts before its policies \
                 are in force: look at the agent of this node with `kubectl get pods -A -l app.kubernetes.io/name=egret -o wide`"
            );
            return Err((TRY_LATER, words));
        }
    }
    Ok(made)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(_) if start.elapsed() < AWAY => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

fn ask(stream: UnixStream, pod: &Start) -> Result<(), Refusal> {
    let answer = converse(stream, pod).map_err(|error| {
        (TRY_LATER, format!("Egret's agent gave no answer for this pod: {error}; it is tried again"))
    })?;
    match answer {
        Answer::Start => Ok(()),
        Answer::Wait(reason) => Err((TRY_LATER, format!("Egret: {reason}"))),
    }
}

fn converse(mut stream: UnixStream, pod: &Start) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWERED))?;
    stream.set_write_timeout(Some(ANSWERED))?;
    let mut line = serde_json::to_string(pod)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST as u64)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

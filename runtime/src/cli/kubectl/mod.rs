//! `kubectl egret`: asks the agent of the node that a pod is on, from wherever `kubectl` reaches the cluster.
//!
//! [`find`] is what of the API server's answers counts, pure. Everything is asked by way of `kubectl` itself, so that whatever
//! it knows of clusters, contexts and credentials counts here.

mod find;

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::Command;

use owo_colors::OwoColorize;
use serde_json::Value;

use super::Exit;
use super::exit::Failure;
use super::output::print;
use find::{Agent, Found};

/// What a program of this name is: a plugin of `kubectl`.
pub(super) const PLUGIN: &str = "kubectl-egret";
/// What the chart calls every agent.
const AGENTS: &str = "app.kubernetes.io/name=egret";

const EXAMPLE: &str = "\
POD is the name of a pod, or KIND/NAME of what has pods, as in deploy/update: then one of these that runs is meant. What comes
after it goes to the command of the same name on the agent of its node; `egret COMMAND --help` says what there is. Without POD
the agents of all nodes are asked, one after the other.

As a plugin of kubectl it is a link to this program:
  ln -s \"$(command -v egret)\" /usr/local/bin/kubectl-egret

Example:
  egret kubectl explain -n updates deploy/update github.com:443
  kubectl egret explain -n updates deploy/update github.com:443
  kubectl egret flows -n payment deploy/payment --denied
  kubectl egret names -n updates update-5d4f
  kubectl egret status
  kubectl egret workloads --node worker-1";

/// Ask the agents of a cluster, by way of kubectl
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The namespace of POD [default: that of kubectl's context]
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// Only the agent of this node
    #[arg(long, global = true, value_name = "NAME")]
    node: Option<String>,
    #[command(subcommand)]
    question: Question,
}

#[derive(clap::Subcommand)]
enum Question {
    /// Say whether a pod may reach a destination, and which rule decides
    #[command(after_help = "Example:\n  egret kubectl explain -n updates deploy/update github.com:443")]
    Explain {
        /// Who
        pod: String,
        /// Where to, and what else `egret explain` takes
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// List where pods went, and what became of it
    #[command(after_help = "Example:\n  egret kubectl flows -n payment deploy/payment --denied")]
    Flows(OfPod),
    /// List the names that pods looked up
    #[command(after_help = "Example:\n  egret kubectl names -n updates deploy/update")]
    Names(OfPod),
    /// Say what the agents are and whether all is well
    #[command(after_help = "Example:\n  egret kubectl status")]
    Status(OfNode),
    /// List the pods of each node, and which are covered
    #[command(after_help = "Example:\n  egret kubectl workloads --node worker-1")]
    Workloads(OfNode),
    /// List the policies that are in force on each node
    #[command(after_help = "Example:\n  egret kubectl policies --node worker-1")]
    Policies(OfNode),
}

#[derive(clap::Args)]
struct OfPod {
    /// Of which
    #[arg(allow_hyphen_values = true)]
    pod: Option<String>,
    /// What else the command takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(clap::Args)]
struct OfNode {
    /// What the command takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Where one agent alone is asked, this becomes kubectl, and does not come back.
pub(super) fn run(mut args: Args) -> Result<Exit, Failure> {
    let (verb, pod, flag, mut words) = match &args.question {
        Question::Explain { pod, words } => ("explain", Some(pod.clone()), None, words.clone()),
        Question::Flows(OfPod { pod, words }) => ("flows", pod.clone(), Some("--workload"), words.clone()),
        Question::Names(OfPod { pod, words }) => ("names", pod.clone(), None, words.clone()),
        Question::Status(OfNode { words }) => ("status", None, None, words.clone()),
        Question::Workloads(OfNode { words }) => ("workloads", None, None, words.clone()),
        Question::Policies(OfNode { words }) => ("policies", None, None, words.clone()),
    };
    // A flag in the place of a pod is one for the command.
    let (pod, first) = match pod {
        Some(flag) if flag.starts_with('-') => (None, Some(flag)),
        pod => (pod, None),
    };
    words.splice(0..0, first);
    for (names, into) in [
        (["-n", "--namespace"], &mut args.namespace),
        (["--context", "--context"], &mut args.context),
        (["--node", "--node"], &mut args.node),
    ] {
        find::take(&mut words, names, into);
    }
    let mut question = vec![verb.to_owned()];
    let mut node = args.node.clone();
    if let Some(pod) = &pod {
        let found = args.find(pod)?;
        question.extend(flag.map(str::to_owned));
        question.push(format!("{}/{}", found.namespace, found.name));
        node = Some(found.node);
    }
    question.extend(words);
    let agents = args.agents(node.as_deref())?;
    if let [agent] = &agents[..] {
        return Err(no_kubectl(&args.exec(agent, &question).exec()));
    }
    let mut worst = Exit::Done;
    for agent in &agents {
        print(&format!("{}\n", format!("== {}", agent.node).bold()))?;
        let ended = args.exec(agent, &question).status().map_err(|error| no_kubectl(&error))?;
        if !ended.success() {
            worst = Exit::Failed;
        }
    }
    Ok(worst)
}

impl Args {
    /// The pod that is meant, and its node.
    fn find(&self, pod: &str) -> Result<Found, Failure> {
        let mut named = self.kubectl();
        named.args(["get", "-o", "json"]);
        named.args(self.namespace.iter().flat_map(|namespace| ["-n", namespace]));
        let object = match pod.split_once('/') {
            Some(_) => asked(named.arg(pod))?,
            None => asked(named.args(["pod", pod]))?,
        };
        let Some(selector) = find::selector(&object) else {
            return find::pod(&object).ok_or_else(|| nothing(format!("{pod} is on no node yet")));
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let mut selected = self.kubectl();
        selected.args(["get", "pods", "-o", "json", "-n", namespace, "-l", &selector]);
        let pods = asked(&mut selected)?;
        let none = || nothing(format!("{pod} in namespace {namespace} has no pod that runs"));
        find::running(&pods).ok_or_else(none)
    }

    /// The agents that run, on one node or on all.
    fn agents(&self, node: Option<&str>) -> Result<Vec<Agent>, Failure> {
        let mut listed = self.kubectl();
        listed.args(["get", "pods", "-A", "-l", AGENTS, "-o", "json"]);
        if let Some(node) = node {
            listed.arg(format!("--field-selector=spec.nodeName={node}"));
        }
        let agents = find::agents(&asked(&mut listed)?);
        if agents.is_empty() {
            let place =
                node.map_or_else(|| "in this cluster".to_owned(), |node| format!("on the node {node}"));
            let fix = format!("see `kubectl get pods -A -l {AGENTS} -o wide`");
            return Err(Failure::with_fix(Exit::Unreachable, format!("no agent runs {place}"), fix));
        }
        Ok(agents)
    }

    /// The command of the agent's own program, in its pod.
    fn exec(&self, agent: &Agent, question: &[String]) -> Command {
        let mut command = self.kubectl();
        command.args(["exec", "-n", &agent.namespace, &agent.name, "-c", "agent"]);
        // With its colours.
        command.args(std::io::stdout().is_terminal().then_some("-t"));
        command.args(["--", "egret"]).args(question);
        command
    }

    fn kubectl(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.args(self.context.iter().map(|name| format!("--context={name}")));
        command.args(self.kubeconfig.iter().map(|file| format!("--kubeconfig={file}")));
        command
    }
}

/// What kubectl prints, as JSON.
fn asked(command: &mut Command) -> Result<Value, Failure> {
    let output = command.output().map_err(|error| no_kubectl(&error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(Exit::Failed, format!("kubectl: {}", said.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(Exit::Failed, format!("kubectl answered what is no JSON: {error}")))
}

fn no_kubectl(error: &std::io::Error) -> Failure {
    Failure::with_fix(
        Exit::Unreachable,
        format!("kubectl does not start: {error}"),
        "install it, or put it on PATH",
    )
}

fn nothing(error: String) -> Failure {
    Failure::new(Exit::Failed, error)
}

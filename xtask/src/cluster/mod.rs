//! `cargo xtask cluster`: a real Kubernetes of one node, in a network namespace of its own, without a container engine.
//!
//! [`place`] says where everything is, [`component`] which programs run with what arguments, [`config`], [`kubeconfig`] and
//! [`object`] what they read: all without I/O. [`up`] and [`down`] carry it out by [`process`], [`network`], [`cgroup`],
//! [`pki`] and [`host`]. [`images`] makes those that every cluster has. The programs come from
//! `cargo xtask setup --cluster`, which runs `tests/cluster/programs`.
//!
//! Kubernetes itself is 1.20, the newest whose servers Debian has the source of; custom resources are served by those of
//! 1.36 behind the same address, so that rules in CEL and server-side apply are today's.

mod bench;
mod cgroup;
mod component;
mod config;
mod down;
mod host;
mod images;
mod install;
mod kubeconfig;
mod network;
mod object;
mod pki;
mod place;
mod process;
mod up;

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use egret_ebpf_build::tools_dir;
use serde_json::{Value, json};

pub use install::image;
pub use place::Programs;

use crate::{cargo, require_root, setup, test};
use component::Component;
use place::Cluster;

const DEFAULT: &str = "egret";

const EXAMPLES: &str = "\
Examples:
  cargo xtask cluster up
  cargo xtask cluster kubectl run shell --image=egret.test/busybox:1 -- sleep 1000
  cargo xtask cluster kubectl exec -it shell -- sh
  cargo xtask cluster kubectl apply --validate=false -f crd.yaml
  cargo xtask cluster group egret.dev v1alpha1
  cargo xtask cluster load image.tar
  cargo xtask cluster install --values '{\"cni\": {\"enabled\": false}}'
  cargo xtask cluster uninstall
  cargo xtask cluster demo
  cargo xtask cluster bench --only edits
  cargo xtask cluster status -o json
  cargo xtask cluster down

  cargo xtask cluster --name two up --api-only

The node is 10.9.9.1 in the network namespace NAME-k8s; the other end of its eth0 is `world` in the same namespace, to be \
moved where a test wants the world to be. Pods are in 10.244.0.0/24, their namespaces /run/netns/cni-*. They ask 10.96.0.10 \
for names, which is port 53 of the node: nobody answers there unless a test does.";

/// What to do with which cluster.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Which cluster; two of different names can run.
    #[arg(long, global = true, default_value = DEFAULT, value_parser = place::name)]
    name: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Bring it up, and say how to use it; what runs already is left alone.
    Up {
        /// Only etcd and the API servers: without a node, no pod runs.
        #[arg(long)]
        api_only: bool,
    },
    /// Take it down, after a crash too; nothing of it is left.
    Down,
    /// Run kubectl as its administrator, in its network.
    Kubectl {
        /// What kubectl is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say whether it runs, and where it is.
    Status {
        /// How to say it.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Make the images of an OCI archive known to its node; pods name them with `imagePullPolicy: Never`.
    Load {
        /// As `cargo xtask` and others write it.
        archive: PathBuf,
    },
    /// Install Egret in it as its users do: the image loaded, the chart applied by Helm. What is installed is replaced.
    Install {
        /// What `cargo xtask image` wrote; it is made where none is given.
        #[arg(long, value_name = "FILE")]
        image: Option<PathBuf>,
        /// Values of the chart, as JSON, over what this cluster needs.
        #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
        values: Value,
    },
    /// Take Egret out of it.
    Uninstall,
    /// Three Deployments, their policies, and what their containers may reach, with Egret installed for it. The cluster is
    /// brought up, and taken down.
    Demo {
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
        /// Leave everything running, to look at it.
        #[arg(long)]
        keep: bool,
    },
    /// How long edits of policies take, and starts of pods, with Egret installed. The cluster is brought up, and taken down.
    Bench {
        /// Options of `egret-bench kubernetes`, as `--only edits --output json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// Have it serve custom resources of this group and version, once their definition is there. Waits until it does.
    Group {
        /// For example egret.dev
        group: String,
        /// For example v1alpha1
        version: String,
    },
}

/// An object of JSON.
fn object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("it is no object, as in {\"cni\": {\"enabled\": false}}".into())
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Does not come back from kubectl where it starts: the exit code is its own.
pub fn task(options: &Options) -> Result<ExitCode> {
    let tools = tools_dir().context("neither EGRET_TOOLS nor HOME is set, so there is no place for tools")?;
    let programs = Programs::below(&std::path::absolute(tools)?);
    let cluster = Cluster { name: options.name.clone(), programs };
    require_root("cluster")?;
    match &options.verb {
        Verb::Up { api_only } => {
            setup::prepare(setup::Need::Cluster)?;
            let _alone = alone(&cluster)?;
            up::up(&cluster, *api_only).with_context(|| {
                let again = format!("cargo xtask cluster --name {} down", cluster.name);
                format!(
                    "the cluster did not come up. What runs of it stays, to be looked at: `{again}` ends it"
                )
            })?;
        }
        Verb::Down => {
            let _alone = alone(&cluster)?;
            down::down(&cluster)?;
        }
        Verb::Status { output } => print!("{}", text(&status(&cluster), *output)),
        Verb::Kubectl { arguments } => {
            must_run(&cluster, Component::ApiServer)?;
            let error = process::command_of_kubectl(&cluster).args(arguments).exec();
            return Err(error).context("nsenter did not start: install util-linux");
        }
        Verb::Load { archive } => {
            must_run(&cluster, Component::Containerd)?;
            print!("{}", process::told(&mut up::load(&cluster, archive), None)?);
        }
        Verb::Install { image, values } => {
            must_run(&cluster, Component::Kubelet)?;
            let archive = image.clone().map_or_else(install::image, Ok)?;
            install::install(&cluster, &archive, values.clone())?;
        }
        Verb::Uninstall => {
            must_run(&cluster, Component::Kubelet)?;
            install::uninstall(&cluster)?;
        }
        Verb::Demo { json, keep } => return demo(&cluster, *json, *keep),
        Verb::Bench { options } => return bench::bench(&cluster, options),
        Verb::Group { group, version } => {
            must_run(&cluster, Component::CrdServer)?;
            up::group(&cluster, group, version)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings the cluster up, installs Egret, and has the show play. What was up before stays up.
fn demo(cluster: &Cluster, json: bool, keep: bool) -> Result<ExitCode> {
    setup::prepare(setup::Need::Cluster)?;
    let built = cargo().args(["build", "--quiet", "--bins", "--workspace"]).status()?;
    ensure!(built.success(), "the demo did not build");
    let archive = install::image()?;
    let played = while_up(cluster, || {
        install::install(cluster, &archive, json!({}))?;
        let mut show = Command::new(test::built("egret-cluster-demo")?);
        show.env("EGRET_CLUSTER", status(cluster).to_string()).env("EGRET_XTASK", test::built("xtask")?);
        show.args(json.then_some("--json")).args(keep.then_some("--keep"));
        let played = show.status().context("egret-cluster-demo did not start")?;
        install::uninstall(cluster)?;
        Ok(played)
    })?;
    Ok(if played.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does something with a cluster, which is brought up for it where it is not, and then taken down in any case.
fn while_up<T>(cluster: &Cluster, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let was_up = process::running(cluster).contains(&Component::Kubelet);
    let _alone = alone(cluster)?;
    let done = up::up(cluster, false).and_then(|()| work());
    let ended = if was_up { Ok(()) } else { down::down(cluster) };
    let done = done?;
    ended.map(|()| done)
}

/// Does something with a cluster called `name`, which is brought up for it and taken down in any case. `work` is given what
/// `status -o json` prints.
pub fn with<T>(name: &str, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    setup::prepare(setup::Need::Cluster)?;
    let tools = tools_dir().context("neither EGRET_TOOLS nor HOME is set, so there is no place for tools")?;
    let cluster = Cluster { name: name.to_owned(), programs: Programs::below(&std::path::absolute(tools)?) };
    let _alone = alone(&cluster)?;
    let done = up::up(&cluster, false).and_then(|()| work(&status(&cluster).to_string()));
    let ended = down::down(&cluster);
    let done = done?;
    ended.map(|()| done)
}

/// Nobody else brings a cluster up or takes one down meanwhile.
fn alone(cluster: &Cluster) -> Result<File> {
    let folder = cluster.programs.clusters();
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let file = File::open(&folder)?;
    file.lock().with_context(|| format!("{} cannot be locked", folder.display()))?;
    Ok(file)
}

fn must_run(cluster: &Cluster, component: Component) -> Result<()> {
    ensure!(
        process::running(cluster).contains(&component),
        "the cluster {name} does not run {}: run `cargo xtask cluster --name {name} up`",
        component.name(),
        name = cluster.name
    );
    Ok(())
}

fn status(cluster: &Cluster) -> Value {
    let running = process::running(cluster);
    let all = |components: &[Component]| components.iter().all(|component| running.contains(component));
    json!({
        "name": cluster.name,
        "running": all(&Component::API),
        "kubeconfig": cluster.kubeconfig(),
        "netns": cluster.scope(),
        "containerd": cluster.socket(),
        "node": all(&Component::NODE).then(|| cluster.node()),
        "components": running.iter().map(|component| component.name()).collect::<Vec<_>>(),
    })
}

fn text(status: &Value, output: Output) -> String {
    if matches!(output, Output::Json) {
        return format!("{status:#}\n");
    }
    let line = |(key, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key:<12}{value}\n")
    };
    status.as_object().into_iter().flatten().map(line).collect()
}

//! The cluster: what its API server is told, and its pods.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use egret_tests::dial::{Attempt, Outcome, Seen, dial_from};
use egret_tests::eventually;
use egret_tests::netns::Netns;
use serde_json::{Value, json};

/// What `cargo xtask cluster status -o json` printed; who runs these tests sets it.
const STATUS: &str = "EGRET_CLUSTER";
const GROUP: [&str; 2] = ["egret.dev", "v1alpha1"];
/// The service that resolves names.
const RESOLVER: [u8; 4] = [10, 96, 0, 10];
const IMAGE: &str = "egret.test/busybox:1";
/// How long a pod may take to run, or to be gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what was just said may take to be in force.
const SOON: Duration = Duration::from_secs(15);

/// A Kubernetes of one node. What a test made in it, the next one finds gone: namespaces are deleted in the end.
pub struct Cluster {
    /// What it is called.
    pub name: String,
    /// The kubeconfig of its administrator.
    pub kubeconfig: PathBuf,
    /// The network namespace of its node.
    pub node: Netns,
    /// The node, as Kubernetes calls it.
    pub node_name: String,
    namespaces: Vec<String>,
}

/// A pod that runs.
pub struct Pod {
    /// Its namespace and name.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Its network namespace.
    pub netns: Netns,
}

impl Cluster {
    /// The one that runs, with Egret's definitions in it and these namespaces.
    ///
    /// # Errors
    /// None runs.
    pub fn with_namespaces(namespaces: &[&str]) -> Result<Self> {
        let status = std::env::var(STATUS).with_context(|| {
            format!("no cluster: run these tests with `cargo xtask test --cluster`, which sets {STATUS}")
        })?;
        let status: Value = serde_json::from_str(&status).context(STATUS)?;
        let text =
            |key: &str| status[key].as_str().map(str::to_owned).with_context(|| format!("{STATUS}: {key}"));
        let cluster = Self {
            name: text("name")?,
            kubeconfig: text("kubeconfig")?.into(),
            node: Netns::named(text("netns")?),
            node_name: text("node")?,
            namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        };
        cluster.define()?;
        for name in namespaces {
            // That of an earlier test may still be going.
            eventually("the namespace cannot be made", PATIENCE, || {
                match cluster.kubectl(&["create", "namespace", name]) {
                    Err(error) if error.to_string().contains("being deleted") => Ok(None),
                    done => done.map(Some),
                }
            })?;
            eventually("the namespace has no service account", PATIENCE, || {
                Ok(cluster.kubectl(&["get", "serviceaccount", "default", "-n", name]).ok())
            })?;
        }
        Ok(cluster)
    }

    /// Applies Egret's definitions.
    ///
    /// # Errors
    /// The API server refuses them.
    pub fn define(&self) -> Result<()> {
        // The old half of the API server does not know rules in CEL; the new one, which keeps definitions, does.
        self.kubectl(&["apply", "--validate=false", "-f", &deploy("crds")])?;
        let xtask = std::env::var("EGRET_XTASK")
            .context("EGRET_XTASK: run these with `cargo xtask test --cluster`")?;
        let mut command = Command::new(xtask);
        command.args(["cluster", "--name", &self.name, "group"]).args(GROUP);
        done(command.output()?, "the group cannot be added")?;
        eventually("policies are not known to the API server", PATIENCE, || {
            Ok(self.kubectl(&["get", "egresspolicies,clusteregresspolicies,egressnodestatuses", "-A"]).ok())
        })?;
        Ok(())
    }

    /// Applies a definition of somebody else, of this group and version.
    ///
    /// # Errors
    /// The API server refuses it.
    pub fn define_other(&self, text: &str, group: [&str; 2], plural: &str) -> Result<()> {
        self.fed(&["apply", "--validate=false", "-f", "-"], text)?;
        let xtask = std::env::var("EGRET_XTASK").context("EGRET_XTASK")?;
        let mut command = Command::new(xtask);
        command.args(["cluster", "--name", &self.name, "group"]).args(group);
        done(command.output()?, "the group cannot be added")?;
        eventually("the kind is not known to the API server", PATIENCE, || {
            Ok(self.kubectl(&["get", plural, "-A"]).ok().map(drop))
        })
    }

    /// Gives a service account what the plain manifest gives to agents.
    ///
    /// # Errors
    /// What `kubectl` says.
    pub fn give_rights(&self) -> Result<()> {
        self.apply(&rights()?).map(drop)
    }

    /// Takes away what [`Self::give_rights`] gave.
    ///
    /// # Errors
    /// What `kubectl` says.
    pub fn take_rights(&self) -> Result<()> {
        self.fed(&["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"], &rights()?).map(drop)
    }

    /// A kubeconfig with the rights that `deploy/egret.yaml` gives to agents. `server`: where the API server is for them, if
    /// not where it is.
    ///
    /// # Errors
    /// The service account has no token.
    pub fn kubeconfig_of_agents(&self, server: Option<&str>) -> Result<String> {
        if self.kubectl(&["get", "serviceaccount", "egret", "-n", "egret"]).is_err() {
            self.give_rights()?;
        }
        let of_account =
            ["get", "serviceaccount", "egret", "-n", "egret", "-o", "jsonpath={.secrets[0].name}"];
        let secret = eventually("the agent's service account has no token", PATIENCE, || {
            Ok(Some(self.kubectl(&of_account)?).filter(|name| !name.is_empty()))
        })?;
        let token =
            ["get", "secret", &secret, "-n", "egret", "-o", "go-template={{.data.token | base64decode}}"];
        let token = self.kubectl(&token)?;
        let mut config: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "-o", "json"])?)?;
        let users = config["users"].as_array_mut().context("no users")?;
        users.iter_mut().for_each(|user| user["user"] = json!({ "token": token }));
        if let Some(server) = server {
            let clusters = config["clusters"].as_array_mut().context("no clusters")?;
            clusters.iter_mut().for_each(|cluster| cluster["cluster"]["server"] = server.into());
        }
        Ok(config.to_string())
    }

    /// What `kubectl` prints.
    ///
    /// # Errors
    /// What it says where it fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).stdin(Stdio::null()).output().context("kubectl")?;
        done(output, &format!("kubectl {}", args.join(" ")))
    }

    /// Applies objects; what it prints.
    ///
    /// # Errors
    /// What `kubectl` says where it fails: the API server refused it, maybe.
    pub fn apply(&self, text: &str) -> Result<String> {
        self.fed(&["apply", "-f", "-"], text)
    }

    fn fed(&self, args: &[&str], text: &str) -> Result<String> {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl")?;
        child.stdin.take().context("stdin was piped")?.write_all(text.as_bytes())?;
        done(child.wait_with_output()?, &format!("kubectl {}", args[0]))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.node.command("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// What the agent of an Egret that is installed says, asked in its pod: a line of JSON, or several.
    ///
    /// # Errors
    /// It fails.
    pub fn egret(&self, words: &[&str]) -> Result<Vec<Value>> {
        const AGENT: [&str; 8] = ["exec", "-n", "egret", "daemonset/egret", "-c", "agent", "--", "egret"];
        let said = self.kubectl(&[&AGENT[..], words, &["-o", "json"]].concat())?;
        let lines = serde_json::Deserializer::from_str(&said).into_iter();
        lines.collect::<Result<_, _>>().with_context(|| said.clone())
    }

    /// Starts a pod that does nothing, and waits until it runs. Its labels are as `app=web,tier=front`.
    ///
    /// # Errors
    /// It does not run.
    pub fn run(&self, namespace: &str, name: &str, labels: &str) -> Result<Pod> {
        let (image, labels) = (format!("--image={IMAGE}"), format!("--labels={labels}"));
        let args =
            ["run", name, "-n", namespace, &image, &labels, "--image-pull-policy=Never", "--restart=Never"];
        // `sleep` hears no signal as the first process; and a namespace waits as long as its pods may.
        let brief = r#"--overrides={"spec": {"terminationGracePeriodSeconds": 1}}"#;
        self.kubectl(&[&args[..], &[brief, "--command", "--", "sleep", "100000"]].concat())?;
        self.found(namespace, name)
    }

    /// The pod of this name, once it runs.
    ///
    /// # Errors
    /// It does not run.
    pub fn found(&self, namespace: &str, name: &str) -> Result<Pod> {
        let what = format!("{namespace}/{name} does not run");
        let address = eventually(&what, PATIENCE, || {
            let status = self.kubectl(&[
                "get",
                "pod",
                "-n",
                namespace,
                name,
                "-o",
                "jsonpath={.status.phase} {.status.podIP}",
            ])?;
            Ok(status
                .trim()
                .strip_prefix("Running ")
                .map(str::to_owned)
                .filter(|address| !address.is_empty()))
        })?;
        let netns = namespace_with(&address)?;
        Ok(Pod { id: format!("{namespace}/{name}"), address, netns })
    }

    /// Deletes a pod, and waits until it is gone.
    ///
    /// # Errors
    /// It stays.
    pub fn delete(&self, pod: &Pod) -> Result<()> {
        let (namespace, name) = pod.id.split_once('/').context("an id")?;
        self.kubectl(&["delete", "pod", "-n", namespace, name, "--grace-period=1", "--timeout=60s"]).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.kubectl(&["delete", "clusteregresspolicies", "--all"]);
        let _ = self.kubectl(&["delete", "clusternetworkpolicies", "--all"]);
        let names: Vec<_> = self.namespaces.iter().map(String::as_str).collect();
        if names.is_empty() {
            return;
        }
        // In a namespace that goes, nobody makes a pod anew in the place of one that was deleted.
        let _ = self.kubectl(&[&["delete", "namespace", "--wait=false"][..], &names].concat());
        // The kubelet tells that they are gone once in ten seconds. It ends them all the same.
        for name in &names {
            let _ = self.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force", "-n", name]);
        }
        let _ = self
            .kubectl(&[&["delete", "namespace", "--ignore-not-found", "--timeout=90s"][..], &names].concat());
    }
}

impl Pod {
    /// Tries once to connect over IPv4 to an address, or to a name, which it looks up at the cluster's resolver.
    ///
    /// # Errors
    /// It cannot be tried.
    pub fn connect(&self, name: &str, port: u16) -> Result<Seen> {
        Ok(self.dial(&Attempt::tcp(name, port).ipv4().via(RESOLVER))?.seen)
    }

    /// Tries until connecting to `name`, as [`Self::connect`] does, comes to `wanted`.
    ///
    /// # Errors
    /// It does not within some seconds.
    pub fn becomes(&self, name: &str, port: u16, wanted: Seen) -> Result<()> {
        let what = format!("{} to {name}:{port} is not {wanted}", self.id);
        eventually(&what, SOON, || Ok((self.connect(name, port)? == wanted).then_some(())))
    }

    /// Connecting to `name`, as [`Self::connect`] does, comes to `wanted` at once.
    ///
    /// # Errors
    /// It does not.
    pub fn is(&self, name: &str, port: u16, wanted: Seen) -> Result<()> {
        let seen = self.connect(name, port)?;
        ensure!(seen == wanted, "{} to {name}:{port} is {seen}, not {wanted}", self.id);
        Ok(())
    }

    /// Tries once to connect; it may take two seconds.
    ///
    /// # Errors
    /// It cannot be tried.
    pub fn dial(&self, attempt: &Attempt) -> Result<Outcome> {
        let outcomes = dial_from(&self.netns, attempt)?;
        outcomes.into_iter().next().context("nothing came of it")
    }
}

fn deploy(what: &str) -> String {
    format!("{}/../../deploy/{what}", env!("CARGO_MANIFEST_DIR"))
}

/// Who may do what, of the plain manifest; not the agents, of which a test starts its own.
fn rights() -> Result<String> {
    const KINDS: [&str; 6] =
        ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    let manifest = std::fs::read_to_string(deploy("egret.yaml"))?;
    let is_of_rights = |document: &&str| {
        KINDS.iter().any(|kind| document.lines().any(|line| line == format!("kind: {kind}")))
    };
    Ok(manifest.split("\n---\n").filter(is_of_rights).collect::<Vec<_>>().join("\n---\n"))
}

/// The namespace under `/run/netns` in which `address` is.
fn namespace_with(address: &str) -> Result<Netns> {
    for entry in std::fs::read_dir("/run/netns")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("cni-") {
            continue;
        }
        let netns = Netns::named(name);
        let shown = netns.command("ip").args(["-4", "-o", "address"]).output()?;
        if String::from_utf8_lossy(&shown.stdout).contains(&format!(" {address}/")) {
            return Ok(netns);
        }
    }
    bail!("no namespace has the address {address}")
}

fn done(output: Output, what: &str) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{what}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! The story of three applications on a real Kubernetes: first every policy only observes, then each is enforced. Each
//! application is a Deployment whose pod has two containers, one for each C library's resolver.
//!
//! In: [`Options`] from `egret-cluster-demo`, and a cluster in which Egret is installed. Out: progress on stderr, the report on
//! stdout, and whether all was as expected. [`story`] is who tries what.

mod story;

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::eventually;
use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Cluster, World};
use story::{APPS, App, DATABASE, LIBRARIES, Try};

/// How long a policy that was switched may take to be in force.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the demo is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// As one JSON object instead of tables.
    pub json: bool,
    /// Leave everything running until a line is read.
    pub keep: bool,
}

/// One attempt, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    who: &'static str,
    library: &'static str,
    to: String,
    expected: &'static str,
    seen: String,
    millis: u64,
    /// What the agent's log says of it: its action, and why.
    told: String,
    as_expected: bool,
}

/// Plays the story and prints it; whether every outcome was as expected.
///
/// # Errors
/// Something of it cannot be made.
pub fn run(options: Options) -> Result<bool> {
    let namespaces = APPS.map(|app| app.namespace);
    let cluster = Cluster::with_namespaces(&namespaces)?;
    progress("three Deployments, a database, and a world outside");
    let world = World::of(&cluster)?;
    deploy(&cluster, &world)?;
    let mut acts = Vec::new();
    for (title, mode) in [
        ("1. Observe: nothing is cut, and the last column says what would be", "Observe"),
        ("2. Enforce: what is not allowed is refused at once", "Enforce"),
    ] {
        progress(&format!("every policy in mode {mode}"));
        let mut rows = Vec::new();
        for app in &APPS {
            cluster.apply(&app.policy.replace("mode: Observe", &format!("mode: {mode}")))?;
            wait_for_mode(&cluster, app, mode)?;
            for library in LIBRARIES {
                for attempt in app.attempts {
                    rows.push(play(&cluster, app, library, attempt, mode == "Enforce")?);
                }
            }
        }
        acts.push((title, rows));
    }
    let as_expected = acts.iter().flat_map(|(_, rows)| rows).all(|row| row.as_expected);
    if options.json {
        let acts: Vec<_> = acts.iter().map(|(title, rows)| json!({"title": title, "rows": rows})).collect();
        anstream::println!("{}", json!({"acts": acts, "asExpected": as_expected}));
    } else {
        acts.iter().for_each(|(title, rows)| anstream::print!("{}", table(title, rows)));
        anstream::println!("\n{}", cluster.kubectl(&["get", "egresspolicies", "-A"])?.trim_end());
        let words =
            if as_expected { "Every outcome is as expected." } else { "Not every outcome is as expected." };
        anstream::println!("\n{words}");
    }
    if options.keep {
        anstream::eprintln!(
            "\nAll of it is up; cargo xtask cluster kubectl get pods -A. The Enter key takes it away."
        );
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(as_expected)
}

fn progress(what: &str) {
    anstream::eprintln!("· {what}");
}

fn deploy(cluster: &Cluster, world: &World) -> Result<()> {
    for app in &APPS {
        cluster.apply(&app.deployment())?;
    }
    cluster.apply(DATABASE)?;
    let of_service = ["get", "service", "-n", "payment", "database", "-o", "jsonpath={.spec.clusterIP}"];
    let address = cluster.kubectl(&of_service)?;
    world.zone.set("database.payment.svc.cluster.local", &[address.trim()]);
    for namespace in APPS.map(|app| app.namespace) {
        cluster.kubectl(&["rollout", "status", "deployment", "-n", namespace, "--timeout=120s"])?;
    }
    Ok(())
}

/// Waits until the agent says that the application's pod is covered, and of this mode.
fn wait_for_mode(cluster: &Cluster, app: &App, mode: &str) -> Result<()> {
    eventually(&format!("{} is not of mode {mode}", app.name), PATIENCE, || {
        let answer = cluster.egret(&["workloads"])?;
        let mut rows = answer.iter().filter_map(Value::as_array).flatten();
        let is_it = |row: &&Value| {
            row["namespace"] == app.namespace
                && row["name"].as_str().is_some_and(|name| name.starts_with(app.name))
        };
        let row = rows.find(is_it);
        Ok(row.filter(|row| row["mode"] == mode && row["coverage"]["state"] == "covered").map(drop))
    })
}

fn play(
    cluster: &Cluster,
    app: &App,
    library: &'static str,
    attempt: &Try,
    is_enforced: bool,
) -> Result<Row> {
    let (deployment, port) = (format!("deployment/{}", app.name), attempt.port.to_string());
    let exec =
        ["exec", "-n", app.namespace, &deployment, "-c", library, "--", "/bin/connect", attempt.to, &port];
    let said = cluster.kubectl(&exec)?;
    let (seen, millis) = said.trim().split_once(' ').with_context(|| format!("it said {said:?}"))?;
    let is_cut = is_enforced && !attempt.allowed;
    let expected = if is_cut { "refused" } else { "connected" };
    let told = told(cluster, app, attempt)?;
    let verdict = if attempt.allowed { "allow" } else { "deny" };
    Ok(Row {
        who: app.name,
        library,
        to: format!("{}:{port}", attempt.to),
        expected,
        as_expected: seen == expected && told.starts_with(verdict),
        seen: seen.to_owned(),
        millis: millis.parse().unwrap_or(u64::MAX),
        told,
    })
}

/// The verdict that the last flow to that port has, as if every policy were enforced.
fn told(cluster: &Cluster, app: &App, attempt: &Try) -> Result<String> {
    let (namespace, port) = (app.namespace, attempt.port);
    let label = format!("app={}", app.name);
    let name = ["get", "pods", "-n", namespace, "-l", &label, "-o", "jsonpath={.items[0].metadata.name}"];
    let workload = format!("{namespace}/{}", cluster.kubectl(&name)?.trim());
    eventually(&format!("no flow of {namespace} to {}:{port}", attempt.to), PATIENCE, || {
        let flows = cluster.egret(&["flows", "--workload", &workload])?;
        let is_it = |flow: &Value| {
            let to = &flow["destination"];
            let is_named = to["names"].to_string().contains(attempt.to);
            to["port"] == port && (is_named || to["address"] == attempt.to)
        };
        let Some(flow) = flows.iter().rfind(|flow| is_it(flow)) else { return Ok(None) };
        let of = |key: &str| flow["observed"][key].as_str().unwrap_or_default().to_owned();
        Ok(Some(format!("{} ({})", of("action"), of("reason"))))
    })
}

const COLUMNS: [&str; 7] = ["WHO", "C LIBRARY", "WHERE", "EXPECTED", "SEEN", "AFTER", "IF ENFORCED"];

fn table(title: &str, rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let millis = format!("{} ms", row.millis);
        let [who, library, expected] = [row.who, row.library, row.expected].map(str::to_owned);
        [who, library, row.to.clone(), expected, row.seen.clone(), millis, row.told.clone()]
    };
    let all: Vec<_> = rows.iter().map(cells).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|at| all.iter().map(|row| row[at].len()).chain([COLUMNS[at].len()]).max().unwrap_or_default())
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = format!("\n{}\n\n", title.bold());
    let _ = writeln!(text, "{}", line(&COLUMNS.map(str::to_owned)).dimmed());
    for (row, cells) in rows.iter().zip(&all) {
        let style = match (row.as_expected, row.seen == "connected") {
            (false, _) => Style::new().red().bold(),
            (true, true) => Style::new().green(),
            (true, false) => Style::new().red(),
        };
        let mark = if row.as_expected { "" } else { "  differs" };
        let _ = writeln!(text, "{}{mark}", line(cells).style(style));
    }
    text
}

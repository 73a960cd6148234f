//! What an operator is told of an agent that runs, and what it notices by itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use egret_tests::agent::PATIENCE;
use egret_tests::{Agent, Seen, Setup, World, enforced, eventually};
use serde_json::Value;

const RULES: &str = "allow:\n- to: [{fqdn: github.com}]\ndeny:\n- to: [{cidr: 169.254.169.254/32}]";

/// What a command answers with `-o json`.
fn json(agent: &Agent, args: &[&str]) -> Result<Value> {
    let output = agent.cli(&[args, &["-o", "json"]].concat())?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The value of a series of `/metrics`.
fn metric(agent: &Agent, series: &str) -> Result<f64> {
    let text = agent.metrics()?;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {series} in:\n{text}"))?.parse()?)
}

#[test]
fn live_names_are_told_with_their_addresses_and_the_time_left() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/db"])?;
    world.dns().set("github.com", &["192.0.2.10"]);
    world.dns().set("example.com", &["192.0.2.30"]);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    for (pod, name) in [("shop/web", "github.com"), ("shop/web", "example.com"), ("shop/db", "github.com")] {
        world.pod(pod).connect(name, 443)?;
    }
    let told = json(&agent, &["names", "shop/web"])?;
    let rows = told["names"].as_array().context("rows")?;
    let names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["example.com", "github.com"], "the latest first: {told}");
    assert_eq!((&rows[1]["address"], &told["total"]), (&"192.0.2.10".into(), &2.into()));
    let left = rows[1]["secondsLeft"].as_u64().context("a time")?;
    assert!((1..=3600).contains(&left), "{told}");

    let all = json(&agent, &["names", "--limit", "1"])?;
    assert_eq!((all["names"].as_array().map(Vec::len), &all["total"]), (Some(1), &3.into()));
    assert!(metric(&agent, "egret_names{namespace=\"shop\"}")? >= 3.0);
    Ok(())
}

#[test]
fn policies_are_told_with_whom_they_select_and_metrics_count_what_they_do() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/db"])?;
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let told = json(&agent, &["policies"])?;
    let policy = &told["policies"][0];
    assert_eq!(policy["workloads"], serde_json::json!(["shop/web"]), "{told}");
    assert_eq!(
        (&policy["allow"], &policy["deny"], &policy["mode"]),
        (&1.into(), &1.into(), &"Enforce".into())
    );
    assert!(policy["origin"]["file"].as_str().is_some_and(|file| file.ends_with("web.yaml")), "{told}");

    assert_eq!(world.pod("shop/web").connect("198.51.100.1", 443)?.seen, Seen::Refused);
    assert_eq!(world.pod("shop/db").connect("198.51.100.1", 443)?.seen, Seen::Connected);
    for series in ["applied=\"deny\",observed=\"deny\"", "applied=\"allow\",observed=\"allow\""] {
        let series = format!("egret_first_packets_total{{namespace=\"shop\",{series}}}");
        eventually(&series, PATIENCE, || {
            Ok(metric(&agent, &series).is_ok_and(|count| count >= 1.0).then_some(()))
        })?;
    }
    assert!(metric(&agent, "egret_packets_denied_total")? >= 1.0);
    assert_eq!(metric(&agent, "egret_workloads{namespace=\"shop\",coverage=\"covered\"}")? as u32, 2);
    agent.write_policy("bad.yaml", "spec: [")?;
    eventually("the bad file is counted and told", PATIENCE, || {
        let told = json(&agent, &["policies"])?;
        let counted = metric(&agent, "egret_policy_problems")? > 0.0;
        Ok((counted && told["problems"][0]["file"].is_string() && told["policies"][0].is_object())
            .then_some(()))
    })
}

#[test]
fn a_changed_workloads_file_is_noticed_without_a_signal() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/db"])?;
    let (web, db) = (world.pod("shop/web"), world.pod("shop/db"));
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", "default: Deny"))?.start()?;
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Refused);
    assert_eq!(db.connect("192.0.2.1", 443)?.seen, Seen::Connected);

    // The same two pods with their labels swapped, written in place; then as they were, moved into place.
    let path = agent.setup().workloads();
    let text = fs::read_to_string(&path)?;
    let label = |pod: &str| format!("\"app\": \"{pod}\"");
    let swapped =
        text.replace(&label("web"), "@").replace(&label("db"), &label("web")).replace('@', &label("db"));
    assert_ne!(swapped, text);
    fs::write(&path, swapped)?;
    agent.wait_for_mode(db, "Enforce")?;
    agent.wait_for_mode(web, "unmanaged")?;
    assert_eq!(db.connect("192.0.2.1", 443)?.seen, Seen::Refused);
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Connected);

    replace(&path, &text)?;
    agent.wait_for_mode(web, "Enforce")?;
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Refused);

    // What cannot be read changes nothing.
    replace(&path, "workloads:\n- {namespace: shop")?;
    agent.reload()?;
    assert_eq!(web.connect("192.0.2.1", 443)?.seen, Seen::Refused);
    assert_eq!(agent.workloads()?.len(), 2);
    Ok(())
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

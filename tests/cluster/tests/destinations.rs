//! Destinations in the cluster: services and pods that policies name, as they are now.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::Seen;
use egret_tests::eventually;
use egret_tests::servers::serve_tcp;
use egret_tests_cluster::{Agent, Cluster, Pod};
use tokio::runtime::Runtime;

const AT_ONCE: Duration = Duration::from_secs(10);
/// What answers in pods: behind the service's ports 5432 and 9000, and beside them.
const PORTS: [u16; 4] = [15432, 19000, 5432, 22];

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: data}}\nspec:\n  selector: {{app: db}}\n  ports:\n  \
         - {{name: sql, port: 5432, targetPort: 15432}}\n  - {{name: admin, port: 9000, targetPort: 19000}}\n"
    )
}

fn policy(rules: &str) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  \
         podSelector: {{matchLabels: {{app: web}}}}\n  mode: Enforce\n  scope: all\n{rules}"
    )
}

/// A pod of namespace data that answers on all of [`PORTS`].
fn answering(cluster: &Cluster, runtime: &Runtime, name: &str, labels: &str) -> Result<Pod> {
    let pod = cluster.run("data", name, labels)?;
    for port in PORTS {
        serve_tcp(runtime, &pod.netns, format!("{}:{port}", pod.address).parse()?)?;
    }
    Ok(pod)
}

/// The address of a service, once there is something behind it.
fn address_of(cluster: &Cluster, name: &str) -> Result<String> {
    eventually("nothing is behind the service", AT_ONCE, || {
        let ready = "jsonpath={.subsets[*].addresses[*].ip}";
        let ready = cluster.kubectl(&["get", "endpoints", "-n", "data", name, "-o", ready])?;
        Ok((!ready.trim().is_empty()).then_some(()))
    })?;
    cluster.kubectl(&["get", "service", "-n", "data", name, "-o", "jsonpath={.spec.clusterIP}"])
}

#[test]
fn a_service_is_reached_by_its_address_and_behind_it_on_the_ports_meant_and_nothing_else_is() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    let web = cluster.run("shop", "web", "app=web")?;
    let db = answering(&cluster, &runtime, "db-0", "app=db")?;
    let cache = answering(&cluster, &runtime, "cache", "app=cache")?;
    cluster.apply(&service("db"))?;
    let sql = address_of(&cluster, "db")?;
    let mut agent = Agent::start(&cluster)?;
    agent.wait_for(&web, "unmanaged")?;
    for (address, port) in [(&sql, 5432), (&sql, 9000), (&cache.address, 15432)] {
        web.becomes(address, port, Seen::Connected)?;
    }
    for port in PORTS {
        web.is(&db.address, port, Seen::Connected)?;
    }
    ensure!(!agent.log().contains("policies name services"), "nobody does yet:\n{}", agent.log());

    cluster.apply(&policy(
        "  allow:\n  - name: sql\n    to: [{service: {name: db, namespace: data}}]\n    ports: [{protocol: TCP, port: 5432}]\n",
    ))?;
    agent.wait_for(&web, "Enforce")?;
    let only_sql = |web: &Pod| -> Result<()> {
        web.becomes(&sql, 5432, Seen::Connected).context("the service")?;
        web.becomes(&db.address, 15432, Seen::Connected).context("what is behind it, without a proxy")?;
        // Until all services were told, what was in force stays.
        web.becomes(&sql, 9000, Seen::Refused).context("another port of the service")?;
        web.is(&db.address, 19000, Seen::Refused).context("what is behind another port")?;
        web.is(&db.address, 5432, Seen::Refused)
            .context("the port of the service where it does not answer")?;
        web.is(&db.address, 22, Seen::Refused).context("no port of the service")?;
        web.is(&cache.address, 15432, Seen::Refused).context("another pod")?;
        // By the policy now, whatever was in force before.
        web.is(&db.address, 15432, Seen::Connected).context("what is behind it")
    };
    only_sql(&web).with_context(|| agent.log())?;
    let told = agent.json(&["explain", "shop/web", &format!("{}:15432", db.address)])?.to_string();
    ensure!(told.contains("allows service data/db on TCP 5432"), "{told}");
    let flows = agent.flows()?;
    let is_it = |flow: &serde_json::Value| {
        flow["destination"]["port"] == 15432
            && flow["applied"]["rule"] == "sql"
            && flow["applied"]["policy"] == "shop/web"
    };
    ensure!(flows.iter().any(is_it), "{flows:?}");

    // What is behind it is followed.
    let second = answering(&cluster, &runtime, "db-1", "app=db")?;
    web.becomes(&second.address, 15432, Seen::Connected)?;
    web.is(&second.address, 19000, Seen::Refused)?;
    cluster.kubectl(&["label", "pod", "-n", "data", "db-1", "--overwrite", "app=other"])?;
    web.becomes(&second.address, 15432, Seen::Refused)?;
    only_sql(&web)?;

    // The next agent knows it before it puts anything in force.
    agent.restart()?;
    web.is(&db.address, 15432, Seen::Connected).context("after a restart")?;
    agent.wait_for(&web, "Enforce")?;
    only_sql(&web).context("after a restart")?;

    // Without ports: all that the service has. One that is not there is allowed nothing, which is no mistake.
    cluster.apply(&policy(
        "  allow:\n  - to: [{service: {name: db, namespace: data}}, {service: {name: later, namespace: data}}]\n",
    ))?;
    web.becomes(&sql, 9000, Seen::Connected)?;
    web.is(&db.address, 19000, Seen::Connected)?;
    web.is(&db.address, 22, Seen::Refused)?;
    let notes = agent.json(&["policies"])?["policies"][0]["notes"].to_string();
    ensure!(notes.contains("service data/later is not there"), "{notes}");
    cluster.apply(&service("later"))?;
    web.becomes(&address_of(&cluster, "later")?, 5432, Seen::Connected)?;

    // Deny beats allow, where it is meant.
    cluster.apply(&policy(
        "  allow:\n  - to: [{cidr: 10.0.0.0/8}]\n  deny:\n  - to: [{service: {name: db, namespace: data}}]\n",
    ))?;
    web.becomes(&sql, 5432, Seen::Refused)?;
    web.is(&db.address, 15432, Seen::Refused)?;
    web.is(&db.address, 22, Seen::Connected)?;

    // Nobody names a service any more.
    cluster.apply(&policy("  allow:\n  - to: [{cidr: 10.0.0.0/8}]\n"))?;
    web.becomes(&sql, 5432, Seen::Connected)?;
    ensure!(agent.log().contains("no policy names services any more"), "{}", agent.log());
    ensure!(!agent.log().contains("policies name pods"), "nobody did:\n{}", agent.log());
    Ok(())
}

#[test]
fn pods_are_selected_by_their_labels_and_those_of_their_namespaces_as_they_are_now() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    let web = cluster.run("shop", "web", "app=web")?;
    let agent = Agent::start(&cluster)?;
    let db = answering(&cluster, &runtime, "db-0", "app=db")?;
    let cache = answering(&cluster, &runtime, "cache", "app=cache")?;
    cluster.kubectl(&["label", "namespace", "data", "tier=back"])?;
    cluster.apply(&policy(
        "  allow:\n  - to:\n    - pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {matchLabels: {tier: back}}}\n    \
         ports: [{protocol: TCP, port: 5432}]\n",
    ))?;
    agent.wait_for(&web, "Enforce")?;
    web.becomes(&db.address, 5432, Seen::Connected)?;
    web.is(&db.address, 15432, Seen::Refused).context("another port")?;
    web.is(&cache.address, 5432, Seen::Refused).context("another pod")?;
    let relabelled =
        |kind: &[&str], labels: &str| cluster.kubectl(&[&["label", "--overwrite"], kind, &[labels]].concat());
    relabelled(&["pod", "-n", "data", "cache"], "app=db")?;
    web.becomes(&cache.address, 5432, Seen::Connected)?;
    relabelled(&["pod", "-n", "data", "db-0"], "app=cache")?;
    web.becomes(&db.address, 5432, Seen::Refused)?;
    web.is(&cache.address, 5432, Seen::Connected)?;
    relabelled(&["namespace", "data"], "tier=front")?;
    web.becomes(&cache.address, 5432, Seen::Refused)?;

    // All pods of some namespaces; below a ceiling, as many of them as it lets pass.
    cluster
        .apply(&policy("  allow:\n  - to: [{pods: {namespaceSelector: {matchLabels: {tier: front}}}}]\n"))?;
    for pod in [&db, &cache] {
        web.becomes(&pod.address, 22, Seen::Connected)?;
    }
    cluster.apply(
        "apiVersion: egret.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: company}\nspec:\n  namespaceSelector: {}\n  \
         podSelector: {matchLabels: {app: web}}\n  mode: Enforce\n  scope: all\n  ceiling:\n  \
         - to: [{pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}}]\n",
    )?;
    web.becomes(&db.address, 22, Seen::Refused)?;
    web.is(&cache.address, 22, Seen::Connected)?;
    cluster.delete(&cache)?;
    let status = agent.status()?.to_string();
    ensure!(status.contains("\"problems\":[]"), "{status}");

    // The pod that comes next may have its address.
    cluster.kubectl(&["delete", "egresspolicy", "-n", "shop", "web"])?;
    web.becomes(&db.address, 22, Seen::Refused).context("a ceiling denies by default")
}

#[test]
fn until_services_are_told_what_was_in_force_stays_and_a_pod_that_starts_is_denied_them() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    let web = cluster.run("shop", "web", "app=web")?;
    let db = answering(&cluster, &runtime, "db-0", "app=db")?;
    cluster.apply(&service("db"))?;
    let sql = address_of(&cluster, "db")?;
    cluster.give_rights()?;
    // The rule for services and endpoints.
    let without = r#"[{"op": "remove", "path": "/rules/1"}]"#;
    cluster.kubectl(&["patch", "clusterrole", "egret-agent", "--type=json", "--patch", without])?;
    let agent = Agent::start(&cluster)?;
    agent.wait_for(&web, "unmanaged")?;

    cluster.apply(&policy("  allow:\n  - to: [{service: {name: db, namespace: data}}]\n"))?;
    let tells = |words: &str| Ok(agent.status()?.to_string().contains(words).then_some(()));
    eventually("why it waits is not told", AT_ONCE, || {
        tells("shop/web: its policies stay as they were: Kubernetes")
    })?;
    web.is(&db.address, 22, Seen::Connected).context("nothing was in force, and that stays")?;
    let late = cluster.run("shop", "late", "app=web")?;
    agent.wait_for(&late, "Enforce")?;
    eventually("why it is denied is not told", AT_ONCE, || {
        tells("shop/late: nothing that its namespace allows")
    })?;
    late.is(&sql, 5432, Seen::Refused).context("what it may is not known")?;

    cluster.give_rights()?;
    // It is asked less and less often.
    let waited = || Ok((late.connect(&sql, 5432)? == Seen::Connected).then_some(()));
    eventually("services are not known", Duration::from_secs(60), waited).with_context(|| agent.log())?;
    web.becomes(&db.address, 22, Seen::Refused)?;
    web.is(&db.address, 15432, Seen::Connected)?;
    let status = agent.status()?.to_string();
    ensure!(!status.contains("has not told yet"), "{status}");
    Ok(())
}

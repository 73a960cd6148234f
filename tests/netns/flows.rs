//! Flow records: what stands in them, that they add up, and that they come at once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use egret_tests::agent::{Flow, PATIENCE};
use egret_tests::dial::Conversation;
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced, eventually};
use serde_json::{Value, json};

const RULES: &str = "
allow:
- name: docs
  to: [{fqdn: docs.example.com}, {cidr: 198.51.100.0/24}, {cidr: '2600::/32'}]";

fn start(world: &World) -> Result<Agent> {
    world.dns().set("docs.example.com", &["192.0.2.1", "2001:db8::1"]);
    Setup::new(world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()
}

/// The record of `address`, as it is written.
fn record(agent: &Agent, address: &str) -> Result<Value> {
    eventually(&format!("a record of {address}"), PATIENCE, || {
        let lines = agent.flow_lines()?;
        let records = lines.iter().map(|line| serde_json::from_str::<Value>(line));
        let records: Vec<_> = records.collect::<Result<_, _>>()?;
        Ok(records.into_iter().find(|record| record["destination"]["address"] == address))
    })
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flat_map(|object| object.keys()).map(String::as_str).collect()
}

#[test]
fn a_record_has_the_shape_that_is_promised() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = start(&world)?;
    let web = world.pod("shop/web");
    assert_eq!(web.dial_once(&Attempt::tcp("docs.example.com", 443).ipv4())?.seen, Seen::Connected);
    assert_eq!(web.connect("2001:db8::9", 22)?.seen, Seen::Refused);
    let by_rule =
        json!({"action": "allow", "reason": "rule", "rule": "docs", "policy": "shop/web", "module": null});
    let by_default =
        json!({"action": "deny", "reason": "default-deny", "rule": null, "policy": null, "module": null});
    for (address, name, names, port, verdict) in [
        ("192.0.2.1", json!("docs.example.com"), json!(["docs.example.com"]), 443, by_rule),
        ("2001:db8::9", Value::Null, json!([]), 22, by_default),
    ] {
        let record = record(&agent, address)?;
        assert_eq!(
            keys(&record),
            ["time", "workload", "destination", "applied", "observed", "packets", "bytes", "count"].into()
        );
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let workload = json!({"namespace": "shop", "name": "web", "labels": {"app": "web"}, "node": node});
        assert_eq!(record["workload"], workload);
        let expected =
            json!({"name": name, "names": names, "address": address, "port": port, "protocol": "TCP"});
        assert_eq!(record["destination"], expected);
        assert_eq!((&record["applied"], &record["observed"]), (&verdict, &verdict));
        let time = record["time"].as_str().context("a time")?;
        let age = jiff::Timestamp::now().duration_since(time.parse()?).as_secs();
        assert!(time.ends_with('Z') && (0..10).contains(&age), "{time}");
        for number in ["packets", "bytes", "count"] {
            assert!(record[number].as_u64().is_some_and(|number| number > 0), "{record}");
        }
    }
    Ok(())
}

/// Sends `many` datagrams of 100 bytes from one socket.
fn send(from: &Pod, to: SocketAddr, many: u64) -> Result<()> {
    from.netns().run(|| -> Result<()> {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        (0..many).try_for_each(|_| socket.send_to(&[7; 100], to).map(drop))?;
        Ok(())
    })?
}

#[test]
fn packets_and_bytes_of_datagrams_add_up() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = start(&world)?;
    let web = world.pod("shop/web");
    // Ethernet, IP and UDP headers.
    for (to, header) in [("198.51.100.1:5000", 14 + 20 + 8), ("[2600::1]:5000", 14 + 40 + 8)] {
        let to: SocketAddr = to.parse()?;
        for many in [40, 60] {
            send(web, to, many)?;
        }
        let adds_up =
            |flow: &Flow| flow.destination.address == to.ip() && (flow.count, flow.packets) == (2, 100);
        let flow = agent.flow(web, adds_up).with_context(|| format!("{:?}", agent.flows()))?;
        assert_eq!(flow.bytes, 100 * (header + 100), "{flow:?}");
        assert_eq!((flow.destination.port, flow.destination.protocol.as_str()), (5000, "UDP"));
    }
    Ok(())
}

#[test]
fn every_segment_of_a_connection_is_counted_and_no_other() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = start(&world)?;
    let web = world.pod("shop/web");
    let mut open = [web.open("198.51.100.1:443")?, web.open("[2600::1]:443")?];
    for _ in 0..20 {
        open.iter_mut().try_for_each(Conversation::go_on)?;
    }
    // A last acknowledgement may be on its way: both numbers are read until they agree.
    let flows = eventually("the records agree with the counter of the namespace", PATIENCE, || {
        let flows = agent.flows()?;
        let packets: u64 = flows.iter().map(|flow| flow.packets).sum();
        Ok((flows.len() == 2 && packets == web.netns().counter("Tcp", "OutSegs")?).then_some(flows))
    });
    let flows = flows.with_context(|| format!("{:?}", agent.flows()))?;
    for flow in flows {
        let headers = if flow.destination.address.is_ipv4() { 54 } else { 74 };
        assert!(flow.packets > 20 && flow.bytes > flow.packets * headers, "{flow:?}");
        assert_eq!(flow.count, 1, "{flow:?}");
    }
    Ok(())
}

#[test]
fn who_follows_learns_of_a_refusal_within_a_second() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = start(&world)?;
    let web = world.pod("shop/web");
    let followed = agent.follow()?;
    assert_eq!(web.connect("203.0.113.77", 443)?.seen, Seen::Refused);
    let start = Instant::now();
    let told = followed
        .map(|flow| flow.expect("a flow"))
        .find(|flow| flow.workload.is(web) && flow.destination.address == IpAddr::from([203, 0, 113, 77]));
    assert_eq!(told.context("the records end")?.applied.action, "deny");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn the_command_line_follows_and_filters() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = start(&world)?;
    let web = world.pod("shop/web");
    let mut following = agent.command(&["flows", "-f"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(following.stdout.take().context("its output")?).lines();
    assert!(lines.next().context("a title")??.contains("DESTINATION"));
    assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Connected);
    assert_eq!(web.connect("203.0.113.77", 443)?.seen, Seen::Refused);
    for words in [["198.51.100.1:443/TCP", "allow"], ["203.0.113.77:443/TCP", "deny"]] {
        let line = lines.next().context("a line")??;
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} in {line}");
    }
    following.kill()?;
    following.wait()?;
    for (args, allowed) in
        [(["flows"].as_slice(), true), (&["flows", "--denied"], false), (&["flows", "--would-deny"], false)]
    {
        let output = agent.cli(args)?;
        let said = String::from_utf8(output.stdout)?;
        assert!(output.status.success() && said.contains("203.0.113.77"), "{said}");
        assert_eq!(said.contains("198.51.100.1"), allowed, "{args:?}: {said}");
    }
    Ok(())
}

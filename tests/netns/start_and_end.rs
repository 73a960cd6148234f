//! What the agent refuses to start with, how it says so, and what it leaves when it ends.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result};
use egret_tests::hooks::{Tier, programs};
use egret_tests::{Pod, Seen, Setup, Surroundings, World, enforced};

const RULES: &str = "allow:\n- to: [{cidr: 192.0.2.0/24}]";

fn setup(world: &World) -> Result<Setup> {
    Setup::new(world)?.policy("web.yaml", &enforced("shop/web", RULES))
}

/// That it ended with `code`, and said all of `words`.
fn ended(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn rules_hold(web: &Pod) -> Result<()> {
    for (to, expected) in [("192.0.2.1", Seen::Connected), ("198.51.100.1", Seen::Refused)] {
        let outcome = web.connect(to, 443)?;
        assert_eq!(outcome.seen, expected, "{to}: {outcome:?}");
    }
    Ok(())
}

/// Linux 6.6 brought tcx, and no distribution that the tests run on brought it to an older kernel.
#[test]
fn the_tier_is_that_of_the_kernel_or_the_one_that_was_asked_for() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = setup(&world)?.start()?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().context("a version")?, numbers.next().context("a version")?);
    let is_first = version >= (6, 6) && world.surroundings() != Surroundings::Filtered;
    let tier = if is_first { Tier::Tcx } else { Tier::Clsact };
    assert_eq!(agent.status()?["tier"], tier.number(), "{release}");
    assert_eq!(Tier::of_this_test(), tier, "what the other tests take it for");
    assert_eq!(programs(&world, world.pod("shop/web"))?, tier.hooks().map(|name| [name]));
    Ok(())
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let first = setup(&world)?.start()?;
    let mut open = web.open("192.0.2.1:443")?;
    for second in [
        setup(&world)?,
        setup(&world)?.with_state("state-2"),
        setup(&world)?.with_state("state-2").with_socket("egret-2.sock"),
        setup(&world)?.with_state("state-2").with_socket("egret-2.sock").with_pins("2"),
    ] {
        ended(&second.run_through(&[])?, 1, &["another agent", "stop it first"]);
        open.go_on()?;
        rules_hold(web)?;
        assert_eq!(programs(&world, web)?[0], ["from_pod"]);
    }
    first.write_policy("web.yaml", &enforced("shop/web", "default: Deny"))?;
    egret_tests::eventually("the first agent still follows its files", egret_tests::agent::PATIENCE, || {
        Ok((web.connect("192.0.2.1", 443)?.seen == Seen::Refused).then_some(()))
    })
}

#[test]
fn what_an_agent_cannot_start_with_is_told_with_its_place() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let good = setup(&world)?;
    let workloads = |text: &str| fs::write(good.workloads(), text);

    workloads("workloads:\n- {namespace: shop, name: web}\n")?;
    ended(
        &good.run_through(&[])?,
        1,
        &["workloads.yaml:2:3: ", "neither `netns` nor `interface`", "add `netns: NAME`"],
    );
    fs::remove_file(good.workloads())?;
    ended(&good.run_through(&[])?, 1, &["workloads.yaml", "No such file"]);
    workloads("workloads: []\n")?;
    fs::rename(good.policies(), good.policies().with_extension("away"))?;
    ended(&good.run_through(&[])?, 1, &["/policies cannot be watched", "is it there?"]);
    ended(&good.clone().arg("--api=0.0.0.0:1").run_through(&[])?, 2, &["0.0.0.0:1", "use 127.0.0.1:1"]);
    ended(&good.arg("--min-ttl=soon").run_through(&[])?, 2, &["--min-ttl", "soon"]);
    Ok(())
}

#[test]
fn without_privileges_the_agent_says_which_and_what_to_do() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let setup = setup(&world)?;
    fs::write(setup.workloads(), "workloads: []\n")?;
    for through in [
        ["unshare", "--user"].as_slice(),
        &["unshare", "--user", "--map-root-user"],
        &["setpriv", "--bounding-set=-all"],
        &["setpriv", "--bounding-set=-net_admin"],
        &["setpriv", "--bounding-set=-sys_admin,-bpf"],
    ] {
        let output = setup.run_through(through)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{through:?}: {said}");
        assert!(said.contains("fix:") && said.contains("root"), "{through:?}: {said}");
    }
    Ok(())
}

#[test]
fn the_api_can_be_served_on_a_loopback_port_as_well() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let agent = setup(&world)?.arg("--api=127.0.0.1:0").start()?;
    let told = agent.status()?["api"]["address"].take();
    let address = told.as_str().with_context(|| format!("an address, not {told}"))?.parse()?;
    for (target, status) in [("/healthz", 200), ("/readyz", 200), ("/v1/status", 200), ("/v2", 404)] {
        assert_eq!(agent.get_over_tcp(address, target)?, status, "{target}");
    }
    let elsewhere = world.pod("shop/web").netns().run(|| std::net::TcpStream::connect(address))?;
    assert!(elsewhere.is_err(), "only the node itself reaches it");
    Ok(())
}

/// What is pinned: links and maps.
fn pins(world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![world.bpffs()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.file_name().expect("a name").to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

#[test]
fn programs_and_maps_stay_when_the_agent_ends_and_go_when_it_was_told_to_detach() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let (tier, hooks) = (Tier::of_this_test(), || programs(&world, web));
    let stopped = setup(&world)?.start()?.stop()?;
    let pinned = pins(&world)?;
    for name in ["RULES", "FLOWS4", "BINDINGS"] {
        assert!(pinned.iter().any(|pin| pin == name), "{name} is not in {pinned:?}");
    }
    // Filters are pinned by nothing but their device.
    let links = if tier == Tier::Tcx { 2 } else { 0 };
    assert_eq!(pinned.iter().filter(|pin| pin.ends_with("_pod")).count(), links, "{pinned:?}");
    assert_eq!(hooks()?, tier.hooks().map(|name| [name]));

    stopped.arg("--detach-on-exit").start()?.stop()?;
    assert!(!world.bpffs().exists(), "{:?}", pins(&world));
    assert_eq!(hooks()?, [const { Vec::<String>::new() }; 2]);
    assert_eq!(web.connect("198.51.100.1", 443)?.seen, Seen::Connected);
    Ok(())
}

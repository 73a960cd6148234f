//! Coverage is proven, not assumed: hooks are first and stay so, a probe passes both, and whatever speaks against it is
//! told by name.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::agent::PATIENCE;
use egret_tests::hooks::{Place, places};
use egret_tests::neighbour::{Deaf, Manner};
use egret_tests::netns::{Netns, ip_batch};
use egret_tests::{Agent, Attempt, Pod, Seen, Setup, World, enforced, eventually};

const RULES: &str = "allow:\n- to: [{fqdn: github.com}]";

fn world() -> Result<World> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    Ok(world)
}

fn start(world: &World) -> Result<Agent> {
    Setup::new(world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()
}

fn rules_hold(pod: &Pod) -> Result<()> {
    for attempt in [Attempt::tcp("github.com", 443).ipv4(), Attempt::tcp("github.com", 443).ipv6()] {
        let outcome = pod.dial_once(&attempt)?;
        ensure!(outcome.seen == Seen::Connected, "{attempt:?}: {outcome:?}");
    }
    let outcome = pod.connect("198.51.100.1", 443)?;
    ensure!(outcome.seen == Seen::Refused, "{outcome:?}");
    Ok(())
}

/// Waits until these are the programs there.
fn stands(place: Place<'_>, expected: &[&str]) -> Result<()> {
    let is_so = || Ok((place.programs()? == expected).then_some(()));
    eventually(&format!("{expected:?} on {}", place.interface), PATIENCE, is_so)
        .with_context(|| format!("{:?}", place.programs()))
}

#[test]
fn a_program_that_was_put_before_a_hook_comes_to_stand_behind_it_and_is_told_of() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    for place in places(&world, web) {
        for manner in [Manner::Silencer, Manner::Swallower] {
            let mut rival = place.put_before(manner)?;
            stands(place, &[place.hook, manner.name()])?;
            let told = format!("`{}` (id {})", manner.name(), rival.id()?);
            assert!(agent.log().contains(&told), "{told}:\n{}", agent.log());
            assert_eq!(agent.gap(web)?, None);
            drop(rival);
            rules_hold(web)?;
        }
    }
    Ok(())
}

#[test]
fn a_program_that_insists_on_being_first_is_left_there_and_its_workload_is_not_covered() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    for place in places(&world, web) {
        let mut rival = None;
        let gap = eventually(&format!("the fight for {} ends", place.hook), PATIENCE, || {
            if place.programs()?.first().map(String::as_str) != Some("silencer") {
                drop(rival.take());
                rival = Some(place.put_before(Manner::Silencer)?);
            }
            agent.gap(web)
        })?;
        let id = rival.as_mut().expect("it insisted").id()?;
        assert!(gap.contains(&format!("`silencer` (id {id})")) && gap.contains(place.interface), "{gap}");
        let seen = place.programs()?;
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(place.programs()?, seen, "nobody fights any more");
        drop(rival);
        agent.wait_for_gap(web, None)?;
        stands(place, &[place.hook])?;
        rules_hold(web)?;
    }
    Ok(())
}

#[test]
fn the_next_agent_is_first_where_others_came_before_while_there_was_none() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    let places = places(&world, web);
    let behind = places.iter().map(Place::put_behind).collect::<Result<Vec<_>>>()?;
    let stopped = agent.kill()?;
    let silence = |place: &Place<'_>| place.put_before(Manner::Silencer);
    let before = places.iter().map(silence).collect::<Result<Vec<_>>>()?;
    let _agent = stopped.start()?;
    for place in places {
        assert_ne!(place.programs()?[0], "silencer");
        stands(place, &[place.hook, "silencer", "neighbour"])?;
    }
    drop((before, behind));
    rules_hold(web)
}

#[test]
fn a_link_that_carries_nothing_proves_nothing_until_it_does_again() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    for (netns, interface) in [(world.node(), web.host_interface()), (web.netns(), "eth0")] {
        ip_batch(Some(netns), &[format!("link set {interface} down")])?;
        agent.wait_for_gap(web, Some("eth0"))?;
        ip_batch(Some(netns), &[format!("link set {interface} up")])?;
        agent.wait_for_gap(web, None)?;
    }
    Ok(())
}

#[test]
fn a_program_below_the_hooks_is_told_of_and_so_is_what_it_swallows() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    for (netns, interface, hook) in
        [(world.node(), web.host_interface(), "from_pod"), (web.netns(), "eth0", "to_pod")]
    {
        let deaf = Deaf::attach(netns, interface)?;
        // The kernel tells nobody of such a program: something has to happen at the link.
        ip_batch(Some(netns), &[format!("link set {interface} alias changed-{hook}")])?;
        agent.wait_for_gap(web, Some("XDP program"))?;
        drop(deaf);
        ip_batch(Some(netns), &[format!("link set {interface} alias again-{hook}")])?;
        agent.wait_for_gap(web, None)?;
    }
    Ok(())
}

#[test]
fn probes_leave_no_trace_in_the_workload_or_beyond_it() -> Result<()> {
    let world = World::with_topology(egret_tests::Topology::Bridge, &["shop/web", "shop/other"])?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    let told = |netns: &Netns, words: &[&str]| -> Result<String> {
        let output = netns.command(words[0]).args(&words[1..]).output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let neighbours = || told(web.netns(), &["ip", "neigh", "show", "nud", "incomplete"]);
    let agent = start(&world)?;
    // Each agent proves every workload anew.
    let received = || told(other.netns(), &["cat", "/proc/thread-self/net/dev"]);
    let agent = agent.kill()?.describing(vec![egret_tests::agent::described(web)]).start()?;
    let before = received()?;
    let agent = (0..3).try_fold(agent, |agent, _| agent.kill()?.start())?;
    assert_eq!(neighbours()?, "", "nobody was looked for");
    let frames = |text: &str| -> Option<u64> {
        text.lines()
            .find_map(|line| line.trim().strip_prefix("eth0:")?.split_whitespace().nth(1)?.parse().ok())
    };
    let (before, after) = (frames(&before), frames(&received()?));
    assert!(before.zip(after).is_some_and(|(before, after)| after - before < 3), "{before:?} {after:?}");
    assert_eq!(agent.gap(web)?, None);
    Ok(())
}

#[test]
fn an_interface_of_another_kind_is_called_what_it_is() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    let new =
        format!("link add link internet name mv0 netns {} type macvlan mode bridge", web.netns().name());
    ip_batch(Some(world.node()), &[new])?;
    ip_batch(Some(web.netns()), &["link set mv0 up".to_owned()])?;
    agent.wait_for_gap(web, Some("`mv0` (of kind macvlan)"))?;
    ip_batch(Some(world.node()), &[format!("link del {}", web.host_interface())])?;
    agent.wait_for_gap(web, Some("`mv0` is of kind macvlan, and not one end of a veth pair"))
}

#[test]
fn what_is_not_covered_is_listed_with_its_reason_and_counted() -> Result<()> {
    let world = world()?;
    let web = world.pod("shop/web");
    let agent = start(&world)?;
    ip_batch(Some(web.netns()), &["link set eth0 down".to_owned()])?;
    agent.wait_for_gap(web, Some("eth0"))?;
    for command in ["status", "workloads"] {
        let output = agent.cli(&[command])?;
        let said = String::from_utf8(output.stdout)?;
        assert!(said.contains("Not covered") && said.contains("shop/web: "), "{said}");
    }
    let metrics = agent.metrics()?;
    assert!(
        metrics.contains("egret_workloads{coverage=\"not-covered\",namespace=\"shop\"} 1")
            || metrics.contains("egret_workloads{namespace=\"shop\",coverage=\"not-covered\"} 1"),
        "{metrics}"
    );
    let unseen = metrics.lines().find_map(|line| line.strip_prefix("egret_probes_unseen_total "));
    assert!(unseen.is_some_and(|count| count != "0"), "{unseen:?}");
    Ok(())
}

//! The agent comes and goes; what it enforces stays.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use egret_tests::hooks::{Tier, programs};
use egret_tests::world::RESOLVER;
use egret_tests::{Attempt, Pod, Seen, Setup, World, enforced, held};

const RULES: &str = "
allow:
- to: [{fqdn: github.com}, {cidr: 198.51.100.0/24}, {cidr: '2001:db8:100::/48'}]
  ports: [{protocol: TCP, port: 443}]";

fn small_world() -> Result<World> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("github.com", &["192.0.2.10", "2001:db8::10"]);
    world.dns().set("example.com", &["192.0.2.30", "2001:db8::30"]);
    Ok(world)
}

/// What RULES say, seen from inside.
fn rules_hold(web: &Pod, when: &str) -> Result<()> {
    for (to, expected) in [
        ("github.com", Seen::Connected),
        ("198.51.100.1", Seen::Connected),
        ("2001:db8:100::1", Seen::Connected),
        // Refused and not unresolved: look-ups go on.
        ("example.com", Seen::Refused),
        ("203.0.113.77", Seen::Refused),
        ("2001:db8::77", Seen::Refused),
    ] {
        let outcome = web.connect(to, 443)?;
        assert_eq!(outcome.seen, expected, "{when}, {to}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_killed_agent_leaves_its_rules_in_force_and_the_next_one_takes_over() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web, "at first")?;
    let mut by_name = web.open("192.0.2.10:443")?;
    let mut by_range = web.open("[2001:db8:100::1]:443")?;

    let killed = agent.kill()?;
    by_name.go_on()?;
    by_range.go_on()?;
    rules_hold(web, "without an agent")?;

    let agent = killed.start()?;
    by_name.go_on()?;
    by_range.go_on()?;
    rules_hold(web, "with a new agent")?;

    agent.write_policy("web.yaml", &enforced("shop/web", "default: Deny"))?;
    egret_tests::eventually("the new agent enforces a new policy", egret_tests::agent::PATIENCE, || {
        Ok((web.connect("198.51.100.1", 443)?.seen == Seen::Refused).then_some(()))
    })
}

#[test]
fn nothing_slips_through_while_one_agent_is_replaced_by_the_next() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web, "at first")?;
    let over = AtomicBool::new(false);
    let try_until_over = |attempt: Attempt, expected: Seen| -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let odd = web.dial(&attempt)?.into_iter().find(|outcome| outcome.seen != expected);
            assert!(odd.is_none(), "{attempt:?}: {odd:?}");
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let denied =
            scope.spawn(|| try_until_over(Attempt::tcp("203.0.113.77", 443).times(50), Seen::Refused));
        // By glibc, which asks again: an answer that is on hold when its agent is killed comes with the next agent.
        let allowed = Attempt::tcp("github.com", 443).ipv4().times(50);
        let allowed = scope.spawn(|| try_until_over(allowed, Seen::Connected));
        let replaced = (|| agent.kill()?.start()?.stop()?.start())();
        over.store(true, Ordering::Relaxed);
        denied.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        allowed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        replaced.map(drop)
    })
}

#[test]
fn an_answer_that_was_on_hold_when_the_agent_was_killed_is_put_back_by_the_next_one() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &held(RULES)))?.start()?;
    rules_hold(web, "at first")?;
    let answered = || world.internet().counter("Udp", "OutDatagrams");
    let before = answered()?;
    agent.pause()?;
    thread::scope(|scope| -> Result<()> {
        let once = Attempt::tcp("github.com", 443).ipv4().via(RESOLVER.0).within_ms(60_000);
        let asking = scope.spawn(move || web.dial_once(&once));
        let replaced = (|| {
            egret_tests::eventually("the resolver has answered", egret_tests::agent::PATIENCE, || {
                Ok((answered()? > before).then_some(()))
            })?;
            agent.kill()?.start()
        })();
        let outcome = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let held = replaced?.status()?["counters"]["dns_answers_held"].take();
        assert_eq!(outcome.seen, Seen::Connected, "{outcome:?}, {held} were held");
        Ok(())
    })
}

/// What of an earlier agent the next one cannot read.
#[test]
fn nothing_slips_through_where_the_next_agent_cannot_read_what_the_last_one_left() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web, "at first")?;
    let snapshot = world.directory().join("state/snapshot");
    let damage = |_: &Setup| Ok(fs::write(&snapshot, "no snapshot")?);
    let lose = |_: &Setup| Ok(fs::remove_file(&snapshot)?);
    let age = |pins: &Setup| pins.age_pins("v");
    let age_all = |pins: &Setup| pins.age_pins("");
    let over = AtomicBool::new(false);
    let try_until_over = || -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let outcomes = web.dial(&Attempt::tcp("203.0.113.77", 443).times(50))?;
            let odd = outcomes.into_iter().find(|outcome| outcome.seen != Seen::Refused);
            assert!(odd.is_none(), "{odd:?}");
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let denied = scope.spawn(try_until_over);
        let ways = [
            ("damaged", &damage as &dyn Fn(&Setup) -> Result<()>),
            ("lost", &lose),
            ("of another version", &age),
            ("all of another version", &age_all),
        ];
        let replaced = (|| -> Result<()> {
            let mut agent = agent;
            for (what, spoil) in ways {
                let killed = agent.kill()?;
                spoil(&killed)?;
                agent = killed.start()?;
                rules_hold(web, what)?;
                assert_eq!(programs(&world, web)?, Tier::of_this_test().hooks().map(|name| [name]), "{what}");
                // Maps and links; and what was looked up.
                assert_eq!(fs::read_dir(world.bpffs())?.count(), 2, "{what}");
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        denied.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        replaced
    })
}

#[test]
fn an_agent_told_to_end_leaves_its_rules_in_force() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web, "at first")?;
    let mut open = web.open("198.51.100.1:443")?;
    let _stopped = agent.stop()?;
    open.go_on()?;
    rules_hold(web, "after the end of the agent")
}

#[test]
fn an_agent_told_to_detach_when_it_ends_takes_everything_away() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .arg("--detach-on-exit")
        .start()?;
    rules_hold(web, "at first")?;
    let _stopped = agent.stop()?;
    for to in ["example.com", "203.0.113.77", "2001:db8::77"] {
        assert_eq!(web.connect(to, 443)?.seen, Seen::Connected, "{to}");
    }
    Ok(())
}

#[test]
fn what_a_workload_looked_up_and_opened_outlives_a_change_of_layouts() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    rules_hold(web, "at first")?;
    let mut open = web.open("192.0.2.10:443")?;
    let killed = agent.kill()?;
    open.go_on()?;
    // Or they would be known from there.
    let _ = fs::remove_file(world.directory().join("state/names"));
    killed.age_pins("v")?;
    let agent = killed.start()?;
    open.go_on()?;
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Connected, "{}", agent.log());
    assert_eq!(web.connect("192.0.2.30", 443)?.seen, Seen::Refused, "{}", agent.log());
    rules_hold(web, "with other maps")?;
    // The one after it finds all in order.
    let agent = agent.kill()?.start()?;
    open.go_on()?;
    assert_eq!(web.connect("192.0.2.10", 443)?.seen, Seen::Connected, "{}", agent.log());
    Ok(())
}

#[test]
fn what_a_workload_looked_up_outlives_the_maps_unless_its_file_is_damaged() -> Result<()> {
    let world = small_world()?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let learned = web.connect("github.com", 443)?;
    assert_eq!(learned.seen, Seen::Connected);
    let address = learned.address.map(|address| address.to_string()).unwrap_or_default();
    let state = |file: &str| world.directory().join("state").join(file);
    // Not by its name, which would be looked up.
    let stopped = agent.stop()?;
    fs::remove_file(state("snapshot"))?;
    let agent = stopped.start()?;
    assert_eq!(web.connect(&address, 443)?.seen, Seen::Connected, "{}", agent.log());
    assert_eq!(web.connect("203.0.113.77", 443)?.seen, Seen::Refused);
    // What was not looked up since is written again.
    let stopped = agent.stop()?;
    fs::remove_file(state("snapshot"))?;
    let agent = stopped.start()?;
    assert_eq!(web.connect(&address, 443)?.seen, Seen::Connected, "{}", agent.log());
    let stopped = agent.stop()?;
    fs::remove_file(state("snapshot"))?;
    let names = fs::read(state("names"))?;
    fs::write(state("names"), &names[..names.len() - 1])?;
    let agent = stopped.start()?;
    assert!(agent.log().contains("must look up again"), "{}", agent.log());
    assert_eq!(web.connect(&address, 443)?.seen, Seen::Refused, "{}", agent.log());
    rules_hold(web, "and a new look-up counts")
}

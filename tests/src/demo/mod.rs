//! The story of four applications, told with real packets: first every policy only observes, then each is enforced; last
//! the application that policy modules decide for goes where it never was, and there again.
//!
//! In: [`Options`] from `egret-demo`. Out: progress on stderr, the report on stdout, and whether all was as expected.
//! `story` is who tries what, `play` tries it, `asked` counts what modules were asked meanwhile, `report` prints it.

mod asked;
mod play;
mod report;
mod story;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::agent::{Agent, Setup};
use crate::modules;
use crate::world::{World, wait_for_interrupt};
use play::Row;
use report::Act;
use story::{APPS, DATABASE, DATABASE_PORT, MODULES, SITES};

/// How the demo is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// As one JSON object instead of tables.
    pub json: bool,
    /// Leave everything running until Ctrl-C.
    pub keep: bool,
}

/// Plays the story and prints it; whether every outcome was as expected.
///
/// # Errors
/// The world or the agent cannot be had, or an attempt left no record.
pub fn run(options: Options) -> Result<bool> {
    progress("making a node, five pods and an internet out of network namespaces");
    let world = make_world()?;
    progress("building the policy modules; the first time takes a minute");
    let folder = build_modules(&world)?;
    progress("starting the agent, with every policy in mode Observe");
    let agent = start_agent(&world, &folder)?;
    let acts = [observe(&world, &agent)?, enforce(&world, &agent)?, asked::ask(&world, &agent)?];
    let as_expected = acts.iter().flat_map(|act| &act.rows).all(|row| row.differs.is_empty());
    if options.json {
        anstream::println!("{}", json!({"acts": acts, "asExpected": as_expected}));
    } else {
        acts.iter().for_each(|act| anstream::print!("{}", report::table(act)));
        anstream::println!("\n{}", conclusion(as_expected));
    }
    if options.keep {
        anstream::eprintln!("\n{}", how_to_look(&world, &agent));
        wait_for_interrupt(i32::from(!as_expected));
    }
    Ok(as_expected)
}

fn progress(what: &str) {
    anstream::eprintln!("· {what}");
}

fn make_world() -> Result<World> {
    let pods: Vec<&str> = APPS.iter().map(|app| app.pod).chain([DATABASE]).collect();
    let world = World::with_pods(&pods)?;
    SITES.iter().for_each(|(name, addresses)| world.dns().set(name, addresses));
    let database = world.pod(DATABASE);
    for address in database.addresses() {
        world.serve_tcp(database.netns(), (address, DATABASE_PORT).into())?;
    }
    Ok(world)
}

fn build_modules(world: &World) -> Result<PathBuf> {
    modules::folder(&world.directory().join("modules"), &MODULES.map(|(name, krate)| (name, krate, "")))
}

fn start_agent(world: &World, modules: &Path) -> Result<Agent> {
    let mut setup = Setup::new(world)?.arg(&format!("--modules={}", modules.display()));
    for app in &APPS {
        setup = setup.policy(app.file, &app.policy_in("Observe"))?;
    }
    let agent = setup.start()?;
    APPS.iter().try_for_each(|app| agent.wait_for_mode(world.pod(app.pod), "Observe"))?;
    Ok(agent)
}

fn observe(world: &World, agent: &Agent) -> Result<Act> {
    let mut rows = Vec::new();
    for app in &APPS {
        progress(&format!("{} tries {} places, observed", app.pod, app.attempts.len()));
        rows.extend(play::play(world, agent, app, false)?);
    }
    let title = "1. Observe: nothing is cut, and the last column says what would be".to_owned();
    Ok(Act { title, rows, notes: Vec::new() })
}

fn enforce(world: &World, agent: &Agent) -> Result<Act> {
    let mut rows = Vec::new();
    for app in &APPS {
        progress(&format!("switching {} to Enforce; {} tries again", app.file, app.pod));
        agent.switch(world.pod(app.pod), app.file, &app.policy_in("Enforce"), "Enforce")?;
        rows.extend(play::play(world, agent, app, true)?);
    }
    let title = "2. Enforce: what is not allowed is refused at once".to_owned();
    let notes = rows.iter().filter_map(said).collect();
    Ok(Act { title, rows, notes })
}

/// What a module says to people about what it decided.
fn said(row: &Row) -> Option<String> {
    let (module, message) = (row.applied.module.as_ref()?, row.applied.message.as_ref()?);
    Some(format!("The module {module} says of {}: {message}.", row.to))
}

fn conclusion(as_expected: bool) -> &'static str {
    if as_expected {
        "Every outcome is as expected. The policies are four files to read and to change, in tests/demo/.\n\
         To look around while it runs: cargo xtask demo --keep"
    } else {
        "Not every outcome is as expected; see `differs` above."
    }
}

fn how_to_look(world: &World, agent: &Agent) -> String {
    let egret = agent.setup().program().display().to_string();
    let socket = agent.setup().socket();
    let command = |verb: &str| format!("  {egret} {verb} --socket {}", socket.display());
    let update = world.pod(APPS[1].pod).netns().name();
    [
        "The world is up. In another terminal, as root:".to_owned(),
        command("status"),
        command("flows --denied"),
        command("flows --workload reports/report"),
        command("explain updates/update github.com:22"),
        format!("  ip netns exec {update} bash -c 'exec 3<>/dev/tcp/github.com/22; head -1 <&3'"),
        format!("  ip netns exec {update} bash -c 'exec 3<>/dev/tcp/github.com/443; head -1 <&3'"),
        format!("  nsenter --net={} ip address", world.node().path().display()),
        format!("Change a policy, and it is in force: {}", shown(&agent.setup().policies())),
        format!("What the agent has to say: {}", shown(&agent.setup().log())),
        "Ctrl-C takes everything away.".to_owned(),
    ]
    .join("\n")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

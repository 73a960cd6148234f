//! One instance of a module: made, configured, asked, and thrown away. Everything it does is under limits, and what stops
//! it is told by its cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_contract::{Opinion, shown};
use wasmtime::component::Component;
use wasmtime::{Engine, Error, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::answer::{self, DnsAnswer};
use super::attempt::{Attempt, Inputs, seen};
use super::bindings::{Answers, World, types};
use super::decision::{Decision, decision};
use super::fault::Fault;
use super::host::{Host, MAX_TABLE, Over, Shared};
use super::last_words::last_words;
use super::manifest::Limits;
use super::policy::Measured;
use super::sandbox::WAITS;
use super::ticker::{TICK, Ticker};
use super::world::{Imports, Linked};

/// What instances are made of.
#[derive(Clone)]
pub(super) struct Mould {
    pub component: Component,
    pub linked: Linked,
    pub imports: Imports,
    pub shared: Arc<Shared>,
    pub limits: Limits,
    /// Whether the code counts the work it does.
    pub counts_work: bool,
}

/// One instance.
pub(super) struct Instance {
    store: Store<Host>,
    world: World,
    answers: Option<Answers>,
    /// What it was asked.
    pub decided: u32,
}

/// What a module may copy to the agent in one call, in bytes, beside what is kept of it.
const MAX_COPIED: usize = 1 << 20;
/// What a module's refusal of settings may say, in bytes.
const MAX_REFUSAL: usize = 1 << 10;
/// More work than any time limit lets a module do.
const UNLIMITED_WORK: u64 = u64::MAX / 2;

impl Mould {
    /// One of whose instances nothing stays: what they count is counted aside.
    pub fn aside(&self) -> Self {
        Self { shared: self.shared.aside(), ..self.clone() }
    }

    /// Makes an instance. Its start functions run here, under limits.
    pub fn instance(&self, ticker: &Ticker) -> Result<Instance, Fault> {
        let engine = self.component.engine();
        let mut store = store(engine, self);
        let limit = self.limits.preparation();
        let _running = ticker.running();
        store.set_epoch_deadline(ticks(limit));
        let made = self.make(&mut store);
        let (world, answers) =
            made.map_err(|error| fault(&error, &mut store, &self.limits, limit, "start"))?;
        Ok(Instance { store, world, answers, decided: 0 })
    }

    fn make(&self, store: &mut Store<Host>) -> wasmtime::Result<(World, Option<Answers>)> {
        if self.linked.answers.is_none() {
            return Ok((self.linked.world.instantiate(store)?, None));
        }
        let instance = self.linked.world.instance_pre().instantiate(&mut *store)?;
        let world = World::new(&mut *store, &instance)?;
        Ok((world, Some(Answers::new(store, &instance)?)))
    }
}

fn store(engine: &Engine, mould: &Mould) -> Store<Host> {
    let host = Host::new(mould.shared.clone(), &mould.limits, mould.imports.wasi);
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limiter);
    store.epoch_deadline_trap();
    store.set_hostcall_fuel(MAX_COPIED);
    if mould.counts_work {
        // The engine counts, so this cannot fail.
        let _ = store.set_fuel(UNLIMITED_WORK);
    }
    store
}

/// One tick more: the first one comes at once or after a whole one.
fn ticks(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX - 1) + 1
}

impl Instance {
    /// What the module says of itself.
    pub fn describe(&mut self, ticker: &Ticker, limits: &Limits) -> Result<types::Description, Fault> {
        let limit = limits.preparation();
        let _running = ticker.running();
        self.store.set_epoch_deadline(ticks(limit));
        let told = self.world.call_describe(&mut self.store);
        told.map_err(|error| fault(&error, &mut self.store, limits, limit, "describe"))
    }

    /// Gives it the settings.
    pub fn configure(&mut self, ticker: &Ticker, limits: &Limits, settings: &str) -> Result<(), Fault> {
        let limit = limits.preparation();
        let _running = ticker.running();
        self.store.set_epoch_deadline(ticks(limit));
        let told = self.world.call_configure(&mut self.store, settings);
        match told.map_err(|error| fault(&error, &mut self.store, limits, limit, "configure"))? {
            Ok(()) => Ok(()),
            Err(text) => Err(Fault::Settings(shown(&text, MAX_REFUSAL))),
        }
    }

    /// Asks it. After an error the instance is of no use.
    pub fn decide(
        &mut self,
        ticker: &Ticker,
        limits: &Limits,
        inputs: Inputs,
        attempt: &Attempt,
    ) -> Result<Decision, Fault> {
        self.store.data_mut().now = attempt.time;
        let said = {
            let _running = ticker.running();
            self.store.set_epoch_deadline(ticks(limits.time));
            seen(attempt, inputs, |seen| self.world.call_decide(&mut self.store, seen))
        };
        let said = said.map_err(|error| fault(&error, &mut self.store, limits, limits.time, "decide"))?;
        self.decided += 1;
        Ok(decision(said, attempt, inputs, limits.output))
    }

    /// Tells it of a DNS answer. After an error the instance is of no use. `None`: it is not told of any.
    pub fn on_answer(
        &mut self,
        ticker: &Ticker,
        limits: &Limits,
        inputs: Inputs,
        told: &DnsAnswer,
    ) -> Result<Option<Opinion>, Fault> {
        let Some(answers) = &self.answers else { return Ok(None) };
        self.store.data_mut().now = told.time;
        let said = {
            let _running = ticker.running();
            self.store.set_epoch_deadline(ticks(limits.time));
            answer::seen(told, inputs, |seen| answers.call_on_answer(&mut self.store, seen))
        };
        let said = said.map_err(|error| fault(&error, &mut self.store, limits, limits.time, "on-answer"))?;
        self.decided += 1;
        Ok(Some(answer::opinion(said, told, limits.output)))
    }

    /// The same as [`Self::decide`], and what it took.
    pub fn measure(
        &mut self,
        ticker: &Ticker,
        limits: &Limits,
        inputs: Inputs,
        attempt: &Attempt,
    ) -> (Result<Decision, Fault>, Measured) {
        let fuel = self.store.get_fuel().ok();
        let start = Instant::now();
        let decision = self.decide(ticker, limits, inputs, attempt);
        let time = start.elapsed();
        let left = self.store.get_fuel().ok();
        let fuel = fuel.zip(left).map(|(before, after)| before.saturating_sub(after));
        (decision, Measured { fuel, time, memory: self.store.data().limiter.used })
    }
}

/// The cause of an error, from what stopped the module.
fn fault(
    error: &Error,
    store: &mut Store<Host>,
    limits: &Limits,
    limit: Duration,
    doing: &'static str,
) -> Fault {
    match store.data().limiter.over {
        Some(Over::Memory) => {
            return Fault::Memory { what: "memory", limit: format!("{} KiB", limits.memory >> 10) };
        }
        Some(Over::Table) => {
            return Fault::Memory { what: "room in a table", limit: format!("{MAX_TABLE} entries") };
        }
        None => {}
    }
    let place = || place(error);
    if let Some(trap) = error.downcast_ref::<Trap>() {
        if *trap == Trap::Interrupt {
            return Fault::Timeout { limit, doing };
        }
        let text = trap.to_string();
        let message = match (trap, last_words(error, store)) {
            (Trap::UnreachableCodeReached, Some(words)) => format!("it gave up: {words}"),
            (Trap::UnreachableCodeReached, None) => {
                "it gave up (a panic, or an `unreachable` instruction)".to_owned()
            }
            _ => text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned(),
        };
        return Fault::Trap { message, place: place() };
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Fault::Trap { message: format!("it ended itself with code {}", exit.0), place: place() };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::NoRoom("too many instances are in use".to_owned());
    }
    let text = shown(&error.root_cause().to_string(), MAX_REFUSAL);
    match text.as_str() {
        WAITS => Fault::Trap { message: text, place: place() },
        _ if doing == "start" => Fault::NoRoom(text),
        _ => Fault::BadOutput(text),
    }
}

/// The innermost function of the module's own that has a name.
fn place(error: &Error) -> String {
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let mut names = frames.iter().filter_map(|frame| frame.func_name()).map(readable);
    let own = names.clone().find(|name| !is_of_std(name)).or_else(|| names.next());
    let place = own.or_else(|| frames.first().map(|frame| format!("function {}", frame.func_index())));
    place.map_or_else(|| "an unknown function".to_owned(), |name| shown(&name, 200))
}

fn readable(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// A panic's own machinery is not where it happened.
fn is_of_std(name: &str) -> bool {
    const STD: [&str; 7] = ["std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__rust"];
    STD.iter().any(|start| name.starts_with(start))
        || matches!(name, "rust_panic" | "abort" | "rust_begin_unwind")
}

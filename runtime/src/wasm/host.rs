//! What belongs to one instance on the agent's side: its limits, and the interfaces it may call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egret_contract::windows::Windows;
use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime::{Error, ResourceLimiter, Result};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::{clock, counters, log};
use super::log::Lines;
use super::manifest::Limits;
use super::sandbox::Sandbox;

/// What all instances of one module share.
#[derive(Debug)]
pub(super) struct Shared {
    pub lines: Lines,
    windows: Mutex<Windows>,
    /// What these windows count on from, and leave as it is; `None`: they are the module's own.
    origin: Option<Arc<Self>>,
}

impl Shared {
    pub fn new(module: &str) -> Self {
        Self { lines: Lines::new(module), windows: Mutex::default(), origin: None }
    }

    /// For a decision that must leave no trace: it counts on from what was counted, aside.
    pub fn aside(self: &Arc<Self>) -> Arc<Self> {
        let windows = self.windows().aside();
        Arc::new(Self { lines: self.lines.aside(), windows: Mutex::new(windows), origin: Some(self.clone()) })
    }

    /// Forgets all that was counted.
    pub fn forget(&self) {
        *self.windows() = Windows::default();
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent's side of one instance.
pub(super) struct Host {
    shared: Arc<Shared>,
    /// The time of the attempt that is being decided; 0 otherwise.
    pub now: u64,
    pub limiter: Limiter,
    sandbox: Sandbox,
}

impl Host {
    pub fn new(shared: Arc<Shared>, limits: &Limits, needs_sandbox: bool) -> Self {
        let limiter = Limiter { most: limits.memory, used: 0, over: None };
        Self { shared, now: 0, limiter, sandbox: Sandbox::new(needs_sandbox) }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("now", &self.now).field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table): (&mut WasiCtx, &mut ResourceTable) = self.sandbox.parts();
        WasiCtxView { ctx, table }
    }
}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, line: String) {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
        };
        self.shared.lines.write(level, &line);
    }
}

impl counters::Host for Host {
    fn distinct(&mut self, key: String, member: String, seconds: u32) -> u32 {
        self.windows(&key, seconds, true).distinct(&key, &member, seconds, self.now)
    }

    fn hits(&mut self, key: String, seconds: u32) -> u32 {
        self.windows(&key, seconds, false).hits(&key, seconds, self.now)
    }
}

impl Host {
    /// The windows to count in, with what is known under `key`.
    fn windows(&self, key: &str, seconds: u32, counts_members: bool) -> MutexGuard<'_, Windows> {
        let mut windows = self.shared.windows();
        if let Some(origin) = &self.shared.origin {
            windows.take_over(&origin.windows(), key, seconds, counts_members);
        }
        windows
    }
}

impl clock::Host for Host {
    fn now(&mut self) -> u64 {
        self.now
    }
}

/// The most entries of one table: a large program has some ten thousand functions in it.
pub(super) const MAX_TABLE: usize = 100_000;
/// The most core modules, tables and memories of one component.
pub(super) const MAX_PARTS: usize = 32;

/// Watches what an instance grows to.
#[derive(Debug)]
pub(super) struct Limiter {
    /// Bytes that all its memories may have.
    most: u64,
    /// Bytes that they have.
    pub used: u64,
    /// What it wanted too much of.
    pub over: Option<Over>,
}

/// What an instance wanted too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Memory,
    Table,
}

impl Limiter {
    fn refuse(&mut self, over: Over) -> Result<bool> {
        self.over = Some(over);
        // An error stops the module here and now; a plain `false` would let it go on, and fail somewhere else.
        Err(Error::msg("a limit of the module is exceeded"))
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.most {
            return self.refuse(Over::Memory);
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        if desired > MAX_TABLE { self.refuse(Over::Table) } else { Ok(true) }
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

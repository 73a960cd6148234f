//! The engine: one per process. It loads modules, and owns the threads that they need.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use super::cache::{Cache, CacheError};
use super::compile::Compiler;
use super::host::{MAX_PARTS, MAX_TABLE, Shared};
use super::instance::Mould;
use super::manifest::{MAX_MEMORY, Manifest};
use super::module::Module;
use super::preparer::Preparer;
use super::refused::{MAX_BYTES, Refused};
use super::ticker::Ticker;
use super::world;

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasm: wasmtime::Engine,
    counts_work: bool,
    /// Of everything that compiled code depends on: the engine's version, its settings, this processor.
    fingerprint: String,
    cache: Option<Cache>,
    compiler: Compiler,
    ticker: Ticker,
    preparer: Preparer,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine refuses this machine.
    #[error("modules cannot run on this machine: {0}")]
    Machine(String),
    /// The folder of compiled modules cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The system gives no thread.
    #[error("no thread for modules: {0}")]
    Thread(#[from] std::io::Error),
}

/// How many instances there may be at a time.
const MAX_INSTANCES: u32 = 1_000;
/// The stack of a module, in bytes.
const MAX_STACK: usize = 512 << 10;
/// What an instance's memory keeps between uses, in bytes.
const KEPT: usize = 2 << 20;

impl Engine {
    /// An engine that compiles in child processes of this program, and keeps what it compiled in the folder `cache`, if
    /// one is given: made where it is missing, and refused where others could write into it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(cache: Option<&Path>) -> Result<Self, EngineError> {
        Self::with(cache, Compiler::this_program(), false)
    }

    /// An engine with another compiler; one that counts the work of modules ([`super::Measured::fuel`]) where
    /// `counts_work` says so.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn with(cache: Option<&Path>, compiler: Compiler, counts_work: bool) -> Result<Self, EngineError> {
        let machine = |error: wasmtime::Error| EngineError::Machine(format!("{error:#}"));
        let mut config = settings(counts_work);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(rooms()));
        let wasm = wasmtime::Engine::new(&config).map_err(machine)?;
        let ticks = wasm.weak();
        let ticker = Ticker::start(move || {
            if let Some(engine) = ticks.upgrade() {
                engine.increment_epoch();
            }
        })?;
        Ok(Self(Arc::new(Inner {
            fingerprint: fingerprint(&wasm),
            wasm,
            counts_work,
            cache: cache.map(Cache::open).transpose()?,
            compiler,
            ticker,
            preparer: Preparer::start()?,
        })))
    }

    /// Loads a module: compiled (or found compiled), held against the contract, and asked what it is.
    ///
    /// # Errors
    /// Why it was not loaded.
    pub fn load(&self, name: &str, bytes: &[u8], manifest: &Manifest) -> Result<Arc<Module>, Refused> {
        let digest = digest(bytes);
        check_digest(manifest, &digest)?;
        manifest.limits.check()?;
        check_kind(bytes)?;
        let component = self.component(bytes, &digest)?;
        let imports = world::imports(&self.0.wasm, &component)?;
        world::check_grants(imports, manifest.grants)?;
        let mould = Mould {
            linked: world::link(&self.0.wasm, &component, imports)?,
            component,
            imports,
            shared: Arc::new(Shared::new(name)),
            limits: manifest.limits,
            counts_work: self.0.counts_work,
        };
        Ok(Arc::new(Module::new(self.clone(), name, digest, manifest.clone(), mould)?))
    }

    fn component(&self, bytes: &[u8], digest: &str) -> Result<Component, Refused> {
        let name = format!("{digest}-{}.cwasm", self.0.fingerprint);
        let kept = self.0.cache.as_ref().and_then(|cache| cache.read(&name));
        if let Some(component) = kept.and_then(|compiled| revive(&self.0.wasm, &compiled).ok()) {
            return Ok(component);
        }
        let compiled = self.0.compiler.compile(bytes, self.0.counts_work)?;
        let component =
            revive(&self.0.wasm, &compiled).map_err(|error| Refused::Compiler(format!("{error:#}")))?;
        if let Some(cache) = &self.0.cache {
            // Without it the next start takes longer, and that is all.
            if let Err(error) = cache.write(&name, &compiled) {
                tracing::warn!(%error, "a compiled module was not kept");
            }
        }
        Ok(component)
    }

    pub(super) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(super) fn preparer(&self) -> &Preparer {
        &self.0.preparer
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("fingerprint", &self.0.fingerprint).finish_non_exhaustive()
    }
}

/// What decides how code is compiled: the same in the agent and in its compiler.
fn settings(counts_work: bool) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .consume_fuel(counts_work)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .generate_address_map(true)
        // So that what a module said when it gave up can be read from its memory: nothing is copied for it.
        .coredump_on_trap(true);
    config
}

/// The engine that compiles, which runs nothing.
pub(super) fn compiling_engine(counts_work: bool) -> Result<wasmtime::Engine, String> {
    wasmtime::Engine::new(&settings(counts_work)).map_err(|error| format!("{error:#}"))
}

/// Address space for instances, taken once.
fn rooms() -> PoolingAllocationConfig {
    let parts = MAX_PARTS as u32;
    let mut rooms = PoolingAllocationConfig::new();
    rooms
        .total_component_instances(MAX_INSTANCES)
        .total_core_instances(4 * MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_tables(2 * MAX_INSTANCES)
        .max_core_instances_per_component(parts)
        .max_memories_per_component(parts)
        .max_tables_per_component(parts)
        .table_elements(MAX_TABLE)
        .max_memory_size(MAX_MEMORY as usize)
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        // Where the kernel tells which pages were written (6.7), only these are cleared, and none is given back: a page
        // that must be asked for again costs more than one that is copied.
        .pagemap_scan(Enabled::Auto);
    rooms
}

#[allow(unsafe_code, reason = "reviving compiled code runs what it is given; see below")]
fn revive(engine: &wasmtime::Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `compiled` comes from a compiler that is this very program, or from the cache, which gives back only what
    // this node wrote: it carries a tag made with a key that only root can read.
    unsafe { Component::deserialize(engine, compiled) }
}

fn fingerprint(engine: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn check_digest(manifest: &Manifest, found: &str) -> Result<(), Refused> {
    let Some(expected) = &manifest.digest else { return Ok(()) };
    let plain = expected.strip_prefix("sha256:").unwrap_or(expected);
    match plain.eq_ignore_ascii_case(found) {
        true => Ok(()),
        false => Err(Refused::Digest { expected: expected.clone(), found: found.to_owned() }),
    }
}

/// The first eight bytes say what the rest is.
fn check_kind(bytes: &[u8]) -> Result<(), Refused> {
    match bytes {
        _ if bytes.len() > MAX_BYTES => Err(Refused::TooLarge(bytes.len())),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Refused::NotAComponent),
        _ => Err(Refused::NotWasm),
    }
}

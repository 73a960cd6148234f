//! An empty machine for modules whose language cannot do without WASI: no files, no environment, no arguments, no
//! network, a clock that stands still, the same random numbers each time, and output that goes nowhere.

use std::time::Duration;

use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Error, Result, StoreContextMut};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use super::host::Host;

/// The most streams, descriptors and the like that a module may hold.
const MAX_RESOURCES: usize = 1_024;
/// The most random bytes of one call.
const MAX_RANDOM: u64 = 64 << 10;

/// The machine of one instance; made when it is first looked at.
pub(super) struct Sandbox(Option<(WasiCtx, ResourceTable)>);

impl Sandbox {
    pub fn new(needed: bool) -> Self {
        Self(needed.then(empty))
    }

    pub fn parts(&mut self) -> (&mut WasiCtx, &mut ResourceTable) {
        let (ctx, table) = self.0.get_or_insert_with(empty);
        (ctx, table)
    }
}

fn empty() -> (WasiCtx, ResourceTable) {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    let mut builder = WasiCtx::builder();
    builder
        .wall_clock(Still)
        .monotonic_clock(Still)
        .secure_random(Deterministic::new(SEED.to_vec()))
        .insecure_random(Deterministic::new(SEED.to_vec()))
        .insecure_random_seed(u128::from_le_bytes(SEED))
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    (builder.build(), table)
}

/// The digits of pi, so that nobody wonders what they hide.
const SEED: [u8; 16] = *b"3141592653589793";

/// A clock that stands at the beginning of 1970.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Links WASI, version 2. What waits is taken out: a module that waits would hold a thread of the agent, and no limit
/// counts while it does.
pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap("poll", |_: StoreContextMut<'_, Host>, _: (Vec<Resource<DynPollable>>,)| {
        Err::<(Vec<u32>,), _>(waits())
    })?;
    poll.func_wrap("[method]pollable.block", |_: StoreContextMut<'_, Host>, _: (Resource<DynPollable>,)| {
        Err::<(), _>(waits())
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What a module is stopped with that wants to wait.
pub(super) const WAITS: &str = "a policy module may not wait";

fn waits() -> Error {
    Error::msg(WAITS)
}

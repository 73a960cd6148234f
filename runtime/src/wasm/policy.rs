//! A module with the settings of a policy, and the instances that are ready to decide.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use egret_contract::Opinion;

use super::answer::DnsAnswer;
use super::attempt::Attempt;
use super::decision::Decision;
use super::fault::Fault;
use super::instance::{Instance, Mould};
use super::module::Module;

/// How many instances are kept ready.
const READY: usize = 8;
/// Instances that take no longer to make are made by whoever decided, after it: waking another thread costs as much. An
/// interpreter takes milliseconds.
const QUICK: Duration = Duration::from_micros(200);

/// A module with settings. Any number of threads may ask it at once.
pub struct Policy {
    module: Arc<Module>,
    settings: String,
    pool: Mutex<Pool>,
    /// Whether who decides makes its instances, too.
    is_quick: bool,
    /// For who makes instances off the path, and must not keep the policy alive.
    own: Weak<Self>,
}

/// The instances of a policy.
#[derive(Default)]
struct Pool {
    /// Ready to decide.
    ready: Vec<Instance>,
    /// Of no more use; freed off the path.
    used: Vec<Instance>,
    /// Somebody was asked to fill it up, and has not begun.
    asked: bool,
}

/// What a decision took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Units of work, about one for each instruction; `None` where the engine does not count.
    pub fuel: Option<u64>,
    /// Wall-clock time, without getting the instance ready.
    pub time: Duration,
    /// Bytes of linear memory that the instance had in the end.
    pub memory: u64,
}

impl Policy {
    pub(super) fn new(module: Arc<Module>, settings: String) -> Result<Arc<Self>, Fault> {
        // The module speaks about its settings now, not at the first attempt.
        let first = prepared(&module.mould, &module, &settings)?;
        let begun = Instant::now();
        let second = prepared(&module.mould, &module, &settings)?;
        let is_quick = begun.elapsed() <= QUICK;
        let pool = Mutex::new(Pool { ready: vec![first, second], ..Pool::default() });
        let policy = Arc::new_cyclic(|own| Self { module, settings, pool, is_quick, own: own.clone() });
        if is_quick {
            policy.fill();
        } else {
            policy.module.engine.preparer().fill(&policy.own);
        }
        Ok(policy)
    }

    /// Frees instances that are of no more use, and makes others, where that is the business of who decided. To be called
    /// once the decision is told.
    pub fn tidy(&self) {
        if self.is_quick {
            self.fill();
        }
    }

    /// Asks the module. To be called by a thread of its own, not by an asynchronous task: it takes what the module takes,
    /// up to the limit, and modules that import WASI may wait for a runtime of their own.
    ///
    /// # Errors
    /// Why it did not answer. What counts then is the manifest's failure policy.
    pub fn decide(&self, attempt: &Attempt) -> Result<Decision, Fault> {
        let module = &*self.module;
        let mut instance = self.take()?;
        let decision =
            instance.decide(module.engine.ticker(), &module.manifest().limits, module.inputs, attempt);
        self.give_back(instance, decision.is_ok());
        decision
    }

    /// Tells the module of a DNS answer; `None`: it is not told of any. As for [`Self::decide`], by a thread of its own.
    ///
    /// # Errors
    /// Why it said nothing.
    pub fn on_answer(&self, answer: &DnsAnswer) -> Result<Option<Opinion>, Fault> {
        let module = &*self.module;
        let mut instance = self.take()?;
        let said =
            instance.on_answer(module.engine.ticker(), &module.manifest().limits, module.inputs, answer);
        self.give_back(instance, said.is_ok());
        said
    }

    /// What the module would say, asked aside: by an instance of its own, and what it counts is forgotten. Takes what
    /// [`Self::decide`] takes, and the time to get an instance ready.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn try_out(&self, attempt: &Attempt) -> Result<Decision, Fault> {
        let module = &*self.module;
        let mut instance = self.prepared(&module.mould.aside())?;
        instance.decide(module.engine.ticker(), &module.manifest().limits, module.inputs, attempt)
    }

    /// Asks the module, and tells what that took.
    ///
    /// # Errors
    /// Where there is no instance to ask.
    pub fn measure(&self, attempt: &Attempt) -> Result<(Result<Decision, Fault>, Measured), Fault> {
        let module = &*self.module;
        let mut instance = self.take()?;
        let told =
            instance.measure(module.engine.ticker(), &module.manifest().limits, module.inputs, attempt);
        self.give_back(instance, told.0.is_ok());
        Ok(told)
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// One that is ready, or else a new one.
    fn take(&self) -> Result<Instance, Fault> {
        let ready = self.pool().ready.pop();
        ready.map_or_else(|| self.prepare(), Ok)
    }

    /// An instance that may decide again goes back; any other is freed off the path, and made good there: by [`Self::tidy`],
    /// or by a thread that is woken once for several of them.
    fn give_back(&self, instance: Instance, is_sound: bool) {
        let mut pool = self.pool();
        if is_sound && instance.decided < self.module.manifest().reuse && pool.ready.len() < READY {
            pool.ready.push(instance);
            return;
        }
        // Where more is used than is freed, each thread frees its own: what waits takes room.
        let own = if pool.used.len() < READY {
            pool.used.push(instance);
            None
        } else {
            Some(instance)
        };
        let is_low = pool.ready.len() <= READY / 2 || pool.used.len() >= READY;
        let asks = is_low && !pool.asked && !self.is_quick;
        pool.asked |= asks;
        drop(pool);
        drop(own);
        if asks && !self.module.engine.preparer().fill(&self.own) {
            // Too much waits already: this thread does the work.
            self.fill();
        }
    }

    fn keep(&self, instance: Instance) {
        let mut pool = self.pool();
        if pool.ready.len() < READY {
            pool.ready.push(instance);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self) -> Result<Instance, Fault> {
        self.prepared(&self.module.mould)
    }

    fn prepared(&self, mould: &Mould) -> Result<Instance, Fault> {
        prepared(mould, &self.module, &self.settings)
    }

    /// Frees what was used, and makes instances until enough are ready. An error is not told: the next attempt meets it,
    /// too, and tells it.
    pub(super) fn fill(&self) {
        loop {
            let used = {
                let mut pool = self.pool();
                pool.asked = false;
                std::mem::take(&mut pool.used)
            };
            drop(used);
            if self.ready() >= READY {
                return;
            }
            match self.prepare() {
                Ok(instance) => self.keep(instance),
                Err(_) => return,
            }
        }
    }

    /// How many instances are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.pool().ready.len()
    }

    /// How long it takes to make an instance: what a decision waits for where none is ready.
    ///
    /// # Errors
    /// Where none can be made.
    pub fn time_to_prepare(&self) -> Result<Duration, Fault> {
        let start = Instant::now();
        let instance = self.prepare()?;
        let time = start.elapsed();
        drop(instance);
        Ok(time)
    }
}

fn prepared(mould: &Mould, module: &Module, settings: &str) -> Result<Instance, Fault> {
    let (ticker, limits) = (module.engine.ticker(), &module.manifest().limits);
    let mut instance = mould.instance(ticker)?;
    instance.configure(ticker, limits, settings)?;
    Ok(instance)
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("module", &self.module)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

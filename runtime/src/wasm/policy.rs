//! A module with the settings of a policy, and the instances that are ready to decide.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::attempt::Attempt;
use super::decision::Decision;
use super::fault::Fault;
use super::instance::Instance;
use super::module::Module;

/// How many instances are kept ready.
const READY: usize = 4;

/// A module with settings. Any number of threads may ask it at once.
pub struct Policy {
    module: Arc<Module>,
    settings: String,
    ready: Mutex<Vec<Instance>>,
    /// For who makes instances off the path, and must not keep the policy alive.
    own: Weak<Self>,
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
        let policy = Arc::new_cyclic(|own| Self {
            module,
            settings,
            ready: Mutex::new(Vec::with_capacity(READY)),
            own: own.clone(),
        });
        // The module speaks about its settings now, not at the first attempt.
        let first = policy.prepare()?;
        policy.keep(first);
        policy.module.engine.preparer().fill(&policy.own);
        Ok(policy)
    }

    /// Asks the module.
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
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ready.map_or_else(|| self.prepare(), Ok)
    }

    /// An instance that may decide again goes back; what of any other is to be freed is freed off the path, and made
    /// good there.
    fn give_back(&self, instance: Instance, is_sound: bool) {
        if is_sound && instance.decided < self.module.manifest().reuse {
            self.keep(instance);
        } else {
            self.module.engine.preparer().replace(instance, &self.own);
        }
    }

    fn keep(&self, instance: Instance) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < READY {
            ready.push(instance);
        }
    }

    fn prepare(&self) -> Result<Instance, Fault> {
        let (ticker, limits) = (self.module.engine.ticker(), &self.module.manifest().limits);
        let mut instance = self.module.mould.instance(ticker)?;
        instance.configure(ticker, limits, &self.settings)?;
        Ok(instance)
    }

    /// Makes instances until enough are ready. An error is not told: the next attempt meets it, too, and tells it.
    pub(super) fn fill(&self) {
        while self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() < READY {
            match self.prepare() {
                Ok(instance) => self.keep(instance),
                Err(_) => return,
            }
        }
    }

    /// How many instances are ready.
    #[cfg(test)]
    pub(super) fn ready(&self) -> usize {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("module", &self.module)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

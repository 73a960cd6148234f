//! Who answers questions: from the case of a workload to a verdict in the kernel.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use egret_abi::{VerdictKey, WorkloadIndex};
use jiff::Timestamp;
use lru::LruCache;
use tracing::warn;

use super::case::{Case, Ruling};
use super::question::Question;
use crate::agent::lessons::Count;
use crate::enforce::{Binder, Rulings};
use crate::kernel::clock;
use crate::kernel::maps::ip;
use crate::model::{Name, WorkloadId};
use crate::policy::Ruleset;
use crate::wasm::{Scope, Who};

/// Names of a destination that modules are told.
const NAMES: usize = 16;
/// Decisions about names that are remembered, and messages.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 14) - 1);
/// How long a decision about one flow is there for its packets on hold, and for those that a refused one sends again.
const SETTLING: Duration = Duration::from_secs(2);
/// A workload whose modules took longer than this is answered aside, and others need not wait for it.
const SLOW: Duration = Duration::from_millis(1);
/// For so long.
const ASIDE: Duration = Duration::from_secs(10);

/// For whom a decision about a name counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Workload(WorkloadIndex),
    /// All workloads of a namespace with the same policies.
    Application(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NameKey {
    whose: Whose,
    names: Vec<Name>,
    port: [u8; 2],
    protocol: u32,
}

struct Known {
    ruleset: Arc<Ruleset>,
    until: Duration,
    ruling: Ruling,
}

/// What decisions cost and came to, counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Questions that modules were run for.
    pub decided: Count,
    /// Questions answered by what they had said of the same names.
    pub remembered: Count,
    /// Modules that failed.
    pub faults: Count,
    /// Questions that nobody answered in time.
    pub timeouts: Count,
}

impl Counts {
    /// In the order of [`crate::api::AGENT_COUNTERS`].
    pub fn all(&self) -> [u64; 4] {
        [&self.decided, &self.remembered, &self.faults, &self.timeouts].map(Count::get)
    }
}

/// Shared by the threads that read, and those that decide.
pub struct Judge {
    cases: RwLock<HashMap<WorkloadIndex, Arc<Case>>>,
    /// Workloads that are answered aside, and until when.
    aside: Mutex<HashMap<WorkloadIndex, Instant>>,
    binder: Arc<Mutex<Binder>>,
    rulings: Mutex<Rulings>,
    names: Mutex<LruCache<NameKey, Known>>,
    messages: Mutex<LruCache<(WorkloadIndex, VerdictKey), Arc<str>>>,
    told: Mutex<HashMap<Arc<str>, Instant>>,
    /// What came of it.
    pub counts: Counts,
}

impl Judge {
    /// One that knows no case yet.
    pub fn new(binder: Arc<Mutex<Binder>>, rulings: Rulings) -> Self {
        Self {
            cases: RwLock::default(),
            aside: Mutex::default(),
            binder,
            rulings: Mutex::new(rulings),
            names: Mutex::new(LruCache::new(REMEMBERED)),
            messages: Mutex::new(LruCache::new(REMEMBERED)),
            told: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// The hand on the maps.
    pub fn rulings(&self) -> MutexGuard<'_, Rulings> {
        self.rulings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a workload is decided by `case`; `None`: it has no modules.
    pub fn set(&self, workload: WorkloadIndex, case: Option<Case>) {
        let mut cases = self.cases.write().unwrap_or_else(PoisonError::into_inner);
        match case {
            Some(case) => cases.insert(workload, Arc::new(case)),
            None => cases.remove(&workload),
        };
    }

    /// Whether this is how a workload's modules know it.
    pub fn knows(&self, workload: WorkloadIndex, who: &Who) -> bool {
        self.case(workload).is_some_and(|case| *case.who == *who)
    }

    /// What a workload is decided by; `None`: it has no modules, or its policies are not in force yet.
    pub fn case(&self, workload: WorkloadIndex) -> Option<Arc<Case>> {
        self.cases.read().unwrap_or_else(PoisonError::into_inner).get(&workload).cloned()
    }

    /// What is asked about a packet: of all flows to its destination together, unless modules decide one by one.
    pub fn question(&self, workload: WorkloadIndex, key: VerdictKey) -> Question {
        let alone = self.case(workload).is_some_and(|case| case.alone);
        Question { workload, key: if alone { key } else { key.for_all_flows() } }
    }

    /// Whether the workload is to be answered aside.
    pub fn is_slow(&self, workload: WorkloadIndex) -> bool {
        let aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.get(&workload).is_some_and(|until| Instant::now() < *until)
    }

    /// Answers a question asked by a flow with the port `local`, and writes it into the maps. When this returns, packets
    /// with it may go on. Whether the answer is about that one flow alone.
    pub fn answer(&self, question: &Question, local: [u8; 2]) -> bool {
        let Some(case) = self.case(question.workload) else { return false };
        let names = self.names_of(question);
        if let Some(ruling) = self.remembered(&case, question, &names) {
            self.counts.remembered.add();
            return self.write(&case, question, local, &ruling);
        }
        let started = Instant::now();
        let ruling = case.decide(question, &names, milliseconds());
        let took = started.elapsed();
        self.counts.decided.add();
        if took > SLOW {
            let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
            aside.insert(question.workload, Instant::now() + ASIDE);
        }
        for (module, cause) in &ruling.faults {
            self.counts.faults.add();
            self.tell(module, cause, &case);
        }
        if ruling.scope == Scope::Name && !names.is_empty() {
            let known = Known {
                ruleset: case.ruleset.clone(),
                until: clock::now() + ruling.ttl,
                ruling: ruling.clone(),
            };
            self.lock_names().put(name_key(&case, question, names), known);
        }
        self.write(&case, question, local, &ruling)
    }

    /// Answers a question as if every module had failed: it waited too long.
    pub fn give_up(&self, question: &Question, local: [u8; 2]) {
        self.counts.timeouts.add();
        let Some(case) = self.case(question.workload) else { return };
        let ruling = case.fail(question, &self.names_of(question));
        self.write(&case, question, local, &ruling);
    }

    /// Makes ready what the next answer needs, once packets went on.
    pub fn tidy(&self, workload: WorkloadIndex) {
        if let Some(case) = self.case(workload) {
            case.modules.iter().flatten().for_each(|policy| policy.tidy());
        }
    }

    /// What a module said to people about a flow, where it did.
    pub fn message(&self, workload: WorkloadIndex, key: VerdictKey) -> Option<Arc<str>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let message = messages.get(&(workload, key)).cloned();
        message.or_else(|| messages.get(&(workload, key.for_all_flows())).cloned())
    }

    fn names_of(&self, question: &Question) -> Vec<Name> {
        let binder = self.binder.lock().unwrap_or_else(PoisonError::into_inner);
        binder.names_of(question.workload, ip(question.key.remote), clock::now(), NAMES)
    }

    fn lock_names(&self) -> MutexGuard<'_, LruCache<NameKey, Known>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, case: &Case, question: &Question, names: &[Name]) -> Option<Ruling> {
        let now = clock::now();
        let mut known = self.lock_names();
        if names.is_empty() || known.is_empty() {
            return None;
        }
        let key = name_key(case, question, names.to_vec());
        let known = known.get(&key)?;
        let left = known.until.checked_sub(now).filter(|left| !left.is_zero())?;
        let stands = Arc::ptr_eq(&known.ruleset, &case.ruleset);
        stands.then(|| Ruling { ttl: left, ..known.ruling.clone() })
    }

    /// Whether it is about one flow alone.
    fn write(&self, case: &Case, question: &Question, local: [u8; 2], ruling: &Ruling) -> bool {
        let alone = ruling.scope == Scope::Flow || ruling.ttl.is_zero();
        let (key, ttl) = match alone {
            true => (VerdictKey { local_port: local, ..question.key }, ruling.ttl.max(SETTLING)),
            false => (question.key.for_all_flows(), ruling.ttl),
        };
        let until = clock::tick_after(clock::now() + ttl);
        let written = self.rulings().write(question.workload, key, (case.epoch, until), &ruling.verdicts);
        if let Err(error) = written {
            warn!("a verdict is lost, and its packets wait in vain: {error}");
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        match &ruling.message {
            Some(message) => messages.put((question.workload, key), message.clone()),
            None => messages.pop(&(question.workload, key)),
        };
        alone
    }

    /// Once a second for each module: one that always fails is asked for each packet.
    fn tell(&self, module: &Arc<str>, cause: &str, case: &Case) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = told.entry(module.clone()).or_insert(now - Duration::from_secs(2));
        if now.duration_since(*last) >= Duration::from_secs(1) {
            *last = now;
            let who = WorkloadId { namespace: case.who.namespace.clone(), name: case.who.name.clone() };
            warn!("module {module} did not decide for {who}: {cause}; its failure policy counts");
        }
    }
}

fn name_key(case: &Case, question: &Question, names: Vec<Name>) -> NameKey {
    let whose = match case.is_shared() {
        true => Whose::Application(case.who.namespace.clone()),
        false => Whose::Workload(question.workload),
    };
    NameKey { whose, names, port: question.key.remote_port, protocol: question.key.protocol }
}

fn milliseconds() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

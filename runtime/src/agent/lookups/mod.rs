//! Modules that are told of DNS answers: after the answer went on, by a thread of their own, so that no look-up waits for
//! one. What they are against is remembered as a domain, and what comes later about it is refused at once.

mod refused;
mod turns;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use egret_abi::WorkloadIndex;
use jiff::Timestamp;
use rustix::process::setpriority_process;
use tracing::warn;

use self::refused::Refused;
use self::turns::Turns;
use super::holds::{BEHIND, Case};
use super::lessons::Count;
use super::node::Node;
use crate::dns;
use crate::flows::Seen;
use crate::kernel::clock;
use crate::kernel::rings::Stop;
use crate::model::{Action, Destination, ModuleStage, Name, Protocol, Verdict, Verdicts, WorkloadId};
use crate::policy::Asked;
use crate::wasm::{self, DnsAnswer, Opinion, Refusal};

/// How often a module that fails is told of.
const TOLD: Duration = Duration::from_secs(1);

/// What is counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers that modules were told of.
    pub told: Count,
    /// Answers that they were not told of, for too many waited.
    pub untold: Count,
    /// Answers that were refused.
    pub refused: Count,
    /// Modules that failed.
    pub faults: Count,
}

impl Counts {
    /// In the order of [`crate::api::AGENT_COUNTERS`].
    pub fn all(&self) -> [u64; 4] {
        [&self.told, &self.untold, &self.refused, &self.faults].map(Count::get)
    }
}

/// The modules that are told of a workload's answers.
pub struct Watch {
    who: Arc<wasm::Who>,
    modules: Vec<(Asked, Arc<wasm::Policy>)>,
}

impl Watch {
    /// Those of a case; `None` where there are none.
    pub fn of(case: &Case) -> Option<Self> {
        let asked = case.ruleset.modules.iter().zip(&case.modules);
        let told = asked.filter_map(|(asked, policy)| {
            let policy = policy.as_ref().ok().filter(|policy| policy.module().is_told_of_answers())?;
            (asked.module.stage == ModuleStage::Answers).then(|| (asked.clone(), policy.clone()))
        });
        let modules: Vec<_> = told.collect();
        (!modules.is_empty()).then(|| Self { who: case.who.clone(), modules })
    }
}

struct Told {
    answer: DnsAnswer,
    watch: Arc<Watch>,
}

/// What the threads share.
#[derive(Default)]
pub struct LookUps {
    watches: RwLock<HashMap<WorkloadIndex, Arc<Watch>>>,
    refused: Mutex<HashMap<WorkloadIndex, Refused>>,
    turns: Mutex<Turns<Told>>,
    come: Condvar,
    /// What came of it.
    pub counts: Counts,
}

impl LookUps {
    /// From now on a workload's answers are told to `watch`; `None`: to nobody. What was refused no longer is.
    pub fn set(&self, workload: WorkloadIndex, watch: Option<Watch>) {
        let mut watches = self.watches.write().unwrap_or_else(PoisonError::into_inner);
        match watch {
            Some(watch) => watches.insert(workload, Arc::new(watch)),
            None => watches.remove(&workload),
        };
        self.refused().remove(&workload);
    }

    fn watch(&self, workload: WorkloadIndex) -> Option<Arc<Watch>> {
        self.watches.read().unwrap_or_else(PoisonError::into_inner).get(&workload).cloned()
    }

    /// What is said of an answer to `workload` about to go on: the domain and the verdicts, where something is.
    pub fn judge(
        &self,
        workload: WorkloadIndex,
        message: &[u8],
        now: Duration,
    ) -> Option<(String, Verdicts)> {
        self.watch(workload)?;
        let asked = dns::asked(message)?;
        let said = self.refused().get_mut(&workload)?.of(&asked.name, now)?;
        if said.1.applied.action == Action::Deny {
            self.counts.refused.add();
        }
        Some(said)
    }

    /// Whether anything is refused to `workload`.
    pub fn refuses(&self, workload: WorkloadIndex, now: Duration) -> bool {
        self.refused().get(&workload).is_some_and(|refused| refused.is_any(now))
    }

    /// Has the modules of `workload` told of an answer.
    pub fn tell(&self, workload: WorkloadIndex, message: &[u8]) {
        let Some(watch) = self.watch(workload) else { return };
        let Some(asked) = dns::asked(message) else { return };
        let addresses = dns::parse(message).map(|answer| answer.addresses).unwrap_or_default();
        let answer = DnsAnswer {
            workload: watch.who.clone(),
            name: asked.name,
            record_type: asked.record_type,
            response_code: asked.rcode,
            size: u32::try_from(message.len()).unwrap_or(u32::MAX),
            addresses: addresses.into_iter().map(|(address, _)| address).collect(),
            time: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        };
        let added = self.turns().add(workload, Told { answer, watch });
        if added {
            self.come.notify_one();
        } else {
            self.counts.untold.add();
        }
    }

    /// Wakes whoever waits in [`Self::serve`], after the stop was called.
    pub fn wake(&self) {
        // Who saw no stop has the lock until it waits.
        drop(self.turns());
        self.come.notify_all();
    }

    /// Tells the modules, until the stop is called.
    pub fn serve(&self, stop: &Stop) {
        let _ = setpriority_process(None, BEHIND);
        let mut failed: HashMap<Arc<str>, Duration> = HashMap::new();
        while !stop.is_called() {
            let next = {
                let mut turns = self.turns();
                match turns.take() {
                    Some(next) => Some(next),
                    None if stop.is_called() => None,
                    None => self.come.wait(turns).unwrap_or_else(PoisonError::into_inner).take(),
                }
            };
            if let Some((workload, told)) = next {
                self.counts.told.add();
                self.ask(workload, &told, &mut failed);
            }
        }
    }

    fn ask(&self, workload: WorkloadIndex, told: &Told, failed: &mut HashMap<Arc<str>, Duration>) {
        let Told { answer, watch } = told;
        for (asked, policy) in &watch.modules {
            match policy.on_answer(answer) {
                Ok(Some(Opinion::Refuse(refusal))) => self.refuse(workload, watch, asked, refusal),
                Ok(_) => {}
                Err(fault) => {
                    self.counts.faults.add();
                    let (module, now) = (&asked.module.name, clock::now());
                    let last = failed.insert(module.clone(), now);
                    if last.is_none_or(|last| now.saturating_sub(last) >= TOLD) {
                        let who = &watch.who;
                        let who = WorkloadId { namespace: who.namespace.clone(), name: who.name.clone() };
                        warn!("module {module} said nothing of a DNS answer to {who}: {fault}");
                    }
                }
            }
            policy.tidy();
        }
    }

    fn refuse(&self, workload: WorkloadIndex, watch: &Arc<Watch>, asked: &Asked, refusal: Refusal) {
        let Refusal { domain, reason, seconds } = refusal;
        let verdict = Verdict { message: Some(reason), ..asked.verdict(Action::Deny) };
        let until = clock::now() + Duration::from_secs(seconds.into());
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        // The policies may have changed meanwhile, and what modules said by the old ones is not to be said again.
        if watches.get(&workload).is_some_and(|current| Arc::ptr_eq(current, watch)) {
            self.refused().entry(workload).or_default().add(domain, asked.mode, verdict, until);
        }
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<WorkloadIndex, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, Turns<Told>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records an answer about `domain` from `resolver` of which something is said, as the look-up that it answers.
pub fn record(
    node: &Node,
    workload: WorkloadIndex,
    (resolver, protocol): (SocketAddr, Protocol),
    (domain, verdicts): (String, Verdicts),
    bytes: usize,
) {
    let Some(workload) = node.workload_at(workload) else { return };
    let name = Name::parse(&domain).ok();
    node.totals.add(&workload.namespace, &verdicts);
    node.log.record(Seen {
        time: Timestamp::now(),
        workload,
        destination: Destination {
            names: name.iter().cloned().collect(),
            name,
            address: resolver.ip(),
            port: resolver.port(),
            protocol,
        },
        verdicts,
        packets: 1,
        bytes: bytes as u64,
    });
}

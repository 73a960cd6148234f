//! Policy modules: loaded from their folder, the last good one kept, and given to workloads with their policies.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use egret_abi::{Epoch, WorkloadIndex};
use tracing::{info, warn};

use super::{Reconciler, Worker};
use crate::agent::holds::Case;
use crate::agent::node::node_name;
use crate::model::{ModuleFacts, ModuleStage, Modules};
use crate::policy::{Asked, Problem, Ruleset};
use crate::wasm::{self, Engine, Input, Module, folder};

/// A module with settings, or why it takes them not.
type Configured = Result<Arc<wasm::Policy>, String>;

/// The modules that are loaded, and with which settings they were asked for.
pub struct Shelf {
    engine: Engine,
    folder: PathBuf,
    loaded: BTreeMap<Arc<str>, Arc<Module>>,
    /// By name and settings; of a module that is loaded now.
    configured: HashMap<(Arc<str>, Arc<str>), Configured>,
    problems: Vec<Problem>,
}

impl Shelf {
    /// An empty one, for the modules of `folder`.
    pub fn new(engine: Engine, folder: PathBuf) -> Self {
        Self { engine, folder, loaded: BTreeMap::new(), configured: HashMap::new(), problems: Vec::new() }
    }

    /// Reads the folder again. A module that is bad keeps out of force, and the last good one of its name stays.
    fn refresh(&mut self) {
        self.problems.clear();
        let found = match folder::read(&self.folder) {
            Ok(found) => found,
            Err(problem) => return self.tell(&problem.path.display().to_string(), &problem.reason),
        };
        let mut loaded = BTreeMap::new();
        for (name, source) in found {
            let name: Arc<str> = name.into();
            let last = self.loaded.get(&name).cloned();
            let file = self.folder.join(format!("{name}.wasm")).display().to_string();
            let good = match source {
                Ok(source) if last.as_ref().is_some_and(|last| is_same(last, &source)) => last.clone(),
                Ok(source) => match self.engine.load(&name, &source.bytes, &source.manifest) {
                    Ok(module) => Some(module),
                    Err(refused) => {
                        self.tell(&file, &refused.to_string());
                        last.clone()
                    }
                },
                Err(problem) => {
                    self.tell(&problem.path.display().to_string(), &problem.reason);
                    last.clone()
                }
            };
            let Some(module) = good else { continue };
            if last.is_none_or(|last| !Arc::ptr_eq(&last, &module)) {
                info!("module {name} is loaded: sha256:{}", module.digest());
                self.configured.retain(|(configured, _), _| *configured != name);
            }
            loaded.insert(name, module);
        }
        self.configured.retain(|(name, _), _| loaded.contains_key(name));
        self.loaded = loaded;
    }

    fn tell(&mut self, file: &str, reason: &str) {
        warn!("{file}: {reason}");
        let fix = "the last good module of this name stays, where there was one";
        self.problems.push(Problem::whole(file, reason, fix));
    }

    fn facts(&self) -> Modules {
        // With other limits or grants it may decide otherwise: as if it were another module.
        let facts = |module: &Module| ModuleFacts {
            digest: format!("{} {}", module.digest(), serde_json::json!(module.manifest())).into(),
            failure: module.manifest().failure_policy,
        };
        self.loaded.iter().map(|(name, module)| (name.clone(), facts(module))).collect()
    }

    fn policy(&mut self, asked: &Asked) -> Configured {
        let (name, settings) = (&asked.module.name, &asked.module.settings);
        let Some(module) = self.loaded.get(name) else {
            return Err(format!("no module `{name}` is loaded"));
        };
        let configured = self.configured.entry((name.clone(), settings.clone())).or_insert_with(|| {
            let settings = serde_json::from_str(settings).map_err(|error| error.to_string())?;
            module.configure(&settings).map_err(|fault| fault.to_string())
        });
        configured.clone()
    }
}

impl Reconciler {
    /// Reads the modules again, and puts in force what comes of it.
    pub(super) fn load_modules(&mut self) {
        let Some(shelf) = &mut self.parts.shelf else { return };
        // A large module takes seconds to compile, and others of this runtime must go on.
        tokio::task::block_in_place(|| shelf.refresh());
    }

    /// What decisions need to know of the modules.
    pub(super) fn module_facts(&self) -> Modules {
        self.parts.shelf.as_ref().map(Shelf::facts).unwrap_or_default()
    }

    /// What is wrong with modules, and with what policies ask of them.
    pub(super) fn module_problems(&self) -> Vec<Problem> {
        let missing: std::collections::BTreeSet<_> =
            self.compiled.rulesets().flat_map(|ruleset| ruleset.missing_modules()).collect();
        let missing = missing.into_iter().map(|name| {
            let reason = format!(
                "policies ask the module `{name}`, which is not loaded; at the stages `unmatched` and `always` its failure policy, deny, counts"
            );
            let fix = match &self.parts.shelf {
                Some(shelf) => format!("put {name}.wasm into {}", shelf.folder.display()),
                None => "start the agent with --modules DIR".to_owned(),
            };
            Problem::whole("", &reason, &fix)
        });
        let Some(shelf) = &self.parts.shelf else { return missing.collect() };
        let refused = shelf.configured.iter().filter_map(|((name, _), configured)| {
            let reason = configured.as_ref().err()?;
            let fix = "correct the settings in the policy";
            Some(Problem::whole("", format!("module `{name}`: {reason}"), fix))
        });
        let deaf = self.compiled.rulesets().flat_map(|ruleset| &ruleset.modules);
        let deaf = deaf.filter(|asked| asked.module.stage == ModuleStage::Answers);
        let deaf = deaf
            .map(|asked| &asked.module.name)
            .filter(|name| shelf.loaded.get(*name).is_some_and(|module| !module.is_told_of_answers()));
        let deaf: std::collections::BTreeSet<_> = deaf.collect();
        let deaf = deaf.into_iter().map(|name| {
            let reason = format!(
                "policies name the module `{name}` at the stage `answers`, and it exports no on-answer"
            );
            Problem::whole(
                "",
                reason,
                "name it at the stage `unmatched` or `always`, or give it an on-answer",
            )
        });
        missing.chain(refused).chain(deaf).chain(shelf.problems.iter().cloned()).collect()
    }

    /// Whether modules know a workload by what it is no longer.
    pub(super) fn is_another(&self, index: WorkloadIndex, ruleset: &Ruleset) -> bool {
        if ruleset.modules.is_empty() {
            return false;
        }
        let placed = |id| self.parts.enforcer.placed(id).is_some_and(|(placed, _)| placed == index);
        let worker = self.workers.iter().find(|(id, _)| placed(id));
        worker.is_some_and(|(_, worker)| !self.parts.judge.knows(index, &who(worker)))
    }

    /// What a workload's modules decide by, once `ruleset` is in force for it in `epoch`; `None` where it has none.
    pub(super) fn case(
        &mut self,
        index: WorkloadIndex,
        ruleset: &Arc<Ruleset>,
        epoch: Epoch,
    ) -> Option<Case> {
        if ruleset.modules.is_empty() {
            return None;
        }
        let placed = |id| self.parts.enforcer.placed(id).is_some_and(|(placed, _)| placed == index);
        let worker = self.workers.iter().find(|(id, _)| placed(id)).map(|(_, worker)| worker)?;
        let (who, policies) = (who(worker), worker.policies.clone());
        let modules: Vec<_> = ruleset
            .modules
            .iter()
            .map(|asked| match &mut self.parts.shelf {
                Some(shelf) => shelf.policy(asked),
                None => Err("the agent has no folder of modules".to_owned()),
            })
            .collect();
        let counts =
            |policy: &Arc<wasm::Policy>| policy.module().description().inputs.contains(&Input::Counters);
        let asked = ruleset.modules.iter().zip(&modules);
        let mut asked = asked.filter(|(asked, _)| asked.module.stage != ModuleStage::Answers);
        let alone = asked.any(|(_, module)| module.as_ref().is_ok_and(counts));
        Some(Case {
            epoch,
            who: Arc::new(who),
            policies,
            ranges: self.ranges.clone(),
            ruleset: ruleset.clone(),
            modules,
            alone,
        })
    }
}

/// Whether this is what was loaded last.
fn is_same(last: &Module, source: &folder::Source) -> bool {
    *last.manifest() == source.manifest && last.digest() == wasm::digest(&source.bytes)
}

/// A workload as modules see it.
fn who(worker: &Worker) -> wasm::Who {
    let workload = &worker.workload;
    wasm::Who {
        namespace: workload.id.namespace.clone(),
        name: workload.id.name.clone(),
        labels: workload.labels.clone().into_iter().collect(),
        service_account: workload.service_account.clone().unwrap_or_default(),
        node: node_name(),
    }
}

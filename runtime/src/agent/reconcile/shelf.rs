//! The shelf of policy modules: loaded from their folder, the last good one kept, each with the settings it was asked for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::model::{ModuleFacts, Modules};
use crate::policy::{Asked, Problem};
use crate::wasm::{self, Engine, Module, folder};

/// A module with settings, or why it takes them not.
pub type Configured = Result<Arc<wasm::Policy>, String>;

/// The modules that are loaded, and with which settings they were asked for.
pub struct Shelf {
    engine: Engine,
    folder: PathBuf,
    loaded: BTreeMap<Arc<str>, Arc<Module>>,
    /// By name and settings; of a module that is loaded now.
    configured: HashMap<(Arc<str>, Arc<str>), Configured>,
    problems: Vec<Problem>,
    /// Whether a thread loads modules now, and whether the folder has changed since it began.
    aside: Option<bool>,
}

/// What is to be loaded: the modules of a folder, beside those that were loaded last.
pub struct Order {
    engine: Engine,
    folder: PathBuf,
    last: BTreeMap<Arc<str>, Arc<Module>>,
}

/// What was loaded, and what was wrong.
#[derive(Debug)]
pub struct Loaded {
    modules: BTreeMap<Arc<str>, Arc<Module>>,
    problems: Vec<Problem>,
}

impl Order {
    /// What there is where [`Self::load`] does not come to its end.
    pub fn without(&self) -> impl FnOnce() -> Loaded + use<> {
        let (folder, last) = (self.folder.clone(), self.last.clone());
        move || Loaded::gave_up(&folder, last)
    }

    /// Reads the folder, and loads what is new. A module that is bad keeps out, and the last good one of its name stays.
    pub fn load(self) -> Loaded {
        let mut loaded = Loaded { modules: BTreeMap::new(), problems: Vec::new() };
        let found = match folder::read(&self.folder) {
            Ok(found) => found,
            Err(problem) => {
                loaded.tell(&problem.path.display().to_string(), &problem.reason);
                return Loaded { modules: self.last, ..loaded };
            }
        };
        for (name, source) in found {
            let name: Arc<str> = name.into();
            let last = self.last.get(&name);
            let file = self.folder.join(format!("{name}.wasm")).display().to_string();
            let good = match source {
                Ok(source) if last.is_some_and(|last| is_same(last, &source)) => last.cloned(),
                Ok(source) => match self.engine.load(&name, &source.bytes, &source.manifest) {
                    Ok(module) => Some(module),
                    Err(refused) => {
                        loaded.tell(&file, &refused.to_string());
                        last.cloned()
                    }
                },
                Err(problem) => {
                    loaded.tell(&problem.path.display().to_string(), &problem.reason);
                    last.cloned()
                }
            };
            loaded.modules.extend(good.map(|module| (name, module)));
        }
        loaded
    }
}

impl Loaded {
    /// Where loading gave up: what was loaded before, and a word about it.
    fn gave_up(folder: &Path, last: BTreeMap<Arc<str>, Arc<Module>>) -> Self {
        let mut loaded = Self { modules: last, problems: Vec::new() };
        loaded.tell(
            &folder.display().to_string(),
            "loading modules gave up, which is a fault of Egret's; please report it",
        );
        loaded
    }

    fn tell(&mut self, file: &str, reason: &str) {
        warn!("{file}: {reason}");
        let fix = "the last good module of this name stays, where there was one";
        self.problems.push(Problem::whole(file, reason, fix));
    }
}

impl Shelf {
    /// An empty one, for the modules of `folder`.
    pub fn new(engine: Engine, folder: PathBuf) -> Self {
        let (loaded, configured) = (BTreeMap::new(), HashMap::new());
        Self { engine, folder, loaded, configured, problems: Vec::new(), aside: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was wrong when it was read last.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The modules that refused settings, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.configured.iter();
        all.filter_map(|((name, _), configured)| Some((&**name, configured.as_ref().err()?.as_str())))
    }

    /// Whether a module is loaded that is told of no DNS answers.
    pub fn is_deaf(&self, name: &str) -> bool {
        self.loaded.get(name).is_some_and(|module| !module.is_told_of_answers())
    }

    /// Loads what there is.
    pub fn fill(&mut self) {
        // A large module takes seconds to compile, and others of this runtime must go on.
        let loaded = tokio::task::block_in_place(|| self.order().load());
        self.take(loaded);
    }

    /// What is to be loaded now.
    fn order(&self) -> Order {
        Order { engine: self.engine.clone(), folder: self.folder.clone(), last: self.loaded.clone() }
    }

    /// The same for a thread aside; `None`: one is at it, and another will be when that is done.
    pub fn order_aside(&mut self) -> Option<Order> {
        let is_first = self.aside.is_none();
        self.aside = Some(!is_first);
        is_first.then(|| self.order())
    }

    /// Takes what was loaded; whether the folder has changed since a thread aside began with it.
    pub fn take(&mut self, loaded: Loaded) -> bool {
        for (name, module) in &loaded.modules {
            if self.loaded.get(name).is_none_or(|last| !Arc::ptr_eq(last, module)) {
                info!("module {name} is loaded: sha256:{}", module.digest());
                self.configured.retain(|(configured, _), _| configured != name);
            }
        }
        self.configured.retain(|(name, _), _| loaded.modules.contains_key(name));
        (self.loaded, self.problems) = (loaded.modules, loaded.problems);
        self.aside.take().unwrap_or(false)
    }

    /// What decisions need to know of the modules.
    pub fn facts(&self) -> Modules {
        // With other limits or grants it may decide otherwise: as if it were another module.
        let facts = |module: &Module| ModuleFacts {
            digest: format!("{} {}", module.digest(), serde_json::json!(module.manifest())).into(),
            failure: module.manifest().failure_policy,
        };
        self.loaded.iter().map(|(name, module)| (name.clone(), facts(module))).collect()
    }

    /// A module with the settings that a policy gives it.
    pub fn policy(&mut self, asked: &Asked) -> Configured {
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

/// Whether this is what was loaded last.
fn is_same(last: &Module, source: &folder::Source) -> bool {
    *last.manifest() == source.manifest && last.digest() == wasm::digest(&source.bytes)
}

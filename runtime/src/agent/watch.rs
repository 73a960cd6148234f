//! What makes the agent look again: policy files and the workloads file that change, and SIGHUP.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::reconcile::Change;

/// How long further events count as one change: saving a file is several, and copying a folder thousands.
const GATHER: Duration = Duration::from_millis(20);
/// What a mounted ConfigMap swaps to change all of its files at once; they themselves are links that stay.
const CONFIG_MAP: &str = "..data";

/// What keeps the files watched for as long as it lives.
pub type Watching = Arc<Mutex<RecommendedWatcher>>;

/// Sends [`Change::Policies`] when something in the folder `policies` changes, or another takes its place,
/// [`Change::Modules`] when something in the folder `modules` does, and [`Change::Everything`] when the file `workloads`
/// does. To be called within a runtime.
///
/// # Errors
/// Where a folder cannot be watched.
pub fn files(
    policies: &Path,
    workloads: &Path,
    modules: Option<&Path>,
    changes: &Sender<Change>,
) -> notify::Result<Watching> {
    let places = Places::of(policies, workloads, modules)?;
    let policies = places.policies.clone();
    // The workloads file may lie among the policies or beside their folder; one folder has one watch.
    let around = policies.parent().unwrap_or(Path::new("/")).to_owned();
    let mut folders = BTreeSet::from([policies.clone(), around, places.folder_of_workloads().to_owned()]);
    folders.extend(places.modules.clone());
    let (some, all) = (tell(|| Change::Policies, changes), tell(|| Change::Everything, changes));
    let loaded = tell(|| Change::Modules, changes);
    let replaced = Arc::new(Notify::new());
    let follow = replaced.clone();
    let mut watcher = notify::recommended_watcher(move |event| match places.touched(event) {
        Touched::Nothing => {}
        Touched::Policies => some.notify_one(),
        Touched::Modules => loaded.notify_one(),
        Touched::Folder => replaced.notify_one(),
        Touched::Everything => all.notify_one(),
    })?;
    for folder in folders {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    let watching = Arc::new(Mutex::new(watcher));
    tokio::spawn(watch_again(Arc::downgrade(&watching), policies, follow, changes.clone()));
    Ok(watching)
}

/// Sends [`Change::Modules`] when something in the folder `modules` changes. To be called within a runtime.
///
/// # Errors
/// Where it cannot be watched.
pub fn modules(modules: &Path, changes: &Sender<Change>) -> notify::Result<Watching> {
    let loaded = tell(|| Change::Modules, changes);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_err() || event.is_ok_and(|event| event.need_rescan() || settles(event.kind)) {
            loaded.notify_one();
        }
    })?;
    watcher.watch(modules, RecursiveMode::NonRecursive)?;
    Ok(Arc::new(Mutex::new(watcher)))
}

/// A watch is of a folder, not of its name: what takes its place is watched in its stead, then read.
async fn watch_again(
    watching: Weak<Mutex<RecommendedWatcher>>,
    policies: PathBuf,
    replaced: Arc<Notify>,
    changes: Sender<Change>,
) {
    loop {
        replaced.notified().await;
        let Some(watching) = watching.upgrade() else { return };
        {
            let mut watcher = watching.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = watcher.unwatch(&policies);
            // Where there is none at the moment, the folder around tells when there is.
            let _ = watcher.watch(&policies, RecursiveMode::NonRecursive);
        }
        if changes.send(Change::Policies).await.is_err() {
            return;
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Where the agent's files are, absolute, as the watcher names them too.
struct Places {
    policies: PathBuf,
    workloads: PathBuf,
    modules: Option<PathBuf>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    Nothing,
    /// A policy file.
    Policies,
    /// A module, or what the operator says about it.
    Modules,
    /// The policy folder itself.
    Folder,
    Everything,
}

impl Places {
    fn of(policies: &Path, workloads: &Path, modules: Option<&Path>) -> std::io::Result<Self> {
        Ok(Self {
            policies: std::path::absolute(policies)?,
            workloads: std::path::absolute(workloads)?,
            modules: modules.map(std::path::absolute).transpose()?,
        })
    }

    /// Editors put a new file in the place of the old one, which a watch of the file itself would miss.
    fn folder_of_workloads(&self) -> &Path {
        self.workloads.parent().unwrap_or(Path::new("/"))
    }

    fn touched(&self, event: notify::Result<Event>) -> Touched {
        match event {
            // Something happened, and nobody can say what.
            Err(_) => Touched::Everything,
            Ok(event) if event.need_rescan() => Touched::Everything,
            Ok(event) if !settles(event.kind) => Touched::Nothing,
            Ok(event) if event.paths.iter().any(|path| self.is_workloads(path)) => Touched::Everything,
            Ok(event) if event.paths.contains(&self.policies) => match event.kind {
                // A change of its rights changes nothing of what it holds.
                EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Access(_) => Touched::Nothing,
                _ => Touched::Folder,
            },
            Ok(event) if event.paths.iter().any(|path| path.starts_with(&self.policies)) => Touched::Policies,
            Ok(event) if event.paths.iter().any(|path| self.is_module(path)) => Touched::Modules,
            Ok(_) => Touched::Nothing,
        }
    }

    fn is_module(&self, path: &Path) -> bool {
        self.modules.as_ref().is_some_and(|modules| path.starts_with(modules))
    }

    fn is_workloads(&self, path: &Path) -> bool {
        let name = path.file_name();
        path.parent() == Some(self.folder_of_workloads())
            && (name == self.workloads.file_name() || name == Some(OsStr::new(CONFIG_MAP)))
    }
}

/// Whether a file may now be read. A write is not the end of it: half a workloads file names half of the workloads, and
/// the others would go unfiltered until the next look. The end is when its writer closes it.
fn settles(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        _ => true,
    }
}

/// Sends a change when notified, at once, and what comes within [`GATHER`] of it as one more.
pub fn tell(change: fn() -> Change, changes: &Sender<Change>) -> Arc<Notify> {
    let notify = Arc::new(Notify::new());
    let (notified, changes) = (notify.clone(), changes.clone());
    tokio::spawn(async move {
        loop {
            notified.notified().await;
            if changes.send(change()).await.is_err() {
                return;
            }
            tokio::time::sleep(GATHER).await;
        }
    });
    notify
}

/// Sends [`Change::Everything`] at each SIGHUP.
///
/// # Errors
/// Where the signal cannot be caught.
pub fn hang_up(changes: Sender<Change>) -> std::io::Result<()> {
    let mut signals = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            if changes.send(Change::Everything).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

//! What makes the agent look again: policy files that change, and SIGHUP.

use std::path::Path;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use super::reconcile::Change;

/// Sends [`Change::Policies`] when something in `folder` changes, for as long as the watcher lives.
///
/// # Errors
/// Where the folder cannot be watched.
pub fn folder(folder: &Path, changes: Sender<Change>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full queue holds a change already, and it will be read after this one happened.
            let _ = changes.try_send(Change::Policies);
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
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

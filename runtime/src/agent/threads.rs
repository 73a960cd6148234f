//! The agent's own threads: how they are started, and those that answer what is on hold.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::sync::mpsc;

use super::answers;
use super::holds::{ASIDE, Holds, READERS};
use crate::kernel::rings::{Ring, Stop};
use crate::kernel::{Gate, Pulse};

/// What answers packets and DNS answers on hold.
pub struct Answering {
    /// Answers on hold.
    pub ring: Ring,
    /// The sign of life of the one that learns them.
    pub pulse: Pulse,
    /// What is done with them.
    pub hands: answers::Hands,
    /// Packets on hold.
    pub holds: Arc<Holds>,
    /// Through which both go back.
    pub gate: Arc<Gate>,
}

impl Answering {
    /// Begins to answer; each thread tells `broken` when it ends.
    pub fn begin(
        self,
        stop: &Stop,
        broken: &mpsc::UnboundedSender<&'static str>,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let Self { ring, pulse, hands, holds, gate } = self;
        let lookups = hands.lookups.clone();
        let (stopped, told) = (stop.clone(), stop.clone());
        let mut threads = vec![
            thread("answers", broken.clone(), move || {
                answers::serve((ring, pulse), &gate, &hands, &stopped)
            })?,
            thread("lookups", broken.clone(), move || lookups.serve(&told))?,
        ];
        let readers = std::iter::repeat_n(("holds", Holds::serve as fn(&Holds)), READERS);
        let aside = std::iter::repeat_n(("holds-aside", Holds::serve_aside as fn(&Holds)), ASIDE);
        for (name, serve) in readers.chain(aside) {
            let holds = holds.clone();
            threads.push(thread(name, broken.clone(), move || serve(&holds))?);
        }
        Ok(threads)
    }
}

/// Starts a thread that tells `broken` its name when it ends.
pub fn thread(
    name: &'static str,
    broken: mpsc::UnboundedSender<&'static str>,
    work: impl FnOnce() + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = Guard(name, broken);
        work();
        drop(guard);
    });
    spawned.with_context(|| format!("start the thread {name}"))
}

/// Tells when a thread ends, by whatever way: an agent that no longer learns must not look alive.
struct Guard(&'static str, mpsc::UnboundedSender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

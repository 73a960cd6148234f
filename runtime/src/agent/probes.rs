//! The thread that probes: whether the hooks of workloads see what they should, shown by packets.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::{Duration, Instant};

use egret_abi::WorkloadIndex;
use tokio::sync::mpsc::Sender;

use super::reconcile::Change;
use crate::enforce::{Prober, Sight, Target, Unsent};
use crate::kernel::Gate;
use crate::kernel::netns::NetNs;
use crate::model::WorkloadId;

/// Probes that are on their way at one time.
const AT_ONCE: usize = 16;
/// How long a probe may take: it passes one queue of the kernel, which answers ones that wait as well.
const PATIENCE: Duration = Duration::from_millis(500);

/// A workload to be probed.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Who.
    pub id: WorkloadId,
    /// Its index.
    pub index: WorkloadIndex,
    /// Its namespace.
    pub netns: Arc<NetNs>,
    /// Its own device: number and name.
    pub device: (u32, String),
    /// The host side of its pair.
    pub host: (u32, String),
}

/// What came of an errand.
#[derive(Debug)]
pub struct Probed {
    /// Who.
    pub id: WorkloadId,
    /// The inode of the namespace that was probed: the workload may be elsewhere by now.
    pub inode: u64,
    /// Why that proves nothing, where it does not.
    pub outcome: Result<(), String>,
}

/// Runs errands until there are no more to come.
pub fn serve(errands: &Receiver<Vec<Errand>>, gate: &Gate, prober: &mut Prober, changes: &Sender<Change>) {
    while let Ok(errands) = errands.recv() {
        for some in errands.chunks(AT_ONCE) {
            if changes.blocking_send(Change::Probed(run(some, gate, prober))).is_err() {
                return;
            }
        }
    }
}

fn run(errands: &[Errand], gate: &Gate, prober: &mut Prober) -> Vec<Probed> {
    let sent = prober.send(gate, &errands.iter().map(target).collect::<Vec<_>>());
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        let seen = errands.iter().map(|errand| prober.sight(errand.index));
        let seen: Vec<_> = seen.map(|sight| sight.map_err(|error| error.to_string())).collect();
        let waits = |(sent, seen): (&Result<(), Unsent>, &Result<Sight, String>)| {
            sent.is_ok() && seen.as_ref().is_ok_and(|sight| !sight.is_whole())
        };
        if start.elapsed() > PATIENCE || !sent.iter().zip(&seen).any(waits) {
            return errands
                .iter()
                .zip(sent.iter().zip(seen))
                .map(|(e, (sent, seen))| told(e, sent, seen))
                .collect();
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn target(errand: &Errand) -> Target<'_> {
    Target { workload: errand.index, netns: &errand.netns, device: errand.device.0, host: errand.host.0 }
}

fn told(errand: &Errand, sent: &Result<(), Unsent>, seen: Result<Sight, String>) -> Probed {
    let outcome = match sent {
        Ok(()) => seen.and_then(|sight| proof(sight, &errand.device.1, &errand.host.1)),
        Err(Unsent::Device(error)) => Err(format!(
            "it is not proven that its packets are seen: `{}` sends nothing: {error}",
            errand.device.1
        )),
        Err(Unsent::Kernel(error)) => Err(format!("it is not proven that its packets are seen: {error}")),
    };
    Probed { id: errand.id.clone(), inode: errand.netns.inode, outcome }
}

fn proof(sight: Sight, device: &str, host: &str) -> Result<(), String> {
    let lost = match sight {
        Sight { out: true, into: true } => return Ok(()),
        Sight { out: false, .. } => {
            format!(
                "its packets do not pass from_pod: a probe that left by `{device}` was not seen at `{host}`"
            )
        }
        Sight { into: false, .. } => {
            format!("packets to it do not pass to_pod: a probe put into `{host}` was not seen at `{device}`")
        }
    };
    Err(format!("{lost}; is another program in the way?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_that_saw_nothing_is_named() {
        for (out, into, expected) in [
            (true, true, None),
            (false, true, Some("from_pod")),
            (true, false, Some("to_pod")),
            (false, false, Some("from_pod")),
        ] {
            let told = proof(Sight { out, into }, "eth0", "veth7").err();
            assert_eq!(told.is_some(), expected.is_some(), "{out} {into}");
            assert!(told.is_none_or(|told| expected.is_some_and(|hook| told.contains(hook))), "{out} {into}");
        }
    }
}

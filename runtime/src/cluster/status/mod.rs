//! What became of policies, told on the objects themselves: is it in force, and where?
//!
//! In: a [`Snapshot`] of this node whenever one is asked for, and first packets that were denied. Out: the EgressNodeStatus of
//! this node ([`report`]); the status of every policy where this agent [leads](lead), and events on policies of Kubernetes' own
//! kinds that cannot be read ([`refusals`]); and an event on a pod that is denied something new ([`notices`]). Whatever fails here is told once in the log and tried again, less and less often; nothing that
//! is enforced waits for it. Pure are [`node`] (a snapshot to an object), [`aggregate`] (objects of nodes to the status of a
//! policy), [`lease`] (who leads), [`limits`] (which events), [`event`] (how they are written) and [`pace`] (when something is written).

mod aggregate;
mod event;
mod gather;
mod lead;
mod lease;
mod limits;
mod node;
mod notices;
mod pace;
mod refusals;
mod report;
mod snapshot;
mod write;

use std::sync::Arc;

use kube::Client;

pub use self::notices::{Denied, Notices};
pub use self::snapshot::{PolicyHere, Refusal, RefusedUpstream, Snapshot};
use super::client::Access;
use super::view::View;

/// Who tells what is in force on this node; `None`: it is not known yet.
pub type Ask = Arc<dyn Fn() -> Option<Snapshot> + Send + Sync>;

/// Begins to tell, for as long as the agent runs. To be called within a runtime.
pub fn tell(client: &Client, access: &Access, ask: &Ask) {
    tokio::spawn(report::serve(client.clone(), access.node.clone(), ask.clone()));
    tokio::spawn(lead::serve(client.clone(), access.clone(), ask.clone()));
}

/// Begins to tell pods what they are denied.
#[must_use]
pub fn notify(client: &Client, access: &Access, view: &Arc<View>) -> Notices {
    Notices::begin(client.clone(), access.node.clone(), view.clone())
}

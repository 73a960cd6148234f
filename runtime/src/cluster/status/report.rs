//! Writes the object of this node.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::Ask;
use super::node;
use super::pace::{Change, Pauses};
use super::write::{Attempts, Failure, request};
use crate::cluster::objects::{EgressNodeStatus, EgressNodeStatusSpec, GROUP, VERSION};

/// How often is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);
const PAUSES: Pauses = Pauses {
    state: Duration::from_secs(3),
    counts: Duration::from_secs(15),
    heartbeat: Some(Duration::from_secs(60)),
};
const MANAGER: &str = "egret-agent";

/// For as long as the agent runs.
pub async fn serve(client: Client, name: String, ask: Ask) {
    let mut teller =
        Teller { api: Api::all(client.clone()), nodes: Api::all(client), name, owner: None, uid: None };
    let mut attempts = Attempts::at("take the status of this node");
    let mut last: Option<(EgressNodeStatusSpec, Instant)> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(snapshot) = ask() else { continue };
        let spec = node::of(&snapshot, Timestamp::now());
        let change = last.as_ref().map_or(Change::State, |(before, _)| node::change(before, &spec));
        let now = Instant::now();
        if !PAUSES.is_due(last.as_ref().map(|(_, at)| *at), change, now) {
            continue;
        }
        match teller.write(&spec).await {
            Ok(()) => {
                attempts.worked();
                last = Some((spec, now));
            }
            Err(failure) => tokio::time::sleep(attempts.failed(&failure)).await,
        }
    }
}

struct Teller {
    api: Api<EgressNodeStatus>,
    nodes: Api<Node>,
    name: String,
    /// The UID of the node, with which the object goes.
    owner: Option<String>,
    /// The UID of the object as it was written last.
    uid: Option<String>,
}

impl Teller {
    async fn write(&mut self, spec: &EgressNodeStatusSpec) -> Result<(), Failure> {
        if self.owner.is_none() {
            self.owner = self.node_uid().await?;
        }
        let patch = object(&self.name, self.owner.as_deref(), spec);
        let params = PatchParams::apply(MANAGER).force();
        let written = request(self.api.patch(&self.name, &params, &Patch::Apply(patch))).await?;
        if self.uid.is_some() && self.uid != written.uid() {
            // It went with its node, which is another one of that name now.
            self.owner = None;
        }
        self.uid = written.uid();
        Ok(())
    }

    /// `None`: there is no such node, and nothing that the object could go with.
    async fn node_uid(&self) -> Result<Option<String>, Failure> {
        let found: Result<PartialObjectMeta<Node>, _> = request(self.nodes.get_metadata(&self.name)).await;
        match found {
            Ok(node) => Ok(node.uid()),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn object(name: &str, owner: Option<&str>, spec: &EgressNodeStatusSpec) -> Value {
    let owner = owner.map(|uid| json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]));
    let mut metadata = json!({ "name": name });
    if let Some(owner) = owner {
        metadata["ownerReferences"] = owner;
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "EgressNodeStatus", "metadata": metadata, "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Snapshot;
    use super::*;

    #[test]
    fn the_object_of_a_node_goes_with_the_node() {
        let spec = node::of(&Snapshot::default(), Timestamp::UNIX_EPOCH);
        let written = object("worker-1", Some("u1"), &spec);
        assert_eq!(written["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert_eq!(written["spec"]["observedAt"], "1970-01-01T00:00:00Z");
        assert_eq!(object("worker-1", None, &spec)["metadata"], json!({"name": "worker-1"}));
    }
}

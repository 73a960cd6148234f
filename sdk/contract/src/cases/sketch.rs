//! An attempt as people and captured flows write it: what they leave out is filled in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Attempt, Destination, Protocol, Workload};

/// An attempt in which everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Sketch {
    /// The workload.
    pub workload: WorkloadSketch,
    /// The address; else 192.0.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The port; else 443.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The protocol; else TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The names; else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// The time, `2026-11-23T09:00:00+01:00`; else noon of 2026-01-01 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// A workload in which everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct WorkloadSketch {
    /// The namespace; else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name; else `app-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The labels; else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The service account; else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The node; else `node-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// 2026-01-01T12:00:00Z.
const NOON: u64 = 1_767_268_800_000;

impl From<Attempt> for Sketch {
    /// All of it, nothing left out.
    fn from(attempt: Attempt) -> Self {
        let (who, to) = (attempt.workload, attempt.destination);
        Self {
            workload: WorkloadSketch {
                namespace: Some(who.namespace),
                name: Some(who.name),
                labels: Some(who.labels),
                service_account: Some(who.service_account).filter(|account| !account.is_empty()),
                node: Some(who.node),
            },
            address: Some(to.address),
            port: Some(to.port),
            protocol: Some(to.protocol),
            names: Some(to.names),
            time: i64::try_from(attempt.time).ok().and_then(|time| Timestamp::from_millisecond(time).ok()),
        }
    }
}

impl Sketch {
    /// What `self` says, and `base` where it says nothing.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        let (own, other) = (self.workload, &base.workload);
        Self {
            workload: WorkloadSketch {
                namespace: own.namespace.or_else(|| other.namespace.clone()),
                name: own.name.or_else(|| other.name.clone()),
                labels: own.labels.or_else(|| other.labels.clone()),
                service_account: own.service_account.or_else(|| other.service_account.clone()),
                node: own.node.or_else(|| other.node.clone()),
            },
            address: self.address.or(base.address),
            port: self.port.or(base.port),
            protocol: self.protocol.or(base.protocol),
            names: self.names.or_else(|| base.names.clone()),
            time: self.time.or(base.time),
        }
    }

    /// The attempt, with what was left out filled in. Names are as a look-up gives them: in lower case, without a dot at
    /// the end.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        let plain = |name: &String| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        Attempt {
            workload: self.workload.workload(),
            destination: Destination {
                address: self.address.unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
                port: self.port.unwrap_or(443),
                protocol: self.protocol.unwrap_or(Protocol::Tcp),
                names: self.names.iter().flatten().map(plain).collect(),
            },
            time: self.milliseconds(),
        }
    }

    pub(crate) fn milliseconds(&self) -> u64 {
        self.time.map_or(NOON, |time| u64::try_from(time.as_millisecond()).unwrap_or(0))
    }
}

impl WorkloadSketch {
    pub(crate) fn workload(&self) -> Workload {
        let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
        Workload {
            namespace: or(&self.namespace, "default"),
            name: or(&self.name, "app-1"),
            labels: self.labels.clone().unwrap_or_default(),
            service_account: or(&self.service_account, ""),
            node: or(&self.node, "node-1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_at_no_time_is_at_noon() {
        assert_eq!(Sketch::default().attempt().time, NOON);
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        assert_eq!(u64::try_from(noon.as_millisecond()), Ok(NOON));
    }

    #[test]
    fn the_sketch_of_an_attempt_is_that_attempt() {
        let sketch: Sketch = serde_saphyr::from_str(
            "{workload: {namespace: a, name: b, labels: {c: d}, serviceAccount: e, node: f}, \
             address: 192.0.2.7, port: 0, protocol: ICMP, names: [g.example], time: \"2026-11-23T09:00:00Z\"}",
        )
        .expect("a sketch");
        assert_eq!(Sketch::from(sketch.attempt()), sketch);
        let plain = Sketch::default().attempt();
        assert_eq!(Sketch::from(plain.clone()).attempt(), plain);
    }
}

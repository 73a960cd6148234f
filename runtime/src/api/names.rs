//! `/v1/names`: which names lead where, for each workload, by its own look-ups.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Name, WorkloadId};

/// The live names that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// By workload, in each the latest looked-up name first; not more than the limit.
    pub names: Vec<NameRow>,
    /// How many there are, those beyond the limit included.
    pub total: u64,
}

/// A name that leads to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRow {
    /// Who looked it up.
    pub workload: WorkloadId,
    /// The name.
    pub name: Name,
    /// The address.
    pub address: IpAddr,
    /// How long it still leads there, in whole seconds.
    pub seconds_left: u64,
}

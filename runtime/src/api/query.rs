//! What follows the `?` of a request: from pairs of words to what was asked, or to what to write instead.

use std::fmt::Display;
use std::str::FromStr;

use crate::model::{Action, FlowRecord, WorkloadId};

use super::{Dest, Trouble};

/// Which flow records are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// Of this workload only.
    pub workload: Option<WorkloadId>,
    /// Only what was denied.
    pub denied: bool,
    /// Only what would be denied with every policy in mode Enforce.
    pub would_deny: bool,
}

impl FlowFilter {
    /// Whether `record` is asked for.
    #[must_use]
    pub fn admits(&self, record: &FlowRecord) -> bool {
        (!self.denied || record.applied.action == Action::Deny)
            && (!self.would_deny || record.observed.action == Action::Deny)
            && self.workload.as_ref().is_none_or(|id| {
                *id.namespace == record.workload.namespace && *id.name == record.workload.name
            })
    }
}

/// The pairs of a query, in order, decoded.
pub(super) type Pairs = Vec<(String, String)>;

/// The query of `/v1/flows`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FlowQuery {
    /// Which records.
    pub filter: FlowFilter,
    /// Whether the answer goes on with what comes.
    pub follow: bool,
}

impl FlowQuery {
    /// # Errors
    /// [`Trouble`] names the first pair that means nothing.
    pub fn read(pairs: &[(String, String)]) -> Result<Self, Trouble> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "follow" => query.follow = read(key, value)?,
                "denied" => query.filter.denied = read(key, value)?,
                "wouldDeny" => query.filter.would_deny = read(key, value)?,
                "workload" => query.filter.workload = Some(read(key, value)?),
                _ => {
                    return Err(unknown(
                        key,
                        "follow=true, denied=true, wouldDeny=true, workload=namespace/name",
                    ));
                }
            }
        }
        Ok(query)
    }
}

/// The query of `/v1/names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameQuery {
    /// Of this workload only.
    pub workload: Option<WorkloadId>,
    /// Rows in the answer.
    pub limit: usize,
}

impl NameQuery {
    /// Rows where no limit is asked for.
    const USUAL: usize = 1000;
    /// The greatest limit: all that the agent remembers of one workload, and what the API answers in megabytes.
    const MOST: usize = 20_000;

    /// # Errors
    /// [`Trouble`] names the first pair that means nothing.
    pub fn read(pairs: &[(String, String)]) -> Result<Self, Trouble> {
        let mut query = Self { workload: None, limit: Self::USUAL };
        for (key, value) in pairs {
            match key.as_str() {
                "workload" => query.workload = Some(read(key, value)?),
                "limit" => query.limit = read(key, value)?,
                _ => return Err(unknown(key, "workload=namespace/name, limit=NUMBER")),
            }
        }
        if (1..=Self::MOST).contains(&query.limit) {
            return Ok(query);
        }
        let error = format!("limit: {} is not between 1 and {}", query.limit, Self::MOST);
        Err(Trouble::query(&error, Some("ask for one workload at a time".to_owned())))
    }
}

/// The query of `/v1/explain`: who, and where to.
///
/// # Errors
/// [`Trouble`] names what is missing or the first pair that means nothing.
pub(super) fn read_explain(pairs: &[(String, String)]) -> Result<(WorkloadId, Dest), Trouble> {
    let (mut workload, mut destination) = (None, None);
    for (key, value) in pairs {
        match key.as_str() {
            "workload" => workload = Some(read(key, value)?),
            "destination" => destination = Some(read(key, value)?),
            _ => return Err(unknown(key, EXPLAIN)),
        }
    }
    match (workload, destination) {
        (Some(workload), Some(destination)) => Ok((workload, destination)),
        (None, _) => Err(Trouble::query("`workload` is missing", Some(format!("use {EXPLAIN}")))),
        (_, None) => Err(Trouble::query("`destination` is missing", Some(format!("use {EXPLAIN}")))),
    }
}

const EXPLAIN: &str = "workload=namespace/name and destination=DEST[:PORT[/PROTO]]";

/// # Errors
/// The refusal of every query where none is taken.
pub(super) fn read_nothing(pairs: &[(String, String)]) -> Result<(), Trouble> {
    match pairs.first() {
        None => Ok(()),
        Some((key, _)) => {
            Err(Trouble::query(&format!("`{key}` is not asked here"), Some("leave the query out".into())))
        }
    }
}

fn read<T: FromStr<Err: Display>>(key: &str, value: &str) -> Result<T, Trouble> {
    value.parse().map_err(|error| Trouble::query(&format!("{key}: {error}"), None))
}

fn unknown(key: &str, known: &str) -> Trouble {
    Trouble::query(&format!("`{key}` is not asked here"), Some(format!("use {known}")))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use crate::model::{Destination, Protocol, Reason, Verdict, WorkloadRef};

    use super::*;

    fn record(applied: Action, observed: Action) -> FlowRecord {
        FlowRecord {
            time: jiff::Timestamp::UNIX_EPOCH,
            workload: WorkloadRef { namespace: "n".into(), name: "w".into(), ..WorkloadRef::default() },
            destination: Destination {
                name: None,
                names: Vec::new(),
                address: Ipv4Addr::LOCALHOST.into(),
                port: 443,
                protocol: Protocol::TCP,
            },
            applied: Verdict::of(applied, Reason::Rule),
            observed: Verdict::of(observed, Reason::Rule),
            packets: 1,
            bytes: 1,
            count: 1,
        }
    }

    #[test]
    fn what_was_denied_is_told_from_what_would_be() {
        use Action::{Allow, Deny};
        for (denied, would_deny, expected) in [
            (false, false, vec![(Allow, Allow), (Allow, Deny), (Deny, Allow), (Deny, Deny)]),
            (true, false, vec![(Deny, Allow), (Deny, Deny)]),
            (false, true, vec![(Allow, Deny), (Deny, Deny)]),
            (true, true, vec![(Deny, Deny)]),
        ] {
            let filter = FlowFilter { workload: None, denied, would_deny };
            let all = [(Allow, Allow), (Allow, Deny), (Deny, Allow), (Deny, Deny)];
            let admitted =
                all.into_iter().filter(|(applied, observed)| filter.admits(&record(*applied, *observed)));
            assert_eq!(admitted.collect::<Vec<_>>(), expected, "{denied} {would_deny}");
        }
    }
}

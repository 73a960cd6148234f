//! The workloads file: YAML or JSON text to workloads and namespaces, or everything that is wrong with it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::Hash;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{
    Error, Location, MergeKeyPolicy, MessageFormatter, Options, Spanned, UserMessageFormatter,
};

use super::problem::{MAX_PROBLEMS, Problem, WorkloadsError};
use super::words::{self, Complaint};
use crate::model::{Labels, NAMESPACE_NAME, Namespace, Place, Workload, WorkloadId};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// The most workloads of one node.
pub const MAX_WORKLOADS: usize = 4096;
/// The most addresses, and the most resolvers, of one workload.
pub const MAX_ADDRESSES: usize = 16;
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 500_000;
const MAX_ALIASES: usize = 10_000;

/// What a workloads file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadsFile {
    /// The namespaces that are described, in the order of the file. A workload's namespace need not be among them;
    /// then it has no labels but the one of its name.
    pub namespaces: Vec<Namespace>,
    /// The workloads, in the order of the file: ids and places are unique.
    pub workloads: Vec<Workload>,
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// Everything that is wrong with it, or why it cannot be read.
pub fn read(path: &Path) -> Result<WorkloadsFile, WorkloadsError> {
    let name = path.to_string_lossy();
    let refuse =
        |reason: String, fix: &str| WorkloadsError::new(&name, "", vec![Problem::whole(reason, fix)]);
    let bytes = read_bytes(path).map_err(|error| {
        refuse(format!("the file cannot be read: {error}"), "give the path of a readable file")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        refuse(format!("line {line} is not UTF-8 text"), "save the file as UTF-8")
    })?;
    parse(&name, &text)
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for `parse` to refuse it.
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks `text`, the content of `file` (which is only named, never opened).
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<WorkloadsFile, WorkloadsError> {
    let problems = match read_raw(text) {
        Ok(raw) => match check(raw) {
            Ok(good) => return Ok(good),
            Err(problems) => problems,
        },
        Err(problem) => vec![problem],
    };
    Err(WorkloadsError::new(file, text, problems))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    namespaces: Vec<RawNamespace>,
    /// Required: a file that was emptied by accident must not take every workload away.
    workloads: Vec<Spanned<RawWorkload>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNamespace {
    name: Spanned<String>,
    #[serde(default)]
    labels: RawLabels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawWorkload {
    namespace: Spanned<String>,
    name: Spanned<String>,
    #[serde(default)]
    labels: RawLabels,
    service_account: Option<Spanned<String>>,
    netns: Option<Spanned<String>>,
    interface: Option<Spanned<String>>,
    cgroup: Option<Spanned<String>>,
    addresses: Option<Spanned<Vec<Spanned<String>>>>,
    resolvers: Option<Spanned<Vec<Spanned<String>>>>,
}

type RawLabels = BTreeMap<String, Spanned<String>>;

fn read_raw(text: &str) -> Result<RawFile, Problem> {
    if text.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("the file has more than {MAX_FILE_BYTES} bytes");
        return Err(Problem::whole(reason, "list only the workloads of this node"));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let reason = reason_of(error);
        match error.location() {
            Some(at) => Problem::at(at, reason, fix_of(error)),
            None => Problem::whole(reason, fix_of(error)),
        }
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            // Two, so that the second one is refused for what it is.
            max_documents: 2,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_NODES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
    }
}

fn reason_of(error: &Error) -> String {
    if is_too_much(error) {
        return "the file is larger or deeper than a list of workloads can be".to_owned();
    }
    let words = UserMessageFormatter.format_message(error);
    words::sentence(&words.replace("sequence start", "a list").replace("mapping start", "a mapping"))
}

fn fix_of(error: &Error) -> &'static str {
    match error {
        _ if is_too_much(error) => "list only the workloads of this node, and write aliases out",
        Error::SerdeUnknownField { .. } => "correct its spelling, or take it out",
        Error::SerdeMissingField { field, .. } if *field != "workloads" => "add it to this entry",
        Error::SerdeMissingField { .. } | Error::Eof { .. } => "write `workloads: []` if there are none",
        Error::DuplicateMappingKey { .. } => "write the key once",
        Error::MergeKeyNotAllowed { .. } => "write the keys out; `<<` is not read",
        Error::MultipleDocuments { .. } => "write everything in one document, without `---`",
        _ => "the file is `namespaces: [{name, labels}]` and `workloads: [{namespace, name, netns}]`",
    }
}

fn is_too_much(error: &Error) -> bool {
    matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    )
}

fn check(raw: RawFile) -> Result<WorkloadsFile, Vec<Problem>> {
    let mut check = Check::default();
    if raw.workloads.len() > MAX_WORKLOADS {
        let at = raw.workloads[MAX_WORKLOADS].referenced;
        check.refuse(
            at,
            format!("there are more than {MAX_WORKLOADS} workloads"),
            "list only those of this node",
        );
    }
    let namespaces = raw.namespaces.into_iter().map(|raw| check.namespace(raw)).collect();
    let workloads =
        raw.workloads.into_iter().take(MAX_WORKLOADS).filter_map(|raw| check.workload(raw)).collect();
    if check.problems.is_empty() { Ok(WorkloadsFile { namespaces, workloads }) } else { Err(check.problems) }
}

/// The mistakes found so far, and what must not come twice, with the line where it came first.
#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
    namespaces: HashMap<String, u64>,
    ids: HashMap<WorkloadId, u64>,
    places: HashMap<Place, u64>,
}

impl Check {
    fn refuse(&mut self, at: Location, reason: impl Into<String>, fix: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::at(at, reason, fix));
        }
    }

    /// The good value of `outcome`; what is wrong with it is noted at `at`.
    fn keep<T>(&mut self, at: Location, outcome: Result<T, Complaint>) -> Option<T> {
        outcome.map_err(|(reason, fix)| self.refuse(at, reason, fix)).ok()
    }

    fn namespace(&mut self, raw: RawNamespace) -> Namespace {
        let at = raw.name.referenced;
        self.keep(at, words::check_namespace(&raw.name.value));
        if let Some(line) = first_line(&mut self.namespaces, raw.name.value.clone(), at) {
            let reason =
                format!("the namespace `{}` is already on line {line}", words::shown(&raw.name.value));
            self.refuse(at, reason, "describe it once");
        }
        if let Some(label) = raw.labels.get(NAMESPACE_NAME)
            && label.value != raw.name.value
        {
            let reason = format!("the label `{NAMESPACE_NAME}` is always the name of its namespace");
            self.refuse(label.referenced, reason, "leave it out; it is implied");
        }
        Namespace::new(raw.name.value, self.labels(raw.labels))
    }

    fn workload(&mut self, raw: Spanned<RawWorkload>) -> Option<Workload> {
        let (at, raw) = (raw.referenced, raw.value);
        self.keep(raw.namespace.referenced, words::check_namespace(&raw.namespace.value));
        self.keep(raw.name.referenced, words::check_name("workload", &raw.name.value));
        if let Some(account) = &raw.service_account {
            self.keep(account.referenced, words::check_name("service account", &account.value));
        }
        let id = WorkloadId { namespace: raw.namespace.value, name: raw.name.value };
        if let Some(line) = first_line(&mut self.ids, id.clone(), raw.name.referenced) {
            let reason =
                format!("the workload `{}` is already on line {line}", words::shown(&id.to_string()));
            self.refuse(raw.name.referenced, reason, "give each workload of a namespace a name of its own");
        }
        let place = self.place(at, raw.netns, raw.interface, raw.cgroup);
        let labels = self.labels(raw.labels);
        let addresses = self.addresses(raw.addresses, words::check_workload_address);
        let resolvers = self.addresses(raw.resolvers, words::check_resolver);
        let service_account = raw.service_account.map(|account| account.value);
        let addresses = addresses.unwrap_or_default();
        Some(Workload { id, labels, service_account, place: place?, addresses, resolvers })
    }

    fn place(
        &mut self,
        workload: Location,
        netns: Option<Spanned<String>>,
        interface: Option<Spanned<String>>,
        cgroup: Option<Spanned<String>>,
    ) -> Option<Place> {
        let (at, place) = match (netns, interface, cgroup) {
            (Some(netns), None, None) => {
                self.keep(netns.referenced, words::check_netns(&netns.value))?;
                (netns.referenced, Place::Netns(netns.value))
            }
            (None, Some(interface), None) => {
                self.keep(interface.referenced, words::check_interface(&interface.value))?;
                (interface.referenced, Place::Interface(interface.value))
            }
            (None, None, Some(cgroup)) => {
                self.keep(cgroup.referenced, words::check_cgroup(&cgroup.value))?;
                (cgroup.referenced, Place::Cgroup(cgroup.value))
            }
            (Some(_), Some(interface), None) => {
                let reason = "the workload has both `netns` and `interface`";
                self.refuse(interface.referenced, reason, "keep one of them; each finds the other");
                return None;
            }
            (_, _, Some(cgroup)) => {
                let reason = "the workload has `cgroup` and another place";
                self.refuse(
                    cgroup.referenced,
                    reason,
                    "keep `cgroup` only where it is in the node's own network",
                );
                return None;
            }
            (None, None, None) => {
                let reason = "the workload has neither `netns` nor `interface`";
                let fix = "add `netns: NAME` (from `ip netns list`) or `interface: NAME`; or `cgroup: PATH` where it is in \
                           the node's own network";
                self.refuse(workload, reason, fix);
                return None;
            }
        };
        if let Some(line) = first_line(&mut self.places, same_place(&place), at) {
            let reason = format!("another workload is in the same place, on line {line}");
            self.refuse(at, reason, "give each workload a network namespace of its own");
        }
        Some(place)
    }

    fn labels(&mut self, raw: RawLabels) -> Labels {
        for (key, value) in &raw {
            self.keep(value.referenced, words::check_label_key(key));
            self.keep(value.referenced, words::check_label_value(key, &value.value));
        }
        raw.into_iter().map(|(key, value)| (key, value.value)).collect()
    }

    fn addresses(
        &mut self,
        raw: Option<Spanned<Vec<Spanned<String>>>>,
        check: impl Fn(&str) -> Result<IpAddr, Complaint>,
    ) -> Option<Vec<IpAddr>> {
        let raw = raw?;
        if raw.value.is_empty() {
            self.refuse(raw.referenced, "the list is empty", "list an address, or leave the key out");
        }
        if raw.value.len() > MAX_ADDRESSES {
            let reason = format!("the list has more than {MAX_ADDRESSES} addresses");
            self.refuse(raw.referenced, reason, "list fewer");
        }
        let mut addresses = Vec::new();
        for text in raw.value.into_iter().take(MAX_ADDRESSES) {
            let Some(address) = self.keep(text.referenced, check(&text.value)) else { continue };
            if addresses.contains(&address) {
                self.refuse(text.referenced, format!("`{address}` is listed twice"), "list it once");
            }
            addresses.push(address);
        }
        Some(addresses)
    }
}

/// Notes that `key` is at `at`; the line where it was before, if it was.
fn first_line<K: Eq + Hash>(seen: &mut HashMap<K, u64>, key: K, at: Location) -> Option<u64> {
    match seen.entry(key) {
        Entry::Occupied(before) => Some(*before.get()),
        Entry::Vacant(free) => {
            free.insert(at.line());
            None
        }
    }
}

/// The one spelling of a place: a name under `/run/netns` and its path are the same namespace.
fn same_place(place: &Place) -> Place {
    let Place::Netns(netns) = place else { return place.clone() };
    let name = ["/run/netns/", "/var/run/netns/"].iter().find_map(|folder| netns.strip_prefix(folder));
    Place::Netns(name.unwrap_or(netns).to_owned())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

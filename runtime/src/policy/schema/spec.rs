//! `spec`: whom a policy speaks of, how, its rules and its modules.

use std::collections::BTreeMap;

use crate::model::{Ceiling, Mode, OnDeny, Policy, PolicyId, PolicyKind, Rule, Scope, Selector};

use super::super::problem::Span;
use super::super::yaml::{Entry, Value};
use super::reader::{Fields, Reader, Shape};
use super::target::Home;
use super::{module, rule, selector};

const CLUSTER_FIX: &str = "take it out, or write it in a policy of `kind: ClusterEgressPolicy`";

const OF_NAMESPACE: Shape = Shape {
    what: "spec",
    keys: &["podSelector", "mode", "scope", "onDeny", "default", "allow", "deny", "modules"],
    later: &[],
    misplaced: &[
        ("ceiling", "only a ClusterEgressPolicy has a `ceiling`", CLUSTER_FIX),
        ("namespaceSelector", "only a ClusterEgressPolicy has a `namespaceSelector`", CLUSTER_FIX),
    ],
    synonyms: &[("egress", "allow"), ("selector", "podSelector"), ("rules", "allow")],
};

const OF_CLUSTER: Shape = Shape {
    keys: &[
        "namespaceSelector",
        "podSelector",
        "mode",
        "scope",
        "onDeny",
        "default",
        "allow",
        "deny",
        "ceiling",
        "modules",
    ],
    misplaced: &[],
    ..OF_NAMESPACE
};

const MODES: [(&str, Mode); 2] = [("Observe", Mode::Observe), ("Enforce", Mode::Enforce)];
const SCOPES: [(&str, Scope); 2] = [("internet", Scope::Internet), ("all", Scope::All)];
const ON_DENY: [(&str, OnDeny); 2] = [("Reject", OnDeny::Reject), ("Drop", OnDeny::Drop)];

/// The policy of `entry`, without its id and origin, which are the caller's to give. `home`: where it is.
pub(super) fn read(
    reader: &mut Reader<'_>,
    entry: &Entry,
    kind: PolicyKind,
    home: Home<'_>,
) -> Option<Policy> {
    let before = reader.problems.len();
    let of_cluster = kind == PolicyKind::ClusterEgressPolicy;
    let fields =
        reader.fields(&entry.node, entry.at, if of_cluster { &OF_CLUSTER } else { &OF_NAMESPACE })?;
    if reader.problems.len() == before {
        // With an unknown key, what was to be `allow` or `deny` is most likely that.
        refuse_idle(reader, &fields, entry.at, of_cluster);
    }
    let namespace_selector = match of_cluster {
        true => selector::require(reader, &fields, &selector::NAMESPACES),
        false => Some(Selector::default()),
    };
    let pod_selector =
        selector::require(reader, &fields, if of_cluster { &selector::PODS } else { &selector::OWN_PODS });
    let mode = fields
        .require(reader, "mode", "write `mode: Observe` to try it, `mode: Enforce` to put it in force")
        .and_then(|entry| reader.word(entry, &MODES));
    let scope = fields
        .require(reader, "scope", "write what its default deny covers: `scope: internet` or `scope: all`")
        .and_then(|entry| reader.word(entry, &SCOPES));
    let on_deny = fields.get("onDeny").map_or(Some(OnDeny::Reject), |entry| reader.word(entry, &ON_DENY));
    let default_deny = fields.get("default").map_or(Some(false), |entry| default(reader, entry));
    let allow = rules(reader, &fields, rule::Side::Allow, home);
    let deny = rules(reader, &fields, rule::Side::Deny, home);
    let entries = rules(reader, &fields, rule::Side::Ceiling, home);
    refuse_same_names(reader, &[&allow, &deny, &entries]);
    let modules = module::read(reader, &fields);
    if !["allow", "default", "ceiling"].into_iter().any(|key| writes(&fields, key)) {
        module::refuse_unmatched(reader, &modules);
    }
    let plain = |rules: Vec<(Span, Rule)>| rules.into_iter().map(|(_, rule)| rule).collect();
    let origin = fields.get("ceiling").map(|entry| reader.origin(entry.at));
    let unnamed = PolicyId::of_cluster("");
    Some(Policy {
        id: unnamed,
        origin: reader.origin(entry.at),
        namespace_selector: namespace_selector?,
        pod_selector: pod_selector?,
        mode: mode?,
        scope: scope?,
        on_deny: on_deny?,
        default_deny: default_deny?,
        allow: plain(allow),
        deny: plain(deny),
        ceiling: origin.map(|origin| Ceiling { entries: plain(entries), origin }),
        modules: modules.into_iter().map(|(_, module)| module).collect(),
        upstream: None,
    })
}

fn default(reader: &mut Reader<'_>, entry: &Entry) -> Option<bool> {
    let fix = "write `default: Deny`, or leave it out";
    let word = reader.text(entry, fix)?;
    if word == "Deny" {
        return Some(true);
    }
    let reason = match word {
        "Allow" => {
            "`default` cannot be `Allow`: allows are a union, and what no rule denies is allowed anyway \
                    where no policy denies by default"
                .to_owned()
        }
        _ => format!("`default` cannot be `{word}`"),
    };
    reader.refuse(entry.node.at, reason, fix);
    None
}

fn rules(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    side: rule::Side,
    home: Home<'_>,
) -> Vec<(Span, Rule)> {
    let key = side.key();
    let Some(entry) = fields.get(key) else { return Vec::new() };
    let Some(items) = reader.list(entry, &format!("write `{key}:` and under it `- to: [...]`")) else {
        return Vec::new();
    };
    let read = |(place, node)| rule::read(reader, node, side, place, home);
    items.iter().enumerate().filter_map(read).collect()
}

fn refuse_idle(reader: &mut Reader<'_>, fields: &Fields<'_>, at: Span, of_cluster: bool) {
    if ["allow", "deny", "default", "ceiling", "modules"].into_iter().any(|key| writes(fields, key)) {
        return;
    }
    let fix = "add rules under `allow` or `deny`, or write `default: Deny` to deny everything in its scope";
    let has = if of_cluster { "allow, deny, ceiling, modules" } else { "allow, deny, modules" };
    reader.refuse(at, format!("the policy does nothing: it has neither {has} nor default"), fix);
}

/// Whether the policy says something under `key`.
fn writes(fields: &Fields<'_>, key: &str) -> bool {
    fields.get(key).is_some_and(|entry| match &entry.node.value {
        // An empty ceiling says something: no allow below it counts.
        Value::List(items) => !items.is_empty() || key == "ceiling",
        // Anything else was refused by whoever read it, or is `default`.
        _ => true,
    })
}

fn refuse_same_names(reader: &mut Reader<'_>, sides: &[&Vec<(Span, Rule)>]) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (at, rule) in sides.iter().flat_map(|rules| rules.iter()) {
        if let Some(first) = seen.get(rule.name.as_str()) {
            let reason = format!("the rule name `{}` is taken by the rule at line {}", rule.name, first.line);
            reader.refuse(*at, reason, "give each rule of a policy a name of its own");
        } else {
            seen.insert(&rule.name, *at);
        }
    }
}

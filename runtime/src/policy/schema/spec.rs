//! `spec`: whom a policy speaks of, how, and its rules.

use std::collections::BTreeMap;

use crate::model::{EgressPolicy, Mode, OnDeny, PolicyId, Rule, Scope, Selector};

use super::super::problem::Span;
use super::super::yaml::{Entry, Value};
use super::reader::{Fields, Reader, Shape};
use super::{rule, words};

const SPEC: Shape = Shape {
    what: "spec",
    keys: &["podSelector", "mode", "scope", "onDeny", "default", "allow", "deny"],
    later: &["modules", "ceiling", "namespaceSelector"],
    synonyms: &[("egress", "allow"), ("selector", "podSelector"), ("rules", "allow")],
};

const SELECTOR: Shape = Shape {
    what: "podSelector",
    keys: &["matchLabels"],
    later: &["matchExpressions"],
    synonyms: &[("labels", "matchLabels")],
};

const SELECTOR_FIX: &str =
    "write `podSelector: {matchLabels: {app: NAME}}`, or `podSelector: {}` for all of the namespace";
const MODES: [(&str, Mode); 2] = [("Observe", Mode::Observe), ("Enforce", Mode::Enforce)];
const SCOPES: [(&str, Scope); 2] = [("internet", Scope::Internet), ("all", Scope::All)];
const ON_DENY: [(&str, OnDeny); 2] = [("Reject", OnDeny::Reject), ("Drop", OnDeny::Drop)];

/// The policy of `entry`, without its id and origin, which are the caller's to give.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry) -> Option<EgressPolicy> {
    let before = reader.problems.len();
    let fields = reader.fields(&entry.node, entry.at, &SPEC)?;
    if reader.problems.len() == before {
        // With an unknown key, what was to be `allow` or `deny` is most likely that.
        refuse_idle(reader, &fields, entry.at);
    }
    let pod_selector =
        fields.require(reader, "podSelector", SELECTOR_FIX).and_then(|entry| selector(reader, entry));
    let mode = fields
        .require(reader, "mode", "write `mode: Observe` to try it, `mode: Enforce` to put it in force")
        .and_then(|entry| reader.word(entry, &MODES));
    let scope = fields
        .require(reader, "scope", "write what its default deny covers: `scope: internet` or `scope: all`")
        .and_then(|entry| reader.word(entry, &SCOPES));
    let on_deny = fields.get("onDeny").map_or(Some(OnDeny::Reject), |entry| reader.word(entry, &ON_DENY));
    let default_deny = fields.get("default").map_or(Some(false), |entry| default(reader, entry));
    let allow = rules(reader, &fields, "allow", rule::Side::Allow);
    let deny = rules(reader, &fields, "deny", rule::Side::Deny);
    refuse_same_names(reader, &[&allow, &deny]);
    let unnamed = PolicyId { namespace: String::new(), name: String::new() };
    Some(EgressPolicy {
        id: unnamed,
        origin: reader.origin(entry.at),
        pod_selector: pod_selector?,
        mode: mode?,
        scope: scope?,
        on_deny: on_deny?,
        default_deny: default_deny?,
        allow: allow.into_iter().map(|(_, rule)| rule).collect(),
        deny: deny.into_iter().map(|(_, rule)| rule).collect(),
    })
}

fn selector(reader: &mut Reader<'_>, entry: &Entry) -> Option<Selector> {
    let fields = reader.fields(&entry.node, entry.at, &SELECTOR)?;
    let Some(labels) = fields.get("matchLabels") else { return Some(Selector::default()) };
    let Value::Map(entries) = &labels.node.value else {
        let reason = format!("`matchLabels` must be a mapping, but this is {}", labels.node.value.kind());
        reader.refuse(labels.node.at, reason, SELECTOR_FIX);
        return None;
    };
    let read: Vec<_> = entries.iter().map(|entry| label(reader, entry)).collect();
    Some(Selector { match_labels: read.into_iter().collect::<Option<BTreeMap<_, _>>>()? })
}

fn label(reader: &mut Reader<'_>, entry: &Entry) -> Option<(String, String)> {
    if !words::is_label_key(&entry.key) {
        let fix = "use an optional `prefix.example/`, then 1 to 63 letters, digits, `-`, `_` or `.`";
        reader.refuse(entry.at, format!("`{}` cannot be the key of a label", entry.key), fix);
        return None;
    }
    let value = reader.text(entry, "write another value")?;
    if !words::is_label_value(value) {
        let fix = "use at most 63 letters, digits, `-`, `_` or `.`, with a letter or digit at either end";
        reader.refuse(entry.node.at, format!("`{value}` cannot be the value of a label"), fix);
        return None;
    }
    Some((entry.key.clone(), value.to_owned()))
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

fn rules(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str, side: rule::Side) -> Vec<(Span, Rule)> {
    let Some(entry) = fields.get(key) else { return Vec::new() };
    let Some(items) = reader.list(entry, &format!("write `{key}:` and under it `- to: [...]`")) else {
        return Vec::new();
    };
    items.iter().enumerate().filter_map(|(place, node)| rule::read(reader, node, side, place)).collect()
}

fn refuse_idle(reader: &mut Reader<'_>, fields: &Fields<'_>, at: Span) {
    let writes = |key| {
        fields.get(key).is_some_and(|entry| match &entry.node.value {
            Value::List(items) => !items.is_empty(),
            // Anything else was refused by whoever read it, or is `default`.
            _ => true,
        })
    };
    if !["allow", "deny", "default"].into_iter().any(writes) {
        let fix =
            "add rules under `allow` or `deny`, or write `default: Deny` to deny everything in its scope";
        reader.refuse(at, "the policy does nothing: it has neither allow, deny nor default", fix);
    }
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

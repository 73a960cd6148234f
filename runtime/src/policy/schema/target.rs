//! One destination of a rule: a name, a range of addresses, a service, or pods.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{
    Namespaces, Pattern, PatternError, PodsOf, PolicyId, PolicyKind, Selector, ServiceName, Target,
};

use super::super::yaml::{Entry, Node};
use super::reader::{Reader, Shape};
use super::rule::Side;
use super::{selector, words};

pub(super) const TO_FIX: &str =
    "write `to: [{fqdn: NAME}]`, or `cidr`, `service` or `pods` in the place of `fqdn`";

const TARGET: Shape = Shape {
    what: "a destination",
    keys: &["fqdn", "cidr", "service", "pods"],
    later: &["pack"],
    misplaced: &[
        (
            "namespace",
            "all pods of a namespace are `pods` as others are",
            "write `pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}`",
        ),
        (
            "namespaceSelector",
            "`namespaceSelector` stands under `pods`",
            "write `pods: {namespaceSelector: ...}`",
        ),
        ("podSelector", "`podSelector` stands under `pods`", "write `pods: {podSelector: ...}`"),
    ],
    synonyms: &[
        ("ipBlock", "cidr"),
        ("ip", "cidr"),
        ("address", "cidr"),
        ("host", "fqdn"),
        ("domain", "fqdn"),
        ("dns", "fqdn"),
        ("name", "fqdn"),
        ("matchName", "fqdn"),
        ("matchPattern", "fqdn"),
        ("svc", "service"),
        ("serviceName", "service"),
        ("toServices", "service"),
        ("toEndpoints", "pods"),
    ],
};

const SERVICE: Shape = Shape {
    what: "a service",
    keys: &["name", "namespace"],
    later: &[],
    misplaced: &[
        (
            "port",
            "the ports of a service go under `ports`",
            "write `ports: [{protocol: TCP, port: 443}]` beside `to`",
        ),
        ("ports", "the ports of a service go under `ports`", "write `ports` beside `to`"),
    ],
    synonyms: &[("service", "name"), ("serviceName", "name")],
};
const SERVICE_FIX: &str = "write `service: {name: NAME}`";

const PODS: Shape = Shape {
    what: "`pods`",
    keys: &["podSelector", "namespaceSelector"],
    later: &[],
    misplaced: &[
        (
            "matchLabels",
            "the labels of pods stand under `podSelector`",
            "write `pods: {podSelector: {matchLabels: ...}}`",
        ),
        (
            "namespace",
            "namespaces are selected by labels",
            "write `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}`",
        ),
    ],
    synonyms: &[("selector", "podSelector"), ("namespaces", "namespaceSelector")],
};
const PODS_FIX: &str = "write `pods: {podSelector: {matchLabels: {app: NAME}}}` for pods of the policy's own namespace, and a \
                        `namespaceSelector` beside it for those of others";
const NAMESPACES_FIX: &str = "write `pods: {namespaceSelector: {matchLabels: {tier: NAME}}}`, with a `podSelector` beside it or without";

/// Where services and pods are whose namespace is not written out: the policy's own; `None`: it has none.
#[derive(Clone, Copy)]
pub(super) struct Home<'a>(Option<&'a str>);

impl<'a> Home<'a> {
    /// That of a policy; `id`: `None` where its metadata is refused, and nothing of the policy counts.
    pub fn of(kind: PolicyKind, id: Option<&'a PolicyId>) -> Self {
        match kind.is_of_cluster() {
            true => Self(None),
            false => Self(Some(id.and_then(|id| id.namespace.as_deref()).unwrap_or_default())),
        }
    }
}

/// The destination of `node`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, side: Side, home: Home<'_>) -> Option<Target> {
    let before = reader.problems.len();
    let fields = reader.fields(node, node.at, &TARGET)?;
    let written: Vec<_> = TARGET.keys.iter().filter_map(|key| fields.get(key)).collect();
    let entry = match written[..] {
        [entry] => entry,
        [first, second, ..] => {
            let reason = "a destination is one of these: a name, a range, a service, or pods";
            let fix = format!("write two entries: `to: [{{{}: ...}}, {{{}: ...}}]`", first.key, second.key);
            reader.refuse(second.at, reason, fix);
            return None;
        }
        [] => {
            if reader.problems.len() == before {
                reader.refuse(node.at, "the destination names nothing", TO_FIX);
            }
            return None;
        }
    };
    match entry.key.as_str() {
        "fqdn" if side == Side::Deny => {
            let reason = "`deny` takes no `fqdn`: a name that is not looked up cannot be denied by address";
            let fix = "deny its addresses with `cidr`, or leave the name out of `allow`";
            reader.refuse(entry.at, reason, fix);
            None
        }
        "fqdn" => fqdn(reader, entry).map(Target::Fqdn),
        "cidr" => cidr(reader, entry).map(Target::Cidr),
        "service" => service(reader, entry, home).map(Target::Service),
        _ => pods(reader, entry, home).map(Target::Pods),
    }
}

fn service(reader: &mut Reader<'_>, entry: &Entry, home: Home<'_>) -> Option<ServiceName> {
    let fields = reader.fields(&entry.node, entry.at, &SERVICE)?;
    let name = fields.require(reader, "name", SERVICE_FIX).and_then(|entry| label(reader, entry));
    let namespace = match (fields.get("namespace"), home.0) {
        (Some(entry), _) => label(reader, entry),
        (None, Some(own)) => Some(own.to_owned()),
        (None, None) => {
            let reason =
                "a ClusterEgressPolicy is of no namespace, so it must say of which one the service is";
            reader.refuse(entry.at, reason, "write `service: {name: NAME, namespace: NAMESPACE}`");
            None
        }
    };
    Some(ServiceName { namespace: namespace?, name: name? })
}

fn label(reader: &mut Reader<'_>, entry: &Entry) -> Option<String> {
    let text = reader.text(entry, SERVICE_FIX)?;
    if words::is_label(text) {
        return Some(text.to_owned());
    }
    let reason = format!("`{text}` cannot be the {} of a service", entry.key);
    let fix = "use 1 to 63 lower-case letters, digits and `-` (not first or last), and no dots";
    reader.refuse(entry.node.at, reason, fix);
    None
}

/// As the peers of a NetworkPolicy are read: a `podSelector` alone is of the policy's own namespace, a `namespaceSelector`
/// alone is all pods of these, and both are such pods of these.
fn pods(reader: &mut Reader<'_>, entry: &Entry, home: Home<'_>) -> Option<PodsOf> {
    let before = reader.problems.len();
    let fields = reader.fields(&entry.node, entry.at, &PODS)?;
    let read = |reader: &mut Reader<'_>, key: &str, wanted| {
        fields.get(key).map(|entry| selector::read(reader, entry, wanted))
    };
    let pods = read(reader, "podSelector", &selector::PODS);
    let namespaces = read(reader, "namespaceSelector", &selector::NAMESPACES);
    let namespaces = match (namespaces, &pods, home.0) {
        (Some(selector), ..) => selector.map(Namespaces::Selected),
        (None, Some(_), Some(own)) => Some(Namespaces::One(own.to_owned())),
        (None, None, Some(_)) => {
            if reader.problems.len() == before {
                reader.refuse(entry.at, "`pods` says nothing of which pods", PODS_FIX);
            }
            None
        }
        (None, _, None) => {
            if reader.problems.len() == before {
                let reason =
                    "a ClusterEgressPolicy is of no namespace, so it must say of which ones the pods are";
                reader.refuse(entry.at, reason, NAMESPACES_FIX);
            }
            None
        }
    };
    let pods = pods.unwrap_or_else(|| Some(Selector::default()));
    Some(PodsOf { namespaces: namespaces?, pods: pods? })
}

fn fqdn(reader: &mut Reader<'_>, entry: &Entry) -> Option<Pattern> {
    let text = reader.text(entry, "write `fqdn: example.com`")?;
    let error = match Pattern::parse(text) {
        Ok(pattern) => return Some(pattern),
        Err(error) => error,
    };
    let fix = match &error {
        PatternError::Address(net) => format!("write `cidr: {net}`"),
        PatternError::NotAHost(_) => format!("write `fqdn: {}`", host_of(text)),
        PatternError::DeepWildcard { .. } => {
            let rest = text.rsplit("**").next().unwrap_or_default().trim_matches(['.', '*']);
            format!("write `fqdn: \"**.{rest}\"` for any depth, `fqdn: \"*.{rest}\"` for one label")
        }
        PatternError::Everything => "write `cidr: 0.0.0.0/0` and `cidr: ::/0`".to_owned(),
        PatternError::International(_) => {
            "write its ASCII form, in which such a label starts with `xn--`".to_owned()
        }
        PatternError::Name(_) => "write labels of letters, digits, `-` and `_`, joined by dots".to_owned(),
    };
    // What the error advises after its semicolon is said, with the very text to write, by the fix.
    let words = error.to_string();
    let reason = words.split(';').next().unwrap_or_default();
    reader.refuse(entry.node.at, format!("`{text}` is not a name: {reason}"), fix);
    None
}

fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    match rest.split(':').next().unwrap_or_default() {
        "" => "example.com",
        host => host,
    }
}

fn cidr(reader: &mut Reader<'_>, entry: &Entry) -> Option<IpNet> {
    let text = reader.text(entry, "write `cidr: 192.0.2.0/24`")?;
    let at = entry.node.at;
    let Ok(net) = text.parse::<IpNet>() else {
        let (reason, fix) = match text.parse::<IpAddr>() {
            Ok(address) => ("is an address without its length", format!("write `{}`", IpNet::from(address))),
            Err(_) if Pattern::parse(text).is_ok() && !text.contains('/') => {
                ("is not a range of addresses", format!("write `fqdn: {text}`"))
            }
            Err(_) => {
                ("is not a range of addresses", "write one like `192.0.2.0/24` or `2001:db8::/32`".into())
            }
        };
        reader.refuse(at, format!("`{text}` {reason}"), fix);
        return None;
    };
    if net.trunc() != net {
        let fix = format!("write `{}`, or `{}` for the one address", net.trunc(), IpNet::from(net.addr()));
        reader.refuse(at, format!("`{text}` has bits set beyond its length {}", net.prefix_len()), fix);
        return None;
    }
    if let Some(plain) = unmapped(net) {
        let reason = format!("`{text}` is an IPv4 range written as IPv6; no packet carries such an address");
        reader.refuse(at, reason, format!("write `{plain}`"));
        return None;
    }
    Some(net)
}

/// The IPv4 range that an IPv4-mapped IPv6 range stands for.
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return None };
    let length = v6.prefix_len().checked_sub(96)?;
    IpNet::new(v6.addr().to_ipv4_mapped()?.into(), length).ok()
}

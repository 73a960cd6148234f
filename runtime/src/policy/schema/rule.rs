//! One entry of `allow`, `deny` or `ceiling`: its name, where to, and on which ports.

use std::ops::RangeInclusive;

use crate::model::{PortRange, Protocol, Rule, Target};

use super::super::problem::Span;
use super::super::yaml::{Entry, Node, Value};
use super::reader::{Fields, Reader, Shape};
use super::target::{self, Home, TO_FIX};
use super::words;

/// Which list a rule stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Allow,
    Deny,
    Ceiling,
}

impl Side {
    /// The key of the list.
    pub fn key(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ceiling => "ceiling",
        }
    }
}

const RULE: Shape = Shape {
    what: "a rule",
    keys: &["name", "to", "ports"],
    later: &[],
    misplaced: &[],
    synonyms: &[("toFQDNs", "to"), ("destinations", "to"), ("toPorts", "ports")],
};

const PORTS: Shape = Shape {
    what: "an entry of ports",
    keys: &["protocol", "port", "endPort"],
    later: &[],
    misplaced: &[],
    synonyms: &[],
};

const PORTS_FIX: &str = "write `ports: [{protocol: TCP, port: 443}]`";
const PROTOCOL_FIX: &str = "write `protocol: TCP`, `UDP`, `SCTP` or `ICMP`";
const PROTOCOLS: [(&str, Protocol); 4] =
    [("TCP", Protocol::TCP), ("UDP", Protocol::UDP), ("SCTP", Protocol::SCTP), ("ICMP", Protocol::ICMP)];

/// The rule of `node`, and where its name stands (or it starts).
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    side: Side,
    place: usize,
    home: Home<'_>,
) -> Option<(Span, Rule)> {
    let fields = reader.fields(node, node.at, &RULE)?;
    let name = fields.get("name");
    let at = name.map_or(node.at, |entry| entry.node.at);
    let name = match name {
        Some(entry) => rule_name(reader, entry),
        None => Some(format!("{}[{place}]", side.key())),
    };
    let to = fields.require(reader, "to", TO_FIX).and_then(|entry| targets(reader, entry, side, home));
    let ports = fields.get("ports").map_or(Some(Vec::new()), |entry| ports(reader, entry));
    Some((at, Rule { name: name?, to: to?, ports: ports?, origin: reader.origin(node.at), found: None }))
}

fn rule_name(reader: &mut Reader<'_>, entry: &Entry) -> Option<String> {
    let fix = "use 1 to 63 lower-case letters, digits and `-` (not first or last)";
    let name = reader.text(entry, fix)?;
    if words::is_label(name) {
        return Some(name.to_owned());
    }
    reader.refuse(entry.node.at, format!("`{name}` cannot be the name of a rule"), fix);
    None
}

fn targets(reader: &mut Reader<'_>, entry: &Entry, side: Side, home: Home<'_>) -> Option<Vec<Target>> {
    let items = reader.list(entry, TO_FIX)?;
    if items.is_empty() {
        let fix = "name at least one destination; for every address write `cidr: 0.0.0.0/0` and `cidr: ::/0`";
        reader.refuse(entry.at, "`to` is empty, so the rule covers nothing", fix);
        return None;
    }
    let read: Vec<_> = items.iter().map(|node| target::read(reader, node, side, home)).collect();
    read.into_iter().collect()
}

fn ports(reader: &mut Reader<'_>, entry: &Entry) -> Option<Vec<PortRange>> {
    let items = reader.list(entry, PORTS_FIX)?;
    if items.is_empty() {
        let fix = format!("{PORTS_FIX}, or leave `ports` out for every protocol and port");
        reader.refuse(entry.at, "`ports` is empty", fix);
        return None;
    }
    let read: Vec<_> = items.iter().map(|node| port_range(reader, node)).collect();
    read.into_iter().collect()
}

fn port_range(reader: &mut Reader<'_>, node: &Node) -> Option<PortRange> {
    let fields = reader.fields(node, node.at, &PORTS)?;
    let protocol = fields.require(reader, "protocol", PROTOCOL_FIX)?;
    let protocol = reader.word(protocol, &PROTOCOLS)?;
    let Some(first) = fields.get("port") else {
        if let Some(last) = fields.get("endPort") {
            reader.refuse(last.at, "`endPort` without `port`", "add `port`, the first port of the range");
            return None;
        }
        return Some(PortRange { protocol, ports: None });
    };
    if !protocol.has_ports() {
        reader.refuse(first.at, format!("{protocol} has no ports"), "take `port` and `endPort` out");
        return None;
    }
    let ports = span_of_ports(reader, &fields, first)?;
    Some(PortRange { protocol, ports: Some(ports) })
}

fn span_of_ports(reader: &mut Reader<'_>, fields: &Fields<'_>, first: &Entry) -> Option<RangeInclusive<u16>> {
    let start = port(reader, first)?;
    let Some(last) = fields.get("endPort") else { return Some(start..=start) };
    let end = port(reader, last)?;
    if end < start {
        let fix = format!("write `port: {end}, endPort: {start}`");
        reader.refuse(last.node.at, format!("the range ends at {end} before it starts at {start}"), fix);
        return None;
    }
    Some(start..=end)
}

fn port(reader: &mut Reader<'_>, entry: &Entry) -> Option<u16> {
    let (reason, fix) = match &entry.node.value {
        Value::Number(number) => match u16::try_from(*number) {
            Ok(port) if port > 0 => return Some(port),
            Ok(_) => {
                ("port 0 cannot be dialled".to_owned(), "write a port from 1 to 65535; leave it out for all")
            }
            Err(_) => (format!("{number} is not a port"), "write a port from 1 to 65535"),
        },
        Value::Text(text) => (format!("`{text}` is not a number"), "write the port's number, without quotes"),
        other => {
            (format!("`{}` must be a number, but this is {}", entry.key, other.kind()), "write its number")
        }
    };
    reader.refuse(entry.node.at, reason, fix);
    None
}

//! One entry of `allow`, `deny` or `ceiling`: its name, where to, and on which ports.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::model::{Pattern, PatternError, PortRange, Protocol, Rule, Target};

use super::super::problem::Span;
use super::super::yaml::{Entry, Node, Value};
use super::reader::{Fields, Reader, Shape};
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

const TARGET: Shape = Shape {
    what: "a destination",
    keys: &["fqdn", "cidr"],
    later: &["pack", "service", "pods"],
    misplaced: &[],
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
    ],
};

const PORTS: Shape = Shape {
    what: "an entry of ports",
    keys: &["protocol", "port", "endPort"],
    later: &[],
    misplaced: &[],
    synonyms: &[],
};

const TO_FIX: &str = "write `to: [{fqdn: NAME}]` or `to: [{cidr: RANGE}]`";
const PORTS_FIX: &str = "write `ports: [{protocol: TCP, port: 443}]`";
const PROTOCOL_FIX: &str = "write `protocol: TCP`, `UDP`, `SCTP` or `ICMP`";
const PROTOCOLS: [(&str, Protocol); 4] =
    [("TCP", Protocol::TCP), ("UDP", Protocol::UDP), ("SCTP", Protocol::SCTP), ("ICMP", Protocol::ICMP)];

/// The rule of `node`, and where its name stands (or it starts).
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, side: Side, place: usize) -> Option<(Span, Rule)> {
    let fields = reader.fields(node, node.at, &RULE)?;
    let name = fields.get("name");
    let at = name.map_or(node.at, |entry| entry.node.at);
    let name = match name {
        Some(entry) => rule_name(reader, entry),
        None => Some(format!("{}[{place}]", side.key())),
    };
    let to = fields.require(reader, "to", TO_FIX).and_then(|entry| targets(reader, entry, side));
    let ports = fields.get("ports").map_or(Some(Vec::new()), |entry| ports(reader, entry));
    Some((at, Rule { name: name?, to: to?, ports: ports?, origin: reader.origin(node.at) }))
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

fn targets(reader: &mut Reader<'_>, entry: &Entry, side: Side) -> Option<Vec<Target>> {
    let items = reader.list(entry, TO_FIX)?;
    if items.is_empty() {
        let fix = "name at least one destination; for every address write `cidr: 0.0.0.0/0` and `cidr: ::/0`";
        reader.refuse(entry.at, "`to` is empty, so the rule covers nothing", fix);
        return None;
    }
    let read: Vec<_> = items.iter().map(|node| target(reader, node, side)).collect();
    read.into_iter().collect()
}

fn target(reader: &mut Reader<'_>, node: &Node, side: Side) -> Option<Target> {
    let before = reader.problems.len();
    let fields = reader.fields(node, node.at, &TARGET)?;
    match (fields.get("fqdn"), fields.get("cidr")) {
        (Some(entry), None) if side == Side::Deny => {
            let reason = "`deny` takes `cidr` only: a name that is not looked up cannot be denied by address";
            let fix = "deny its addresses with `cidr`, or leave the name out of `allow`";
            reader.refuse(entry.at, reason, fix);
            None
        }
        (Some(entry), None) => fqdn(reader, entry).map(Target::Fqdn),
        (None, Some(entry)) => cidr(reader, entry).map(Target::Cidr),
        (Some(_), Some(second)) => {
            let reason = "a destination is either a name or a range";
            reader.refuse(second.at, reason, "write two entries: `to: [{fqdn: NAME}, {cidr: RANGE}]`");
            None
        }
        (None, None) => {
            if reader.problems.len() == before {
                reader.refuse(node.at, "the destination names nothing", TO_FIX);
            }
            None
        }
    }
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

//! What both kinds write alike: selectors, ranges, and destinations on ports.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::{
    NamedPort, Namespaces, Operator, Origin, PodsOf, PortRange, Requirement, Rule, Selector, Target,
};

use super::json::{At, Wrong};

/// A label selector.
pub(super) fn selector(at: &At<'_>) -> Result<Selector, Wrong> {
    at.has_only(&["matchLabels", "matchExpressions"])?;
    let match_labels = at.get("matchLabels").map_or(Ok(Vec::new()), |labels| labels.texts())?;
    let expressions = at.items_of("matchExpressions")?;
    let match_expressions = expressions.iter().map(requirement).collect::<Result<_, _>>()?;
    Ok(Selector { match_labels: match_labels.into_iter().collect(), match_expressions })
}

fn requirement(at: &At<'_>) -> Result<Requirement, Wrong> {
    at.has_only(&["key", "operator", "values"])?;
    let key = at.get("key").ok_or_else(|| at.wrong("there is no `key`"))?.text()?.to_owned();
    let operator = at.get("operator").ok_or_else(|| at.wrong("there is no `operator`"))?;
    let values = || -> Result<_, Wrong> {
        let values = at.items_of("values")?;
        values.iter().map(|value| Ok(value.text()?.to_owned())).collect()
    };
    let operator = match operator.text()? {
        "In" => Operator::In(values()?),
        "NotIn" => Operator::NotIn(values()?),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(operator.wrong(format!("`{other}` is no operator that is known"))),
    };
    Ok(Requirement { key, operator })
}

/// A range of addresses.
pub(super) fn range(at: &At<'_>) -> Result<IpNet, Wrong> {
    let text = at.text()?;
    let range: Result<IpNet, _> = text.parse();
    Ok(range.map_err(|_| at.wrong(format!("`{text}` is no range of addresses")))?.trunc())
}

/// One destination of a rule.
pub(super) enum Peer {
    /// All there are.
    Everywhere,
    /// Addresses, names, or nodes.
    Other(Target),
    /// Pods, which may have names for their ports.
    Pods(PodsOf),
}

/// The ports of a rule, by number and by name; `None`: all.
pub(super) type Ports = Option<(Vec<PortRange>, Vec<NamedPort>)>;

/// The rule that leads to `peers` on `ports`. A port by its name is one of pods: without these the rule has none of it.
pub(super) fn rule(name: String, peers: Vec<Peer>, ports: Ports, origin: Origin) -> Rule {
    let by_number = ports.as_ref().is_none_or(|(numbers, _)| !numbers.is_empty());
    let (numbers, names) = ports.unwrap_or_default();
    let mut to = Vec::new();
    for peer in peers {
        let pods = match &peer {
            Peer::Everywhere => Some(PodsOf {
                namespaces: Namespaces::Selected(Selector::default()),
                pods: Selector::default(),
            }),
            Peer::Other(_) => None,
            Peer::Pods(pods) => Some(pods.clone()),
        };
        if let Some(pods) = pods {
            to.extend(names.iter().map(|name| Target::PodPort(pods.clone(), name.clone())));
        }
        match peer {
            _ if !by_number => {}
            Peer::Everywhere => to.extend(everywhere()),
            Peer::Other(target) => to.push(target),
            Peer::Pods(pods) => to.push(Target::Pods(pods)),
        }
    }
    Rule { name, to, ports: numbers, origin, found: None }
}

fn everywhere() -> [Target; 2] {
    [Target::Cidr(Ipv4Net::default().into()), Target::Cidr(Ipv6Net::default().into())]
}

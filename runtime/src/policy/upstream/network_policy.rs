//! NetworkPolicy (networking.k8s.io/v1): what it says of egress.

use crate::model::{
    Block, NamedPort, Namespaces, Origin, PodsOf, PortRange, Protocol, Rule, Selector, Target, Tier,
    Upstream, UpstreamAction, UpstreamRule,
};

use super::Read;
use super::json::{At, Wrong};
use super::parts::{Peer, Ports, range, rule, selector};

/// What `spec`, of a policy of `namespace`, says; `None`: nothing of egress. What cannot be read goes to `wrong`.
pub(super) fn read(spec: &At<'_>, namespace: &str, origin: &Origin, wrong: &mut Vec<Wrong>) -> Option<Read> {
    let (rules, is_isolating) = match spec.items_of("egress") {
        Ok(rules) => {
            let has_rules = !rules.is_empty();
            (rules, isolates(spec, has_rules, wrong))
        }
        Err(error) => {
            wrong.push(error);
            (Vec::new(), true)
        }
    };
    if !is_isolating {
        return None;
    }
    let pods = spec.get("podSelector").map_or(Ok(Selector::default()), |at| selector(&at));
    // Nobody whom it may select goes free.
    let pods = pods.unwrap_or_else(|error| {
        wrong.push(error);
        Selector::default()
    });
    let rules = rules.iter().enumerate().filter_map(|(place, at)| {
        let read = read_rule(at, format!("egress[{place}]"), namespace, origin);
        let rule = read.map_err(|error| wrong.push(error)).ok()?;
        Some(UpstreamRule { action: UpstreamAction::Accept, rule })
    });
    let upstream = Upstream { tier: Tier::NetworkPolicy, priority: 0, rules: rules.collect() };
    Some(Read { namespaces: Selector::default(), pods, upstream })
}

/// Whether it is about egress; where it does not say so, whether it has rules of it.
fn isolates(spec: &At<'_>, has_rules: bool, wrong: &mut Vec<Wrong>) -> bool {
    let types = spec
        .items_of("policyTypes")
        .and_then(|types| types.iter().map(|one| one.text()).collect::<Result<Vec<_>, _>>());
    match types {
        Ok(types) if types.is_empty() => has_rules,
        Ok(types) => types.contains(&"Egress"),
        Err(error) => {
            wrong.push(error);
            true
        }
    }
}

fn read_rule(at: &At<'_>, name: String, namespace: &str, origin: &Origin) -> Result<Rule, Wrong> {
    at.has_only(&["to", "ports"])?;
    let peers = at.items_of("to")?;
    let peers: Vec<_> = peers.iter().map(|at| peer(at, namespace)).collect::<Result<_, _>>()?;
    let peers = if peers.is_empty() { vec![Peer::Everywhere] } else { peers };
    Ok(rule(name, peers, ports(at)?, origin.clone()))
}

fn peer(at: &At<'_>, namespace: &str) -> Result<Peer, Wrong> {
    at.has_only(&["podSelector", "namespaceSelector", "ipBlock"])?;
    let (pods, namespaces) = (at.get("podSelector"), at.get("namespaceSelector"));
    if let Some(block) = at.get("ipBlock") {
        if pods.is_some() || namespaces.is_some() {
            return Err(at.wrong("`ipBlock` stands beside selectors"));
        }
        return Ok(Peer::Other(ip_block(&block)?));
    }
    if pods.is_none() && namespaces.is_none() {
        return Err(at.wrong("no destination is written here that is known"));
    }
    let namespaces = match namespaces {
        Some(namespaces) => Namespaces::Selected(selector(&namespaces)?),
        None => Namespaces::One(namespace.to_owned()),
    };
    let pods = pods.map_or(Ok(Selector::default()), |pods| selector(&pods))?;
    Ok(Peer::Pods(PodsOf { namespaces, pods }))
}

fn ip_block(at: &At<'_>) -> Result<Target, Wrong> {
    at.has_only(&["cidr", "except"])?;
    let cidr = range(&at.get("cidr").ok_or_else(|| at.wrong("there is no `cidr`"))?)?;
    let except: Vec<_> = at.items_of("except")?.iter().map(range).collect::<Result<_, _>>()?;
    Ok(if except.is_empty() { Target::Cidr(cidr) } else { Target::Block(Block { range: cidr, except }) })
}

fn ports(at: &At<'_>) -> Result<Ports, Wrong> {
    let items = at.items_of("ports")?;
    if items.is_empty() {
        return Ok(None);
    }
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for at in items {
        at.has_only(&["protocol", "port", "endPort"])?;
        let protocol = match at.get("protocol") {
            None => Protocol::TCP,
            Some(at) => protocol(&at)?,
        };
        let (first, last) = (at.get("port"), at.get("endPort"));
        match (first, last) {
            (None, None) => numbers.push(PortRange { protocol, ports: None }),
            (None, Some(last)) => return Err(last.wrong("there is no `port`")),
            (Some(first), None) => match (first.port(), first.text()) {
                (Some(port), _) => numbers.push(PortRange { protocol, ports: Some(port..=port) }),
                (None, Ok(name)) => names.push(NamedPort { protocol: Some(protocol), name: name.to_owned() }),
                (None, Err(_)) => return Err(first.wrong("this is neither a port nor the name of one")),
            },
            (Some(first), Some(last)) => match (first.port(), last.port()) {
                (Some(first), Some(last)) if first <= last => {
                    numbers.push(PortRange { protocol, ports: Some(first..=last) });
                }
                _ => return Err(last.wrong("from `port` to here is no range of ports")),
            },
        }
    }
    Ok(Some((numbers, names)))
}

fn protocol(at: &At<'_>) -> Result<Protocol, Wrong> {
    match at.text()? {
        "TCP" => Ok(Protocol::TCP),
        "UDP" => Ok(Protocol::UDP),
        "SCTP" => Ok(Protocol::SCTP),
        other => Err(at.wrong(format!("`{other}` is no protocol that is known"))),
    }
}

//! ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2): what it says of egress. As its types ask, what is not understood
//! fails closed: a rule that accepts covers nothing, and any other denies everything.

use crate::model::{
    NamedPort, Namespaces, Origin, Pattern, PodsOf, PortRange, Protocol, Selector, Target, Tier, Upstream,
    UpstreamAction, UpstreamRule,
};

use super::Read;
use super::json::{At, Wrong};
use super::parts::{Peer, Ports, range, rule, selector};

/// The longest name of a rule.
const LONGEST: usize = 100;

/// What `spec` says; `None`: nothing of egress. What cannot be read goes to `wrong`.
pub(super) fn read(spec: &At<'_>, origin: &Origin, wrong: &mut Vec<Wrong>) -> Option<Read> {
    let rules = match spec.items_of("egress") {
        Ok(rules) if rules.is_empty() => return None,
        Ok(rules) => {
            rules.iter().enumerate().filter_map(|(place, at)| read_rule(at, place, origin, wrong)).collect()
        }
        Err(error) => {
            wrong.push(error);
            vec![deny_all("egress".to_owned(), origin)]
        }
    };
    // First of all and about everybody, where it is not known when and whom it is about.
    let tier = tier(spec).unwrap_or_else(|error| {
        wrong.push(error);
        Tier::Admin
    });
    let priority = priority(spec).unwrap_or_else(|error| {
        wrong.push(error);
        0
    });
    let PodsOf { namespaces, pods } = subject(spec).unwrap_or_else(|error| {
        wrong.push(error);
        all_pods(Selector::default())
    });
    let namespaces = match namespaces {
        Namespaces::Selected(selector) => selector,
        Namespaces::One(_) => Selector::default(),
    };
    Some(Read { namespaces, pods, upstream: Upstream { tier, priority, rules } })
}

fn tier(spec: &At<'_>) -> Result<Tier, Wrong> {
    let at = spec.get("tier").ok_or_else(|| spec.wrong("there is no `tier`"))?;
    match at.text()? {
        "Admin" => Ok(Tier::Admin),
        "Baseline" => Ok(Tier::Baseline),
        other => Err(at.wrong(format!("`{other}` is no tier that is known"))),
    }
}

fn priority(spec: &At<'_>) -> Result<u16, Wrong> {
    let at = spec.get("priority").ok_or_else(|| spec.wrong("there is no `priority`"))?;
    at.number().ok_or_else(|| at.wrong("this is no priority"))
}

fn subject(spec: &At<'_>) -> Result<PodsOf, Wrong> {
    let at = spec.get("subject").ok_or_else(|| spec.wrong("there is no `subject`"))?;
    at.has_only(&["namespaces", "pods"])?;
    pods_of(&at)?.ok_or_else(|| at.wrong("nobody is written here that is known"))
}

/// What `namespaces` or `pods` mean, whichever of both stands here.
fn pods_of(at: &At<'_>) -> Result<Option<PodsOf>, Wrong> {
    match (at.get("namespaces"), at.get("pods")) {
        (Some(namespaces), None) => Ok(Some(all_pods(selector(&namespaces)?))),
        (None, Some(pods)) => {
            pods.has_only(&["namespaceSelector", "podSelector"])?;
            let of = |key: &str| pods.get(key).map_or(Ok(Selector::default()), |at| selector(&at));
            Ok(Some(PodsOf {
                namespaces: Namespaces::Selected(of("namespaceSelector")?),
                pods: of("podSelector")?,
            }))
        }
        (Some(_), Some(_)) => Err(at.wrong("`namespaces` stands beside `pods`")),
        (None, None) => Ok(None),
    }
}

fn all_pods(namespaces: Selector) -> PodsOf {
    PodsOf { namespaces: Namespaces::Selected(namespaces), pods: Selector::default() }
}

fn read_rule(at: &At<'_>, place: usize, origin: &Origin, wrong: &mut Vec<Wrong>) -> Option<UpstreamRule> {
    let name = name(at).unwrap_or_else(|| format!("egress[{place}]"));
    // One whose action is not known may be meant to deny.
    let action = action(at).unwrap_or_else(|error| {
        wrong.push(error);
        UpstreamAction::Deny
    });
    let read = || -> Result<_, Wrong> {
        at.has_only(&["name", "action", "to", "protocols"])?;
        let peers: Vec<_> = at.items_of("to")?.iter().map(peers).collect::<Result<_, _>>()?;
        let peers: Vec<_> = peers.into_iter().flatten().collect();
        if peers.is_empty() {
            return Err(at.wrong("there is no `to`"));
        }
        let ports = ports(at)?;
        let is_named = ports.as_ref().is_some_and(|(_, names)| !names.is_empty());
        if is_named && peers.iter().any(|peer| matches!(peer, Peer::Other(_))) {
            return Err(at.wrong("a port by its name is one of pods, and here is another destination"));
        }
        let is_name = |peer: &Peer| matches!(peer, Peer::Other(Target::Fqdn(_)));
        if action != UpstreamAction::Accept && peers.iter().any(is_name) {
            return Err(at.wrong("`domainNames` are there for rules that accept"));
        }
        Ok(rule(name.clone(), peers, ports, origin.clone()))
    };
    match read() {
        Ok(rule) => Some(UpstreamRule { action, rule }),
        Err(error) => {
            wrong.push(error);
            (action != UpstreamAction::Accept).then(|| deny_all(name.clone(), origin))
        }
    }
}

/// Its name, where verdicts can tell it.
fn name(at: &At<'_>) -> Option<String> {
    let name = at.get("name")?.text().ok()?.to_owned();
    // A `/` stands in what verdicts call a module.
    let is_plain = |c: char| c.is_ascii_graphic() && c != '/' || c == ' ';
    (!name.is_empty() && name.len() <= LONGEST && name.chars().all(is_plain)).then_some(name)
}

fn action(at: &At<'_>) -> Result<UpstreamAction, Wrong> {
    let at = at.get("action").ok_or_else(|| at.wrong("there is no `action`"))?;
    match at.text()? {
        "Accept" => Ok(UpstreamAction::Accept),
        "Deny" => Ok(UpstreamAction::Deny),
        "Pass" => Ok(UpstreamAction::Pass),
        other => Err(at.wrong(format!("`{other}` is no action that is known"))),
    }
}

fn deny_all(name: String, origin: &Origin) -> UpstreamRule {
    UpstreamRule {
        action: UpstreamAction::Deny,
        rule: rule(name, vec![Peer::Everywhere], None, origin.clone()),
    }
}

/// The destinations of one entry of `to`.
fn peers(at: &At<'_>) -> Result<Vec<Peer>, Wrong> {
    if let Some(pods) = pods_of(at)? {
        at.has_only(&["namespaces", "pods"])?;
        return Ok(vec![Peer::Pods(pods)]);
    }
    if let Some(nodes) = at.get("nodes") {
        at.has_only(&["nodes"])?;
        return Ok(vec![Peer::Other(Target::Nodes(selector(&nodes)?))]);
    }
    at.has_only(&["networks", "domainNames"])?;
    let (networks, names) = (at.items_of("networks")?, at.items_of("domainNames")?);
    if networks.is_empty() == names.is_empty() {
        return Err(at.wrong("there is not one destination here that is known"));
    }
    let networks = networks.iter().map(|at| Ok(Target::Cidr(range(at)?)));
    let targets = networks.chain(names.iter().map(domain_name));
    targets.map(|target| Ok(Peer::Other(target?))).collect()
}

/// A name of DNS. A `*` in front of it is one label or more.
fn domain_name(at: &At<'_>) -> Result<Target, Wrong> {
    let text = at.text()?;
    let below = text.strip_prefix("*.");
    let pattern = below.map_or_else(|| text.to_owned(), |name| format!("**.{name}"));
    // What else Egret knows as a pattern is none here.
    let is_plain = !below.unwrap_or(text).contains('*');
    let pattern = Pattern::parse(&pattern).ok().filter(|_| is_plain);
    Ok(Target::Fqdn(pattern.ok_or_else(|| at.wrong(format!("`{text}` is no name of DNS")))?))
}

fn ports(at: &At<'_>) -> Result<Ports, Wrong> {
    let items = at.items_of("protocols")?;
    if items.is_empty() {
        return Ok(None);
    }
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for at in items {
        at.has_only(&["tcp", "udp", "sctp", "destinationNamedPort"])?;
        let known = [("tcp", Protocol::TCP), ("udp", Protocol::UDP), ("sctp", Protocol::SCTP)];
        let mut written = known.into_iter().filter_map(|(key, protocol)| Some((at.get(key)?, protocol)));
        match (written.next(), written.next(), at.get("destinationNamedPort")) {
            (Some((at, protocol)), None, None) => numbers.push(PortRange { protocol, ports: port(&at)? }),
            (None, None, Some(name)) => {
                names.push(NamedPort { protocol: None, name: name.text()?.to_owned() })
            }
            _ => return Err(at.wrong("there is not one protocol")),
        }
    }
    Ok(Some((numbers, names)))
}

fn port(at: &At<'_>) -> Result<Option<std::ops::RangeInclusive<u16>>, Wrong> {
    at.has_only(&["destinationPort"])?;
    let Some(at) = at.get("destinationPort") else { return Ok(None) };
    at.has_only(&["number", "range"])?;
    match (at.get("number"), at.get("range")) {
        (Some(number), None) => {
            let port = number.port().ok_or_else(|| number.wrong("this is no port"))?;
            Ok(Some(port..=port))
        }
        (None, Some(range)) => {
            let end = |key: &str| range.get(key).and_then(|at| at.port());
            match (end("start"), end("end")) {
                (Some(start), Some(end)) if start <= end => Ok(Some(start..=end)),
                _ => Err(range.wrong("this is no range of ports")),
            }
        }
        _ => Err(at.wrong("there is not one port, or one range")),
    }
}

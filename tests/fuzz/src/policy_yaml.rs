//! Policy files: read whole, or refused with place, reason and fix; and what is read is compiled to what it says.
//!
//! Input: the file. Compiled rulesets are held against the evaluator that looks at every rule in turn.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret::model::{
    Action, Attempt, Labels, ModuleAnswer, Modules, Name, Namespaces, PodsOf, Policy, PortRange, Protocol,
    ServiceName, Target, Verdict,
};
use egret::policy::{
    Accepted, Endpoints, Good, MAX_RULES, Neighbours, ObjectName, PodAddresses, Problem, Ranges, Selected,
    Service, ServicePort, compile, consult, evaluate, explain, parse, refresh,
};
use ipnet::IpNet;

/// Attempts of one file: enough to meet its rules, few enough to try many files.
const MOST_ATTEMPTS: usize = 64;

/// Reads the file, and tries what it says.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse("policy.yaml", text) {
        Ok(_) => {
            let policies = looked_up(text);
            check_policies(&policies);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal has a reason");
            problems.iter().for_each(|problem| check_problem(problem, text));
        }
    }
}

/// The same policies in a cluster that has every service and pods that they may name.
fn looked_up(text: &str) -> Vec<Policy> {
    let read = Good::parse(&"policy.yaml".into(), text.into());
    let (mut accepted, problems) = refresh(&Accepted::default(), vec![("policy.yaml".into(), read)]);
    assert!(problems.is_empty(), "it was read before: {problems:?}");
    let targets = accepted.policies().flat_map(Policy::rules).flat_map(|rule| &rule.to);
    let mut around = Around::default();
    for (number, target) in (1..=250).zip(targets) {
        around.add(target, number);
    }
    accepted.look_up(around.neighbours(), &mut Selected::default());
    accepted.policies().cloned().collect()
}

/// A cluster made to measure.
#[derive(Default)]
struct Around {
    services: BTreeMap<ObjectName, Service>,
    endpoints: BTreeMap<ObjectName, Endpoints>,
    pods: BTreeMap<ObjectName, PodAddresses>,
    namespaces: BTreeMap<ObjectName, Labels>,
}

impl Around {
    /// What `target` names, at addresses that end in `number`: some are the service's and pods' at once.
    fn add(&mut self, target: &Target, number: u8) {
        let own = |third: u8| vec![IpAddr::from([10, 0, third, number])];
        match target {
            Target::Service(ServiceName { namespace, name }) => {
                let key = (namespace.clone(), name.clone());
                let port = |protocol, port| ServicePort { name: format!("{protocol}"), protocol, port };
                let ports = |first: u16| vec![port(Protocol::TCP, first), port(Protocol::UDP, first + 1)];
                let service = Service { addresses: own(1), ports: ports(443), external: None };
                self.services.insert(key.clone(), service);
                let groups = vec![(own(2), ports(8443)), (own(1), ports(443))];
                self.endpoints.insert(key, Endpoints { groups, has_more: number.is_multiple_of(2) });
            }
            Target::Pods(PodsOf { namespaces, pods }) => {
                let (namespace, labels) = match namespaces {
                    Namespaces::One(name) => (name.clone(), Labels::new()),
                    Namespaces::Selected(selector) => (format!("n{number}"), selector.match_labels.clone()),
                };
                let (own_labels, addresses) = (pods.match_labels.clone(), own(number % 3));
                let pod = PodAddresses { labels: own_labels, addresses, ports: Vec::new() };
                self.pods.insert((namespace.clone(), format!("p{number}")), pod);
                self.namespaces.insert((String::new(), namespace), labels);
            }
            Target::Fqdn(_) | Target::Cidr(_) => {}
            // No file says these.
            Target::Block(_) | Target::PodPort(..) | Target::Nodes(_) => {}
        }
    }

    fn neighbours(&self) -> Neighbours<'_> {
        Neighbours {
            services: Some(&self.services),
            endpoints: Some(&self.endpoints),
            pods: Some(&self.pods),
            nodes: None,
            namespaces: &self.namespaces,
        }
    }
}

fn check_problem(problem: &Problem, text: &str) {
    let lines = lines(text);
    assert!(problem.line <= lines + 1, "{problem:?} of {lines} lines");
    assert_eq!(problem.line == 0, problem.column == 0, "{problem:?}");
    assert!(!problem.reason.is_empty() && !problem.fix.is_empty(), "{problem:?}");
    assert!(!problem.reason.contains('\n'), "{problem:?}");
    render(problem);
}

/// Lines as YAML has them, which also ends them with a carriage return alone.
pub(crate) fn lines(text: &str) -> u32 {
    text.split(['\n', '\r']).count() as u32
}

/// Draws it as a person sees it: the place must be one of the text.
pub(crate) fn render(problem: &dyn miette::Diagnostic) {
    let mut drawn = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme)
        .render_report(&mut drawn, problem)
        .expect("a problem can be drawn");
}

fn check_policies(policies: &[Policy]) {
    assert!(!policies.is_empty(), "a file without a policy is a mistake");
    let ranges = Ranges {
        cluster: vec!["10.0.0.0/8".parse().expect("a range"), "fd00::/8".parse().expect("a range")],
        node: vec!["10.0.0.1/32".parse().expect("a range")],
    };
    let all: Vec<_> = policies.iter().collect();
    let Ok(ruleset) = compile(&all, &ranges, &Modules::new()) else { return };
    assert!(ruleset.rules.len() <= MAX_RULES);
    for asked in &ruleset.modules {
        let settings: serde_json::Value =
            serde_json::from_str(&asked.module.settings).expect("settings are JSON");
        assert!(settings.is_object(), "{settings}");
    }
    for attempt in attempts(policies) {
        let address = attempt.address.expect("an attempt has an address");
        let kind = ranges.kind_of(address);
        let said = evaluate(&all, &attempt, kind);
        let fast = ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port);
        assert!(alike(&fast.applied, &said.applied), "{attempt:?}: {fast:?} is not {said:?}");
        assert!(alike(&fast.observed, &said.observed), "{attempt:?}: {fast:?} is not {said:?}");
        let silent = consult(&all, &ruleset.modules, &attempt, kind, &mut |_| ModuleAnswer::Next);
        assert_eq!(silent, said, "modules that say nothing change nothing");
        let told = explain(&all, &attempt, kind);
        assert_eq!(told.verdicts, said);
        assert_eq!(told.steps.iter().filter(|step| step.decides_applied).count(), 1);
    }
}

/// The same verdict for the same reason. Of two rules that allow, by name and by address, either may be told.
fn alike(fast: &Verdict, plain: &Verdict) -> bool {
    let same = (fast.action, fast.reason) == (plain.action, plain.reason);
    same && (fast.rule.is_some() && plain.action == Action::Allow || fast == plain)
}

/// Where the rules speak, at the edges of what they say.
fn attempts(policies: &[Policy]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let rules = policies.iter().flat_map(|policy| policy.allow.iter().chain(&policy.deny));
    for (rule, target) in rules.flat_map(|rule| rule.to.iter().map(move |target| (rule, target))) {
        for (names, address) in places(target) {
            for (protocol, port) in edges(&rule.ports) {
                if attempts.len() == MOST_ATTEMPTS {
                    return attempts;
                }
                attempts.push(Attempt { names: names.clone(), address: Some(address), port, protocol });
            }
        }
    }
    let spots = policies.iter().flat_map(Policy::rules).filter_map(|rule| rule.found.as_ref());
    for spot in spots.flat_map(|found| &found.spots) {
        for (protocol, port) in edges(&spot.ports) {
            if attempts.len() == MOST_ATTEMPTS {
                return attempts;
            }
            let address = spot.addresses.first().copied();
            attempts.push(Attempt { names: Vec::new(), address, port, protocol });
        }
    }
    attempts
}

fn places(target: &Target) -> Vec<(Vec<Name>, IpAddr)> {
    match target {
        Target::Cidr(net) => {
            let beyond = match net {
                IpNet::V4(net) => IpAddr::from(u32::from(net.broadcast()).wrapping_add(1).to_be_bytes()),
                IpNet::V6(net) => IpAddr::from(u128::from(net.broadcast()).wrapping_add(1).to_be_bytes()),
            };
            [net.network(), net.broadcast(), beyond].map(|address| (Vec::new(), address)).into()
        }
        Target::Fqdn(pattern) => {
            let name = pattern.to_string().replace("**", "x.y").replace('*', "z");
            let names: Vec<_> = Name::parse(&name).into_iter().collect();
            [[192, 0, 2, 1], [10, 0, 0, 1]].map(|address| (names.clone(), IpAddr::from(address))).into()
        }
        // What they come to is tried below.
        Target::Service(_) | Target::Pods(_) => Vec::new(),
        // No file says these.
        Target::Block(_) | Target::PodPort(..) | Target::Nodes(_) => Vec::new(),
    }
}

fn edges(ranges: &[PortRange]) -> Vec<(Protocol, u16)> {
    let mut ports = vec![(Protocol::TCP, 443), (Protocol::ICMP, 0)];
    for range in ranges.iter().take(4) {
        let (first, last) =
            range.ports.as_ref().map_or((1, u16::MAX), |ports| (*ports.start(), *ports.end()));
        let edges = [first, last, first.wrapping_sub(1).max(1), last.saturating_add(1)];
        if range.protocol.has_ports() {
            ports.extend(edges.map(|port| (range.protocol, port)));
        }
    }
    ports
}

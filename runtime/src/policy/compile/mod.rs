//! From the policies of a workload to its [`Ruleset`]: merged, so that in every table the longest match is final.
//!
//! In: the policies that select a workload, in any order, the address ranges of cluster and node, and the modules that
//! are loaded. Out: a ruleset, equal for equal policies. Pure; called by the agent for every distinct set of policies. [`Ruleset::look_up`] reads
//! a ruleset the way the kernel does, and a property test holds it against the plain evaluator.

mod ceilings;
mod destinations;
mod look_up;
mod open;
mod ports;
mod ranks;
mod upstream;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Kind, Mode, ModuleStage, Modules, OnDeny, Policy, PolicyKind, Rule, Scope, Tier};

use super::asked::asked_by;
use super::ruleset::{Class, Default3, Ruleset};
use ranks::{Ranking, Rules, too_large};

pub use open::Open;
pub(super) use upstream::ISOLATION;

/// The most entries of [`Ruleset::rules`]. Ranges inside one another, each with many ports of its own, multiply; a
/// megabyte of YAML could otherwise ask for gigabytes.
pub const MAX_RULES: usize = 1 << 18;

/// The most pairs of an allow and an entry of a ceiling that are looked at: some hundred milliseconds.
pub const MAX_COMBINED: usize = 1 << 20;

/// The most addresses of services and pods that the rules of the policies of a workload lead to together.
pub const MAX_ADDRESSES: usize = 1 << 16;

/// Some policies multiply beyond what is compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policies {policies} together {excess}")]
pub struct TooLarge {
    /// The policies, as `namespace/name`.
    pub policies: String,
    /// What is too much.
    pub excess: Excess,
}

/// What can be too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Beyond [`MAX_RULES`].
    #[error(
        "need more than {MAX_RULES} entries of the kernel's rule table; write ranges of ports instead of single \
         ports, and fewer `cidr` ranges inside one another"
    )]
    Rules,
    /// Beyond [`MAX_COMBINED`].
    #[error(
        "have more than {MAX_COMBINED} pairs of a destination allowed and one of a ceiling; write wildcards and \
         larger ranges in the ceilings, and split the workloads"
    )]
    Ceilings,
    /// Beyond [`MAX_COMBINED`].
    #[error(
        "have more than {MAX_COMBINED} pairs of a name and one of `domainNames`; write wildcards, and split the workloads"
    )]
    Names,
    /// Beyond [`MAX_ADDRESSES`].
    #[error(
        "lead to more than {MAX_ADDRESSES} addresses of services and pods; select fewer pods, or write the range that they \
         are in as `cidr`"
    )]
    Addresses,
}

/// Which addresses are of the cluster and of the node; all others are on the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// `clusterRanges`.
    pub cluster: Vec<IpNet>,
    /// `nodeRanges`.
    pub node: Vec<IpNet>,
}

impl Ranges {
    /// What `address` is: the longest range that holds it says so, and of two equal ones the node's.
    #[must_use]
    pub fn kind_of(&self, address: IpAddr) -> Kind {
        let longest = |ranges: &[IpNet]| {
            ranges.iter().filter(|range| range.contains(&address)).map(IpNet::prefix_len).max()
        };
        match (longest(&self.cluster), longest(&self.node)) {
            (None, None) => Kind::Internet,
            (cluster, node) if node >= cluster => Kind::Node,
            _ => Kind::Cluster,
        }
    }
}

/// What `policies`, those that select a workload, come to where `modules` are loaded. A policy may ask a module that is
/// not: it may come later ([`Ruleset::missing_modules`]).
///
/// # Errors
/// [`TooLarge`]; then the caller keeps what these workloads had.
pub fn compile(policies: &[&Policy], ranges: &Ranges, modules: &Modules) -> Result<Ruleset, TooLarge> {
    if policies.is_empty() {
        return Ok(Ruleset { unmanaged: true, ..of_no_rules(policies) });
    }
    let found = policies.iter().flat_map(|policy| policy.rules()).filter_map(|rule| rule.found.as_ref());
    if found.flat_map(|found| &found.spots).map(|spot| spot.addresses.len()).sum::<usize>() > MAX_ADDRESSES {
        return Err(too_large(policies, Excess::Addresses));
    }
    let ranking = Ranking::new(policies)?;
    let mut rules = Rules::new(&ranking);
    let names = ranking.names()?;
    for (name, pieces) in &names {
        rules.add(&Class::Name((*name).clone()), &ranking.table(pieces))?;
    }
    let dest = destinations::walk(&ranking, ranges, &mut rules)?;
    let names = names.into_keys().cloned().collect();
    let modules = asked_by(policies, modules);
    Ok(Ruleset { names, dest, rules: rules.entries, modules, ..of_no_rules(policies) })
}

/// What is to be put in force where `policies` are [`TooLarge`], or it is not known yet what they name, and what was in force
/// cannot stay: their [`bounds`]. Where these are too large as well, or it is not known what they deny, nothing is allowed, and
/// no module is asked.
#[must_use]
pub fn compile_bounds(policies: &[&Policy], ranges: &Ranges, modules: &Modules) -> Ruleset {
    let bounds = bounds(policies);
    let in_force = bounds.iter().filter(|policy| policy.mode == Mode::Enforce);
    // Of a policy of Kubernetes the first rule that matches decides: whichever is not known may be it.
    let may_deny = |policy: &Policy| {
        let upstream = policy.upstream.iter().flat_map(|upstream| &upstream.rules);
        policy.deny.iter().chain(upstream.map(|upstream| &upstream.rule)).any(Rule::is_awaiting)
    };
    let denies_unknown = in_force.into_iter().any(may_deny);
    if !denies_unknown && let Ok(ruleset) = compile(&bounds.iter().collect::<Vec<_>>(), ranges, modules) {
        return ruleset;
    }
    let everywhere = Default3 { internet: true, cluster: true, node: true };
    let closed = of_no_rules(policies);
    let applied_default = if closed.enforced { everywhere } else { Default3::default() };
    Ruleset { applied_default, observed_default: everywhere, denies_ranges: false, ..closed }
}

/// `policies` without what those of namespaces allow, by rules or by modules: the policies of the cluster, the denies
/// and `always` modules of namespaces, and whom a NetworkPolicy isolates. No policy of a namespace, however large, keeps one of the cluster out of force.
#[must_use]
pub fn bounds(policies: &[&Policy]) -> Vec<Policy> {
    let without_allows = |policy: &&Policy| {
        let mut bound = Policy::clone(policy);
        if bound.id.kind == PolicyKind::EgressPolicy {
            bound.default_deny = bound.denies_by_default();
            bound.allow.clear();
            bound.modules.retain(|module| module.stage == ModuleStage::Always);
        }
        if let Some(upstream) =
            bound.upstream.as_mut().filter(|upstream| upstream.tier == Tier::NetworkPolicy)
        {
            upstream.rules.clear();
        }
        bound
    };
    policies.iter().map(without_allows).collect()
}

fn of_no_rules(policies: &[&Policy]) -> Ruleset {
    let enforced = || policies.iter().filter(|policy| policy.mode == Mode::Enforce);
    let has_upstream = policies.iter().any(|policy| policy.upstream.is_some());
    Ruleset {
        unmanaged: false,
        enforced: enforced().next().is_some(),
        denies_ranges: has_upstream || policies.iter().any(|policy| !policy.deny.is_empty()),
        on_deny: enforced().map(|policy| policy.on_deny).max().unwrap_or(OnDeny::Reject),
        applied_default: default_of(enforced()),
        observed_default: default_of(policies.iter()),
        open: if has_upstream { Open::by(policies) } else { Open::default() },
        names: Vec::new(),
        dest: BTreeMap::new(),
        rules: BTreeMap::new(),
        modules: Vec::new(),
    }
}

fn default_of<'a>(policies: impl Iterator<Item = &'a &'a Policy>) -> Default3 {
    // `all` is the greater scope.
    match policies.filter(|policy| policy.denies_by_default()).map(|policy| policy.scope).max() {
        None => Default3::default(),
        Some(Scope::Internet) => Default3 { internet: true, ..Default3::default() },
        Some(Scope::All) => Default3 { internet: true, cluster: true, node: true },
    }
}

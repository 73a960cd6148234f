//! What the policies of one workload come to, in the shape of the kernel's maps but with words for numbers.
//!
//! A ruleset is pure data: two workloads that the same policies select have equal rulesets, and share one in the
//! kernel. In every table the longest match is final: an entry carries the merged verdict of all that covers it.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::model::{Action, Kind, NameClass, OnDeny, Policy, PolicyId, Protocol, UpstreamAction};

use super::asked::Asked;
use super::compile::Open;

/// A set of destinations that the rules of a ruleset treat alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Addresses bound to names of this class. The same one is the same class in every ruleset.
    Name(NameClass),
    /// Addresses that the same rules of this ruleset lead to other than by name; numbered from 1 within the ruleset.
    Cidrs(u32),
}

/// A rule as verdicts name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// The policy.
    pub policy: PolicyId,
    /// The rule's name, or `allow[0]`; `module/NAME` for a module; `egress` where no rule of a NetworkPolicy speaks.
    pub rule: String,
}

impl RuleRef {
    /// The rule of `policy` that is called `rule`.
    #[must_use]
    pub fn of(policy: &Policy, rule: &str) -> Self {
        Self { policy: policy.id.clone(), rule: rule.to_owned() }
    }
}

/// What rules say: nothing, or an action and the rule that decided (deny first, then the first by policy and place).
pub type Said = Option<(Action, RuleRef)>;

/// What the first rule of a tier of Kubernetes' policies says, of those that speak of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct First {
    /// When the rule is asked: the lower one first.
    pub turn: u32,
    /// What it says.
    pub action: UpstreamAction,
    /// The rule.
    pub rule: RuleRef,
}

/// What all rules say of some destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Those of the Enforce policies.
    pub applied: Said,
    /// Those of all policies.
    pub observed: Said,
    /// Those of Kubernetes' policies: of the first tier, and of the tier that is asked after it.
    pub tiers: [Option<First>; 2],
}

/// Ports in the order of a longest-prefix match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortKey {
    /// Every IP protocol.
    AnyProtocol,
    /// All of one protocol.
    AnyPort(Protocol),
    /// The ports that share the first `bits` (1 to 16) bits of `port`; the others are zero.
    Prefix {
        /// The protocol.
        protocol: Protocol,
        /// The first port.
        port: u16,
        /// How many leading bits count.
        bits: u8,
    },
}

/// Key of [`Ruleset::rules`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// The destinations.
    pub class: Class,
    /// The ports.
    pub ports: PortKey,
}

/// What a destination address is to this ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DestEntry {
    /// The class by address; `None`: only its kind is told.
    pub class: Option<u32>,
    /// Internet, cluster or node.
    pub kind: Kind,
}

/// Whether the default denies, for each kind of destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Default3 {
    /// Destinations on the internet.
    pub internet: bool,
    /// Destinations in the cluster.
    pub cluster: bool,
    /// Destinations on the node.
    pub node: bool,
}

/// All that the kernel needs to judge the packets of the workloads that the same policies select.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ruleset {
    /// No policy selects these workloads; then all the rest is empty.
    pub unmanaged: bool,
    /// Some policy is in mode Enforce: what cannot be read is denied.
    pub enforced: bool,
    /// Some rule may deny address ranges, and nothing else can be denied. Without one, an allowed name is the last word.
    pub denies_ranges: bool,
    /// What the sender of a denied packet sees (of the Enforce policies; Drop beats Reject).
    pub on_deny: OnDeny,
    /// Where the default of the Enforce policies denies.
    pub applied_default: Default3,
    /// Where the default of all policies, as if in force, denies.
    pub observed_default: Default3,
    /// Where what a rule of Kubernetes' policies accepts is told by it.
    pub open: Open,
    /// What the ceilings leave of the names of all allow rules, and the names that Kubernetes' policies accept: sorted, each
    /// once.
    pub names: Vec<NameClass>,
    /// Address ranges; the longest match is final.
    pub dest: BTreeMap<IpNet, DestEntry>,
    /// Class and ports to what the rules say; the longest match is final.
    pub rules: BTreeMap<RuleKey, Entry>,
    /// The modules that are asked, in this order. One of another digest, or with other settings, makes another ruleset:
    /// so what it said before no longer counts.
    pub modules: Vec<Asked>,
}

//! From a ruleset's words to the entries of maps.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_abi::{
    Asks, Class as ClassNumber, Dest, DestKey, Effect, First, Home, Kind as KindNumber, NameKey, Named,
    RuleKey, RuleValue, Ruleset as Defaults, RulesetId, Said, failure,
};
use ipnet::IpNet;

use super::Numbers;
use super::teach::taught;
use crate::kernel::maps::address;
use crate::model::{Action, FailurePolicy, Kind, OnDeny, UpstreamAction};
use crate::policy::{
    self, Class, Default3, DestEntry, Entry, PortKey, RuleKey as RuleWords, Ruleset, Said as Words, Which,
};

/// A ruleset as its map entries, each with the bits of its key that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Value of RULESETS.
    pub defaults: Defaults,
    /// Entries of DEST.
    pub dest: Vec<(u32, DestKey, Dest)>,
    /// Entries of RULES.
    pub rules: Vec<(u32, RuleKey, RuleValue)>,
    /// Entries of NAMES.
    pub names: Vec<(NameKey, Named)>,
}

/// The entries of `ruleset` under the number `id`.
pub fn encode(ruleset: &Ruleset, id: RulesetId, numbers: &mut Numbers) -> Encoded {
    let taught = taught(&numbers.words_of(ruleset));
    Encoded {
        defaults: Defaults {
            applied_default: defaults(ruleset.applied_default),
            unmanaged: ruleset.unmanaged.into(),
            observed_default: defaults(ruleset.observed_default),
            silent: (ruleset.on_deny == OnDeny::Drop).into(),
            enforced: ruleset.enforced.into(),
            denies_ranges: ruleset.denies_ranges.into(),
            nameless: ruleset.names.is_empty().into(),
            asks: asks(ruleset),
            applied_failure: failure(ruleset.failure(Which::Applied)),
            observed_failure: failure(ruleset.failure(Which::Observed)),
            // Modules are told by what name a destination goes before they are asked: the agent reads the answer first.
            learns: (taught.is_complete && ruleset.modules.is_empty()).into(),
            tells: tells(ruleset),
        },
        dest: ruleset.dest.iter().map(|(range, entry)| dest(id, range, entry)).collect(),
        rules: ruleset.rules.iter().map(|(key, said)| rule(id, key, said, numbers)).collect(),
        names: taught.names.into_iter().map(|(name, named)| (NameKey { ruleset: id, name }, named)).collect(),
    }
}

/// The first of `addresses` in each family.
pub fn home(addresses: &BTreeSet<IpAddr>) -> Home {
    let first = |v4: bool| addresses.iter().find(|address| address.is_ipv4() == v4);
    match (first(true).or(first(false)), first(false).or(first(true))) {
        (Some(one), Some(other)) => Home { known: 1, addresses: [address(*one), address(*other)] },
        _ => Home::default(),
    }
}

fn asks(ruleset: &Ruleset) -> Asks {
    [Kind::Internet, Kind::Cluster, Kind::Node].into_iter().fold(Asks::default(), |asks, kind| {
        let policy::Asks { unmatched, always } = ruleset.asks(kind);
        let stages = if unmatched { Asks::UNMATCHED } else { 0 } | if always { Asks::ALWAYS } else { 0 };
        asks.and(kind_number(kind) as u32, stages)
    })
}

fn failure(policy: FailurePolicy) -> u8 {
    match policy {
        FailurePolicy::Next => failure::NEXT,
        FailurePolicy::Allow => failure::ALLOW,
        FailurePolicy::Deny => failure::DENY,
    }
}

fn kind_number(kind: Kind) -> KindNumber {
    match kind {
        Kind::Internet => KindNumber::Internet,
        Kind::Cluster => KindNumber::Cluster,
        Kind::Node => KindNumber::Node,
    }
}

fn tells(ruleset: &Ruleset) -> u8 {
    [Kind::Internet, Kind::Cluster, Kind::Node].into_iter().fold(0, |tells, kind| {
        let (applied, observed) = ruleset.open.of(kind);
        let both = u8::from(applied) | u8::from(observed) << Defaults::TELLS_OBSERVED;
        tells | both << kind_number(kind) as u32
    })
}

fn defaults(denies: Default3) -> [u8; 3] {
    [denies.internet.into(), denies.cluster.into(), denies.node.into()]
}

/// The key of a range, and the bits of it that count.
pub fn dest_key(id: RulesetId, range: &IpNet) -> (u32, DestKey) {
    let key = match range {
        IpNet::V4(range) => DestKey::v4(id, range.network().octets()),
        IpNet::V6(range) => DestKey::v6(id, range.network().octets()),
    };
    (DestKey::FIXED_BITS + u32::from(range.prefix_len()), key)
}

/// The entry of a range.
pub fn dest(id: RulesetId, range: &IpNet, entry: &DestEntry) -> (u32, DestKey, Dest) {
    let (bits, key) = dest_key(id, range);
    let kind = kind_number(entry.kind);
    let class = entry.class.map_or(ClassNumber::NONE, ClassNumber);
    (bits, key, Dest { class, kind: kind as u32 })
}

fn rule(id: RulesetId, key: &RuleWords, said: &Entry, numbers: &mut Numbers) -> (u32, RuleKey, RuleValue) {
    let class = match &key.class {
        Class::Name(names) => numbers.class(names),
        Class::Cidrs(number) => ClassNumber(*number),
    };
    let (bits, protocol, port) = match key.ports {
        PortKey::AnyProtocol => (RuleKey::ANY_PROTOCOL_BITS, 0, 0),
        PortKey::AnyPort(protocol) => (RuleKey::PROTOCOL_BITS, protocol.0, 0),
        PortKey::Prefix { protocol, port, bits } => {
            (RuleKey::PROTOCOL_BITS + u32::from(bits), protocol.0, port)
        }
    };
    let [first, next] = &said.tiers;
    let value = RuleValue {
        applied: number_of(&said.applied, numbers),
        observed: number_of(&said.observed, numbers),
        tiers: [first_of(first.as_ref(), numbers), first_of(next.as_ref(), numbers)],
    };
    (bits, RuleKey::new(id, class, protocol, port.to_be_bytes()), value)
}

fn number_of(said: &Words, numbers: &mut Numbers) -> Said {
    match said {
        None => Said::NOTHING,
        Some((Action::Allow, rule)) => Said::allow(numbers.rule(rule)),
        Some((Action::Deny, rule)) => Said::deny(numbers.rule(rule)),
    }
}

fn first_of(first: Option<&policy::First>, numbers: &mut Numbers) -> First {
    let Some(policy::First { turn, action, rule }) = first else { return First::NOTHING };
    let effect = match action {
        UpstreamAction::Pass => Effect::Pass,
        UpstreamAction::Accept => Effect::Accept,
        UpstreamAction::Deny => Effect::Deny,
    };
    First::new(*turn, effect, numbers.rule(rule))
}

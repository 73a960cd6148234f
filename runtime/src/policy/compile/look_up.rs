//! Reading a ruleset the way the kernel does: the plain counterpart, on the host, of the programs' look-ups.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Action, Kind, Name, NameClass, Protocol, Reason, UpstreamAction, Verdict, Verdicts};

use super::super::ruleset::{
    Class, Default3, DestEntry, Entry, First, PortKey, RuleKey, RuleRef, Ruleset, Said,
};

impl Ruleset {
    /// What a first packet to `address` gets, where `names` are those that the workload's look-ups gave for it: the
    /// classes of all matching names and that of the longest range, each by its longest match of ports; then deny
    /// first, then any allow, then the default. `protocol` is [`Protocol::ICMP`] for echo of both families.
    #[must_use]
    pub fn look_up(&self, names: &[Name], address: IpAddr, protocol: Protocol, port: u16) -> Verdicts {
        let leads = |class: &&NameClass| class.holds(address) && names.iter().any(|name| class.matches(name));
        self.look_up_classes(self.names.iter().filter(leads), address, protocol, port)
    }

    /// The same where the classes by name are known, as they are of a flow under way.
    #[must_use]
    pub fn look_up_classes<'a>(
        &self,
        by_name: impl Iterator<Item = &'a NameClass>,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Verdicts {
        let place = self.place(address);
        let classes = by_name.cloned().map(Class::Name).chain(place.class.map(Class::Cidrs));
        let (mut applied, mut observed, mut tiers) = (None, None, [None, None]);
        for entry in classes.filter_map(|class| self.said(&class, protocol, port)) {
            applied = stronger(applied, &entry.applied);
            observed = stronger(observed, &entry.observed);
            for (first, other) in tiers.iter_mut().zip(&entry.tiers) {
                *first = earlier(*first, other.as_ref());
            }
        }
        let [first, next] = tiers;
        let decides = first.filter(|first| first.action != UpstreamAction::Pass).or(next);
        let is_told = self.open.of(place.kind);
        Verdicts {
            applied: self.verdict(applied, decides, is_told.0, self.applied_default, place.kind),
            observed: self.verdict(observed, decides, is_told.1, self.observed_default, place.kind),
        }
    }

    /// What `address` is.
    #[must_use]
    pub fn kind_of(&self, address: IpAddr) -> Kind {
        self.place(address).kind
    }

    /// The longest range that holds `address`.
    fn place(&self, address: IpAddr) -> DestEntry {
        let longest = IpNet::from(address).prefix_len();
        let ranges = (0..=longest).rev().filter_map(|length| IpNet::new(address, length).ok());
        let found = ranges.filter_map(|range| self.dest.get(&range.trunc())).next();
        found.cloned().unwrap_or(DestEntry { class: None, kind: Kind::Internet })
    }

    /// The longest match of `port` among the rules of `class`.
    fn said(&self, class: &Class, protocol: Protocol, port: u16) -> Option<&Entry> {
        let prefixes = (1..=16).rev().map(|bits| {
            let kept = u16::MAX << (16 - bits);
            PortKey::Prefix { protocol, port: port & kept, bits }
        });
        let keys = prefixes.chain([PortKey::AnyPort(protocol), PortKey::AnyProtocol]);
        keys.filter_map(|ports| self.rules.get(&RuleKey { class: class.clone(), ports })).next()
    }

    /// `said` by Egret's rules; `decides`: the rule of Kubernetes' policies that does among these, told where it accepts if
    /// `is_told`.
    fn verdict(
        &self,
        said: Option<&(Action, RuleRef)>,
        decides: Option<&First>,
        is_told: bool,
        default: Default3,
        kind: Kind,
    ) -> Verdict {
        let denied = match kind {
            Kind::Internet => default.internet,
            Kind::Cluster => default.cluster,
            Kind::Node => default.node,
        };
        let by_rule = |action, rule: &RuleRef| Verdict {
            rule: Some(rule.rule.clone()),
            policy: Some(rule.policy.to_string()),
            ..Verdict::of(action, Reason::Rule)
        };
        match (said, decides.map(|first| (first.action, &first.rule))) {
            (Some((Action::Deny, rule)), _) => by_rule(Action::Deny, rule),
            (_, Some((UpstreamAction::Deny, rule))) => by_rule(Action::Deny, rule),
            (Some((Action::Allow, rule)), _) => by_rule(Action::Allow, rule),
            (None, Some((UpstreamAction::Accept, rule))) if is_told => by_rule(Action::Allow, rule),
            _ if self.unmanaged => Verdict::of(Action::Allow, Reason::Unmanaged),
            _ if denied => Verdict::of(Action::Deny, Reason::DefaultDeny),
            _ => Verdict::of(Action::Allow, Reason::NotEnforced),
        }
    }
}

/// Which of the two is asked first.
fn earlier<'a>(left: Option<&'a First>, right: Option<&'a First>) -> Option<&'a First> {
    left.into_iter().chain(right).min_by_key(|first| first.turn)
}

/// Deny beats allow; of two alike, the first rule by policy and name.
fn stronger<'a>(left: Option<&'a (Action, RuleRef)>, right: &'a Said) -> Option<&'a (Action, RuleRef)> {
    let rank = |said: &&(Action, RuleRef)| (said.0 == Action::Allow, said.1.clone());
    left.into_iter().chain(right).min_by_key(rank)
}

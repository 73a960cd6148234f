//! The layer of Kubernetes' own policies, as pieces of the tables: which of its rules is the first of its tier that speaks of a
//! destination and a port. Which of two tiers decides, the look-up finds out, for a name may be accepted before its address
//! is denied.
//!
//! A code is twice the place of a rule in the order in which they are asked, or one more where the rule denies for it covers a
//! service's address in part. So the lowest of several codes is the first match, and merging is as with Egret's own rules. The
//! last code is that of the isolation by a NetworkPolicy, which no rule speaks.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::{Block, Policy, Target, Tier, UpstreamAction, UpstreamRule};

use super::super::ruleset::{First, RuleRef};
use super::ceilings::{Left, Reach};
use super::ports::Ports;
use super::ranks::Ranks;
use super::{Excess, MAX_ADDRESSES};

/// What verdicts call the isolation by a NetworkPolicy, where its rules would stand.
pub(in super::super) const ISOLATION: &str = "egress";

/// The policies of Kubernetes among those that select a workload.
pub(super) struct Layer<'a> {
    rules: Vec<(&'a Policy, &'a UpstreamRule)>,
    /// The first NetworkPolicy.
    isolating: Option<&'a Policy>,
}

/// Destinations of the layer's rules, with the codes of those.
pub(super) type Pieces = Vec<(Left, Ranks)>;

impl<'a> Layer<'a> {
    /// Of `policies`, sorted by id; and where its rules lead.
    pub fn new(policies: &[&'a Policy]) -> Result<(Self, Pieces), Excess> {
        let upstream = policies.iter().filter_map(|policy| Some((*policy, policy.upstream.as_ref()?)));
        let mut upstream: Vec<_> = upstream.collect();
        upstream.sort_by_key(|(policy, upstream)| (upstream.tier, upstream.priority, &policy.id));
        let isolating = upstream.iter().find(|(_, upstream)| upstream.tier == Tier::NetworkPolicy);
        let isolating = isolating.map(|(policy, _)| *policy);
        let asked =
            upstream.into_iter().filter(|(_, policy)| isolating.is_none() || policy.tier != Tier::Baseline);
        let (mut rules, mut pieces, mut left) = (Vec::new(), Vec::new(), MAX_ADDRESSES);
        for (policy, upstream) in asked {
            for rule in &upstream.rules {
                let code = 2 * rules.len() as u32;
                rules.push((policy, rule));
                add(&mut pieces, upstream.tier, rule, code, &mut left)?;
            }
        }
        Ok((Self { rules, isolating }, pieces))
    }

    /// The code where no rule of the tier after the first speaks; `None`: nobody is isolated.
    pub fn isolation(&self) -> Option<u32> {
        self.isolating.map(|_| 2 * self.rules.len() as u32)
    }

    /// What `code` stands for.
    pub fn first(&self, code: u32) -> Option<First> {
        match (self.rules.get(code as usize / 2), self.isolating) {
            (Some((policy, upstream)), _) => {
                let action = if code % 2 == 1 { UpstreamAction::Deny } else { upstream.action };
                Some(First { turn: code, action, rule: RuleRef::of(policy, &upstream.rule.name) })
            }
            (None, Some(policy)) if Some(code) == self.isolation() => {
                let rule = RuleRef::of(policy, ISOLATION);
                Some(First { turn: code, action: UpstreamAction::Deny, rule })
            }
            _ => None,
        }
    }
}

/// Adds where the rule of `code` leads; `left` ranges may still be had.
fn add(
    pieces: &mut Pieces,
    tier: Tier,
    upstream: &UpstreamRule,
    code: u32,
    left: &mut usize,
) -> Result<(), Excess> {
    let UpstreamRule { action, rule } = upstream;
    let ranks = |code| match tier {
        Tier::Admin => Ranks { tiers: [code, u32::MAX], ..Ranks::NONE },
        Tier::NetworkPolicy | Tier::Baseline => Ranks { tiers: [u32::MAX, code], ..Ranks::NONE },
    };
    let mut to = Vec::new();
    for target in &rule.to {
        match target {
            Target::Cidr(range) => to.push(Reach::Range(range.trunc())),
            Target::Block(block) => without(block, left, &mut to)?,
            Target::Fqdn(pattern) => to.push(Reach::Names(pattern.clone().into())),
            Target::Service(_) | Target::Pods(_) | Target::PodPort(..) | Target::Nodes(_) => {}
        }
    }
    pieces.push(((Ports::of(&rule.ports), to), ranks(code)));
    let Some(found) = &rule.found else { return Ok(()) };
    // What accepts a part accepts nothing.
    let of_part = match action {
        UpstreamAction::Accept => None,
        UpstreamAction::Deny => Some(code),
        UpstreamAction::Pass => Some(code + 1),
    };
    let whole = found.spots.iter().map(|spot| (spot, code));
    let partly = of_part.into_iter().flat_map(|code| found.partly.iter().map(move |spot| (spot, code)));
    for (spot, code) in whole.chain(partly) {
        let to = spot.ranges().into_iter().map(Reach::Range).collect();
        pieces.push(((Ports::of(&spot.ports), to), ranks(code)));
    }
    Ok(())
}

/// All addresses.
pub(super) const EVERYWHERE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

/// Adds the ranges that make up `block`, of which `left` may still be had.
fn without(block: &Block, left: &mut usize, ranges: &mut Vec<Reach>) -> Result<(), Excess> {
    let mut todo = vec![(block.range.trunc(), block.except.clone())];
    while let Some((range, except)) = todo.pop() {
        *left = left.checked_sub(1).ok_or(Excess::Addresses)?;
        let meets: Vec<_> =
            except.into_iter().filter(|except| range.contains(except) || except.contains(&range)).collect();
        if meets.is_empty() {
            ranges.push(Reach::Range(range));
        } else if !meets.iter().any(|except| except.contains(&range))
            && let Ok(halves) = range.subnets(range.prefix_len() + 1)
        {
            todo.extend(halves.map(|half| (half, meets.clone())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_ranges_that_are_left_of_it() {
        let net = |text: &str| text.parse::<IpNet>().expect("a range");
        for (range, except, expected) in [
            ("10.0.0.0/24", &[][..], &["10.0.0.0/24"][..]),
            ("10.0.0.0/30", &["10.0.0.2/32"], &["10.0.0.0/31", "10.0.0.3/32"]),
            ("10.0.0.0/30", &["10.0.0.2/32", "10.0.0.3/32"], &["10.0.0.0/31"]),
            ("10.0.0.0/24", &["10.0.0.0/8"], &[]),
            ("10.0.0.0/31", &["192.0.2.0/24", "fd00::/8"], &["10.0.0.0/31"]),
            ("fd00::/127", &["fd00::1/128"], &["fd00::/128"]),
        ] {
            let block =
                Block { range: net(range), except: except.iter().map(|except| net(except)).collect() };
            let mut ranges = Vec::new();
            without(&block, &mut 1000, &mut ranges).expect("not too many");
            ranges.sort();
            assert_eq!(
                ranges,
                expected.iter().map(|range| Reach::Range(net(range))).collect::<Vec<_>>(),
                "{block}"
            );
        }
        let many = (0..=255).map(|last| net(&format!("fd00::{last:x}00/128"))).collect();
        let block = Block { range: net("::/0"), except: many };
        assert_eq!(without(&block, &mut 1000, &mut Vec::new()), Err(Excess::Addresses));
    }
}

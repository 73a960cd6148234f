//! What ceilings leave of an allow rule: each of its destinations intersected with each entry of every ceiling, ports
//! with ports. So the kernel knows nothing of ceilings.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::model::{Ceiling, NameClass, Rule, Target, both};

use super::ports::Ports;
use super::{Excess, MAX_COMBINED, MAX_RULES};

/// Where what is left of a rule leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// To what names of this class lead to.
    Names(NameClass),
    /// To addresses of this range, whatever their names.
    Range(IpNet),
}

impl Reach {
    fn of(target: &Target) -> Self {
        match target {
            Target::Fqdn(pattern) => Self::Names(pattern.clone().into()),
            Target::Cidr(range) => Self::Range(*range),
        }
    }

    /// What of it `target` covers too.
    fn and(&self, target: &Target) -> Option<Self> {
        match (self, target) {
            (Self::Names(class), Target::Fqdn(pattern)) => class.and(pattern).map(Self::Names),
            (Self::Names(class), Target::Cidr(range)) => class.within(*range).map(Self::Names),
            (Self::Range(range), Target::Fqdn(pattern)) => {
                NameClass::from(pattern.clone()).within(*range).map(Self::Names)
            }
            (Self::Range(own), Target::Cidr(range)) => both(*own, *range).map(Self::Range),
        }
    }
}

/// The destinations of a rule that have these ports.
pub(super) type Left = (Ports, Vec<Reach>);

/// What a compilation may still combine.
pub(super) struct Allowance(usize);

impl Allowance {
    /// For the policies of one workload.
    pub fn new() -> Self {
        Self(MAX_COMBINED)
    }

    fn take(&mut self, combinations: usize) -> Result<(), Excess> {
        self.0 = self.0.checked_sub(combinations).ok_or(Excess::Ceilings)?;
        Ok(())
    }
}

/// What all of `ceilings` leave of `rule`, those of the same ports together.
pub(super) fn cut(
    rule: &Rule,
    ceilings: &[&Ceiling],
    allowance: &mut Allowance,
) -> Result<Vec<Left>, Excess> {
    let ports = Ports::of(&rule.ports);
    if ceilings.is_empty() {
        return Ok(vec![(ports, rule.to.iter().map(Reach::of).collect())]);
    }
    let whole = rule.to.iter().map(|target| (Reach::of(target), ports.clone())).collect();
    let left = ceilings.iter().try_fold(whole, |left, ceiling| under(&left, ceiling, allowance))?;
    let mut by_ports: BTreeMap<Ports, Vec<Reach>> = BTreeMap::new();
    for (reach, ports) in left {
        by_ports.entry(ports).or_default().push(reach);
    }
    Ok(by_ports.into_iter().collect())
}

fn under(
    left: &BTreeMap<Reach, Ports>,
    ceiling: &Ceiling,
    allowance: &mut Allowance,
) -> Result<BTreeMap<Reach, Ports>, Excess> {
    let mut next: BTreeMap<Reach, Ports> = BTreeMap::new();
    let entries: Vec<_> = ceiling.entries.iter().map(|entry| (entry, Ports::of(&entry.ports))).collect();
    for (reach, ports) in left {
        for (entry, entry_ports) in &entries {
            allowance.take(ports.count() * entry_ports.count() + entry.to.len())?;
            let Some(ports) = ports.and(entry_ports) else { continue };
            for reach in entry.to.iter().filter_map(|target| reach.and(target)) {
                allowance.take(ports.count())?;
                next.entry(reach)
                    .and_modify(|known| known.add(ports.clone()))
                    .or_insert_with(|| ports.clone());
            }
            if next.len() > MAX_RULES {
                return Err(Excess::Ceilings);
            }
        }
    }
    // Each class that an address has takes one of its few slots: what says nothing more than another is left out.
    let redundant: Vec<_> = next.iter().filter(|(reach, ports)| is_redundant(reach, ports, &next)).collect();
    let redundant: Vec<_> = redundant.into_iter().map(|(reach, _)| reach.clone()).collect();
    redundant.iter().for_each(|reach| drop(next.remove(reach)));
    Ok(next)
}

/// Whether names in a range are allowed whatever their range, or the range, or a larger one, whatever the names.
fn is_redundant(reach: &Reach, ports: &Ports, all: &BTreeMap<Reach, Ports>) -> bool {
    let Reach::Names(class) = reach else { return false };
    let Some(range) = class.range() else { return false };
    let has = |reach: &Reach| all.get(reach).is_some_and(|other| other.covers(ports));
    let larger = std::iter::successors(range.supernet(), IpNet::supernet);
    has(&Reach::Names(class.anywhere()))
        || has(&Reach::Range(range))
        || larger.into_iter().any(|larger| {
            has(&Reach::Range(larger))
                || class.anywhere().within(larger).is_some_and(|class| has(&Reach::Names(class)))
        })
}

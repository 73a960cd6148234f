//! What ceilings leave of an allow rule: each of its destinations intersected with each entry of every ceiling, ports
//! with ports. So the kernel knows nothing of ceilings.

use std::collections::BTreeMap;
use std::net::IpAddr;

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
    /// What `target` is by itself; of the cluster's, what they come to is.
    fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Fqdn(pattern) => Some(Self::Names(pattern.clone().into())),
            Target::Cidr(range) => Some(Self::Range(*range)),
            Target::Service(_)
            | Target::Pods(_)
            | Target::Block(_)
            | Target::PodPort(..)
            | Target::Nodes(_) => None,
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
            (_, Target::Service(_) | Target::Pods(_) | Target::Block(_)) => None,
            (_, Target::PodPort(..) | Target::Nodes(_)) => None,
        }
    }
}

/// Destinations of a rule that have the same ports.
struct Part<'r> {
    ports: Ports,
    to: To<'r>,
}

enum To<'r> {
    /// What it names; what is of the cluster, by its addresses.
    Targets(&'r [Target]),
    /// Sorted.
    Addresses(&'r [IpAddr]),
}

impl<'r> Part<'r> {
    fn all(rule: &'r Rule) -> impl Iterator<Item = Self> {
        let named = Self { ports: Ports::of(&rule.ports), to: To::Targets(&rule.to) };
        let spots = rule.found.iter().flat_map(|found| &found.spots);
        let found =
            spots.map(|spot| Self { ports: Ports::of(&spot.ports), to: To::Addresses(&spot.addresses) });
        std::iter::once(named).chain(found)
    }

    fn reaches(&self) -> Vec<Reach> {
        match self.to {
            To::Targets(targets) => targets.iter().filter_map(Reach::of).collect(),
            To::Addresses(addresses) => {
                addresses.iter().map(|address| Reach::Range((*address).into())).collect()
            }
        }
    }

    /// What of `reach` it covers too.
    fn and(&self, reach: &Reach) -> Vec<Reach> {
        let addresses = match self.to {
            To::Targets(targets) => return targets.iter().filter_map(|target| reach.and(target)).collect(),
            To::Addresses(addresses) => addresses,
        };
        match reach {
            Reach::Range(range) => within(addresses, *range).map(Reach::Range).collect(),
            Reach::Names(class) => {
                let hosts = addresses.iter().map(|address| IpNet::from(*address));
                hosts.filter_map(|host| class.within(host)).map(Reach::Names).collect()
            }
        }
    }

    /// How many pairs looking at [`Self::and`] takes. Of addresses those in a range are found without looking at the others.
    fn count(&self, reach: &Reach) -> usize {
        match (&self.to, reach) {
            (To::Targets(targets), _) => targets.len(),
            (To::Addresses(addresses), Reach::Names(_)) => addresses.len(),
            (To::Addresses(addresses), Reach::Range(range)) => within(addresses, *range).len(),
        }
    }
}

/// Those of `addresses`, which are sorted, that lie in `range`.
fn within(addresses: &[IpAddr], range: IpNet) -> impl ExactSizeIterator<Item = IpNet> {
    let start = addresses.partition_point(|address| *address < range.network());
    let end = addresses.partition_point(|address| *address <= range.broadcast());
    addresses.get(start..end).unwrap_or_default().iter().map(|address| IpNet::from(*address))
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
    let parts = Part::all(rule).map(|part| (part.reaches(), part.ports)).filter(|(to, _)| !to.is_empty());
    if ceilings.is_empty() {
        return Ok(parts.map(|(to, ports)| (ports, to)).collect());
    }
    let mut whole = BTreeMap::new();
    parts.for_each(|(to, ports)| to.into_iter().for_each(|reach| add(&mut whole, reach, &ports)));
    let left = ceilings.iter().try_fold(whole, |left, ceiling| under(&left, ceiling, allowance))?;
    let mut by_ports: BTreeMap<Ports, Vec<Reach>> = BTreeMap::new();
    for (reach, ports) in left {
        by_ports.entry(ports).or_default().push(reach);
    }
    Ok(by_ports.into_iter().collect())
}

fn add(all: &mut BTreeMap<Reach, Ports>, reach: Reach, ports: &Ports) {
    all.entry(reach).and_modify(|known| known.add(ports.clone())).or_insert_with(|| ports.clone());
}

fn under(
    left: &BTreeMap<Reach, Ports>,
    ceiling: &Ceiling,
    allowance: &mut Allowance,
) -> Result<BTreeMap<Reach, Ports>, Excess> {
    let mut next: BTreeMap<Reach, Ports> = BTreeMap::new();
    let parts: Vec<_> = ceiling.entries.iter().flat_map(Part::all).collect();
    for (reach, ports) in left {
        for part in &parts {
            allowance.take(ports.count() * part.ports.count() + part.count(reach))?;
            let Some(ports) = ports.and(&part.ports) else { continue };
            for reach in part.and(reach) {
                allowance.take(ports.count())?;
                add(&mut next, reach, &ports);
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

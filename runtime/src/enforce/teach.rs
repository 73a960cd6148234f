//! What the programs need to learn names themselves.

use std::collections::BTreeMap;

use egret_abi::{Class, NAME_BYTES, Named, NamedClass};

use crate::model::NameClass;

/// The entries of NAMES for the names of a ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taught {
    /// The entries.
    pub names: BTreeMap<[u8; NAME_BYTES], Named>,
    /// Whether every name is among them; those that are not are left to the agent: with wildcards inside, with ceilings
    /// of several patterns or ranges, or very long.
    pub is_complete: bool,
}

/// The entries for `names` with their classes.
pub fn taught(names: &[(NameClass, Class)]) -> Taught {
    let mut taught = Taught { names: BTreeMap::new(), is_complete: true };
    for (names, class) in names {
        let Some((suffix, named)) = simple(names, *class) else {
            taught.is_complete = false;
            continue;
        };
        let classes = &mut taught.names.entry(suffix).or_default().classes;
        match classes.iter_mut().find(|place| place.class == Class::NONE) {
            Some(free) => *free = named,
            None => taught.is_complete = false,
        }
    }
    taught
}

/// The literal labels at the end, and how many there may be before them; `None`: it is more than that.
fn simple(names: &NameClass, class: Class) -> Option<([u8; NAME_BYTES], NamedClass)> {
    let [pattern] = names.patterns() else { return None };
    if names.range().is_some() {
        return None;
    }
    let text = pattern.as_str();
    let (rest, deep) = text.strip_prefix("**.").map_or((text, false), |rest| (rest, true));
    let wild = rest.split('.').take_while(|label| *label == "*").count();
    let suffix: Vec<_> = rest.split('.').skip(wild).collect();
    if suffix.iter().any(|label| label.contains('*')) {
        return None;
    }
    let wild = u8::try_from(wild).ok().filter(|wild| *wild < NamedClass::ANY)?;
    let (least, most) = if deep { (wild.checked_add(1)?, NamedClass::ANY) } else { (wild, wild) };
    Some((wire(&suffix)?, NamedClass { class, least, most, zero: [0; 2] }))
}

/// Labels as a message carries them; `None`: there is no room.
fn wire(labels: &[&str]) -> Option<[u8; NAME_BYTES]> {
    let mut wire = [0; NAME_BYTES];
    let mut at = 0;
    for label in labels {
        *wire.get_mut(at)? = u8::try_from(label.len()).ok()?;
        wire.get_mut(at + 1..=at + label.len())?.copy_from_slice(label.as_bytes());
        at += 1 + label.len();
    }
    // The closing zero needs a place too.
    wire.get(at).map(|_| wire)
}

#[cfg(test)]
#[path = "teach_tests.rs"]
mod tests;

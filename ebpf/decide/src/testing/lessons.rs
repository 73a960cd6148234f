//! What answers are learned into, and an answer learned as the steps do it.

use std::cell::RefCell;
use std::collections::HashMap;

use egret_abi::{
    Binding, Class, NAME_BYTES, NameKey, Named, NamedClass, OwnKey, RulesetId, Slot, Tick, WorkloadIndex,
};

use crate::learn::{self, Learning, Lessons, MESSAGE, Next};

/// Plain tables.
#[derive(Debug, Default)]
pub struct Learned {
    pub names: HashMap<NameKey, Named>,
    pub bindings: RefCell<HashMap<OwnKey, Binding>>,
    /// Nothing new is bound.
    pub full: bool,
}

impl Learned {
    /// Names `suffix` in `ruleset`: names with `least` to `most` labels before it have `class`. False: there is no room.
    pub fn name(&mut self, ruleset: RulesetId, suffix: &str, class: Class, least: u8, most: u8) -> bool {
        let Some(name) = wire(suffix) else { return false };
        let named = self.names.entry(NameKey { ruleset, name }).or_default();
        let free = named.classes.iter_mut().find(|place| place.class == Class::NONE);
        let new = NamedClass { class, least, most, zero: [0; 2] };
        free.map(|place| *place = new).is_some()
    }

    /// Learns a DNS message for a workload: what the last step said.
    pub fn learn(
        &self,
        workload: WorkloadIndex,
        ruleset: RulesetId,
        message: &[u8],
        now: Tick,
        least: Tick,
    ) -> Next {
        let mut learning = learning(workload);
        let fits = message.len().min(MESSAGE);
        learning.message[..fits].copy_from_slice(&message[..fits]);
        let mut next = learn::question(self, ruleset, message.len(), &mut learning);
        if next != Next::On {
            return next;
        }
        next = Next::Again;
        while next == Next::Again {
            next = learn::records(&mut learning);
        }
        if next != Next::On {
            return next;
        }
        next = Next::Again;
        while next == Next::Again {
            next = learn::bind(self, now, least, &mut learning);
        }
        next
    }
}

impl Lessons for Learned {
    fn named(&self, ruleset: RulesetId, name: &[u8; learn::NAME], at: usize) -> Option<Named> {
        let name = name[at..at + NAME_BYTES].try_into().unwrap();
        self.names.get(&NameKey { ruleset, name }).copied()
    }

    fn with_binding<R>(&self, key: &OwnKey, f: impl FnOnce(&mut Binding) -> R) -> Option<R> {
        self.bindings.borrow_mut().get_mut(key).map(f)
    }

    fn put_slot(&self, slot: &mut Slot, old: Slot, new: Slot) -> bool {
        *slot == old && {
            *slot = new;
            true
        }
    }

    fn bind_anew(&self, key: &OwnKey, binding: &Binding, _: Tick) -> bool {
        !self.full && self.bindings.borrow_mut().insert(*key, *binding).is_none()
    }
}

/// The labels of a name as a message carries them; `None`: too long for a key.
fn wire(name: &str) -> Option<[u8; NAME_BYTES]> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    let mut wire = [0; NAME_BYTES];
    wire.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(wire)
}

/// Full of what an earlier answer left.
fn learning(workload: WorkloadIndex) -> Box<Learning> {
    Box::new(Learning {
        message: [0xc0; MESSAGE],
        name: [b'x'; learn::NAME],
        labels: [7; learn::LABELS],
        addresses: [egret_abi::Address::v4([9; 4]); learn::ADDRESSES],
        seconds: [u32::MAX; learn::ADDRESSES],
        classes: [Class(9); learn::CLASSES],
        workload,
        length: 99,
        at: 99,
        left: 99,
        chain: 99,
        chain_length: 99,
        chain_seconds: 99,
        found: 99,
        bound: 99,
        label_count: 99,
        odd: 99,
        named: 99,
        is_news: 99,
        suffices: 99,
        walk: learn::Walk::default(),
    })
}

//! Addresses get the classes of the name that leads to them.

use egret_abi::{Binding, Class, OwnKey, Slot, Tick};

use super::{ADDRESSES, CLASSES, Learning, Lessons, Next, into_memory};

/// Addresses that one run of the step binds. Each one more doubles what the verifier follows (2: 0.2 s, 4: 1.0 s), at
/// every start of an agent; each run more costs an answer some 10 ns.
const AT_ONCE: usize = 2;
/// The longest time that an answer is believed (RFC 8767, section 4): seven days.
const LONGEST: u32 = 7 * 24 * 3600;

/// Binds the next addresses at `now`, for `least` at least. [`Next::On`]: all are bound.
#[inline(always)]
pub fn bind<T: Lessons>(tables: &T, now: Tick, least: Tick, learning: &mut Learning) -> Next {
    for _ in 0..AT_ONCE {
        if learning.bound >= learning.found {
            return Next::On;
        }
        let place = learning.bound as usize & (ADDRESSES - 1);
        let key = OwnKey { workload: learning.workload, address: learning.addresses[place] };
        let lasts = Tick::lasting_seconds(learning.seconds[place].min(LONGEST));
        let until = now.plus(if lasts > least { lasts } else { least }).plus(Tick(1));
        if !one(tables, &key, now, until, least, learning) {
            return Next::Odd;
        }
        learning.bound += 1;
        into_memory(learning);
    }
    if learning.bound >= learning.found { Next::On } else { Next::Again }
}

/// What became of a class that was to be added to what an address is bound to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Taught {
    /// It is bound to nothing.
    Absent = 0,
    /// It is bound, until then or later.
    Bound = 1,
    /// Every slot is taken, or somebody else was quicker.
    Full = 2,
}

/// Adds a class to what an address is bound to: for the agent, which cannot change one slot alone.
#[inline(always)]
pub fn teach<T: Lessons>(tables: &T, key: &OwnKey, new: Slot, now: Tick) -> Taught {
    match tables.with_binding(key, |binding| add(tables, binding, new.class, now, new.until)) {
        None => Taught::Absent,
        Some(Some(_)) => Taught::Bound,
        Some(None) => Taught::Full,
    }
}

/// Binds one address; false: there is no room.
#[inline(always)]
fn one<T: Lessons>(
    tables: &T,
    key: &OwnKey,
    now: Tick,
    until: Tick,
    least: Tick,
    learning: &mut Learning,
) -> bool {
    let (classes, named) = (&learning.classes, learning.named);
    let added = tables.with_binding(key, |binding| {
        let mut news = 0;
        let mut class = 0;
        while class < CLASSES && (class as u32) < named {
            match add(tables, binding, classes[class], now, until) {
                Some(before) => news |= u32::from(before.plus(Tick(least.0 / 2)) < until),
                None => return None,
            }
            class += 1;
        }
        Some(news)
    });
    if let Some(added) = added {
        let Some(news) = added else { return false };
        learning.is_news |= news;
        return true;
    }
    let mut binding = Binding::default();
    let mut class = 0;
    while class < CLASSES && (class as u32) < named {
        binding.slots[class] = Slot { class: classes[class], until };
        class += 1;
    }
    learning.is_news = 1;
    tables.bind_anew(key, &binding, now)
}

/// Puts a class into a slot of its own, or moves its end later: what the end was, or when it was not there. `None`: every
/// slot is taken, or another processor was quicker.
#[inline(always)]
fn add<T: Lessons>(tables: &T, binding: &mut Binding, class: Class, now: Tick, until: Tick) -> Option<Tick> {
    let mut at = 0;
    while at < binding.slots.len() {
        let slot = binding.slots[at];
        if slot.class == class {
            if slot.until >= until {
                return Some(slot.until);
            }
            let before = if slot.until > now { slot.until } else { Tick(0) };
            return tables.put_slot(&mut binding.slots[at], slot, Slot { class, until }).then_some(before);
        }
        at += 1;
    }
    // A second walk, rather than a note of the first free slot on the first: the verifier would follow each place that the
    // note can have by itself from there on.
    let mut at = 0;
    while at < binding.slots.len() {
        let slot = binding.slots[at];
        if slot.class == Class::NONE || slot.until <= now {
            return tables.put_slot(&mut binding.slots[at], slot, Slot { class, until }).then_some(Tick(0));
        }
        at += 1;
    }
    None
}

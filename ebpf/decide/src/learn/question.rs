//! The question of an answer, and the classes of its name.

use core::hint::black_box;

use egret_abi::{NAME_BYTES, RulesetId};

use super::message::{HEADER, LONGEST, LOWER, ODD, TAIL};
use super::{LABELS, Learning, Lessons, Next, RECORDS};

const NAME_MAX: usize = 255;
const INTERNET: u16 = 1;

/// Reads the head of the message, which has `length` bytes, and finds the classes that `ruleset` has for its name.
/// [`Next::On`]: to its records.
#[inline(always)]
pub fn question<T: Lessons>(tables: &T, ruleset: RulesetId, length: usize, learning: &mut Learning) -> Next {
    if length > LONGEST || length < HEADER {
        return Next::Odd;
    }
    learning.length = length as u32;
    let (flags, asked, answers) = (learning.word(2), learning.word(4), learning.word(6));
    // A response to an ordinary query, whole, to one question.
    if flags & 0xfa00 != 0x8000 || asked != 1 {
        return Next::Odd;
    }
    let Some((labels, name)) = labels(learning) else { return Next::Odd };
    let end = HEADER + name + TAIL;
    if end > length || learning.word(end - 2) != INTERNET {
        return Next::Odd;
    }
    if flags & 0xf != 0 || answers == 0 {
        return Next::Nothing;
    }
    if answers as u32 > RECORDS {
        return Next::Odd;
    }
    if !classes(tables, ruleset, learning, labels, name) {
        return Next::Odd;
    }
    learning.at = end as u32;
    learning.left = answers.into();
    learning.chain = HEADER as u32;
    learning.chain_length = name as u32;
    learning.chain_seconds = u32::MAX;
    learning.found = 0;
    learning.bound = 0;
    learning.is_news = 0;
    if learning.named == 0 { Next::Nothing } else { Next::On }
}

/// How many labels the name has, and how many bytes; in lower case it is in `name` then. `None`: it is no host's, or long.
#[inline(always)]
fn labels(learning: &mut Learning) -> Option<(usize, usize)> {
    let (mut count, mut length, mut odd) = (0, 0, 0u32);
    loop {
        let label = learning.byte(HEADER + length);
        if label == 0 {
            break;
        }
        if label > 63 || count == LABELS {
            return None;
        }
        learning.labels[count] = length as u8;
        // What is counted below as if it were a character of the name.
        odd += ODD[label as usize] as u32;
        count += 1;
        length += 1 + label as usize;
        if length >= NAME_MAX {
            return None;
        }
    }
    if count == 0 {
        return None;
    }
    // The compiler must not know the bound, or it would count to it by `!=`, of which older verifiers learn nothing.
    let end = black_box(length);
    let mut at = 0;
    let mut found = 0u32;
    while at < end && at < NAME_MAX {
        let byte = learning.byte(HEADER + at) as usize;
        learning.name[at] = LOWER[byte];
        found += ODD[byte] as u32;
        at += 1;
    }
    learning.name[end & 0xff] = 0;
    (found == odd).then_some((count, length + 1))
}

/// Gathers the classes of the name; false: it has more than can be told.
#[inline(always)]
fn classes<T: Lessons>(
    tables: &T,
    ruleset: RulesetId,
    learning: &mut Learning,
    labels: usize,
    name: usize,
) -> bool {
    learning.named = 0;
    let labels = black_box(labels);
    let mut before = 0;
    while before < labels && before < LABELS {
        let at = learning.labels[before] as usize;
        let length = name.wrapping_sub(at);
        if length <= NAME_BYTES
            && let Some(named) = tables.named(ruleset, &learning.name, at, length)
        {
            for class in named.classes {
                if class.holds(before as u32) {
                    let count = learning.named as usize;
                    let Some(place) = learning.classes.get_mut(count) else { return false };
                    *place = class.class;
                    learning.named += 1;
                }
            }
        }
        before += 1;
    }
    true
}

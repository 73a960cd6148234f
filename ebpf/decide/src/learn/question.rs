//! The question of an answer, and the classes of its name.

use core::hint::black_box;

use egret_abi::{NAME_BYTES, RulesetId};

use super::message::{HEADER, INTERNET, LONGEST, LOWER, NAME_MAX, ODD, TAIL};
use super::{CLASSES, LABELS, Learning, Lessons, Next, RECORDS, into_memory};

/// Reads the head of the message, which has `length` bytes, and finds the classes that `ruleset` has for its name.
/// [`Next::On`]: to its records.
#[inline(always)]
pub fn question<T: Lessons>(tables: &T, ruleset: RulesetId, length: usize, learning: &mut Learning) -> Next {
    learning.is_news = 0;
    if !(HEADER..=LONGEST).contains(&length) {
        return Next::Odd;
    }
    learning.length = length as u32;
    let (flags, asked, answers) = (learning.word(2), learning.word(4), learning.word(6));
    // A response to an ordinary query, whole, to one question.
    if flags & 0xfa00 != 0x8000 || asked != 1 {
        return Next::Odd;
    }
    if !labels(learning) {
        return Next::Odd;
    }
    let end = HEADER + learning.chain_length as usize + TAIL;
    if end > length || learning.word(end - 2) != INTERNET {
        return Next::Odd;
    }
    if flags & 0xf != 0 || answers == 0 {
        return Next::Nothing;
    }
    if answers as u32 > RECORDS {
        return Next::Odd;
    }
    if !classes(tables, ruleset, learning) {
        return Next::Odd;
    }
    learning.at = (HEADER + TAIL) as u32 + learning.chain_length;
    learning.left = answers.into();
    learning.chain = HEADER as u32;
    learning.chain_seconds = u32::MAX;
    learning.found = 0;
    learning.bound = 0;
    if learning.named == 0 {
        learning.is_news = 1;
        return Next::Nothing;
    }
    Next::On
}

/// Notes where the labels of the name start and how long it is, and writes it in lower case. False: it is no host's, or
/// long. What is counted is counted in memory, of which the verifier knows nothing: it would else follow what comes after
/// once for each length.
#[inline(always)]
fn labels(learning: &mut Learning) -> bool {
    learning.label_count = 0;
    learning.chain_length = 0;
    learning.odd = 0;
    for _ in 0..=LABELS {
        let at = learning.chain_length as usize;
        let label = learning.byte(HEADER + at);
        if label == 0 {
            break;
        }
        let count = learning.label_count as usize;
        if label > 63 || at > NAME_MAX - 2 || count >= LABELS {
            return false;
        }
        learning.labels[count & (LABELS - 1)] = at as u8;
        // What is counted below as if it were a character of the name.
        learning.odd += ODD[label as usize] as u32;
        learning.label_count += 1;
        learning.chain_length += 1 + label as u32;
        into_memory(learning);
    }
    if learning.label_count == 0 || learning.chain_length as usize >= NAME_MAX {
        return false;
    }
    // The compiler must not know the bound, or it would count to it by `!=`, of which older verifiers learn nothing.
    let end = black_box(learning.chain_length as usize);
    let mut at = 0;
    while at < end && at < NAME_MAX {
        let byte = learning.byte(HEADER + at) as usize;
        learning.name[at] = LOWER[byte];
        learning.odd = learning.odd.wrapping_sub(ODD[byte] as u32);
        into_memory(learning);
        at += 1;
    }
    // Its closing zero, and what makes the end of it a key.
    let end = learning.chain_length as usize & 0xff;
    let mut at = 0;
    while at < NAME_BYTES {
        learning.name[end + at] = 0;
        at += 1;
    }
    learning.chain_length += 1;
    learning.odd == 0
}

/// Gathers the classes of the name; false: it has more than can be told.
#[inline(always)]
fn classes<T: Lessons>(tables: &T, ruleset: RulesetId, learning: &mut Learning) -> bool {
    learning.named = 0;
    for before in 0..LABELS {
        if before as u32 >= learning.label_count {
            break;
        }
        let at = learning.labels[before] as usize;
        // The end of it is no key where it is longer than one.
        if learning.chain_length as usize > at + NAME_BYTES {
            continue;
        }
        let Some(named) = tables.named(ruleset, &learning.name, at) else { continue };
        for class in named.classes {
            if class.holds(before as u32) {
                let count = learning.named as usize;
                if count >= CLASSES {
                    return false;
                }
                learning.classes[count & (CLASSES - 1)] = class.class;
                learning.named += 1;
                into_memory(learning);
            }
        }
    }
    true
}

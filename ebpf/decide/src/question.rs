//! The question of a DNS message as one number, to tell whether an answer is to what was asked.

use crate::parse::{Packet, WINDOW};

const HEADER: usize = 12;
/// Type and class, behind the name.
const TAIL: usize = 4;
/// Labels of a name that may teach something. Longer ones are reverse look-ups; they pass.
const LABELS: usize = 40;
const NAME_MAX: usize = 255;

/// A hash (FNV-1a, 64 bit) of the question of the DNS message at `at`: name in any case, type and class; `None` where
/// there is not exactly one question, or its name is compressed or too long. Not secret: a resolver that is trusted
/// could forge it, and nobody else's answers come this far.
#[inline(always)]
pub fn hash<P: Packet>(packet: &P, at: usize) -> Option<u64> {
    let (message, length) = packet.window(at)?;
    if message[4..6] != [0, 1] {
        return None;
    }
    let end = packet.forget(HEADER + name_length(message)?);
    if end > HEADER + NAME_MAX || end + TAIL > length {
        return None;
    }
    // The compiler must not know the bound just checked, or it would count to `end` by `!=` and drop both masks: the
    // verifiers of Linux before 6.8 learn nothing from `!=`.
    let end = core::hint::black_box(end);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = HEADER;
    while at < end && at < HEADER + NAME_MAX {
        // Sets the bit that tells lower case in every letter; what it does to other bytes is the same on both sides.
        hash = fold(hash, message[at] | 0x20);
        at += 1;
    }
    // As they are: that bit tells A (1) from SRV (33).
    for at in end..end + TAIL {
        hash = fold(hash, message[at & (WINDOW - 1)]);
    }
    Some(hash)
}

#[inline(always)]
fn fold(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// Bytes of the name behind the header, its closing zero included.
#[inline(always)]
fn name_length(message: &[u8; WINDOW]) -> Option<usize> {
    let mut length = 0;
    for _ in 0..LABELS {
        // The mask changes nothing below the limit; it is the verifier's proof.
        let label = message[(HEADER + length) & (WINDOW - 1)];
        length += 1;
        if label == 0 {
            return Some(length);
        }
        if label > 63 {
            return None;
        }
        length += label as usize;
        if length > NAME_MAX {
            return None;
        }
    }
    None
}

//! The question of a DNS message as one number, to tell whether an answer is to what was asked.

use crate::Packet;

const HEADER: usize = 12;
const NAME_MAX: usize = 256;
const CHUNK: usize = 16;

/// A hash (FNV-1a, 64 bit) of the question of the DNS message at `at`: name in lower case, type and class; `None`
/// where there is not exactly one question or no end of the name within 256 bytes. Not secret: a resolver that is
/// trusted could forge it, and nobody else's answers come this far.
#[inline(always)]
pub fn hash<P: Packet>(packet: &P, at: usize) -> Option<u64> {
    let header = packet.read::<HEADER>(at)?;
    if header[4..6] != [0, 1] {
        return None;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut place = at + HEADER;
    // A name of 255 bytes ends within the sixteenth chunk. Bytes are read one by one near the packet's end.
    for _ in 0..NAME_MAX / CHUNK {
        match packet.read::<CHUNK>(place) {
            Some(chunk) => {
                for (i, byte) in chunk.iter().enumerate() {
                    hash = fold(hash, *byte);
                    if *byte == 0 {
                        return with_type(packet, hash, place + i + 1);
                    }
                }
            }
            None => return short_tail(packet, hash, place),
        }
        place += CHUNK;
    }
    None
}

#[inline(always)]
fn short_tail<P: Packet>(packet: &P, mut hash: u64, place: usize) -> Option<u64> {
    for i in 0..CHUNK {
        let [byte] = packet.read::<1>(place + i)?;
        hash = fold(hash, byte);
        if byte == 0 {
            return with_type(packet, hash, place + i + 1);
        }
    }
    None
}

#[inline(always)]
fn with_type<P: Packet>(packet: &P, hash: u64, at: usize) -> Option<u64> {
    packet.read::<4>(at).map(|bytes| bytes.iter().fold(hash, |hash, byte| fold(hash, *byte)))
}

#[inline(always)]
fn fold(hash: u64, byte: u8) -> u64 {
    let lower = if byte.is_ascii_uppercase() { byte | 0x20 } else { byte };
    (hash ^ lower as u64).wrapping_mul(0x0100_0000_01b3)
}

//! Bytes of a DNS message in memory whose length is a power of two, so that a mask is the verifier's proof.

use super::Learning;

/// Bytes of memory for a message.
pub const MESSAGE: usize = 2048;
/// Bytes of the longest message that is learned here: what fits a link of 1,500.
pub const LONGEST: usize = 1472;
/// Bytes before the question.
pub(super) const HEADER: usize = 12;
/// Bytes of the longest name.
pub(super) const NAME_MAX: usize = 255;
/// The class that names of hosts are of.
pub(super) const INTERNET: u16 = 1;
/// Type and class, behind the name of a question.
pub(super) const TAIL: usize = 4;

impl Learning {
    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.message[at & (MESSAGE - 1)]
    }

    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }

    #[inline(always)]
    pub(super) fn long(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.byte(at), self.byte(at + 1), self.byte(at + 2), self.byte(at + 3)])
    }
}

/// Every byte in lower case.
pub(super) static LOWER: [u8; 256] = lower();
/// 1 for what cannot stand in the name of a host.
pub(super) static ODD: [u8; 256] = odd();

const fn lower() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).to_ascii_lowercase();
        byte += 1;
    }
    table
}

const fn odd() -> [u8; 256] {
    let mut table = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-' || byte as u8 == b'_' {
            table[byte] = 0;
        }
        byte += 1;
    }
    table
}

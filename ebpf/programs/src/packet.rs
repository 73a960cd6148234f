//! Packet memory: direct access where the bytes are in the linear part, a helper where they are not.

use aya_ebpf::{EbpfContext, helpers::bpf_skb_load_bytes, programs::TcContext};
use egret_decide::{Packet, parse::WINDOW};

use crate::{maps, steps};

/// Offsets beyond this are not read: no header is that far, and the verifier wants a bound.
const FAR: usize = 0x3fff;

/// The packet of a classifier.
pub struct Frame<'a>(pub &'a TcContext);

impl Packet for Frame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > FAR {
            return None;
        }
        let start = self.0.data() + at;
        if start + N <= self.0.data_end() {
            // SAFETY: the bounds check above, as the verifier sees it too.
            return Some(unsafe { core::ptr::read_unaligned(start as *const [u8; N]) });
        }
        let mut bytes = [0; N];
        // SAFETY: the helper writes N bytes to a buffer of N, or fails.
        let failed =
            unsafe { bpf_skb_load_bytes(self.0.as_ptr(), at as u32, bytes.as_mut_ptr().cast(), N as u32) };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        if at > FAR {
            return None;
        }
        let start = self.0.data() + at;
        if start + N * 4 <= self.0.data_end() {
            // SAFETY: the bounds check above. The compiler takes the words for aligned and loads each at once, which
            // every machine that loads these programs can do at any address.
            return Some(unsafe { core::ptr::read(start as *const [u32; N]) });
        }
        let mut words = [0; N];
        // SAFETY: the helper writes N words to a buffer of N, or fails.
        let failed = unsafe {
            bpf_skb_load_bytes(self.0.as_ptr(), at as u32, words.as_mut_ptr().cast(), N as u32 * 4)
        };
        (failed == 0).then_some(words)
    }

    #[inline(always)]
    fn window(&self, at: usize) -> Option<(&[u8; WINDOW], usize)> {
        let window = maps::WINDOWS.get_ptr_mut(0)?;
        if at > FAR {
            return None;
        }
        let last = (self.0.len() as usize).checked_sub(at + 1)?.min(WINDOW - 1);
        // Opaque to the compiler, which would otherwise drop the mask, and it is the verifier's proof that there are
        // from one to WINDOW bytes.
        let length = (core::hint::black_box(last) & (WINDOW - 1)) + 1;
        // SAFETY: this CPU's own memory; the helper writes at most `length` bytes, which fit, or fails.
        unsafe {
            let failed = bpf_skb_load_bytes(self.0.as_ptr(), at as u32, window.cast(), length as u32);
            (failed == 0).then(|| (&*window, length))
        }
    }

    #[inline(always)]
    fn forget(&self, value: usize) -> usize {
        steps::through(value)
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.0.len()
    }
}

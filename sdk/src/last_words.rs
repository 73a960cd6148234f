//! The text of a panic, for the agent. Only where the target is Wasm.
//!
//! A module that panics stops where it is: it calls nothing more, and nothing in it can be called again. So its text is
//! left in a static, whose address the module exports as the global `egret_last_words`: the agent reads it from the memory
//! of the dead instance, and believes none of it. No import is needed.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What is kept of a text, in bytes. The agent reads no more.
const ROOM: usize = 512;

/// The number of bytes of the text, little-endian, and the text.
#[repr(C)]
#[derive(Debug)]
pub struct LastWords {
    length: AtomicU32,
    text: [AtomicU8; ROOM],
}

/// Where the agent looks.
#[allow(unsafe_code, reason = "a name of its own is what the agent finds it by; nothing else has this one")]
#[unsafe(export_name = "egret_last_words")]
pub static LAST_WORDS: LastWords =
    LastWords { length: AtomicU32::new(0), text: [const { AtomicU8::new(0) }; ROOM] };

/// From now on, what a panic says is left for the agent.
pub fn keep() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let mut words = Words(0);
        // It is cut where there is no more room.
        let _ = match (said, panic.location()) {
            (Some(said), Some(place)) => write!(words, "{said}, at {}:{}", place.file(), place.line()),
            (Some(said), None) => words.write_str(said),
            (None, place) => write!(words, "{place:?}"),
        };
    }));
}

/// Writes behind what is written.
struct Words(usize);

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            LAST_WORDS.text.get(self.0).ok_or(fmt::Error)?.store(byte, Ordering::Relaxed);
            self.0 += 1;
            LAST_WORDS.length.store(u32::try_from(self.0).unwrap_or(0), Ordering::Relaxed);
        }
        Ok(())
    }
}

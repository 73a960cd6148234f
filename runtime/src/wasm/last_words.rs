//! What a module said when it gave up: read from the memory of the instance, which is dead.
//!
//! A module that has something to say exports the global `egret_last_words`, the address of a length (four bytes,
//! little-endian) and so many bytes of text. `egret-sdk` writes the text of a panic there. Like all that a module says it is
//! not believed: it has a bound, and is escaped.

use egret_contract::shown;
use wasmtime::{Error, Instance, Store, WasmCoreDump};

use super::host::Host;

/// What is read of it, in bytes, and what is shown of that.
const ROOM: usize = 512;
const NAME: &str = "egret_last_words";

/// The last words of the module that `error` stopped, if it left any.
pub(super) fn last_words(error: &Error, store: &mut Store<Host>) -> Option<String> {
    let dump = error.downcast_ref::<WasmCoreDump>()?;
    let words = dump.instances().iter().find_map(|instance| left_by(*instance, store))?;
    Some(shown(&words, ROOM))
}

fn left_by(instance: Instance, store: &mut Store<Host>) -> Option<String> {
    let address = instance.get_global(&mut *store, NAME)?.get(&mut *store).i32()?;
    let memory = instance.get_memory(&mut *store, "memory")?;
    let from = memory.data(&*store).get(address.cast_unsigned() as usize..)?;
    let (length, text) = from.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?.min(ROOM);
    let text = String::from_utf8_lossy(text.get(..length)?).into_owned();
    (!text.is_empty()).then_some(text)
}

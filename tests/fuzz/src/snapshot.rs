//! State on disk: whatever bytes are in a file, they are what was stored and say what it says, or are refused.
//!
//! Input: a byte that says which file it is, and whether the rest is a whole one or the content behind a header that is
//! right.

use egret::state::{KnownNames, Snapshot, Stored};

const MAGIC_AND_VERSION: usize = 12;

/// What is read is what is written.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let is_whole = kind % 2 == 0;
    match kind / 2 % 2 {
        0 => check::<Snapshot>(is_whole, bytes),
        _ => check::<KnownNames>(is_whole, bytes),
    }
}

fn check<T: Stored + Default + PartialEq + std::fmt::Debug>(is_whole: bool, bytes: &[u8]) {
    let file = if is_whole { bytes.to_vec() } else { with_header::<T>(bytes) };
    let Ok(stored) = T::decode(&file) else { return };
    let again = stored.encode().expect("what was read fits");
    assert_eq!(T::decode(&again).as_ref(), Ok(&stored));
    assert_eq!(again, file, "one content has one spelling");
}

/// Without it no input would get past the checksum.
fn with_header<T: Stored + Default>(content: &[u8]) -> Vec<u8> {
    let empty = T::default().encode().expect("the empty one");
    let (magic_and_version, length) = (&empty[..MAGIC_AND_VERSION], (content.len() as u64).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&magic_and_version[8..]);
    hasher.update(&length);
    hasher.update(content);
    [magic_and_version, &hasher.finalize().to_le_bytes(), &length, content].concat()
}

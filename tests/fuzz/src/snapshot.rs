//! State on disk: whatever bytes are in the file, they are a snapshot that says what it says, or are refused.
//!
//! Input: a byte that says whether the rest is a whole file or the content behind a header that is right.

use egret::state::Snapshot;

const MAGIC_AND_VERSION: usize = 12;

/// What is read is what is written.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let file = if kind % 2 == 0 { bytes.to_vec() } else { with_header(bytes) };
    let Ok(snapshot) = Snapshot::decode(&file) else { return };
    let again = snapshot.encode().expect("what was read fits");
    assert_eq!(Snapshot::decode(&again).as_ref(), Ok(&snapshot));
    assert_eq!(again, file, "one snapshot has one spelling");
}

/// Without it no input would get past the checksum.
fn with_header(content: &[u8]) -> Vec<u8> {
    let empty = Snapshot::default().encode().expect("the empty snapshot");
    let (magic_and_version, length) = (&empty[..MAGIC_AND_VERSION], (content.len() as u64).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&magic_and_version[8..]);
    hasher.update(&length);
    hasher.update(content);
    [magic_and_version, &hasher.finalize().to_le_bytes(), &length, content].concat()
}

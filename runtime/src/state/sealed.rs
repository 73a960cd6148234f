//! What is kept on disk, and its bytes.
//!
//! A header of 24 bytes (magic, version, checksum, length of the rest; little-endian), then the content in bincode's
//! standard encoding. The checksum covers all of it but itself, so that any cut or changed byte is found.
//!
//! bincode: compact, no schema to keep, and its decoder takes a limit. It has been retired upstream; 2.0.1 is its last
//! real release, pinned for this one format, which no other program reads and whose loss is survived.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

const HEADER: usize = 24;
/// The largest content, and the most memory that its decoder claims: room for 4,096 workloads and 100,000 rules.
pub(super) const MAX_CONTENT: usize = 64 << 20;

/// Why bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Shorter or longer than it says, or than any is.
    #[error("its length is not what it says")]
    Length,
    /// Another kind of file.
    #[error("it is not {0} of Egret")]
    Magic(&'static str),
    /// Of another format.
    #[error("it has format {found}, and this program reads {read}")]
    Version {
        /// What it says.
        found: u32,
        /// What it should say.
        read: u32,
    },
    /// Changed bytes.
    #[error("its checksum is wrong")]
    Checksum,
    /// The right checksum around something else.
    #[error("its content cannot be read: {0}")]
    Content(String),
}

/// Fixed-width numbers: the length of a list cannot claim more than its bytes say.
pub(super) fn format() -> Configuration<LittleEndian, Fixint, Limit<MAX_CONTENT>> {
    bincode::config::standard().with_fixed_int_encoding().with_limit()
}

/// What is kept in a file of its own.
pub trait Stored: Serialize + DeserializeOwned {
    /// In words, with an article.
    const WHAT: &'static str;
    /// How its file begins.
    const MAGIC: [u8; 8];
    /// Raised when anything in it changes: bincode's bytes do not say what they are.
    const VERSION: u32;

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Damage::Length`] for more than the format holds; [`Damage::Content`] for what bincode cannot write.
    fn encode(&self) -> Result<Vec<u8>, Damage> {
        let content = bincode::serde::encode_to_vec(self, format()).map_err(content)?;
        if content.len() > MAX_CONTENT {
            return Err(Damage::Length);
        }
        Ok(sealed::<Self>(&content))
    }

    /// What is in the bytes of a file.
    ///
    /// # Errors
    /// [`Damage`]: no cut or changed byte is taken for what was written, and no bytes make it panic or claim more memory
    /// than the format allows.
    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (header, content) = bytes.split_first_chunk::<HEADER>().ok_or(Damage::Length)?;
        if header[..8] != Self::MAGIC {
            return Err(Damage::Magic(Self::WHAT));
        }
        let version = u32_at(header, 8);
        if version != Self::VERSION {
            return Err(Damage::Version { found: version, read: Self::VERSION });
        }
        let length = u64::from(u32_at(header, 16)) | u64::from(u32_at(header, 20)) << 32;
        if length != content.len() as u64 || content.len() > MAX_CONTENT {
            return Err(Damage::Length);
        }
        if u32_at(header, 12) != checksum(version, length, content) {
            return Err(Damage::Checksum);
        }
        let (stored, read) = bincode::serde::decode_from_slice(content, format()).map_err(self::content)?;
        if read == content.len() { Ok(stored) } else { Err(Damage::Length) }
    }
}

/// `content` under a header that is right.
pub(super) fn sealed<T: Stored>(content: &[u8]) -> Vec<u8> {
    let length = content.len() as u64;
    let checksum = checksum(T::VERSION, length, content);
    [&T::MAGIC[..], &T::VERSION.to_le_bytes(), &checksum.to_le_bytes(), &length.to_le_bytes(), content]
        .concat()
}

fn checksum(version: u32, length: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn u32_at(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn content(error: impl std::fmt::Display) -> Damage {
    Damage::Content(error.to_string())
}

//! Longest match over plain entries.

use zerocopy::IntoBytes;

/// The value whose key has the longest prefix in common with `wanted`.
pub(super) fn longest<K: IntoBytes + zerocopy::Immutable, V: Copy>(
    entries: &[(u32, K, V)],
    wanted: &K,
) -> Option<V> {
    let begins = |(bits, key, _): &&(u32, K, V)| {
        let bit = |bytes: &[u8], i: u32| bytes[i as usize / 8] >> (7 - i % 8) & 1;
        (0..*bits).all(|i| bit(key.as_bytes(), i) == bit(wanted.as_bytes(), i))
    };
    entries.iter().filter(begins).max_by_key(|(bits, ..)| *bits).map(|(.., value)| *value)
}

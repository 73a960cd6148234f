//! Rulesets whole: thousands of entries, each of which would be a system call.

use aya::Pod;
use aya::maps::lpm_trie::Key;
use egret_abi::{Dest, DestKey, NameKey, Named, RuleKey, RuleValue};

use super::{Prefixed, Writer};
use crate::kernel::plain::Plain;
use crate::kernel::{Doing, KernelError, bpf};

impl Writer {
    /// Writes address ranges; the bits of each key that count, the key, the value.
    ///
    /// # Errors
    /// What the kernel said of one; those before it are written. The same for all that follow.
    pub fn set_dests(&mut self, entries: &[(u32, DestKey, Dest)]) -> Result<(), KernelError> {
        let (keys, values) = for_trie(entries.iter());
        bpf::insert_all(&self.dest, (&keys, &values)).doing(|| "write DEST".to_owned())
    }

    /// Removes address ranges; one that is not there is as good.
    pub fn remove_dests(&mut self, keys: &[Prefixed<DestKey>]) -> Result<(), KernelError> {
        let keys: Vec<_> = keys.iter().map(|key| trie_key(*key)).collect();
        bpf::remove_all(&self.dest, &keys).doing(|| "write DEST".to_owned())
    }

    /// Writes what rules say.
    pub fn set_rules(&mut self, entries: &[(u32, RuleKey, RuleValue)]) -> Result<(), KernelError> {
        let (exact, rules): (Vec<_>, Vec<_>) = entries.iter().partition(|(bits, ..)| is_exact(*bits));
        let (keys, values): (Vec<_>, Vec<_>) =
            exact.iter().map(|(_, key, value)| (Plain(*key), Plain(*value))).unzip();
        bpf::insert_all(&self.exact, (&keys, &values)).doing(|| "write EXACT".to_owned())?;
        let (keys, values) = for_trie(rules.iter());
        bpf::insert_all(&self.rules, (&keys, &values)).doing(|| "write RULES".to_owned())
    }

    /// Writes names of rules.
    pub fn set_names(&mut self, entries: &[(NameKey, Named)]) -> Result<(), KernelError> {
        let (keys, values): (Vec<_>, Vec<_>) =
            entries.iter().map(|(key, value)| (Plain(*key), Plain(*value))).unzip();
        bpf::insert_all(&self.names, (&keys, &values)).doing(|| "write NAMES".to_owned())
    }

    /// Removes names of rules; what is not there is as good.
    pub fn remove_names(&mut self, keys: &[NameKey]) -> Result<(), KernelError> {
        let keys: Vec<_> = keys.iter().map(|key| Plain(*key)).collect();
        bpf::remove_all(&self.names, &keys).doing(|| "write NAMES".to_owned())
    }

    /// Removes what rules say; what is not there is as good.
    pub fn remove_rules(&mut self, keys: &[Prefixed<RuleKey>]) -> Result<(), KernelError> {
        let (exact, rules): (Vec<_>, Vec<_>) = keys.iter().partition(|(bits, _)| is_exact(*bits));
        let keys: Vec<_> = exact.into_iter().map(|(_, key)| Plain(key)).collect();
        bpf::remove_all(&self.exact, &keys).doing(|| "write EXACT".to_owned())?;
        let keys: Vec<_> = rules.into_iter().map(trie_key).collect();
        bpf::remove_all(&self.rules, &keys).doing(|| "write RULES".to_owned())
    }
}

/// Whether a rule is of one port, and so has its place in a hash.
fn is_exact(bits: u32) -> bool {
    bits == RuleKey::ALL_BITS
}

fn for_trie<'a, K: Copy + 'a, V: Copy + 'a>(
    entries: impl Iterator<Item = &'a (u32, K, V)>,
) -> (Vec<Key<Plain<K>>>, Vec<Plain<V>>)
where
    Plain<K>: Pod,
{
    entries.map(|(bits, key, value)| (trie_key((*bits, *key)), Plain(*value))).unzip()
}

fn trie_key<K>((bits, key): Prefixed<K>) -> Key<Plain<K>>
where
    Plain<K>: Pod,
{
    Key::new(bits, Plain(key))
}

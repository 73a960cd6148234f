//! What the API server has of one kind, as far as it told. Pure.

use std::collections::BTreeMap;

pub use crate::policy::ObjectName as Key;

/// What was told of one kind.
#[derive(Debug)]
pub enum Told<V> {
    /// All of it is told anew.
    Begun,
    /// One of all.
    Listed(Key, V),
    /// That was all.
    Whole,
    /// One is new, or another.
    Changed(Key, V),
    /// One is gone.
    Gone(Key),
}

/// The objects of one kind. What is told anew takes the place of what was known once it is whole, and not before: an API
/// server that breaks off in the middle takes nothing out of force.
#[derive(Debug)]
pub struct Mirror<V> {
    now: BTreeMap<Key, V>,
    next: Option<BTreeMap<Key, V>>,
    is_whole: bool,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self { now: BTreeMap::new(), next: None, is_whole: false }
    }
}

impl<V: PartialEq> Mirror<V> {
    /// Takes it in; whether [`Self::all`] may be different now.
    pub fn take(&mut self, told: Told<V>) -> bool {
        match told {
            Told::Begun => self.next = Some(BTreeMap::new()),
            Told::Listed(key, value) => _ = self.next.get_or_insert_default().insert(key, value),
            Told::Whole => {
                self.now = self.next.take().unwrap_or_default();
                self.is_whole = true;
                return true;
            }
            Told::Changed(key, value) => {
                let is_news = self.now.get(&key) != Some(&value);
                self.now.insert(key, value);
                return is_news && self.is_whole;
            }
            Told::Gone(key) => return self.now.remove(&key).is_some() && self.is_whole,
        }
        false
    }

    /// Whether all of it was told once.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Every object, in the order of their names.
    pub fn all(&self) -> &BTreeMap<Key, V> {
        &self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_anew_counts_once_it_is_whole() {
        let key = |name: &str| (String::new(), name.to_owned());
        let mut mirror = Mirror::default();
        let names =
            |mirror: &Mirror<u8>| mirror.all().keys().map(|(_, name)| name.clone()).collect::<String>();
        for (told, is_news, expected) in [
            (Told::Begun, false, ""),
            (Told::Listed(key("a"), 1), false, ""),
            (Told::Listed(key("b"), 1), false, ""),
            (Told::Whole, true, "ab"),
            (Told::Changed(key("c"), 1), true, "abc"),
            (Told::Changed(key("c"), 2), true, "abc"),
            // Of an object, something changed that does not count.
            (Told::Changed(key("c"), 2), false, "abc"),
            (Told::Gone(key("a")), true, "bc"),
            (Told::Gone(key("a")), false, "bc"),
            // It breaks off, and begins again.
            (Told::Begun, false, "bc"),
            (Told::Listed(key("x"), 1), false, "bc"),
            (Told::Begun, false, "bc"),
            (Told::Listed(key("c"), 1), false, "bc"),
            (Told::Whole, true, "c"),
        ] {
            let told_again = format!("{told:?}");
            assert_eq!((mirror.take(told), names(&mirror).as_str()), (is_news, expected), "{told_again}");
        }
        assert!(mirror.is_whole());
    }
}

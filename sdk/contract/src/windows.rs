//! Counts of what happened lately: the interface `counters` of the contract, as the agent keeps it for one module.
//!
//! A window is cut into eight steps, so its memory does not grow with the number of events. Everything is bounded: keys,
//! members of one key, members in all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;

use crate::cut;

/// The most keys of one module. Beyond, the one that was unused for longest is forgotten.
pub const MAX_KEYS: usize = 10_000;
/// The most members that are counted under one key.
pub const MAX_MEMBERS: usize = 1_024;
/// The most members of all keys of one module. Beyond, the keys that were unused for longest are forgotten.
pub const MAX_MEMBERS_IN_ALL: usize = 1 << 18;
/// The longest window, in seconds.
pub const MAX_SECONDS: u32 = 3_600;
/// What is kept of a key or a member, in bytes.
pub const MAX_TEXT: usize = 256;

const STEPS: u64 = 8;

/// All windows of one module on this node.
#[derive(Debug)]
pub struct Windows {
    keys: LruCache<Key, Window>,
    /// Members under all keys.
    members: usize,
    /// A clock that is set back does not bring the past back.
    latest: u64,
    hasher: RandomState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: String,
    seconds: u32,
    counts_members: bool,
}

impl Key {
    fn new(text: &str, seconds: u32, counts_members: bool) -> Self {
        Self { text: cut(text, MAX_TEXT).to_owned(), seconds: seconds.clamp(1, MAX_SECONDS), counts_members }
    }
}

#[derive(Clone, Debug)]
enum Window {
    /// Events in each of the last steps, by step modulo [`STEPS`]; and the latest step.
    Hits { steps: [u32; STEPS as usize], latest: u64 },
    /// Members, by a hash of their text, and the step in which each was seen last.
    Members(HashMap<u64, u64>),
}

impl Default for Windows {
    fn default() -> Self {
        let most = NonZeroUsize::new(MAX_KEYS).unwrap_or(NonZeroUsize::MIN);
        Self { keys: LruCache::new(most), members: 0, latest: 0, hasher: RandomState::new() }
    }
}

impl Windows {
    /// One more event under `key`, at `now` in milliseconds. How many the window of the last `seconds` has.
    pub fn hits(&mut self, key: &str, seconds: u32, now: u64) -> u32 {
        let (key, step) = self.place(key, seconds, now, false);
        match self.window(key) {
            Window::Hits { steps, latest } => {
                let passed = step.saturating_sub(*latest).min(STEPS);
                for gone in 0..passed {
                    steps[((step - gone) % STEPS) as usize] = 0;
                }
                *latest = step;
                let now = &mut steps[(step % STEPS) as usize];
                *now = now.saturating_add(1);
                steps.iter().fold(0, |sum, step| sum.saturating_add(*step))
            }
            Window::Members(_) => 0,
        }
    }

    /// One more `member` under `key`, at `now` in milliseconds. How many different ones the window of the last `seconds`
    /// has, at most [`MAX_MEMBERS`].
    pub fn distinct(&mut self, key: &str, member: &str, seconds: u32, now: u64) -> u32 {
        let member = self.hasher.hash_one(cut(member, MAX_TEXT));
        let (key, step) = self.place(key, seconds, now, true);
        let Window::Members(members) = self.window(key) else { return 0 };
        let before = members.len();
        members.retain(|_, seen| step.saturating_sub(*seen) < STEPS);
        if members.len() < MAX_MEMBERS || members.contains_key(&member) {
            members.insert(member, step);
        }
        let after = members.len();
        self.members = self.members + after - before;
        self.make_room();
        u32::try_from(after).unwrap_or(u32::MAX)
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Empty ones that count on from these ([`Self::take_over`]), and leave them as they are.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self { latest: self.latest, hasher: self.hasher.clone(), ..Self::default() }
    }

    /// Takes over what `other` has under `key`, where nothing is known under it here. `other` is that which these were
    /// made [`Self::aside`] of.
    pub fn take_over(&mut self, other: &Self, key: &str, seconds: u32, counts_members: bool) {
        let key = Key::new(key, seconds, counts_members);
        let Some(window) = other.keys.peek(&key).filter(|_| !self.keys.contains(&key)) else { return };
        if self.keys.len() == MAX_KEYS {
            self.forget_oldest();
        }
        if let Window::Members(members) = window {
            self.members += members.len();
        }
        self.keys.put(key, window.clone());
    }

    fn place(&mut self, key: &str, seconds: u32, now: u64, counts_members: bool) -> (Key, u64) {
        let key = Key::new(key, seconds, counts_members);
        self.latest = self.latest.max(now);
        let step = self.latest / (u64::from(key.seconds) * 1_000 / STEPS);
        (key, step)
    }

    fn window(&mut self, key: Key) -> &mut Window {
        if self.keys.len() == MAX_KEYS && !self.keys.contains(&key) {
            self.forget_oldest();
        }
        let new = || match key.counts_members {
            true => Window::Members(HashMap::new()),
            false => Window::Hits { steps: [0; STEPS as usize], latest: 0 },
        };
        self.keys.get_or_insert_mut(key.clone(), new)
    }

    /// Never takes the key that was just used.
    fn make_room(&mut self) {
        while self.members > MAX_MEMBERS_IN_ALL && self.keys.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, Window::Members(members))) = self.keys.pop_lru() {
            self.members -= members.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_what_happened_in_its_last_seconds() {
        let mut windows = Windows::default();
        let told: Vec<u32> = [0, 100, 5_000, 9_999, 10_001, 30_000, 30_000]
            .map(|now| windows.hits("key", 10, 1_000_000 + now))
            .into();
        assert_eq!(told, [1, 2, 3, 4, 3, 1, 2]);
        assert_eq!(windows.hits("other", 10, 1_030_000), 1);
        assert_eq!(windows.hits("key", 20, 1_030_000), 1, "a window of another length is another window");
    }

    #[test]
    fn different_members_are_counted_once_each_and_forgotten_in_time() {
        let mut windows = Windows::default();
        let mut at = |member, now| windows.distinct("key", member, 8, now);
        let told = [at("a", 0), at("a", 1), at("b", 2_000), at("c", 7_900), at("c", 8_100), at("c", 20_000)];
        assert_eq!(told, [1, 1, 2, 3, 2, 1]);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_back() {
        let mut windows = Windows::default();
        assert_eq!([5_000_000, 1_000, 5_000_001].map(|now| windows.hits("key", 1, now)), [1, 2, 3]);
    }

    #[test]
    fn what_is_counted_aside_goes_on_from_what_was_counted_and_leaves_it() {
        let mut windows = Windows::default();
        for member in ["a", "b"] {
            windows.hits("key", 60, 1_000_000);
            windows.distinct("key", member, 60, 1_000_000);
        }
        let mut aside = windows.aside();
        let mut count = |member| {
            aside.take_over(&windows, "key", 60, false);
            aside.take_over(&windows, "key", 60, true);
            (aside.hits("key", 60, 1_000_000), aside.distinct("key", member, 60, 1_000_000))
        };
        assert_eq!([count("b"), count("c")], [(3, 2), (4, 3)]);
        assert_eq!(aside.members, 3);
        assert_eq!((windows.hits("key", 60, 1_000_000), windows.members), (3, 2));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut windows = Windows::default();
        for number in 0..MAX_KEYS + 10 {
            windows.hits(&number.to_string(), 60, 0);
        }
        assert_eq!(windows.keys(), MAX_KEYS);
        assert_eq!(windows.hits("0", 60, 0), 1, "the oldest was forgotten");
        for key in 0..300 {
            for member in 0..MAX_MEMBERS + 5 {
                let told = windows.distinct(&key.to_string(), &member.to_string(), 60, 0);
                assert_eq!(told as usize, (member + 1).min(MAX_MEMBERS));
            }
        }
        assert!(windows.members <= MAX_MEMBERS_IN_ALL, "{}", windows.members);
        let long = "x".repeat(MAX_TEXT);
        windows.hits(&(long.clone() + "a"), 60, 0);
        assert_eq!(windows.hits(&(long + "b"), 60, 0), 2, "keys are cut");
    }
}

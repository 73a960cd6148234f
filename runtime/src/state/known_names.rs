//! What workloads looked up: after a reboot they are not asked to do it again.
//!
//! Times are those of the wall clock, for nothing else outlives a reboot. A clock that was set back makes nothing last
//! longer: see [`KnownNames::age`].

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Stored;
use crate::model::WorkloadId;

/// What all workloads looked up that had not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownNames {
    /// The kernel's boot id when it was written.
    pub boot_id: String,
    /// When it was written: seconds since 1970.
    pub written: u64,
    /// The same by the clock of that boot, in seconds.
    pub since_boot: u64,
    /// By workload.
    pub workloads: Vec<NamesOf>,
}

/// What one workload looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesOf {
    /// The workload.
    pub id: WorkloadId,
    /// Its network namespace, which in the same boot tells it from another one of its name.
    pub netns: u64,
    /// Its names, the latest first.
    pub names: Vec<KnownName>,
}

/// A name with its addresses, each with the seconds that were left when this was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownName {
    /// The name.
    pub name: String,
    /// The addresses.
    pub addresses: Vec<(IpAddr, u32)>,
}

impl Stored for KnownNames {
    const WHAT: &'static str = "a list of look-ups";
    const MAGIC: [u8; 8] = *b"EGRETDNS";
    const VERSION: u32 = 1;
}

impl KnownNames {
    /// How long ago it was written: by the clock of this boot, `since_boot`, where it is of this one, else by the wall
    /// clock, `now`. `None`: the wall clock was set back, and nobody can tell.
    #[must_use]
    pub fn age(&self, boot_id: &str, since_boot: Duration, now: Duration) -> Option<u64> {
        if self.boot_id == boot_id {
            return since_boot.as_secs().checked_sub(self.since_boot);
        }
        now.as_secs().checked_sub(self.written)
    }
}

impl NamesOf {
    /// What is left of it after `age` seconds, the earliest look-up first.
    pub fn left(&self, age: u64) -> impl Iterator<Item = (&str, Vec<(IpAddr, u32)>)> {
        let left = move |(address, seconds): &(IpAddr, u32)| {
            let left = u64::from(*seconds).checked_sub(age).filter(|left| *left > 0)?;
            Some((*address, u32::try_from(left).ok()?))
        };
        self.names.iter().rev().filter_map(move |KnownName { name, addresses }| {
            let addresses: Vec<_> = addresses.iter().filter_map(left).collect();
            (!addresses.is_empty()).then_some((name.as_str(), addresses))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written() -> KnownNames {
        KnownNames { boot_id: "this".into(), written: 1_000_000, since_boot: 500, workloads: Vec::new() }
    }

    #[test]
    fn its_age_is_by_the_clock_of_the_boot_or_else_by_the_wall_clock_unless_that_was_set_back() {
        let [at, by] = [600, 1_000_030].map(Duration::from_secs);
        assert_eq!(written().age("this", at, by), Some(100));
        assert_eq!(written().age("this", Duration::from_secs(499), by), None);
        assert_eq!(written().age("another", Duration::from_secs(3), by), Some(30));
        assert_eq!(written().age("another", at, Duration::from_secs(999_999)), None);
    }

    #[test]
    fn what_has_ended_is_not_left_and_the_latest_look_up_comes_last() {
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let name = |name: &str, addresses| KnownName { name: name.into(), addresses };
        let known = NamesOf {
            id: WorkloadId { namespace: "shop".into(), name: "web".into() },
            netns: 1,
            names: vec![
                name("latest.test", vec![(address(1), 61), (address(2), 60)]),
                name("ended.test", vec![(address(3), 7)]),
                name("first.test", vec![(address(4), u32::MAX)]),
            ],
        };
        let left: Vec<_> = known.left(60).collect();
        assert_eq!(
            left,
            [("first.test", vec![(address(4), u32::MAX - 60)]), ("latest.test", vec![(address(1), 1)])]
        );
        assert_eq!(known.left(u64::MAX).count(), 0);
    }

    fn bytes() -> Vec<u8> {
        let name = |number: u8| KnownName {
            name: format!("n{number}.example.com"),
            addresses: vec![(IpAddr::from([192, 0, 2, number]), 60)],
        };
        let known = NamesOf {
            id: WorkloadId { namespace: "shop".into(), name: "web".into() },
            netns: 7,
            names: (0..20).map(name).collect(),
        };
        let written = KnownNames { workloads: vec![known], ..written() };
        let bytes = written.encode().expect("it fits");
        assert_eq!(KnownNames::decode(&bytes), Ok(written));
        bytes
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        let bytes = bytes();
        for end in 0..bytes.len() {
            assert!(KnownNames::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn a_file_that_is_changed_at_random_is_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..5)
        ) {
            let (bytes, mut changed) = (bytes(), bytes());
            for (at, change) in changes {
                *at.get_mut(&mut changed) ^= change;
            }
            prop_assert!(changed == bytes || KnownNames::decode(&changed).is_err());
        }
    }
}

//! Who leads, by a Lease that agents renew and take over. Deciding is pure; [`Candidate::turn`] acts on it.
//!
//! Whether its holder is gone is told by how long the lease did not change while this agent looked at it: what the clocks of
//! two nodes say is a hint when to look, and no more. Two agents never both write it: who writes names the version that was
//! read. The more nodes there are, which the lease says, the less often each looks.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};

use super::write::{Failure, request};

/// What the lease is called.
pub const NAME: &str = "egret-status";
/// How long it is held without being renewed.
const LASTS: Duration = Duration::from_secs(15);
/// From one renewal to the next.
pub const RENEW: Duration = Duration::from_secs(5);
/// How long after its last renewal a holder still acts: less than others wait.
pub const ACTS: Duration = Duration::from_secs(10);
/// What others may say that theirs lasts; and the longest from one look to the next.
const LONGEST: Duration = Duration::from_secs(300);
/// Where the lease says how many nodes tell of policies.
const NODES: &str = "egret.dev/nodes";
/// So many nodes make each look a second less often: 5,000 look some sixty times a second all together, and who leads no more
/// is noticed as soon.
const NODES_A_SECOND: u32 = 20;
/// By how much looks differ from node to node at least.
const SPREAD: Duration = Duration::from_secs(2);

/// A lease, as far as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    version: String,
    /// Empty: nobody.
    holder: String,
    lasts: Duration,
    /// When it was, by the holder's clock.
    renewed: Option<Timestamp>,
    nodes: u32,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Make it: there is none.
    Make,
    /// Write it: it is this agent's, or nobody's now.
    Take,
    /// Look again after that time.
    Wait(Duration),
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This agent leads.
    Leads,
    /// Another one does; look again after that time.
    Follows(Duration),
}

/// What was seen of the lease, and since when it is as it is.
#[derive(Debug, Default)]
struct Seen(Option<(Held, Instant)>);

impl Seen {
    fn note(&mut self, held: Option<Held>, now: Instant) {
        let is_same = self.0.as_ref().map(|(before, _)| before) == held.as_ref();
        if !is_same {
            self.0 = held.map(|held| (held, now));
        }
    }

    /// `clock` is this node's, which may be wrong.
    fn step(&self, me: &str, now: Instant, clock: Timestamp) -> Step {
        let Some((held, since)) = &self.0 else { return Step::Make };
        let left = (*since + held.lasts).saturating_duration_since(now);
        if held.holder == me || held.holder.is_empty() || left.is_zero() {
            return Step::Take;
        }
        let silent = |renewed| Duration::try_from(clock.duration_since(renewed)).unwrap_or_default();
        let may_be_gone = held.renewed.is_none_or(|renewed| silent(renewed) > held.lasts);
        // Not all at once, where there are many.
        let over = if may_be_gone {
            SPREAD
        } else {
            SPREAD.max(Duration::from_secs(1) * held.nodes / NODES_A_SECOND)
        };
        Step::Wait(left + spread(me, over.min(LONGEST)))
    }
}

/// Some part of it, by name.
fn spread(me: &str, over: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    me.hash(&mut hasher);
    over.mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

/// An agent that would lead.
pub struct Candidate {
    api: Api<Lease>,
    me: String,
    seen: Seen,
}

impl Candidate {
    /// By the name of its node: the next agent of that node is the same holder.
    pub fn new(api: Api<Lease>, me: String) -> Self {
        Self { api, me, seen: Seen::default() }
    }

    /// Looks at the lease, and makes, takes or renews it where that is this agent's to do. `nodes`: how many tell of policies,
    /// where this agent knows.
    ///
    /// # Errors
    /// The API server is away, or does not allow it.
    pub async fn turn(&mut self, nodes: Option<u32>) -> Result<Turn, Failure> {
        let found = request(self.api.get_opt(NAME)).await?;
        let now = Instant::now();
        self.seen.note(found.as_ref().map(held), now);
        let written = match self.seen.step(&self.me, now, Timestamp::now()) {
            Step::Wait(pause) => return Ok(Turn::Follows(pause)),
            Step::Make => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                    spec: Some(spec(None, &self.me, Timestamp::now())),
                };
                request(self.api.create(&PostParams::default(), &lease)).await
            }
            Step::Take => {
                let mut before = found.unwrap_or_default();
                if let Some(nodes) = nodes {
                    before.annotations_mut().insert(NODES.to_owned(), nodes.to_string());
                }
                let spec = spec(before.spec.as_ref(), &self.me, Timestamp::now());
                // With the version that was read: of two that take it, one is told of a conflict.
                let lease = Lease { spec: Some(spec), ..before };
                request(self.api.replace(NAME, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(_) => Ok(Turn::Leads),
            Err(failure) if failure.is_conflict() => Ok(Turn::Follows(spread(&self.me, SPREAD))),
            Err(failure) => Err(failure),
        }
    }
}

fn held(lease: &Lease) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Held {
        version: lease.resource_version().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        lasts: seconds.map_or(LASTS, Duration::from_secs).min(LONGEST),
        renewed: spec.renew_time.map(|time| time.0),
        nodes: lease.annotations().get(NODES).and_then(|nodes| nodes.parse().ok()).unwrap_or_default(),
    }
}

/// What the lease says once `me` has it.
fn spec(before: Option<&LeaseSpec>, me: &str, now: Timestamp) -> LeaseSpec {
    let is_mine = before.is_some_and(|before| before.holder_identity.as_deref() == Some(me));
    let transitions = before.and_then(|before| before.lease_transitions);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
        renew_time: Some(MicroTime(now)),
        acquire_time: before
            .and_then(|before| before.acquire_time.clone())
            .filter(|_| is_mine)
            .or(Some(MicroTime(now))),
        lease_transitions: match (is_mine, before) {
            (true, _) => transitions,
            (false, None) => Some(0),
            (false, Some(_)) => Some(transitions.unwrap_or_default().saturating_add(1)),
        },
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, holder: &str) -> Held {
        Held { version: version.into(), holder: holder.into(), lasts: LASTS, renewed: None, nodes: 0 }
    }

    #[test]
    fn a_lease_is_taken_once_its_holder_was_silent_for_as_long_as_it_lasts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let wait = |seconds| Step::Wait(Duration::from_secs(seconds) + spread("me", SPREAD));
        // What is seen when, and what is done then.
        let story = [
            (0, Some(lease("1", "other")), wait(15)),
            (10, Some(lease("1", "other")), wait(5)),
            // It was renewed.
            (14, Some(lease("2", "other")), wait(15)),
            (28, Some(lease("2", "other")), wait(1)),
            (29, Some(lease("2", "other")), Step::Take),
            // A third one was faster.
            (30, Some(lease("3", "third")), wait(15)),
            (31, Some(lease("4", "")), Step::Take),
            (32, Some(lease("5", "me")), Step::Take),
            (33, None, Step::Make),
        ];
        let mut seen = Seen::default();
        for (seconds, held, expected) in story {
            seen.note(held, at(seconds));
            assert_eq!(seen.step("me", at(seconds), Timestamp::UNIX_EPOCH), expected, "after {seconds} s");
        }
    }

    #[test]
    fn the_more_nodes_there_are_the_less_often_each_looks_until_the_holder_is_silent() {
        let (now, clock) = (Instant::now(), Timestamp::from_second(1000).expect("a time"));
        // How many looks a second there are of all these nodes, where it was renewed so long ago by its holder's clock.
        let looks = |nodes: u32, ago: i64| -> f64 {
            let renewed = Timestamp::from_second(1000 - ago).ok();
            let seen = Seen(Some((Held { renewed, nodes, ..lease("1", "other") }, now)));
            let each = (0..nodes).map(|node| match seen.step(&format!("node-{node}"), now, clock) {
                Step::Wait(pause) => 1.0 / pause.as_secs_f64(),
                step => panic!("{step:?}"),
            });
            each.sum()
        };
        for (nodes, ago, most) in
            [(100, 5, 7.0), (5_000, 5, 60.0), (50_000, 5, 550.0), (5_000, -100, 60.0), (5_000, 16, 330.0)]
        {
            let looks = looks(nodes, ago);
            assert!((most * 0.7..most).contains(&looks), "{nodes} nodes, {ago} s: {looks}");
        }
    }

    #[test]
    fn a_lease_that_says_odd_things_is_read_all_the_same() {
        for (seconds, expected) in [(None, 15), (Some(-1), 15), (Some(20), 20), (Some(i32::MAX), 300)] {
            let spec = LeaseSpec { lease_duration_seconds: seconds, ..LeaseSpec::default() };
            let read = held(&Lease { spec: Some(spec), ..Lease::default() });
            assert_eq!(read.lasts.as_secs(), expected, "{seconds:?}");
        }
        assert_eq!(held(&Lease::default()).holder, "");
        for (said, expected) in [("12", 12), ("-1", 0), ("many", 0), ("4294967295", u32::MAX)] {
            let mut lease = Lease::default();
            lease.annotations_mut().insert(NODES.to_owned(), said.to_owned());
            let seen = Seen(Some((held(&lease), Instant::now())));
            assert_eq!(seen.0.as_ref().map(|(held, _)| held.nodes), Some(expected), "{said}");
            assert!(
                matches!(seen.step("me", Instant::now(), Timestamp::now()), Step::Take),
                "nobody holds it"
            );
        }
    }

    #[test]
    fn who_takes_it_says_since_when_and_who_renews_it_does_not() {
        let [early, late] = [10, 20].map(|second| Timestamp::from_second(second).expect("a time"));
        let made = spec(None, "a", early);
        assert_eq!((made.lease_transitions, made.acquire_time.clone()), (Some(0), Some(MicroTime(early))));
        let renewed = spec(Some(&made), "a", late);
        assert_eq!(
            (renewed.lease_transitions, renewed.acquire_time.clone()),
            (Some(0), Some(MicroTime(early)))
        );
        assert_eq!(renewed.renew_time, Some(MicroTime(late)));
        let taken = spec(Some(&renewed), "b", late);
        assert_eq!((taken.lease_transitions, taken.acquire_time.clone()), (Some(1), Some(MicroTime(late))));
        let odd = LeaseSpec { lease_transitions: Some(i32::MAX), ..made };
        assert_eq!(spec(Some(&odd), "b", late).lease_transitions, Some(i32::MAX));
    }
}

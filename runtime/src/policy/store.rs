//! Which policies are accepted: the last good content of every file, and no policy twice. Pure; the agent calls
//! [`refresh`] with what [`super::load_dir`] gave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Labels, Namespace, Policy, PolicyId};

use super::load::{Good, Outcome};
use super::neighbours::{Finder, Neighbours, Selected, Wanted};
use super::problem::Problem;

/// The policies in force, by the file they came from. No two have the same id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    files: BTreeMap<Arc<str>, Good>,
}

impl Accepted {
    /// Every file and its last good text: what to keep on disk, for a restart during which a file is bad.
    pub fn texts(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.files.iter().map(|(file, good)| (file, &good.text))
    }

    /// Every policy, in the order of files.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.files.values().flat_map(|good| &good.policies)
    }

    /// What of the cluster their destinations need to be known.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::by(self.policies())
    }

    /// Looks up their destinations in the cluster; the policies that lead elsewhere now. `selected`: what was looked for before
    /// and is still so.
    pub fn look_up(&mut self, known: Neighbours<'_>, selected: &mut Selected) -> BTreeSet<PolicyId> {
        let mut finder = Finder::new(known, selected);
        let mut moved = BTreeSet::new();
        for policy in self.files.values_mut().flat_map(|good| &mut good.policies) {
            let (mut is_moved, is_upstream) = (false, policy.upstream.is_some());
            for rule in policy.rules_mut() {
                let found = if is_upstream { finder.find_upstream(rule) } else { finder.find(rule) };
                is_moved |= found != rule.found;
                rule.found = found;
            }
            if is_moved {
                moved.insert(policy.id.clone());
            }
        }
        finder.end();
        moved
    }

    /// The policies that select a workload of `namespace` with `labels`, sorted by id.
    #[must_use]
    pub fn selecting(&self, namespace: &Namespace, labels: &Labels) -> Vec<&Policy> {
        let mut selecting: Vec<_> =
            self.policies().filter(|policy| policy.selects(namespace, labels)).collect();
        selecting.sort_by_key(|policy| &policy.id);
        selecting
    }

    /// Whether what is accepted of `file` was read whole.
    #[must_use]
    pub fn is_whole(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|good| good.unread.is_empty())
    }

    fn holds(&self, file: &Arc<str>, id: &PolicyId) -> bool {
        self.files.get(file).is_some_and(|good| good.policies.iter().any(|policy| policy.id == *id))
    }
}

/// What is accepted once the files are as `now`, and every problem they have. A file that turned bad keeps its last
/// good policies; one that is gone takes its policies with it. Where two files claim one policy, the file that had it
/// before keeps it (else the first by name), and the other counts as bad.
#[must_use]
pub fn refresh(previous: &Accepted, now: Vec<Outcome>) -> (Accepted, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut files = BTreeMap::new();
    let mut fresh = BTreeSet::new();
    for (file, outcome) in now {
        match outcome {
            Ok(good) => {
                problems.extend(good.unread.iter().cloned());
                let last = previous.files.get(&file);
                // Of an object of Kubernetes, what it was as long as all of it could be read.
                match last.filter(|last| last.unread.is_empty() && !good.unread.is_empty()) {
                    Some(last) => _ = files.insert(file, last.clone()),
                    None => {
                        fresh.insert(file.clone());
                        files.insert(file, good);
                    }
                }
            }
            Err(mut found) => {
                problems.append(&mut found);
                if let Some(last) = previous.files.get(&file) {
                    files.insert(file, last.clone());
                }
            }
        }
    }
    // Each round puts at least one fresh file back to what it was, and what was has no twins: it ends.
    loop {
        let losers = losers(previous, &files, &fresh);
        if losers.is_empty() {
            return (Accepted { files }, problems);
        }
        for (file, problem) in losers {
            problems.push(problem);
            fresh.remove(&file);
            match previous.files.get(&file) {
                Some(last) => files.insert(file, last.clone()),
                None => files.remove(&file),
            };
        }
    }
}

/// The fresh files that claim a policy of another file, each with the first such claim.
fn losers(
    previous: &Accepted,
    files: &BTreeMap<Arc<str>, Good>,
    fresh: &BTreeSet<Arc<str>>,
) -> BTreeMap<Arc<str>, Problem> {
    let mut owners: BTreeMap<&PolicyId, (&Arc<str>, &Policy)> = BTreeMap::new();
    let mut losers = BTreeMap::new();
    for (file, policy) in files.iter().flat_map(|(file, good)| good.policies.iter().map(move |p| (file, p))) {
        let Some((owner, owned)) = owners.insert(&policy.id, (file, policy)) else { continue };
        let newcomer_wins = !fresh.contains(file) || previous.holds(file, &policy.id);
        let (winner, loser) = if newcomer_wins { (policy, owned) } else { (owned, policy) };
        if !newcomer_wins {
            owners.insert(&policy.id, (owner, owned));
        }
        let loser_file = if newcomer_wins { owner } else { file };
        losers.entry(loser_file.clone()).or_insert_with(|| twin(&files[loser_file].text, loser, winner));
    }
    losers
}

fn twin(text: &Arc<str>, loser: &Policy, winner: &Policy) -> Problem {
    let (here, there) = (&loser.origin, &winner.origin);
    let reason = format!("the policy {} is also in {}:{}:{}", loser.id, there.file, there.line, there.column);
    Problem::at_origin(here, text, reason, "give one of them another name, or delete one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(file: &str, names: &[&str]) -> Outcome {
        let document = |name: &&str| {
            format!(
                "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: {name}, namespace: n}}\n\
                 spec: {{podSelector: {{}}, mode: Enforce, scope: all, default: Deny}}\n"
            )
        };
        let text = names.iter().map(document).collect::<Vec<_>>().join("---\n");
        (file.into(), Good::parse(&file.into(), text.into()))
    }

    fn held(accepted: &Accepted) -> Vec<String> {
        let line = |policy: &Policy| format!("{}:{}", policy.origin.file, policy.id.name);
        accepted.policies().map(line).collect()
    }

    /// Each step: the files as they are, what is then accepted, and the files that have problems.
    #[test]
    fn the_last_good_content_of_each_file_stays_and_no_policy_counts_twice() {
        type Step = (
            &'static [(&'static str, &'static [&'static str])],
            &'static [&'static str],
            &'static [&'static str],
        );
        let stories: &[&[Step]] = &[
            // Bad, then good again; `[]` stands for a bad file.
            &[
                (&[("a", &["x"])], &["a:x"], &[]),
                (&[("a", &[])], &["a:x"], &["a"]),
                (&[("a", &["y"])], &["a:y"], &[]),
            ],
            // Gone, bad or not.
            &[(&[("a", &["x"]), ("b", &["y"])], &["a:x", "b:y"], &[]), (&[("b", &[])], &["b:y"], &["b"])],
            // A twin that comes later loses, whatever its name.
            &[
                (&[("b", &["x"])], &["b:x"], &[]),
                (&[("a", &["x"]), ("b", &["x"])], &["b:x"], &["a"]),
                (&[("a", &["x"])], &["a:x"], &[]),
            ],
            // Twins from the start: the first by name.
            &[(&[("a", &["x"]), ("b", &["x", "y"])], &["a:x"], &["b"])],
            // A policy moves from one file to another.
            &[
                (&[("a", &["x", "y"])], &["a:x", "a:y"], &[]),
                (&[("a", &["x"]), ("b", &["y"])], &["a:x", "b:y"], &[]),
            ],
            // The file that lost goes back to what it was, and that takes back what another had taken over.
            &[
                (&[("a", &["x"]), ("b", &["y"])], &["a:x", "b:y"], &[]),
                (&[("a", &["x"]), ("b", &["x"]), ("c", &["y"])], &["a:x", "b:y"], &["b", "c"]),
            ],
        ];
        for (number, story) in stories.iter().enumerate() {
            let mut accepted = Accepted::default();
            for (files, expected, bad) in *story {
                let now = files.iter().map(|(file, names)| outcome(file, names)).collect();
                let (next, problems) = refresh(&accepted, now);
                assert_eq!(held(&next), *expected, "story {number}");
                assert_eq!(problems.iter().map(|p| &*p.file).collect::<Vec<_>>(), *bad, "story {number}");
                accepted = next;
            }
        }
    }

    #[test]
    fn twins_of_two_files_name_both_places() {
        let (_, problems) =
            refresh(&Accepted::default(), vec![outcome("a", &["w", "x"]), outcome("b", &["x"])]);
        let problem = &problems[0];
        assert_eq!(
            (problem.place(), problem.reason.as_str()),
            ("b:1:1".into(), "the policy n/x is also in a:6:1")
        );
    }

    #[test]
    fn the_kept_texts_give_the_same_policies_after_a_restart() {
        let (accepted, _) =
            refresh(&Accepted::default(), vec![outcome("a", &["x"]), outcome("b", &["y", "z"])]);
        let again =
            accepted.texts().map(|(file, text)| (file.clone(), Good::parse(file, text.clone()))).collect();
        assert_eq!(refresh(&Accepted::default(), again), (accepted, Vec::new()));
    }
}

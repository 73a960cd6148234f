//! `egret policy check`, without its output: every file's problems, and warnings about what most likely is not meant.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Policy, PortRange, Rule, Target};

use super::load::{self, Good};
use super::problem::Problem;
use super::store::{Accepted, refresh};

/// Beyond this many pairs of rules warnings are not looked for.
const MAX_PAIRS: usize = 1_000_000;

/// What came of checking some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each file once, in the order given.
    pub files: Vec<Checked>,
}

/// What came of checking a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// How many policies and rules it has, what is wrong with it, or why it cannot be read.
    pub result: CheckResult,
}

/// See [`Checked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Every policy would be accepted.
    Good {
        /// How many policies.
        policies: usize,
        /// How many rules, and entries of ceilings.
        rules: usize,
        /// What is most likely not meant.
        warnings: Vec<Problem>,
    },
    /// It would be refused.
    Bad(Vec<Problem>),
    /// It is missing or cannot be read.
    Unreadable(Problem),
}

impl Report {
    /// 0: all good; 1: a bad policy; 2: a file that is missing or cannot be read.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let code = |checked: &Checked| match checked.result {
            CheckResult::Good { .. } => 0,
            CheckResult::Bad(_) => 1,
            CheckResult::Unreadable(_) => 2,
        };
        self.files.iter().map(code).max().unwrap_or(0)
    }
}

/// Checks `paths`, files or directories of policy files, as one set: no policy may be in two of them.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Report {
    let mut files = Vec::new();
    let mut good = Vec::new();
    for (file, read) in read(paths) {
        let result = match read.map(|bytes| load::parse_bytes(&file, bytes)) {
            Err(error) => unreadable(&file, &error),
            Ok(Err(problems)) => CheckResult::Bad(problems),
            Ok(Ok(content)) => {
                let result = summary(&content);
                good.push((file.clone(), Ok(content)));
                result
            }
        };
        files.push(Checked { file, result });
    }
    let (_, twins) = refresh(&Accepted::default(), good);
    for twin in twins {
        if let Some(checked) = files.iter_mut().find(|checked| checked.file == twin.file) {
            checked.result = CheckResult::Bad(vec![twin]);
        }
    }
    Report { files }
}

/// The files that `paths` name, each once, and their content.
fn read(paths: &[PathBuf]) -> Vec<(Arc<str>, io::Result<Vec<u8>>)> {
    let mut files: Vec<(Arc<str>, _)> = Vec::new();
    let mut add = |path: &Path, content| {
        let file = path.to_string_lossy();
        if files.iter().all(|(known, _)| **known != *file) {
            files.push((file.into(), content));
        }
    };
    for path in paths {
        match path.is_dir().then(|| load::list(path)) {
            None => add(path, load::read_bytes(path)),
            Some(Ok(inside)) => inside.iter().for_each(|path| add(path, load::read_bytes(path))),
            Some(Err(error)) => add(path, Err(error)),
        }
    }
    files
}

fn unreadable(file: &str, error: &io::Error) -> CheckResult {
    let fix = "name a file that exists and that you may read";
    CheckResult::Unreadable(Problem::whole(file, format!("cannot be read: {error}"), fix))
}

fn summary(content: &Good) -> CheckResult {
    let policies = &content.policies;
    CheckResult::Good {
        policies: policies.len(),
        rules: policies.iter().map(count_of_rules).sum(),
        warnings: policies.iter().flat_map(|policy| idle_allows(policy, &content.text)).collect(),
    }
}

fn count_of_rules(policy: &Policy) -> usize {
    let ceiling = policy.ceiling.as_ref().map_or(0, |ceiling| ceiling.entries.len());
    policy.allow.len() + policy.deny.len() + ceiling
}

/// Allow rules of which nothing is left, because a deny rule of the same policy covers each of their destinations.
fn idle_allows(policy: &Policy, text: &Arc<str>) -> Vec<Problem> {
    let targets = |rules: &[Rule]| rules.iter().map(|rule| rule.to.len()).sum::<usize>();
    if targets(&policy.allow).saturating_mul(targets(&policy.deny)) > MAX_PAIRS {
        return Vec::new();
    }
    let denied = |rule: &Rule, target: &Target| policy.deny.iter().find(|deny| covers(deny, rule, target));
    let idle = policy.allow.iter().filter(|rule| rule.to.iter().all(|target| denied(rule, target).is_some()));
    idle.map(|rule| {
        let by = rule.to.iter().find_map(|target| denied(rule, target)).map_or("", |deny| &deny.name);
        let reason =
            format!("the rule `{}` allows nothing: `{by}` denies it, and deny beats allow", rule.name);
        Problem::at_origin(&rule.origin, text, reason, "narrow the deny rule, or take this rule out")
            .into_warning()
    })
    .collect()
}

/// Whether `deny` denies all that `rule` allows of `target`.
fn covers(deny: &Rule, rule: &Rule, target: &Target) -> bool {
    let ports = deny.ports.is_empty()
        || !rule.ports.is_empty()
            && rule.ports.iter().all(|range| deny.ports.iter().any(|d| holds(d, range)));
    let is_within = |denied: &Target| match (denied, target) {
        (Target::Cidr(denied), Target::Cidr(allowed)) => denied.contains(allowed),
        (denied, allowed) => denied == allowed,
    };
    ports && deny.to.iter().any(is_within)
}

fn holds(outer: &PortRange, inner: &PortRange) -> bool {
    outer.protocol == inner.protocol
        && match (&outer.ports, &inner.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(outer), Some(inner)) => outer.contains(inner.start()) && outer.contains(inner.end()),
        }
}

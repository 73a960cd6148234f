//! What a case expects, held against what was answered.

use serde::{Deserialize, Serialize};

use crate::{Answer, Opinion, Scope, refused_domain};

/// What must be answered: a word, or a word and more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expect {
    /// The word alone.
    Word(Word),
    /// What else must hold.
    More(More),
}

/// A word and what else must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct More {
    /// The word.
    pub answer: Word,
    /// The reason of a denial or refusal contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For what the verdict counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// For how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Which domain is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// An answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The flow may begin.
    Allow,
    /// It may not.
    Deny,
    /// No opinion.
    Next,
    /// Nothing against a DNS answer.
    Pass,
    /// Later ones about a domain are refused.
    Refuse,
}

/// An answer, as a test saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The answer.
    pub answer: &'a Answer,
    /// For what it counts.
    pub scope: Scope,
    /// For how many seconds.
    pub ttl: u32,
}

impl Expect {
    /// # Errors
    /// What differs, in a sentence.
    pub fn check(&self, seen: &Seen<'_>) -> Result<(), String> {
        let (word, reason) = match seen.answer {
            Answer::Allow => (Word::Allow, None),
            Answer::Deny(reason) => (Word::Deny, Some(reason)),
            Answer::Next => (Word::Next, None),
        };
        let expected = self.more();
        expected.check_word(word, seen.answer.word(), reason)?;
        if let Some(scope) = expected.scope.filter(|scope| *scope != seen.scope) {
            return Err(format!("expected the scope {scope:?}, it is {:?}", seen.scope).to_lowercase());
        }
        if let Some(ttl) = expected.ttl.filter(|ttl| *ttl != seen.ttl) {
            return Err(format!("expected a ttl of {ttl} s, it is {} s", seen.ttl));
        }
        Ok(())
    }

    /// The same of what was said of a DNS answer about `name`.
    ///
    /// # Errors
    /// What differs, in a sentence.
    pub fn check_opinion(&self, name: &str, seen: &Opinion) -> Result<(), String> {
        let expected = self.more();
        let Opinion::Refuse(refusal) = seen else {
            return expected.check_word(Word::Pass, seen.word(), None);
        };
        expected.check_word(Word::Refuse, seen.word(), Some(&refusal.reason))?;
        let refused = refused_domain(name, &refusal.domain);
        if let Some(domain) = expected.domain.filter(|domain| *domain != refused) {
            return Err(format!("expected {domain} to be refused, it is {refused}"));
        }
        match expected.ttl.filter(|ttl| *ttl != refusal.seconds) {
            Some(ttl) => Err(format!("expected a ttl of {ttl} s, it is {} s", refusal.seconds)),
            None => Ok(()),
        }
    }

    fn more(&self) -> More {
        match self {
            Self::Word(answer) => {
                More { answer: *answer, reason: None, scope: None, ttl: None, domain: None }
            }
            Self::More(more) => more.clone(),
        }
    }
}

impl More {
    fn check_word(&self, word: Word, said: &str, reason: Option<&String>) -> Result<(), String> {
        if word != self.answer {
            let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let wanted = format!("{:?}", self.answer).to_lowercase();
            return Err(format!("expected {wanted}, answered {said}{because}"));
        }
        match &self.reason {
            Some(part) if !reason.is_some_and(|reason| reason.contains(part)) => {
                let said = reason.map_or("", String::as_str);
                Err(format!("expected a reason that contains `{part}`, the reason is `{said}`"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_in_a_sentence() {
        let denied = Answer::Deny("too many".to_owned());
        let seen = Seen { answer: &denied, scope: Scope::Flow, ttl: 0 };
        for (expect, told) in [
            ("deny", None),
            ("{answer: deny, reason: many, scope: flow, ttl: 0}", None),
            ("allow", Some("expected allow, answered deny (too many)")),
            ("{answer: deny, reason: few}", Some("contains `few`")),
            ("{answer: deny, scope: name}", Some("expected the scope name, it is flow")),
            ("{answer: deny, ttl: 60}", Some("expected a ttl of 60 s, it is 0 s")),
        ] {
            let expect: Expect = serde_saphyr::from_str(expect).expect("an expectation");
            let checked = expect.check(&seen);
            assert_eq!(checked.is_ok(), told.is_none(), "{checked:?}");
            assert!(checked.err().unwrap_or_default().contains(told.unwrap_or_default()));
        }
    }
}

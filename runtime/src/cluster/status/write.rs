//! Requests that write, and what is said of those that fail.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tracing::{info, warn};

use super::pace::Failures;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
/// Why the API server makes nothing in a namespace that is deleted.
const TERMINATING: &str = "NamespaceTerminating";

/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// It took too long.
    Slow,
    /// What the API server, or the way to it, says.
    Said(kube::Error),
}

impl Failure {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Said(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// What was asked for is not there.
    pub fn is_absence(&self) -> bool {
        self.code() == Some(NOT_FOUND)
    }

    /// The namespace is gone, or going.
    pub fn is_of_no_namespace(&self) -> bool {
        let Self::Said(kube::Error::Api(status)) = self else { return false };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        self.is_absence() || causes.any(|cause| cause.reason == TERMINATING)
    }

    /// Somebody else was faster, or it is another object by now.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(CONFLICT)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => write!(f, "the API server did not answer within {} s", PATIENCE.as_secs()),
            Self::Said(kube::Error::Api(status)) if status.code == FORBIDDEN => {
                write!(f, "{}; apply deploy/egret.yaml, which allows it", status.message)
            }
            Self::Said(kube::Error::Api(status)) => f.write_str(&status.message),
            Self::Said(error) => error.fmt(f),
        }
    }
}

/// Makes a request, for so long.
pub async fn request<T>(asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(done) => done.map_err(Failure::Said),
        Err(_) => Err(Failure::Slow),
    }
}

/// One kind of requests, made again and again.
#[derive(Debug)]
pub struct Attempts {
    /// What the API server does where they work.
    what: &'static str,
    failures: Failures,
}

impl Attempts {
    /// None yet.
    pub fn at(what: &'static str) -> Self {
        Self { what, failures: Failures::default() }
    }

    /// One failed: says so, if the one before did not. How long to wait.
    pub fn failed(&mut self, failure: &Failure) -> Duration {
        let (pause, is_first) = self.failures.add();
        if is_first {
            warn!("the API server does not {}, and what is enforced stays enforced: {failure}", self.what);
        }
        pause
    }

    /// One worked.
    pub fn worked(&mut self) {
        if self.failures.clear() {
            info!("the API server does {} again", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn failure(status: Value) -> Failure {
        Failure::Said(kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status"))))
    }

    #[test]
    fn what_the_api_server_says_is_told_and_what_to_do() {
        let forbidden =
            failure(json!({"code": 403, "message": "leases is forbidden", "reason": "Forbidden"}));
        assert_eq!(forbidden.to_string(), "leases is forbidden; apply deploy/egret.yaml, which allows it");
        let other = failure(json!({"code": 500, "message": "etcd is away", "reason": "InternalError"}));
        assert_eq!(other.to_string(), "etcd is away");
    }

    #[test]
    fn what_is_gone_or_another_is_told_from_what_fails() {
        let terminating = json!([{"reason": "NamespaceTerminating", "message": "it is being terminated"}]);
        for (status, expected) in [
            (json!({"code": 404}), [true, false, true]),
            (json!({"code": 409}), [false, true, false]),
            (json!({"code": 403}), [false, false, false]),
            (json!({"code": 403, "details": {"causes": terminating}}), [false, false, true]),
        ] {
            let told = status.to_string();
            let failure = failure(status);
            let found = [failure.is_absence(), failure.is_conflict(), failure.is_of_no_namespace()];
            assert_eq!(found, expected, "{told}");
        }
    }
}

//! What an application sees when it dials out: a process in the pod's namespace looks a name up and connects.
//!
//! In: an [`Attempt`], as JSON on the command line of `egret-dial`. Out: one [`Outcome`] per time, as JSON lines.
//! `run` is what happens inside that process; `lookup` its two ways to resolve a name. A
//! [`Conversation`] is a connection that a test keeps.

mod conversation;
mod lookup;
mod run;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::netns::Netns;

pub use conversation::Conversation;
pub use run::run;

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// A name or an address.
    pub target: String,
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// Which addresses of a name are used.
    pub family: Family,
    /// Asked directly, each time anew; `None`: glibc's `getaddrinfo` with the pod's resolv.conf.
    pub resolver: Option<IpAddr>,
    /// Asked over TCP.
    pub over_tcp: bool,
    /// How often; each time with a look-up of its own.
    pub times: u32,
    /// How long a look-up or a connection may take.
    pub timeout_ms: u64,
}

/// How it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Connect, read the greeting, send a line, read it back.
    Tcp,
    /// Send a datagram, read the answer.
    Udp,
}

/// Which addresses of a name are used, in the order that the look-up gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// All, one after another until one connects.
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Attempt {
    /// One TCP connection, any family, through glibc, at most 2 s.
    #[must_use]
    pub fn tcp(target: impl ToString, port: u16) -> Self {
        Self {
            target: target.to_string(),
            port,
            transport: Transport::Tcp,
            family: Family::Any,
            resolver: None,
            over_tcp: false,
            times: 1,
            timeout_ms: 2000,
        }
    }

    /// One UDP datagram and its answer; otherwise as [`Attempt::tcp`].
    #[must_use]
    pub fn udp(target: impl ToString, port: u16) -> Self {
        Self { transport: Transport::Udp, ..Self::tcp(target, port) }
    }

    /// Over IPv4 only.
    #[must_use]
    pub fn ipv4(self) -> Self {
        Self { family: Family::Ipv4, ..self }
    }

    /// Over IPv6 only.
    #[must_use]
    pub fn ipv6(self) -> Self {
        Self { family: Family::Ipv6, ..self }
    }

    /// Looks up by asking `resolver` directly.
    #[must_use]
    pub fn via(self, resolver: impl Into<IpAddr>) -> Self {
        Self { resolver: Some(resolver.into()), ..self }
    }

    /// Looks up by asking `resolver` over TCP, each time on a connection of its own.
    #[must_use]
    pub fn via_tcp(self, resolver: impl Into<IpAddr>) -> Self {
        Self { over_tcp: true, ..self.via(resolver) }
    }

    /// This often.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// With this limit instead of 2 s.
    #[must_use]
    pub fn within_ms(self, timeout_ms: u64) -> Self {
        Self { timeout_ms, ..self }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Data went both ways.
    Connected,
    /// ECONNREFUSED.
    Refused,
    /// EHOSTUNREACH, ENETUNREACH or EACCES.
    Unreachable,
    /// Nothing came back in time.
    TimedOut,
    /// Connected, but then no data came through.
    Broken,
    /// The name has no address of the family.
    Unresolved,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed out",
            Self::Broken => "broken",
            Self::Unresolved => "unresolved",
        })
    }
}

/// What the application saw, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub seen: Seen,
    /// Where it connected to, or what it tried last.
    pub address: Option<IpAddr>,
    /// From `connect` (UDP: from sending) to the answer or the refusal.
    pub micros: u64,
    /// The greeting of whoever answered, or the system's words for the error.
    pub said: String,
}

/// The median time of `outcomes`, in microseconds; 0 for none.
#[must_use]
pub fn median_micros(outcomes: &[Outcome]) -> u64 {
    let mut times: Vec<u64> = outcomes.iter().map(|outcome| outcome.micros).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Makes `attempt` from a process in `netns`; one outcome for each time.
///
/// # Errors
/// The process cannot be run. What the network does is never an error but an outcome.
pub fn dial_from(netns: &Netns, attempt: &Attempt) -> Result<Vec<Outcome>> {
    let output =
        netns.application(program_beside_us("egret-dial")?).arg(serde_json::to_string(attempt)?).output()?;
    ensure!(output.status.success(), "egret-dial failed: {}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).context("egret-dial printed something else than an outcome"))
        .collect()
}

/// The program `name` of the same build: beside this one, or above it when this one is a test.
///
/// # Errors
/// It was not built.
pub(crate) fn program_beside_us(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    me.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("`{name}` is not beside {}; build it: cargo build -p egret -p egret-tests", me.display())
        })
}

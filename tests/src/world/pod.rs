//! One pod: who it is, where it sits, and what an application in it can do.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::plan::Link;
use crate::dial::{self, Attempt, Conversation, Outcome};
use crate::netns::Netns;

/// A pod of a world.
#[derive(Clone, Debug)]
pub struct Pod {
    namespace: String,
    name: String,
    netns: Netns,
    link: Link,
}

impl Pod {
    pub(super) fn new(namespace: &str, name: &str, link: Link) -> Self {
        let netns = Netns::named(link.netns.clone());
        Self { namespace: namespace.to_owned(), name: name.to_owned(), netns, link }
    }

    /// `namespace/name`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its Kubernetes-style namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name, which is also its label `app`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The host side of its interface pair, in the node's namespace.
    #[must_use]
    pub fn host_interface(&self) -> &str {
        &self.link.host_interface
    }

    /// Its addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.link.ipv4.into(), self.link.ipv6.into()]
    }

    pub(super) fn readdress(&mut self) {
        self.link = self.link.readdressed();
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Makes `attempt` from a process in the pod; one outcome for each time.
    ///
    /// # Errors
    /// The process cannot be run. What the network does is never an error but an outcome.
    pub fn dial(&self, attempt: &Attempt) -> Result<Vec<Outcome>> {
        dial::dial_from(&self.netns, attempt)
    }

    /// Looks `target` up with glibc (an address stands for itself) and connects to TCP `port`, once.
    ///
    /// # Errors
    /// As [`Pod::dial`].
    pub fn connect(&self, target: &str, port: u16) -> Result<Outcome> {
        self.dial_once(&Attempt::tcp(target, port))
    }

    /// Makes `attempt` once.
    ///
    /// # Errors
    /// As [`Pod::dial`].
    pub fn dial_once(&self, attempt: &Attempt) -> Result<Outcome> {
        let outcomes = self.dial(&Attempt { times: 1, ..attempt.clone() })?;
        outcomes.into_iter().next().context("egret-dial printed no outcome")
    }

    /// Opens a TCP connection from inside the pod, for the caller to keep.
    ///
    /// # Errors
    /// What `connect` says.
    pub fn open(&self, address: &str) -> Result<Conversation> {
        Conversation::open(&self.netns, address.parse()?)
    }
}

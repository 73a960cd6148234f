//! What else is at work on the node: nothing, a CNI with a way of its own into pods, or a crowd on each interface.

use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};

use super::Pod;
use crate::delivery::{Delivery, Endpoint};
use crate::neighbour::{Neighbour, Seat};
use crate::netns::Netns;

/// What is at work on a node besides its own stack and the program under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surroundings {
    /// Nothing.
    #[default]
    Quiet,
    /// A CNI that delivers by `bpf_redirect_peer`, from the node's uplink and from the pods' host sides.
    Redirected,
    /// On each host side and in each pod, put there before the program under test: a program that came first, one that
    /// came last, and on the host side a clsact filter as well.
    Crowded,
    /// Nothing, and the program under test is told to use filters of clsact, as it does where there is no tcx.
    Filtered,
    /// Nothing, and every answer goes on hold and to the agent: no program learns one.
    Held,
}

impl Surroundings {
    /// Those of the test that runs on this thread: its first module names them. So one body is a test of its own in
    /// each of them, without a word about it in the body.
    #[must_use]
    pub fn of_this_test() -> Self {
        match thread::current().name().and_then(|name| name.split_once("::")) {
            Some(("redirected", _)) => Self::Redirected,
            Some(("crowded", _)) => Self::Crowded,
            Some(("filtered", _)) => Self::Filtered,
            Some(("held", _)) => Self::Held,
            _ => Self::Quiet,
        }
    }
}

/// More than a link sends by itself (neighbour discovery) between the first and the last of a crowd.
const FEW: u64 = 10;

/// The programs of the surroundings.
#[derive(Debug, Default)]
pub(super) struct Others {
    delivery: Option<Mutex<Delivery>>,
    crowds: Vec<Crowd>,
}

/// The three neighbours on one host side, and the two in the pod behind it.
#[derive(Debug)]
struct Crowd {
    host_interface: String,
    outside: [Neighbour; 3],
    _inside: [Neighbour; 2],
}

impl Others {
    /// Those of a node before it has pods.
    pub(super) fn of_node(surroundings: Surroundings, node: &Netns, uplink: &str) -> Result<Self> {
        let mut others = Self::default();
        if surroundings == Surroundings::Redirected {
            let mut delivery = Delivery::new()?;
            delivery.take_from(node, uplink)?;
            others.delivery = Some(Mutex::new(delivery));
        }
        Ok(others)
    }

    /// Those of a pod that is there now.
    pub(super) fn add(&mut self, surroundings: Surroundings, node: &Netns, pod: &Pod) -> Result<()> {
        let host = pod.host_interface();
        if let Some(delivery) = &self.delivery {
            let mut delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner);
            delivery.add(&endpoint(pod)?)?;
            delivery.take_from(node, host)?;
        }
        if surroundings == Surroundings::Crowded {
            let outside = |seat| Neighbour::attach(node, host, seat);
            let inside = |seat| Neighbour::attach(pod.netns(), "eth0", seat);
            self.crowds.retain(|crowd| crowd.host_interface != host);
            self.crowds.push(Crowd {
                host_interface: host.to_owned(),
                outside: [outside(Seat::First)?, outside(Seat::Tcx)?, outside(Seat::Clsact)?],
                _inside: [inside(Seat::First)?, inside(Seat::Tcx)?],
            });
        }
        Ok(())
    }

    /// A pod was tied to the node anew, and nobody told the CNI where.
    pub(super) fn forget(&self, pod: &Pod) -> Result<()> {
        let Some(delivery) = &self.delivery else { return Ok(()) };
        delivery.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod.addresses())
    }

    /// Each of a crowd saw what the others saw: nobody was silenced.
    pub(super) fn agree(&self) -> Result<()> {
        for Crowd { host_interface, outside, .. } in &self.crowds {
            let seen = [outside[0].packets()?, outside[1].packets()?, outside[2].packets()?];
            let most = seen.into_iter().max().unwrap_or_default();
            ensure!(
                seen.iter().all(|seen| seen + FEW > most),
                "on {host_interface} some were silenced: {seen:?}"
            );
        }
        Ok(())
    }
}

fn endpoint(pod: &Pod) -> Result<Endpoint> {
    Ok(Endpoint {
        addresses: pod.addresses(),
        host_index: pod.link().host_index,
        link: pod.netns().link_address("eth0")?,
    })
}

//! Which kind of hooks the program under test has here, and which programs are on the two sides of a pod's pair.

use anyhow::{Context, Result};
use aya::programs::{SchedClassifier, TcAttachType};

use crate::neighbour::{Manner, Neighbour, Seat, order};
use crate::netns::Netns;
use crate::world::{Pod, Surroundings, World};

/// A kind of hooks, and with it what a kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// tcx: one hook on the host side, one in the pod.
    Tcx,
    /// clsact: both on the host side. What a CNI delivers past it is not seen.
    Clsact,
}

impl Tier {
    /// That of the test that runs on this thread: what the kernel has, or what its surroundings ask for.
    #[must_use]
    pub fn of_this_test() -> Self {
        if Surroundings::of_this_test() == Surroundings::Filtered || !kernel_has_tcx() {
            Self::Clsact
        } else {
            Self::Tcx
        }
    }

    /// The number by which the status tells of it.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Tcx => 1,
            Self::Clsact => 2,
        }
    }

    /// The program under test as the kernel knows it, where packets come from a pod and where they go to one.
    #[must_use]
    pub fn hooks(self) -> [&'static str; 2] {
        match self {
            Self::Tcx => ["from_pod", "door"],
            Self::Clsact => ["from_pod", "host_door"],
        }
    }

    /// Where another sits that comes before these.
    #[must_use]
    pub fn seat_before(self) -> Seat {
        match self {
            Self::Tcx => Seat::First,
            Self::Clsact => Seat::FirstFilter,
        }
    }

    /// Where another sits that comes behind these.
    #[must_use]
    pub fn seat_behind(self) -> Seat {
        match self {
            Self::Tcx => Seat::Tcx,
            Self::Clsact => Seat::Clsact,
        }
    }
}

/// Whether the kernel of this machine has tcx.
#[must_use]
pub fn kernel_has_tcx() -> bool {
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

/// The programs where packets come from `pod` and where they go to it, in order.
///
/// # Errors
/// The pod is gone.
pub fn programs(world: &World, pod: &Pod) -> Result<[Vec<String>; 2]> {
    let [from, to] = places(world, pod);
    Ok([from.programs()?, to.programs()?])
}

/// Where one of the hooks of a pod is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// In which namespace.
    pub netns: &'a Netns,
    /// On which interface.
    pub interface: &'a str,
    /// What the program under test is called there.
    pub hook: &'static str,
    side: TcAttachType,
    tier: Tier,
}

/// Where packets come from `pod`, and where they go to it.
#[must_use]
pub fn places<'a>(world: &'a World, pod: &'a Pod) -> [Place<'a>; 2] {
    let tier = Tier::of_this_test();
    let [from, to] = tier.hooks();
    let host = (world.node(), pod.host_interface());
    let (inside, side) = match tier {
        Tier::Tcx => ((pod.netns(), "eth0"), TcAttachType::Ingress),
        Tier::Clsact => (host, TcAttachType::Egress),
    };
    let place = |(netns, interface), side, hook| Place { netns, interface, hook, side, tier };
    [place(host, TcAttachType::Ingress, from), place(inside, side, to)]
}

impl Place<'_> {
    /// The programs there, in order.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn programs(&self) -> Result<Vec<String>> {
        match (self.tier, self.side) {
            (Tier::Tcx, _) => order(self.netns, self.interface),
            (Tier::Clsact, TcAttachType::Egress) => filters(self.netns, self.interface, "egress"),
            (Tier::Clsact, _) => filters(self.netns, self.interface, "ingress"),
        }
    }

    /// Puts another program there before all of the moment.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn put_before(&self, manner: Manner) -> Result<Neighbour> {
        Neighbour::on_side(self.netns, self.interface, self.side, self.tier.seat_before(), manner)
    }

    /// Puts a well-behaved program there behind all of the moment.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn put_behind(&self) -> Result<Neighbour> {
        let seat = self.tier.seat_behind();
        Neighbour::on_side(self.netns, self.interface, self.side, seat, Manner::Neighbour)
    }
}

/// Takes the hooks of `pod` away, as somebody could who is root on the node.
///
/// # Errors
/// There are none.
pub fn take_away(world: &World, pod: &Pod) -> Result<()> {
    match Tier::of_this_test() {
        Tier::Tcx => {
            for link in std::fs::read_dir(world.pins()?.join("links"))? {
                std::fs::remove_file(link?.path())?;
            }
        }
        Tier::Clsact => {
            tc(world.node(), &["qdisc", "del", "dev", pod.host_interface(), "clsact"])?;
        }
    }
    Ok(())
}

/// The names of the programs of the filters of one side of a device, in order.
fn filters(netns: &Netns, interface: &str, side: &str) -> Result<Vec<String>> {
    let told = tc(netns, &["filter", "show", "dev", interface, side])?;
    let names = told.lines().filter_map(|line| {
        let (_, after) = line.split_once(" name ")?;
        Some(after.split(' ').next()?.to_owned())
    });
    Ok(names.collect())
}

fn tc(netns: &Netns, arguments: &[&str]) -> Result<String> {
    let output = netns.command("tc").args(arguments).output().context("cannot run tc; install iproute2")?;
    anyhow::ensure!(output.status.success(), "tc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

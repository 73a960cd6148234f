//! The program of another on the same interface: it lets everything go on, and the kernel counts its runs.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::sys::{Stats, enable_stats};

use crate::netns::Netns;
use crate::others::{classifier, load, open};

/// The name of the well-behaved one in the kernel.
pub const NAME: &str = "neighbour";

/// Where it sits on the ingress of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    /// Before all tcx programs of the moment.
    First,
    /// Last in the tcx order of the moment.
    Tcx,
    /// A filter of a clsact qdisc, as programs older than tcx do; the kernel runs it after all of tcx.
    Clsact,
    /// Before all filters of the moment.
    FirstFilter,
}

/// What it does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The next program is asked.
    Neighbour,
    /// The packet goes on, and nobody behind it is asked.
    Silencer,
    /// The packet ends.
    Swallower,
    /// It delivers past others with `bpf_redirect_peer`, to no pod as long as it is told of none.
    Deliverer,
}

impl Manner {
    /// The name of such a program in the kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Neighbour => NAME,
            Self::Silencer => "silencer",
            Self::Swallower => "swallower",
            Self::Deliverer => crate::delivery::NAME,
        }
    }
}

/// A neighbour that runs; it leaves when this goes out of scope.
#[derive(Debug)]
pub struct Neighbour {
    program: Ebpf,
    name: &'static str,
    /// What is to be taken away there.
    filter: Option<(Netns, SchedClassifierLink)>,
    /// The kernel counts runs for as long as this is open.
    _counting: std::os::fd::OwnedFd,
}

impl Neighbour {
    /// Attaches a well-behaved one to the ingress of `interface` in `netns`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn attach(netns: &Netns, interface: &str, seat: Seat) -> Result<Self> {
        Self::with_manner(netns, interface, seat, Manner::Neighbour)
    }

    /// Attaches one of any manner to the ingress of `interface` in `netns`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn with_manner(netns: &Netns, interface: &str, seat: Seat, manner: Manner) -> Result<Self> {
        Self::on_side(netns, interface, TcAttachType::Ingress, seat, manner)
    }

    /// Attaches one of any manner to one side of `interface` in `netns`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn on_side(
        netns: &Netns,
        interface: &str,
        side: TcAttachType,
        seat: Seat,
        manner: Manner,
    ) -> Result<Self> {
        let counting = enable_stats(Stats::RunTime).context("the kernel does not count runs")?;
        let name = manner.name();
        let mut program = load(name)?;
        let filter = netns.run(|| sit(classifier(&mut program, name)?, interface, side, seat))??;
        Ok(Self { program, name, filter: filter.map(|filter| (netns.clone(), filter)), _counting: counting })
    }

    /// How many packets have reached it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn packets(&self) -> Result<u64> {
        let program: &SchedClassifier =
            self.program.program(self.name).context("the one program")?.try_into()?;
        Ok(program.info()?.run_count())
    }

    /// The number by which the kernel knows it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn id(&mut self) -> Result<u32> {
        Ok(classifier(&mut self.program, self.name)?.info()?.id())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // Where the interface is gone, so is the filter.
        if let Some((netns, filter)) = self.filter.take() {
            let _ = netns.run(|| drop(filter));
        }
    }
}

/// An XDP program that lets nothing come in; it leaves when this goes out of scope.
#[derive(Debug)]
pub struct Deaf(#[expect(dead_code, reason = "what is on the interface goes with it")] Ebpf);

impl Deaf {
    /// Attaches to `interface` in `netns`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn attach(netns: &Netns, interface: &str) -> Result<Self> {
        let mut object = open()?;
        let program: &mut Xdp = object.program_mut("deaf").context("no program deaf")?.try_into()?;
        program.load()?;
        netns.run(|| program.attach(interface, XdpMode::Skb))??;
        Ok(Self(object))
    }
}

/// The tcx programs on the ingress of `interface` in `netns`, by name, in the order in which they run.
///
/// # Errors
/// There is no such interface.
pub fn order(netns: &Netns, interface: &str) -> Result<Vec<String>> {
    let (_, programs) = netns.run(|| SchedClassifier::query_tcx(interface, TcAttachType::Ingress))??;
    Ok(programs.iter().map(|program| program.name_as_str().unwrap_or_default().to_owned()).collect())
}

/// The filter, which is told by the namespace that one is in; a link of tcx goes with its program.
fn sit(
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    seat: Seat,
) -> Result<Option<SchedClassifierLink>> {
    let options = match seat {
        Seat::First => TcAttachOptions::TcxOrder(LinkOrder::first()),
        Seat::Tcx => TcAttachOptions::TcxOrder(LinkOrder::default()),
        Seat::Clsact | Seat::FirstFilter => {
            // It may be there.
            let _ = qdisc_add_clsact(interface);
            let priority = u16::from(seat == Seat::FirstFilter);
            TcAttachOptions::Netlink(NlOptions { priority, ..NlOptions::default() })
        }
    };
    let link = program.attach_with_options(interface, side, options)?;
    let is_filter = matches!(seat, Seat::Clsact | Seat::FirstFilter);
    Ok(if is_filter { Some(program.take_link(link)?) } else { None })
}

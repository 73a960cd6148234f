//! Tier 1: links of tcx, pinned.

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};

use super::order::Other;
use super::{Doing, KernelError, Pins};

/// Takes over the pinned link where it is alive and on `interface`, else makes a new one in the first place and pins
/// it. A link that is alive elsewhere is of where the workload was before.
pub(super) fn attach(
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    attach_at(LinkOrder::first(), program, interface, side, pin)
}

/// The same, but that a new one goes to the place `order`.
pub(super) fn attach_at(
    order: LinkOrder,
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    // What an agent left that ended while it put a hook first.
    let _ = std::fs::remove_file(Pins::next(pin));
    if pin.exists() && take_over(program, pin).is_ok() && runs_on(program, interface, side).unwrap_or(false) {
        return Ok(());
    }
    let _ = std::fs::remove_file(pin);
    attach_new(order, program, interface, side, pin)
}

/// Makes a new link in the first place and pins it where the old one is, which goes with that: in one step, so that
/// there is always one of them.
pub(super) fn put_first(
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    let next = Pins::next(pin);
    let _ = std::fs::remove_file(&next);
    attach_new(LinkOrder::first(), program, interface, side, &next)?;
    std::fs::rename(&next, pin).doing(|| format!("pin the link on {interface}"))
}

fn attach_new(
    order: LinkOrder,
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    let order = TcAttachOptions::TcxOrder(order);
    let link =
        program.attach_with_options(interface, side, order).doing(|| format!("attach to {interface}"))?;
    let link = program.take_link(link).doing(|| format!("the link on {interface}"))?;
    let link: FdLink = link.try_into().doing(|| format!("the link on {interface}"))?;
    link.pin(pin).doing(|| format!("pin the link on {interface}"))?;
    Ok(())
}

/// Fails where the interface of the link is gone.
pub(super) fn take_over(program: &mut SchedClassifier, pin: &std::path::Path) -> anyhow::Result<()> {
    let link: SchedClassifierLink = FdLink::from(PinnedLink::from_pin(pin)?).try_into()?;
    let id = program.attach_to_link(link)?;
    // The program must not keep it: the pin does.
    drop(program.take_link(id)?);
    Ok(())
}

/// Whether `program` is among the tcx programs on `interface`, of this network namespace.
pub(super) fn runs_on(
    program: &SchedClassifier,
    interface: &str,
    side: TcAttachType,
) -> anyhow::Result<bool> {
    let id = super::object::number(program)?;
    let (_, programs) = SchedClassifier::query_tcx(interface, side)?;
    Ok(programs.iter().any(|program| program.id() == id))
}

/// The tcx programs on the ingress of `interface` of this network namespace, whosever they are, in order.
///
/// # Errors
/// What the kernel said.
pub(super) fn others(interface: &str) -> Result<Vec<Other>, KernelError> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)
        .doing(|| format!("read the programs on {interface}"))?;
    Ok(programs.iter().map(Other::of).collect())
}

/// Their names.
///
/// # Errors
/// What the kernel said.
pub(super) fn order(interface: &str) -> Result<Vec<String>, KernelError> {
    Ok(others(interface)?.into_iter().map(|other| other.name).collect())
}

//! The program of another CNI on the same interface: it counts what reaches it and lets everything go on.
//!
//! It is two instructions long, written down here, so that it needs no compiler; the kernel itself counts its runs.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::sys::{Stats, enable_stats};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use crate::netns::Netns;

/// Its name in the kernel.
pub const NAME: &str = "neighbour";

/// Where it sits on the ingress of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Last in the tcx order of the moment.
    Tcx,
    /// A filter of a clsact qdisc, as programs older than tcx do; the kernel runs it after all of tcx.
    Clsact,
}

/// A neighbour that runs; it leaves when this goes out of scope.
#[derive(Debug)]
pub struct Neighbour {
    program: Ebpf,
    /// The kernel counts runs for as long as this is open.
    _counting: std::os::fd::OwnedFd,
}

impl Neighbour {
    /// Attaches to the ingress of `interface` in `netns`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn attach(netns: &Netns, interface: &str, seat: Seat) -> Result<Self> {
        let counting = enable_stats(Stats::RunTime).context("the kernel does not count runs")?;
        let mut program = Ebpf::load(&object()?)?;
        classifier(&mut program)?.load()?;
        netns.run(|| sit(classifier(&mut program)?, interface, seat))??;
        Ok(Self { program, _counting: counting })
    }

    /// How many packets have reached it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn packets(&self) -> Result<u64> {
        let program: &SchedClassifier = self.program.program(NAME).context("the one program")?.try_into()?;
        Ok(program.info()?.run_count())
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

fn classifier(program: &mut Ebpf) -> Result<&mut SchedClassifier> {
    Ok(program.program_mut(NAME).context("the one program")?.try_into()?)
}

fn sit(program: &mut SchedClassifier, interface: &str, seat: Seat) -> Result<()> {
    let options = match seat {
        Seat::Tcx => TcAttachOptions::TcxOrder(LinkOrder::default()),
        Seat::Clsact => {
            qdisc_add_clsact(interface)?;
            TcAttachOptions::Netlink(NlOptions::default())
        }
    };
    let link = program.attach_with_options(interface, TcAttachType::Ingress, options)?;
    if seat == Seat::Clsact {
        // A filter goes with its interface. To take it away from here would mean to be in this namespace again.
        std::mem::forget(program.take_link(link)?);
    }
    Ok(())
}

/// `return -1`: TCX_NEXT, and TC_ACT_UNSPEC for clsact.
const CODE: [u8; 16] = [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0];

fn object() -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let text = object.add_section(Vec::new(), b"classifier".to_vec(), SectionKind::Text);
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(text, &CODE, 8);
    object.append_section_data(license, b"GPL\0", 1);
    object.add_symbol(Symbol {
        name: NAME.as_bytes().to_vec(),
        value: 0,
        size: CODE.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    Ok(object.write()?)
}

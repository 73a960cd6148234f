//! The programs that others run on a node beside the one under test, as `tests/programs` has them: loaded.

use anyhow::{Context, Result};
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/others.bpf.o"));

/// A copy of the object, none of its programs in the kernel yet.
///
/// # Errors
/// What the kernel refused.
pub fn open() -> Result<Ebpf> {
    Ok(EbpfLoader::new().load(OBJECT)?)
}

/// A copy of the object, with the classifier `name` of it in the kernel.
///
/// # Errors
/// What the kernel refused.
pub fn load(name: &str) -> Result<Ebpf> {
    let mut object = open()?;
    classifier(&mut object, name)?.load()?;
    Ok(object)
}

/// The program `name` of `object`.
///
/// # Errors
/// There is none.
pub fn classifier<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    Ok(object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

//! The system call bpf(2), for the few things that aya has no way to ask for or asks for at a price.
#![allow(unsafe_code, reason = "aya has no call for these")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use aya::Pod;
use aya::maps::{IterableMap, MapData};
use aya::programs::TcAttachType;

const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

/// The kernel's `union bpf_attr`, as BPF_PROG_QUERY reads and writes it.
#[repr(C)]
#[derive(Default)]
struct Query {
    device: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    zero: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// The number of the first tcx program on one side of a device of this thread's network namespace, if there is one.
///
/// # Errors
/// Where there is no such device.
pub(super) fn first_at(device: u32, side: TcAttachType) -> io::Result<Option<u32>> {
    let mut first = MaybeUninit::<u32>::zeroed();
    let mut query = Query {
        device,
        attach_type: if side == TcAttachType::Egress { BPF_TCX_EGRESS } else { BPF_TCX_INGRESS },
        programs: first.as_mut_ptr() as u64,
        count: 1,
        ..Query::default()
    };
    // SAFETY: the kernel writes into the query, and as many numbers as it says that there is room for.
    let done = unsafe { call(BPF_PROG_QUERY, &mut query) };
    match done {
        // There are more: the first was written all the same.
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
        done => done?,
    }
    // SAFETY: zero, or a number that the kernel wrote.
    let first = unsafe { first.assume_init() };
    Ok((query.count > 0 && first != 0).then_some(first))
}

/// The kernel's `union bpf_attr`, as the calls for many entries read and write it.
#[repr(C)]
struct Batch {
    first: u64,
    last: u64,
    keys: u64,
    values: u64,
    /// In: how many there are. Out: how many are done.
    count: u32,
    map: u32,
    entry_flags: u64,
    flags: u64,
}

impl Batch {
    fn new<K>(map: &MapData, keys: &[K]) -> io::Result<Self> {
        let count = u32::try_from(keys.len()).map_err(io::Error::other)?;
        let map = map.fd().as_fd().as_raw_fd().cast_unsigned();
        let keys = keys.as_ptr() as u64;
        Ok(Self { first: 0, last: 0, keys, values: 0, count, map, entry_flags: 0, flags: 0 })
    }
}

/// Writes entries with one system call.
///
/// # Errors
/// Why one could not be written; those before it are.
pub(super) fn insert_all<K: Pod, V: Pod>(
    map: &impl IterableMap<K, V>,
    (keys, values): (&[K], &[V]),
) -> io::Result<()> {
    if keys.len() != values.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut batch = Batch { values: values.as_ptr() as u64, ..Batch::new(map.map(), keys)? };
    // SAFETY: there are as many keys and values as the count says, and those of a typed map are of its sizes.
    unsafe { call(BPF_MAP_UPDATE_BATCH, &mut batch) }
}

/// Takes entries out with one system call, and one more for each that is not there.
///
/// # Errors
/// Why one could not be taken out; those before it are.
pub(super) fn remove_all<K: Pod, V: Pod>(map: &impl IterableMap<K, V>, mut keys: &[K]) -> io::Result<()> {
    while !keys.is_empty() {
        let mut batch = Batch::new(map.map(), keys)?;
        // SAFETY: there are as many keys as the count says, and those of a typed map are of its size.
        match unsafe { call(BPF_MAP_DELETE_BATCH, &mut batch) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                keys = keys.get(batch.count as usize + 1..).unwrap_or_default();
            }
            done => return done,
        }
    }
    Ok(())
}

/// # Safety
/// What `attributes` points to must be there, and as large as it says.
unsafe fn call<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the kernel reads and writes as many bytes as it is told there are; the rest is the caller's promise.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

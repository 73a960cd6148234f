//! The system call bpf(2), for the few things that aya has no way to ask for or asks for at a price.
#![allow(unsafe_code, reason = "aya has no call for these")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Pod;
use aya::maps::{IterableMap, MapData};
use aya::programs::TcAttachType;

const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_DETACH: libc::c_long = 34;
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

fn pinned(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = (path.as_ptr() as u64, 0_u64);
    // SAFETY: the place of a string that ends with a zero, then no options.
    let link = unsafe { call_for(BPF_OBJ_GET, &mut get) }?;
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Takes a pinned link off its hook: no packet runs its program when this returns. To remove the pin alone would let it go
/// at some later time.
///
/// # Errors
/// Where there is no link at `pin`, or its device is gone.
pub(super) fn detach_link(pin: &Path) -> io::Result<()> {
    let link = pinned(pin)?;
    let mut detach = link.as_raw_fd();
    // SAFETY: a descriptor is all that the kernel reads.
    unsafe { call(BPF_LINK_DETACH, &mut detach) }
}

/// The kernel's `struct bpf_link_info` of a link of a control group, as far as what it is on.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    group: u64,
    attach_type: u32,
    end: u32,
}

/// The control group that a pinned link is on, by its number; 0: it is on none any more.
///
/// # Errors
/// Where there is no link at `pin`.
pub(super) fn group_of_link(pin: &Path) -> io::Result<u64> {
    let link = pinned(pin)?;
    let mut info = LinkInfo::default();
    let fd = link.as_raw_fd().cast_unsigned();
    let mut asked =
        (u64::from(size_of::<LinkInfo>() as u32) << 32 | u64::from(fd), std::ptr::from_mut(&mut info));
    // SAFETY: descriptor and length in one word, then the place, which is as large and may be written.
    unsafe { call(BPF_OBJ_GET_INFO_BY_FD, &mut asked) }?;
    Ok(info.group)
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

/// The same, as the calls for one entry read it.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Takes an entry out of an array.
///
/// # Errors
/// What the kernel said; `ENOENT`: there is none.
pub(super) fn remove(map: &MapData, key: u32) -> io::Result<()> {
    let fd = map.fd().as_fd().as_raw_fd().cast_unsigned();
    let mut element = Element { map: fd, padding: 0, key: (&raw const key) as u64, value: 0, flags: 0 };
    // SAFETY: the kernel reads a key of four bytes, as that of every array is.
    unsafe { call(BPF_MAP_DELETE_ELEM, &mut element) }
}

/// The kernel's `union bpf_attr`, as BPF_PROG_TEST_RUN reads and writes it, as far as the times.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    returned: u32,
    data_length: u32,
    data_room: u32,
    data: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Runs a classifier on `data`, as if it were a packet: what it returned.
///
/// # Errors
/// What the kernel said.
pub(super) fn run(program: &OwnedFd, data: &[u8]) -> io::Result<u32> {
    let mut run = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        data_length: u32::try_from(data.len()).map_err(io::Error::other)?,
        data: data.as_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the kernel reads as much as the length says.
    unsafe { call(BPF_PROG_TEST_RUN, &mut run) }?;
    Ok(run.returned)
}

/// The number of the program that was loaded next after the one of number `after` and is still there.
///
/// # Errors
/// What the kernel said.
pub(super) fn next_program(after: u32) -> io::Result<Option<u32>> {
    let mut ids = [after, 0, 0];
    // SAFETY: the kernel reads the first number and writes the second.
    match unsafe { call(BPF_PROG_GET_NEXT_ID, &mut ids) } {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        done => done.map(|()| Some(ids[1])),
    }
}

/// The program of number `id`; `None`: it is gone.
///
/// # Errors
/// What the kernel said.
pub(super) fn program(id: u32) -> io::Result<Option<OwnedFd>> {
    let mut ids = [id, 0, 0];
    // SAFETY: the kernel reads the first number.
    match unsafe { call_for(BPF_PROG_GET_FD_BY_ID, &mut ids) } {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        // SAFETY: a descriptor that the kernel made just now, which nobody else knows.
        done => done.map(|fd| Some(unsafe { OwnedFd::from_raw_fd(fd) })),
    }
}

/// The kernel's `struct bpf_prog_info`, as far as the name.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    tag: u64,
    machine_length: u32,
    length: u32,
    machine: u64,
    instructions: u64,
    loaded_at: u64,
    loaded_by: u32,
    map_count: u32,
    maps: u64,
    name: [u8; 16],
}

/// The name of a program, and its instructions as the kernel runs them, before they are made the machine's.
///
/// # Errors
/// What the kernel said.
pub(super) fn instructions(program: &OwnedFd) -> io::Result<(String, Vec<u64>)> {
    let ask = |info: &mut Info| {
        let fd = program.as_raw_fd().cast_unsigned();
        let mut asked = (u64::from(size_of::<Info>() as u32) << 32 | u64::from(fd), std::ptr::from_mut(info));
        // SAFETY: descriptor and length in one word, then the place, which is as large and may be written.
        unsafe { call(BPF_OBJ_GET_INFO_BY_FD, &mut asked) }
    };
    let mut info = Info::default();
    ask(&mut info)?;
    let mut instructions = vec![0_u64; info.length as usize / size_of::<u64>()];
    let mut info =
        Info { length: info.length, instructions: instructions.as_mut_ptr() as u64, ..Info::default() };
    ask(&mut info)?;
    // Where they may not be read, the kernel says that it wrote none.
    instructions.truncate(info.length as usize / size_of::<u64>());
    let name = String::from_utf8_lossy(&info.name);
    Ok((name.trim_end_matches('\0').to_owned(), instructions))
}

/// # Safety
/// What `attributes` points to must be there, and as large as it says.
unsafe fn call<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the caller's promise is the same.
    unsafe { call_for(command, attributes) }.map(drop)
}

/// The same, with what the kernel gives back.
///
/// # Safety
/// That of [`call`].
unsafe fn call_for<T>(command: libc::c_long, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads and writes as many bytes as it is told there are; the rest is the caller's promise.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { RawFd::try_from(done).map_err(io::Error::other) }
}

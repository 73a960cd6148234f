//! Maps of maps, and the maps in them: a room for each workload.
#![allow(unsafe_code, reason = "the loader makes a map of maps only from a definition with types")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use aya::maps::MapData;
use egret_abi::{
    CachedVerdict, Call, Flow, Flow4Key, Flow6Key, Fragment, FragmentKey, Inbound, Query, QueryKey,
    VerdictKey, WORKLOADS_MAX, Waiting,
};

use super::{Doing, KernelError, Pins};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_TYPE_LRU_HASH: u32 = 9;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// Bytes of a key and of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    key: usize,
    value: usize,
}

impl Shape {
    /// That of a map from `K` to `V`.
    pub(super) const fn of<K, V>() -> Self {
        Self { key: size_of::<K>(), value: size_of::<V>() }
    }
}

/// The maps of maps that programs have.
const OUTER: [(&str, Shape); 9] = [
    ("FLOWS4", Shape::of::<Flow4Key, Flow>()),
    ("FLOWS6", Shape::of::<Flow6Key, Flow>()),
    ("INBOUND4", Shape::of::<Flow4Key, Inbound>()),
    ("INBOUND6", Shape::of::<Flow6Key, Inbound>()),
    ("CALLS", Shape::of::<Flow6Key, Call>()),
    ("QUERIES", Shape::of::<QueryKey, Query>()),
    ("FRAGMENTS", Shape::of::<FragmentKey, Fragment>()),
    ("VERDICTS", Shape::of::<VerdictKey, CachedVerdict>()),
    ("WAITING", Shape::of::<Flow6Key, Waiting>()),
];

/// A map for one workload, empty.
pub(super) fn inner(name: &str, shape: Shape, entries: u32) -> Result<MapData, KernelError> {
    let doing = || format!("make a map of {entries} entries for {name}");
    let size = |bytes: usize| u32::try_from(bytes).doing(doing);
    let (key, value) = (size(shape.key)?, size(shape.value)?);
    let definition = aya_obj::Map::new_from_params(BPF_MAP_TYPE_LRU_HASH, key, value, entries, 0);
    MapData::create(definition, name, None).doing(doing)
}

/// Makes and pins the maps of maps that are not there yet, for the loader to find. It would make them itself, after a
/// pattern that has types; but Linux 6.1 takes a map without types for another kind (`timer_off` in
/// `bpf_map_meta_equal`), and those of workloads have none.
pub(super) fn make_outer(pins: &Pins) -> Result<(), KernelError> {
    for (name, shape) in OUTER {
        let pin = pins.map(name);
        if pin.exists() {
            continue;
        }
        let doing = || format!("make the map {name}");
        let pattern = inner(name, shape, 1)?;
        let map = create_outer(&pattern).doing(doing)?;
        MapData::from_fd(map).doing(doing)?.pin(&pin).doing(doing)?;
    }
    Ok(())
}

/// The first fields of the kernel's `union bpf_attr`; it takes the others for zero.
#[repr(C)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

fn create_outer(pattern: &MapData) -> io::Result<OwnedFd> {
    let request = Create {
        map_type: BPF_MAP_TYPE_ARRAY_OF_MAPS,
        key_size: 4,
        value_size: 4,
        max_entries: WORKLOADS_MAX,
        map_flags: 0,
        inner_map_fd: pattern.fd().as_fd().as_raw_fd().cast_unsigned(),
    };
    // SAFETY: the kernel reads as many bytes as it is told there are.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const request, size_of::<Create>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

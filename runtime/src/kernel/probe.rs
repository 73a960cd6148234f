//! Probes: frames that show whether a workload's hooks see its packets. What is put where, and what is read there.
#![allow(unsafe_code, reason = "a packet socket is addressed by a structure that has no safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;

use aya::maps::{Array, HashMap, MapData};
use egret_abi::{Held, PROBE, PROBE_LENGTH, PROBE_NUMBER_AT, Probe, WorkloadIndex};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::maps::{absent_is_fine, open};
use super::netns::{NetNs, visit};
use super::plain::Plain;
use super::{Doing, KernelError, Pins};

const BPF_NOEXIST: u64 = 1;
/// Where a probe goes: the address of pause frames, which no bridge and no switch passes on. So it never gets further
/// than the link, not even where the hook is gone.
const NOWHERE: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x01];
/// Whence it comes: an address of the kind that nobody was given.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0];

/// A probe that carries `number`.
#[must_use]
pub fn frame(number: u64) -> [u8; PROBE_LENGTH] {
    let mut frame = [0; PROBE_LENGTH];
    frame[..6].copy_from_slice(&NOWHERE);
    frame[6..12].copy_from_slice(&NOBODY);
    frame[12..14].copy_from_slice(&PROBE.to_be_bytes());
    frame[PROBE_NUMBER_AT..PROBE_NUMBER_AT + 8].copy_from_slice(&number.to_ne_bytes());
    frame
}

/// A frame that is to leave a workload.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// From where.
    pub netns: &'a NetNs,
    /// By which device, by its number there.
    pub device: u32,
    /// Itself.
    pub frame: [u8; PROBE_LENGTH],
}

/// Sends each frame out of its device, as an application that wants to go round every hook would: past the device's own
/// queue and its hooks. No address is looked up for it, and no connection is tracked.
///
/// # Errors
/// Where a namespace cannot be entered; within, what the device said.
pub fn send(frames: &[Leaving<'_>]) -> Vec<Result<io::Result<()>, KernelError>> {
    visit(frames.iter().map(|leaving| (leaving.netns, || send_here(leaving))).collect())
}

fn send_here(Leaving { device, frame, .. }: &Leaving<'_>) -> io::Result<()> {
    // Of no protocol: it hears nothing.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let (yes, length) = (1_i32, socklen(size_of::<i32>()));
    // SAFETY: the option's value is an int of the length given.
    check(unsafe {
        let value = (&raw const yes).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, value, length)
    } as isize)?;
    let to = address(*device)?;
    // SAFETY: the frame is of the length given, and the address is a sockaddr_ll of its own size.
    check(unsafe {
        let (to, length) = ((&raw const to).cast(), socklen(size_of::<libc::sockaddr_ll>()));
        libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, to, length)
    })
}

fn address(device: u32) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: a C struct of integers and byte arrays; all zero is one of its values.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = PROBE.to_be();
    address.sll_ifindex = i32::try_from(device).map_err(io::Error::other)?;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&NOWHERE);
    Ok(address)
}

fn socklen(bytes: usize) -> libc::socklen_t {
    bytes as libc::socklen_t
}

fn check(result: isize) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The maps that probes need, for `enforce` alone.
pub struct ProbeWriter {
    probes: Array<MapData, Plain<Probe>>,
    held: HashMap<MapData, u32, Plain<Held>>,
}

impl ProbeWriter {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there; the same for all that follow: what the kernel said.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self { probes: open(pins, "PROBES")?, held: open(pins, "HELD")? })
    }

    /// Says which probes a workload's hooks are to see.
    pub fn set(&mut self, workload: WorkloadIndex, probe: Probe) -> Result<(), KernelError> {
        self.probes.set(workload.0, Plain(probe), 0).doing(|| "write PROBES".to_owned())
    }

    /// Which of them no hook has seen yet.
    pub fn get(&self, workload: WorkloadIndex) -> Result<Probe, KernelError> {
        self.probes.get(&workload.0, 0).map(|probe| probe.0).doing(|| "read PROBES".to_owned())
    }

    /// Gives out a ticket for the gate.
    pub fn hold(&mut self, ticket: u32, held: Held) -> Result<(), KernelError> {
        self.held.insert(ticket, Plain(held), BPF_NOEXIST).doing(|| "write HELD".to_owned())
    }

    /// Takes it back, where it was not used.
    pub fn release(&mut self, ticket: u32) -> Result<(), KernelError> {
        absent_is_fine(self.held.remove(&ticket)).doing(|| "write HELD".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_addressed_to_where_no_bridge_passes_anything_on() {
        let frame = frame(0x0102_0304_0506_0708);
        assert_eq!(frame[..6], [0x01, 0x80, 0xc2, 0, 0, 1], "IEEE 802.1D, table 7-10");
        assert_eq!(frame[12..14], [0x88, 0xb5]);
        assert_eq!(frame[14..22], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        assert_eq!(frame.len(), 60);
    }
}
